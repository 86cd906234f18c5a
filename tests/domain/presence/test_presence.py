"""Presence: who is there, who types, and when somebody was last seen."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.kernel.rooms import job_room, user_room
from domain.presence.presence import LastSeen
from server.adapters.redis_presence import ALIVE_SECONDS, HEARTBEAT_SECONDS, Presence
from server.dev.stores import Addresses
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.parties import Json, Party, Refused
from tests.support.processes import Processes, free_port


async def talk(market: Market, customer: Party, contractor: Party) -> str:
    """A conversation of both; its id."""
    job = await market.job(customer)
    await market.application(contractor, job)
    fields = {"job_id": job["id"], "user_id": contractor.id}
    return str((await customer.call("/chat", "open", fields))["id"])


async def look(party: Party, *conversations: str) -> list[Json]:
    fields = {"conversation_ids": conversations}
    found: list[Json] = (await party.call("/chat", "presence", fields))["items"]
    return found


async def told(party: Party, fits: Callable[[Any], Any], seconds: float = 5) -> Json:
    return await party.push("/chat", "presence", fits, seconds)


async def until(reached: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@both_paths
async def test_who_comes_and_goes_is_told_to_whoever_looks(market: Market) -> None:
    """Guard: `joins` of `chat.presence`, `_save_last_seen` and `_push` in
    `presence.push_counts`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    before = (await market.rows(User, _id=contractor.id))[0]
    seen = {"user_id": contractor.id, "online": True, "last_seen_at": None}
    assert await look(customer, id) == [seen]
    await contractor.disconnect()
    gone = await told(customer, lambda pushed: not pushed["online"])
    assert gone["user_id"] == contractor.id
    assert customer.received("/chat", "presence")[-1].seq is None
    assert await look(customer, id) == [gone]
    customer.clear_pushes()
    await contractor.connect()
    assert await told(customer, lambda pushed: True) == seen
    assert (await market.rows(User, _id=contractor.id)) == [before]
    assert len(await market.rows(LastSeen, _id=contractor.id)) == 1
    await contractor.disconnect()
    again = await told(customer, lambda pushed: not pushed["online"])
    assert again["last_seen_at"] > gone["last_seen_at"]


@both_paths
async def test_nobody_goes_as_long_as_a_device_stays(market: Market) -> None:
    """Guard: `users[user_id] -= 1` in `Presence.left`."""
    customer, contractor = await market.customer(), await market.contractor()
    phone = await market.sign_in(contractor.user)
    id = await talk(market, customer, contractor)
    await look(customer, id)
    await contractor.disconnect()
    await market.settled()
    assert (await look(customer, id))[0]["online"]
    await phone.disconnect()
    await told(customer, lambda pushed: not pushed["online"])
    states = [push.data["online"] for push in customer.received("/chat", "presence")]
    assert states.count(False) == 1


async def test_who_hides_sees_nobody(market: Market) -> None:
    """Guard: `_users_hiding_presence` in `presence`, `_read_presence` and `moved`, and
    `PushPresence` of `update`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    assert (await look(customer, id))[0]["online"]
    await contractor.call("/account", "update", {"show_presence": False})
    hidden = {"user_id": contractor.id, "online": None, "last_seen_at": None}
    # The news that they came may still be on its way when they hide.
    assert await told(customer, lambda pushed: pushed["online"] is None) == hidden
    assert await look(customer, id) == [hidden]
    assert await look(contractor, id) == []
    customer.clear_pushes()
    await contractor.disconnect()
    await until(lambda: market.rows(LastSeen, _id=contractor.id))
    await contractor.connect()
    await contractor.call("/account", "update", {"show_presence": True})
    assert (await told(customer, lambda pushed: True))["online"]
    assert all(push.data["online"] for push in customer.received("/chat", "presence"))
    assert (await look(contractor, id))[0]["online"]


@both_paths
async def test_typing_reaches_the_other_and_asks_the_database_once(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `ConversationMembers._members`, and the room of the other alone in `typing`."""
    customer, contractor = await market.customer(), await market.contractor()
    stranger = await market.contractor("Otto")
    id = await talk(market, customer, contractor)
    types = {"conversation_id": id, "typing": True}
    assert await customer.call("/chat", "typing", types) is None
    push = await contractor.pushed("/chat", "typing")
    assert (push.seq, push.data) == (None, {**types, "user_id": customer.id})
    for _ in range(2):  # known by now or not
        with pytest.raises(Refused, match="not_found"):
            await stranger.call("/chat", "typing", types)
    asked: list[list[str]] = []
    monkeypatch.setattr(server.ports.members, "_read", asked.append)
    await contractor.call("/chat", "typing", {**types, "typing": False})
    assert asked == []
    await customer.push("/chat", "typing", lambda pushed: not pushed["typing"])
    assert customer.received("/chat", "typing")[0].data["user_id"] == contractor.id
    assert len(contractor.received("/chat", "typing")) == 1


async def test_what_is_remembered_of_conversations_is_bounded(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `while ... > CACHE_SIZE` in `ConversationMembers._read`."""
    monkeypatch.setattr("domain.chat.members.CACHE_SIZE", 2)
    customer = await market.customer()
    ids = [await talk(market, customer, await market.contractor()) for _ in range(3)]
    for id in ids:
        await customer.call("/chat", "typing", {"conversation_id": id, "typing": True})
    assert list(server.ports.members._members) == ids[1:]
    assert len(await look(customer, *ids)) == 3
    assert await market.store.single().count(Conversation, {"members": customer.id}) == 3


async def test_receipts_are_seen_by_who_shows_them(market: Market) -> None:
    """Guard: `publish_receipts` in `history.read`; `hide_receipts` in `chat.list` and `open`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    for text in ("One", "Two", "Three"):
        await customer.call("/chat", "send", {"conversation_id": id, "text": text})

    async def reads(seq: int) -> None:
        await contractor.call("/chat", "read", {"conversation_id": id, "seq": seq})
        await contractor.push("/chat", "read", lambda pushed: pushed["seq"] == seq)
        await market.settled()

    async def marks() -> list[int]:
        """How far the contractor has read, as the customer and as they themselves see it."""
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


async def test_a_message_publishes_no_hidden_receipt(market: Market) -> None:
    """Guard: `shared` in `publish_receipts`, for a mark that one's own message moves."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    other_device = await market.sign_in(contractor.user)

    async def exchange(seq: int) -> None:
        """The contractor answers number `seq` without having read it."""
        for who in (customer, contractor):
            await who.call("/chat", "send", {"conversation_id": id, "text": "Hello"})
        await market.settled()
        await other_device.push("/chat", "read", lambda pushed: pushed["seq"] == seq + 1)

    for hides, seq in ((contractor, 1), (customer, 3)):
        await hides.call("/account", "update", {"show_receipts": False})
        await exchange(seq)
        await hides.call("/account", "update", {"show_receipts": True})
        hidden = [push.data for push in customer.received("/chat", "read")]
        assert [data for data in hidden if data["user_id"] == contractor.id] == []


# -- several processes -----------------------------------------------------------------------


async def test_a_killed_process_leaves_no_ghosts(processes: Processes) -> None:
    """Guard: `_remove_process`, and `alive` in the script COUNT."""
    first, second = await processes.web(), await processes.web(REALTIME="stock")
    market = processes.market
    customer = await market.customer(url=first.url)
    contractor = await market.contractor(url=second.url)
    id = await talk(market, customer, contractor)
    job = await market.job(customer)
    async with asyncio.timeout(10):
        while not (await look(customer, id))[0]["online"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for party, number in ((customer, 1), (contractor, 2)):
        found = await party.call("/job", "watch", {"job_id": job["id"]})
        assert found["viewers"] == number
        await customer.push("/job", "job.viewers", lambda p, n=number: p["viewers"] == n)
    customer.clear_pushes()
    await second.kill()
    within = ALIVE_SECONDS + 2 * HEARTBEAT_SECONDS + 5
    await told(customer, lambda pushed: pushed["online"] is False, within)
    await customer.push("/job", "job.viewers", lambda pushed: pushed["viewers"] == 1)
    assert (await look(customer, id))[0]["last_seen_at"]
    again = await contractor.connect(url=first.url)
    assert (await again.call("/job", "watch", {"job_id": job["id"]}))["viewers"] == 2


async def test_a_process_that_stops_says_goodbye(processes: Processes) -> None:
    """Guard: `Presence.stop`; without it the others wait until its time is over."""
    first, second = await processes.web(), await processes.web(REALTIME="stock")
    customer = await processes.market.customer(url=first.url)
    contractor = await processes.market.contractor(url=second.url)
    id = await talk(processes.market, customer, contractor)
    await look(customer, id)
    await second.stop()
    await told(customer, lambda pushed: pushed["online"] is False, ALIVE_SECONDS / 2)


# -- without Redis ---------------------------------------------------------------------------


class Cable:
    """A connection to Redis that can be pulled out."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url)
        self.server: asyncio.Server | None = None
        self.port = free_port()
        self.ends: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return self.address._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    async def plug_in(self) -> None:
        self.server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def pull_out(self) -> None:
        if self.server:
            self.server.close()
        for end in self.ends:
            end.transport.abort()
        self.ends.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.address.hostname, self.address.port
        theirs, ours = await asyncio.open_connection(host, port)
        self.ends += [writer, ours]
        await asyncio.gather(self._pump(reader, ours), self._pump(theirs, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


class Office:
    """The presence of one process by itself, and what it has told."""

    def __init__(self, url: str, prefix: str, name: str) -> None:
        self.redis: Redis[Any] = Redis.from_url(url, socket_connect_timeout=2)
        self.told: list[tuple[str, int]] = []
        self.presence = Presence(self.redis, prefix, name, self._tell)
        self.presence.start()

    async def _tell(self, counts: Mapping[str, int]) -> None:
        self.told += counts.items()

    async def heard(self, room: str, count: int, seconds: float = 10) -> None:
        """Wait until that is what was told last of the room."""

        async def reached() -> bool:
            return [n for where, n in self.told if where == room][-1:] == [count]

        await until(reached, seconds)

    async def close(self) -> None:
        await self.presence.stop()
        await self.redis.aclose()


@pytest.fixture
async def offices(stores: Addresses) -> AsyncIterator[tuple[Office, Office, Cable]]:
    """Two processes; the second reaches Redis through the cable."""
    assert stores.redis_url
    prefix, cable = f"test_{secrets.token_hex(6)}", Cable(stores.redis_url)
    await cable.plug_in()
    both = Office(stores.redis_url, prefix, "a"), Office(cable.url, prefix, "b")
    yield *both, cable
    await asyncio.gather(*(office.close() for office in both))
    await cable.pull_out()


async def test_without_redis_a_process_tells_what_it_knows_and_is_corrected(
    offices: tuple[Office, Office, Cable],
) -> None:
    """Guard: `_report_local`, and `_unconfirmed` in `_count`."""
    here, far, cable = offices
    here.presence.entered(job_room("1"), "usr_1")
    await here.heard(job_room("1"), 1)
    far.presence.entered(job_room("1"), "usr_2")
    await far.heard(job_room("1"), 2)
    await cable.pull_out()
    far.presence.entered(job_room("1"), "usr_3")
    far.presence.entered(user_room("usr_3"), "usr_3")
    await far.heard(job_room("1"), 2)
    assert await far.presence.viewers("1") == {"usr_2", "usr_3"}
    assert await far.presence.online(["usr_1", "usr_3"]) == {"usr_3"}
    far.presence.left(job_room("1"), "usr_2")
    far.presence.left(job_room("1"), "usr_3")
    await far.heard(job_room("1"), 0)
    far.presence.entered(job_room("1"), "usr_2")
    await far.heard(job_room("1"), 1)
    far.told.clear()
    await cable.plug_in()
    await far.heard(job_room("1"), 2)
    assert await here.presence.viewers("1") == {"usr_1", "usr_2"}
    assert await here.presence.online(["usr_3"]) == {"usr_3"}


async def test_what_redis_forgets_is_written_again(
    offices: tuple[Office, Office, Cable],
) -> None:
    """Guard: the new name in `_heartbeat`."""
    here, far, _ = offices
    far.presence.entered(job_room("1"), "usr_2")
    far.presence.entered(job_room("1"), "usr_3")
    await far.heard(job_room("1"), 2)
    keys = [key async for key in here.redis.scan_iter(f"{here.presence._prefix}:*")]
    await here.redis.delete(*keys)
    assert await here.presence.viewers("1") == set()

    async def back() -> bool:
        return await here.presence.viewers("1") == {"usr_2", "usr_3"}

    await until(back, 3 * HEARTBEAT_SECONDS + 5)


async def test_a_process_that_has_slept_has_no_part_in_what_was_swept(
    offices: tuple[Office, Office, Cable],
) -> None:
    """Guard: `ends <= now` in the script BEAT, and `_remove_process`."""
    here, far, _ = offices
    far.presence.entered(job_room("1"), "usr_2")
    await far.heard(job_room("1"), 1)
    old = far.presence._name
    await here.redis.zadd(here.presence._processes, {old: 1})  # as if its time had run out
    far.told.clear()
    await far.heard(job_room("1"), 1)
    assert far.presence._name != old
    fields = await here.redis.hkeys(here.presence._key("room", job_room("1")))
    await until(lambda: gone(here, old))
    assert f"{far.presence._name} usr_2".encode() in fields
    assert await here.presence.viewers("1") == {"usr_2"}


async def gone(office: Office, name: str) -> bool:
    """Nothing is left of a process."""
    lives = await office.redis.zrange(office.presence._processes, 0, -1)
    fields = await office.redis.hkeys(office.presence._key("room", job_room("1")))
    kept = [each for each in (*lives, *fields) if each.split(b" ")[0] == name.encode()]
    return not kept and not await office.redis.exists(office.presence._key("places", name))
