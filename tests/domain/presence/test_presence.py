"""Presence: who is online, who is typing, and when a user was last seen."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from redis.asyncio import Redis

from domain.accounts.user import User
from domain.chat import typing_indicator
from domain.chat.conversation import Conversation
from domain.chat.typing_indicator import TypingState, TypingTimers
from domain.kernel.rooms import job_room, presence_room, user_room
from domain.ports.messaging import ReachChange
from domain.presence.presence import LastSeen
from server.adapters import redis_presence
from server.adapters.redis_presence import Presence
from server.dev.stores import Addresses
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.parties import Json, Party, Refused
from tests.support.processes import Processes, free_port

HASTE = {
    "ALIVE_SECONDS": 2.0,
    "HEARTBEAT_SECONDS": 0.5,
    "GATHER_SECONDS": 0.02,
    "RETRY_SECONDS": 0.1,
    "QUIET_MS": 100,
}


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presence is shared and expires sooner, in this process."""
    for name, value in HASTE.items():
        monkeypatch.setattr(redis_presence, name, value)


async def talk(market: Market, customer: Party, contractor: Party) -> str:
    """The id of a new conversation of both."""
    job = await market.job(customer)
    await market.application(contractor, job)
    fields = {"job_id": job["id"], "user_id": contractor.id}
    return str((await customer.call("/chat", "open", fields))["id"])


async def seen_by(party: Party, *conversations: str) -> list[Json]:
    fields = {"conversation_ids": conversations}
    found: list[Json] = (await party.call("/chat", "presence", fields))["items"]
    return found


async def presence_push(party: Party, fits: Callable[[Any], Any], seconds: float = 5) -> Json:
    return await party.push("/chat", "presence", fits, seconds)


async def until(reached: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@both_paths
async def test_presence_changes_are_pushed_to_subscribers(market: Market) -> None:
    """Guard: `joins` of `chat.presence`, `_save_last_seen` and `_push` in
    `presence.push_counts`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    before = (await market.rows(User, _id=contractor.id))[0]
    seen = {"user_id": contractor.id, "online": True, "last_seen_at": None}
    assert await seen_by(customer, id) == [seen]
    await contractor.disconnect()
    offline = await presence_push(customer, lambda pushed: not pushed["online"])
    assert offline["user_id"] == contractor.id
    assert customer.received("/chat", "presence")[-1].seq is None
    assert await seen_by(customer, id) == [offline]
    customer.clear_pushes()
    await contractor.connect()
    assert await presence_push(customer, lambda pushed: True) == seen
    assert (await market.rows(User, _id=contractor.id)) == [before]
    assert len(await market.rows(LastSeen, _id=contractor.id)) == 1
    await contractor.disconnect()
    again = await presence_push(customer, lambda pushed: not pushed["online"])
    assert again["last_seen_at"] > offline["last_seen_at"]


@both_paths
async def test_a_user_is_online_while_one_device_is_connected(market: Market) -> None:
    """Guard: `users[user_id] -= 1` in `Presence.left`."""
    customer, contractor = await market.customer(), await market.contractor()
    phone = await market.sign_in(contractor.user)
    id = await talk(market, customer, contractor)
    await seen_by(customer, id)
    await contractor.disconnect()
    await market.settled()
    assert (await seen_by(customer, id))[0]["online"]
    await phone.disconnect()
    await presence_push(customer, lambda pushed: not pushed["online"])
    states = [push.data["online"] for push in customer.received("/chat", "presence")]
    assert states.count(False) == 1


async def test_a_user_who_hides_presence_sees_none(market: Market) -> None:
    """Guard: `_users_hiding_presence` in `presence.presence`, `_read_presence` and `push_counts`,
    and `PushPresence` in `profile.update`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    assert (await seen_by(customer, id))[0]["online"]
    await contractor.call("/account", "update", {"show_presence": False})
    hidden = {"user_id": contractor.id, "online": None, "last_seen_at": None}
    # The push that they are online may arrive after they hide.
    assert await presence_push(customer, lambda pushed: pushed["online"] is None) == hidden
    assert await seen_by(customer, id) == [hidden]
    assert await seen_by(contractor, id) == []
    customer.clear_pushes()
    await contractor.disconnect()
    await until(lambda: market.rows(LastSeen, _id=contractor.id))
    await contractor.connect()
    await contractor.call("/account", "update", {"show_presence": True})
    assert (await presence_push(customer, lambda pushed: True))["online"]
    assert all(push.data["online"] for push in customer.received("/chat", "presence"))
    assert (await seen_by(contractor, id))[0]["online"]


@both_paths
async def test_typing_reaches_the_other_member_with_one_query(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `ConversationMembers._known`, and `typing` pushes only to the other member's
    room."""
    customer, contractor = await market.customer(), await market.contractor()
    stranger = await market.contractor("Otto")
    id = await talk(market, customer, contractor)
    types = {"conversation_id": id, "typing": True}
    assert await customer.call("/chat", "typing", types) is None
    push = await contractor.pushed("/chat", "typing")
    assert (push.seq, push.data) == (None, {**types, "user_id": customer.id})
    for _ in range(2):  # the members are cached or not
        with pytest.raises(Refused, match="not_found"):
            await stranger.call("/chat", "typing", types)
    queries: list[list[str]] = []
    monkeypatch.setattr(server.ports.members, "_read", queries.append)
    await contractor.call("/chat", "typing", {**types, "typing": False})
    assert queries == []
    await customer.push("/chat", "typing", lambda pushed: not pushed["typing"])
    assert customer.received("/chat", "typing")[0].data["user_id"] == contractor.id
    assert len(contractor.received("/chat", "typing")) == 1


async def test_blocks_that_other_processes_announce_end_subscriptions(
    market: Market, server: Server
) -> None:
    """Guard: `Broadcasts._reach_change`, `PresenceRooms.end`, and `PresenceRooms.recheck` for
    announcements that were missed."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    rooms = presence_room(customer.id), presence_room(contractor.id)
    uow = market.store.single()

    async def subscribed() -> list[bool]:
        return [bool(server.web.realtime.rooms.members(room)) for room in rooms]

    async def ended() -> bool:
        return await subscribed() == [False, False] and not server.web.members._known

    async def block(*by: str) -> bytes:
        """As another process does; returns its announcement."""
        await uow.change(Conversation, id, blocked_by=by)
        return msgspec.json.encode(ReachChange((customer.id, contractor.id), (id,), not by))

    for announced in (True, False):
        for party in (customer, contractor):
            assert len(await seen_by(party, id)) == 1
        assert await subscribed() == [True, True]
        announcement = await block(customer.id)
        if announced:
            server.web.fanout.on_broadcast[announcement[:1]](announcement)
        else:
            server.web.fanout._on_missed(None)
        await until(ended)
        assert await seen_by(contractor, id) == []
        announcement = await block()
        server.web.fanout.on_broadcast[announcement[:1]](announcement)


@both_paths
async def test_typing_ends_by_itself(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `TypingTimers._look`: the writer's connection is lost, and a word is repeated."""
    monkeypatch.setattr(typing_indicator, "TYPING_SECONDS", 0.2)
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    for ends in (False, True):
        await customer.call("/chat", "typing", {"conversation_id": id, "typing": True})
        if ends:
            await customer.call("/chat", "typing", {"conversation_id": id, "typing": False})
        else:
            await customer.disconnect()
        stopped = await contractor.push("/chat", "typing", lambda pushed: not pushed["typing"])
        assert stopped == {"conversation_id": id, "user_id": customer.id, "typing": False}
        await until(lambda: asyncio.sleep(0, not server.web.typing._others))
        said = [push.data["typing"] for push in contractor.received("/chat", "typing")]
        assert said == [True, False]
        contractor.clear_pushes()
        await customer.connect()

    pushed: list[bool] = []

    class Live:
        def push(self, event: Any, data: Any, *, room: str) -> None:
            pushed.append(data.typing)

        def announce_reach(self, change: Any) -> None: ...

    timers = TypingTimers(Live())
    for seconds in (0.0, 60.0):  # said again before the first one ends
        monkeypatch.setattr(typing_indicator, "TYPING_SECONDS", seconds)
        timers.push(TypingState(id, customer.id, typing=True), (contractor.id,))
    await asyncio.sleep(0.01)
    assert pushed == [True, True]
    timers.end_all()
    assert pushed == [True, True, False]


async def test_the_cache_of_conversation_members_is_bounded(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `while ... > CACHE_SIZE` in `ConversationMembers._read`."""
    monkeypatch.setattr("domain.chat.members.CACHE_SIZE", 2)
    customer = await market.customer()
    ids = [await talk(market, customer, await market.contractor()) for _ in range(3)]
    for id in ids:
        await customer.call("/chat", "typing", {"conversation_id": id, "typing": True})
    assert list(server.ports.members._known) == ids[1:]
    assert len(await seen_by(customer, *ids)) == 3
    assert await market.store.single().count(Conversation, {"members": customer.id}) == 3


async def test_read_receipts_are_hidden_in_both_directions(market: Market) -> None:
    """Guard: `read_receipts.sharing_receipts`, of which `history.read` and `member_view.seen_by`
    make use."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    for text in ("One", "Two", "Three"):
        await customer.call("/chat", "send", {"conversation_id": id, "text": text})

    async def reads(seq: int) -> None:
        await contractor.call("/chat", "read", {"conversation_id": id, "seq": seq})
        await contractor.push("/chat", "read", lambda pushed: pushed["seq"] == seq)
        await market.settled()

    async def marks() -> list[int]:
        """How far the contractor has read, as the customer and as the contractor sees it."""
        pages = [await who.call("/chat", "list") for who in (customer, contractor)]
        return [page["items"][0]["read"][contractor.id] for page in pages]

    await reads(1)
    assert await marks() == [1, 1]
    for hides, seq in ((contractor, 2), (customer, 3)):
        await hides.call("/account", "update", {"show_receipts": False})
        await reads(seq)
        assert await marks() == [0, seq]
        await hides.call("/account", "update", {"show_receipts": True})
    assert [push.data["seq"] for push in customer.received("/chat", "read")] == [1]
    assert await marks() == [3, 3]


# -- several processes -----------------------------------------------------------------------


async def test_users_of_a_killed_process_become_offline(processes: Processes) -> None:
    """Guard: `_remove_process`, and `alive` in the script COUNT."""
    processes.constants |= {f"{redis_presence.__name__}.{name}": HASTE[name] for name in HASTE}
    first, second = await processes.web(), await processes.web(REALTIME="stock")
    market = processes.market
    customer = await market.customer(url=first.url)
    contractor = await market.contractor(url=second.url)
    id = await talk(market, customer, contractor)
    job = await market.job(customer)
    async with asyncio.timeout(10):
        while not (await seen_by(customer, id))[0]["online"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for party, number in ((customer, 1), (contractor, 2)):
        found = await party.call("/job", "watch", {"job_id": job["id"]})
        assert found["viewers"] == number
        await customer.push("/job", "job.viewers", lambda p, n=number: p["viewers"] == n)
    customer.clear_pushes()
    await second.kill()
    await presence_push(customer, lambda pushed: pushed["online"] is False, 20)
    await customer.push("/job", "job.viewers", lambda pushed: pushed["viewers"] == 1)
    assert (await seen_by(customer, id))[0]["last_seen_at"]
    again = await contractor.connect(url=first.url)
    assert (await again.call("/job", "watch", {"job_id": job["id"]}))["viewers"] == 2


async def test_users_of_a_stopped_process_become_offline_at_once(processes: Processes) -> None:
    """Guard: `Presence.stop`; without it its users stay online until its last heartbeat expires."""
    first, second = await processes.web(), await processes.web(REALTIME="stock")
    customer = await processes.market.customer(url=first.url)
    contractor = await processes.market.contractor(url=second.url)
    id = await talk(processes.market, customer, contractor)
    await seen_by(customer, id)
    await second.stop()
    await presence_push(customer, lambda pushed: pushed["online"] is False, 20)


# -- without Redis ---------------------------------------------------------------------------


class Proxy:
    """A TCP proxy in front of Redis that can be interrupted."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url)
        self.server: asyncio.Server | None = None
        self.port = free_port()
        self.ends: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        netloc = f":{self.address.password}@127.0.0.1:{self.port}"
        return self.address._replace(netloc=netloc).geturl()

    async def connect(self) -> None:
        self.server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    async def interrupt(self) -> None:
        if self.server:
            self.server.close()
        for end in self.ends:
            end.transport.abort()
        self.ends.clear()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.address.hostname, self.address.port
        theirs, ours = await asyncio.open_connection(host, port)
        self.ends += [writer, ours]
        await asyncio.gather(self._copy(reader, ours), self._copy(theirs, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


class PresenceProcess:
    """The presence of one process, and the counts that it reported."""

    def __init__(self, url: str, prefix: str, name: str) -> None:
        self.redis: Redis[Any] = Redis.from_url(url, socket_connect_timeout=2)
        self.reports: list[tuple[str, int]] = []
        self.presence = Presence(self.redis, prefix, name, self._report)
        self.presence.start()

    async def _report(self, counts: Mapping[str, int]) -> None:
        self.reports += counts.items()

    async def wait_for_report(self, room: str, count: int, seconds: float = 10) -> None:
        """Wait until the last reported count of the room is `count`."""

        async def reached() -> bool:
            return [n for where, n in self.reports if where == room][-1:] == [count]

        await until(reached, seconds)

    async def close(self) -> None:
        await self.presence.stop()
        await self.redis.aclose()


@pytest.fixture
async def presence_processes(
    stores: Addresses,
) -> AsyncIterator[tuple[PresenceProcess, PresenceProcess, Proxy]]:
    """Two processes; the second reaches Redis through the proxy."""
    assert stores.redis_url
    prefix, proxy = f"test_{secrets.token_hex(6)}", Proxy(stores.redis_url)
    await proxy.connect()
    both = PresenceProcess(stores.redis_url, prefix, "a"), PresenceProcess(proxy.url, prefix, "b")
    yield *both, proxy
    await asyncio.gather(*(process.close() for process in both))
    await proxy.interrupt()


async def test_without_redis_a_process_reports_its_own_counts_until_redis_returns(
    presence_processes: tuple[PresenceProcess, PresenceProcess, Proxy],
) -> None:
    """Guard: `_report_local`, and `_unconfirmed` in `_count`."""
    local, remote, proxy = presence_processes
    local.presence.entered(job_room("1"), "usr_1")
    await local.wait_for_report(job_room("1"), 1)
    remote.presence.entered(job_room("1"), "usr_2")
    await remote.wait_for_report(job_room("1"), 2)
    await proxy.interrupt()
    remote.presence.entered(job_room("1"), "usr_3")
    remote.presence.entered(user_room("usr_3"), "usr_3")
    await remote.wait_for_report(job_room("1"), 2)
    assert await remote.presence.viewers("1") == {"usr_2", "usr_3"}
    assert await remote.presence.online(["usr_1", "usr_3"]) == {"usr_3"}
    remote.presence.left(job_room("1"), "usr_2")
    remote.presence.left(job_room("1"), "usr_3")
    await remote.wait_for_report(job_room("1"), 0)
    remote.presence.entered(job_room("1"), "usr_2")
    await remote.wait_for_report(job_room("1"), 1)
    remote.reports.clear()
    await proxy.connect()
    await remote.wait_for_report(job_room("1"), 2)
    assert await local.presence.viewers("1") == {"usr_1", "usr_2"}
    assert await local.presence.online(["usr_3"]) == {"usr_3"}


async def test_presence_that_redis_lost_is_written_again(
    presence_processes: tuple[PresenceProcess, PresenceProcess, Proxy],
) -> None:
    """Guard: the new process name in `Presence._heartbeat`."""
    local, remote, _ = presence_processes
    remote.presence.entered(job_room("1"), "usr_2")
    remote.presence.entered(job_room("1"), "usr_3")
    await remote.wait_for_report(job_room("1"), 2)
    keys = [key async for key in local.redis.scan_iter(f"{local.presence._prefix}:*")]
    await local.redis.delete(*keys)
    assert await local.presence.viewers("1") == set()

    async def restored() -> bool:
        return await local.presence.viewers("1") == {"usr_2", "usr_3"}

    await until(restored)


async def test_a_process_that_paused_beyond_its_heartbeat_takes_a_new_name(
    presence_processes: tuple[PresenceProcess, PresenceProcess, Proxy],
) -> None:
    """Guard: `ends <= now` in the script BEAT, and `_remove_process`."""
    local, remote, _ = presence_processes
    remote.presence.entered(job_room("1"), "usr_2")
    await remote.wait_for_report(job_room("1"), 1)
    old = remote.presence._name
    await local.redis.zadd(local.presence._processes, {old: 1})  # its heartbeat has expired
    remote.reports.clear()
    await remote.wait_for_report(job_room("1"), 1)
    assert remote.presence._name != old
    fields = await local.redis.hkeys(local.presence._key("room", job_room("1")))
    await until(lambda: is_removed(local, old))
    assert f"{remote.presence._name} usr_2".encode() in fields
    assert await local.presence.viewers("1") == {"usr_2"}


async def is_removed(process: PresenceProcess, name: str) -> bool:
    """Redis holds nothing of a process."""
    lives = await process.redis.zrange(process.presence._processes, 0, -1)
    fields = await process.redis.hkeys(process.presence._key("room", job_room("1")))
    kept = [each for each in (*lives, *fields) if each.split(b" ")[0] == name.encode()]
    return not kept and not await process.redis.exists(process.presence._key("places", name))
