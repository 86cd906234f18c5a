"""Answers of any size arrive over a real link, and a slow reader is told what it has missed."""

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from domain.chat.conversation import Conversation, Message
from domain.jobs.job import Job
from domain.kernel.paging import PAGE_BYTES
from domain.kernel.rooms import user_room
from server.realtime import engine
from server.realtime.connection import Connection
from server.realtime.fast_transport import MAX_UNSENT_BYTES
from tests.conftest import Server
from tests.domain.chat.test_conversations import Talk, meet
from tests.support.feed_rows import store_events
from tests.support.market import Market
from tests.support.parties import Json, Party
from tests.support.polling_client import PollingClient
from tests.support.raw_socket import PATH, RawSocket, wait_until
from tests.support.throttled_link import ThrottledLink

MESSAGES, EVENTS, JOBS = 100, 110, 75
RUSSIAN = "Построить деревянный забор. " * 290  # 8,000 letters
WAYS = ("fast", "stock", "polling")
FILLER = "x" * 20_000
KERNEL_BYTES = 128 * 1024


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `market`: a ping takes longer behind an answer than a client has to answer it."""
    monkeypatch.setattr(engine, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(engine, "PING_INTERVAL", 10)
    monkeypatch.setattr(engine, "PING_TIMEOUT", 8)


@pytest.fixture
def small_buffers(server: Server) -> None:
    """The kernel buffers little for a client that is far away; on this machine it is megabytes."""
    assert server.web.admission._server
    for listening in server.web.admission._server.sockets:  # accepted ones inherit it
        listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, KERNEL_BYTES // 2)


@pytest.fixture
async def talk(market: Market, server: Server) -> Talk:
    """A conversation, a feed and a market with more text than one answer may have."""
    talk, uow = await meet(market), market.store.single()
    messages = [
        uow.new(
            Message,
            conversation_id=talk.id,
            author_id=talk.customer.id,
            seq=seq,
            text="語" * 4000,
        )
        for seq in range(1, MESSAGES + 1)
    ]
    job = await uow.get(Job, talk.job["id"])
    details = {
        name: getattr(job, name)
        for name in job.__struct_fields__
        if name not in ("id", "created_at", "updated_at")
    }
    jobs = [uow.new(Job, **details | {"description": RUSSIAN}) for _ in range(JOBS)]
    await uow.add_all(messages)
    await server.store.transact(lambda uow: uow.add_all(jobs))  # which also indexes them
    await uow.change(Conversation, talk.id, head=MESSAGES)
    await market.settled()
    await talk.contractor.disconnect()
    await server.store.database["feed"].delete_many({"user_id": talk.contractor.id})
    await store_events(market.store, talk.contractor, EVENTS, 1, RUSSIAN)
    return talk


class Client:
    """A client at the end of a link, signed in on all that the test needs."""

    def __init__(self, socket: RawSocket, connection: Connection) -> None:
        self.socket = socket
        self.connection = connection  # at the server

    async def ask(self, namespace: str, name: str, fields: Json) -> Json:
        self.socket._ids += 1
        head = f"3{namespace},{self.socket._ids}["
        await self.socket.send(f"42{namespace},{self.socket._ids}{json.dumps([name, fields])}")
        packet = await self.find(head)
        (answer,) = json.loads(packet[len(head) - 1 :])
        assert answer["ok"], answer
        return answer["data"]  # type: ignore[no-any-return]

    async def find(self, head: str) -> str:
        """The packet that begins so, received in the background."""
        packets = self.socket.packets
        await wait_until(lambda: any(each.startswith(head) for each in packets), 20)
        return packets.pop(next(at for at, each in enumerate(packets) if each.startswith(head)))

    async def receive_all(self) -> None:
        while True:
            await self.socket.receive()


@asynccontextmanager
async def client_at(
    link: ThrottledLink, way: str, market: Market, server: Server, party: Party
) -> AsyncIterator[Client]:
    eio = server.web.realtime.eio
    eio.use_fast_transport, before = way == "fast", set(eio.connections)
    socket: RawSocket
    if way == "polling":
        socket = polled = PollingClient(market, party.token)
        polled.url = polled.url.replace(market.url, link.url)
        await polled.open()
    else:
        opened = await market.web.ws_connect(link.url + PATH, max_msg_size=0)
        socket = RawSocket(opened, party.token)
    for namespace in ("/account", "/chat", "/job"):
        assert (await socket.connect(namespace)).startswith("0")
    (connection,) = set(eio.connections) - before
    client = Client(socket, connection)
    receiving = asyncio.create_task(client.receive_all())
    try:
        yield client
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        connection.abort()
        await wait_until(lambda: connection not in eio.connections)


@pytest.mark.usefixtures("hasty", "small_buffers")
async def test_large_answers_arrive_over_a_real_link(
    market: Market, server: Server, talk: Talk
) -> None:
    """Guard: `Connection.on_congestion` and `Engine._end_silent`: answers that together exceed
    MAX_UNSENT_BYTES are on their way to a client that reads, and a ping behind them."""
    for way in WAYS:
        async with (
            ThrottledLink(server.url) as link,
            client_at(link, way, market, server, talk.contractor) as client,
        ):
            history, older, feed, jobs = answers = await asyncio.gather(
                client.ask("/chat", "history", {"conversation_id": talk.id, "limit": 100}),
                client.ask("/chat", "history", {"conversation_id": talk.id, "after_seq": 0}),
                client.ask("/account", "sync", {"since": 0}),
                client.ask("/job", "list", {"limit": 100}),
            )
            sizes = [len(msgspec.json.encode(each["items"])) for each in answers]
            assert max(sizes) < PAGE_BYTES * 1.05 and sum(sizes) > 1.5 * MAX_UNSENT_BYTES, sizes
            assert [message["seq"] for message in history["items"]][-1] == MESSAGES
            assert history["items"][0]["seq"] > 1 and jobs["next_cursor"] and older["head"]
            assert len(feed["items"]) < feed["head"] == EVENTS
            rest = await client.ask("/account", "sync", {"since": feed["items"][-1]["seq"]})
            assert rest["items"][0]["seq"] == feed["items"][-1]["seq"] + 1
            assert client.connection in server.web.realtime.eio.connections


@pytest.mark.usefixtures("small_buffers")
async def test_a_slow_reader_stays_and_is_told_to_ask_again(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Rooms.suspend`, `Resync.on_drained` and `Engine._end_stalled`: beyond a bound pushes
    are left out; a client that makes no progress is cut, one that does is not."""
    monkeypatch.setattr(engine, "STALLED_SECONDS", 0.5)
    realtime, party = server.web.realtime, await market.customer(connect=False)
    room = user_room(party.id)
    for way in WAYS:
        async with (
            ThrottledLink(server.url) as link,
            client_at(link, way, market, server, party) as client,
        ):
            connection, link.rate = client.connection, 0
            for stalls in (False, True):
                for number in range(1000):
                    realtime.push(room, "/account", "head", {"head": number, "filler": FILLER})
                    if connection.congested:
                        break
                    await asyncio.sleep(0)
                realtime.push(room, "/account", "head", {"head": -1})
                assert connection.congested and connection.missed
                assert connection.unsent_bytes < MAX_UNSENT_BYTES + 4 * KERNEL_BYTES
                if not stalls:
                    link.rate = 50_000_000
                    await client.find('2/account,["resync"')
                    assert not connection.congested and await client.ask("/account", "me", {})
                    link.rate = 0
            await wait_until(lambda gone=connection: gone not in realtime.eio.connections)
