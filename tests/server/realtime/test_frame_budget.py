"""Every frame and byte is charged to its connection; floods are cut and slow no other client."""

import asyncio
import functools
import heapq
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable

import aiohttp
import pytest

from domain.chat.messages import send
from domain.kernel.actor import Role
from domain.kernel.rooms import user_room
from server.rate_limits import RateTable
from server.realtime import connection, fast_transport
from server.realtime.frame_budget import (
    ANONYMOUS,
    FORGIVEN_SECONDS,
    Allowance,
    FrameBudget,
    signed_in,
)
from server.realtime.frame_walk import BYTES_AT_ONCE, FRAMES_AT_ONCE, FrameWalk
from server.token_buckets import HOLD_SECONDS, Buckets, Rate, Turns, rounded
from tests.bench.realtime.frames import KEY, UPGRADE, masked
from tests.conftest import Server, both_paths
from tests.domain.chat.test_conversations import meet
from tests.support.market import Market
from tests.support.parties import Party, Refused
from tests.support.polling_client import SEPARATOR, PollingClient, open_polling_client
from tests.support.raw_socket import SECONDS, RawSocket, open_raw_socket, wait_until

SMALL = Allowance(frame=1 / 10, byte=1 / 10_000, ahead=4.0, refusals=20)  # 40 frames at once
FLOOD = 5000  # frames: more than any allowance here
TOO_MUCH = b"\x88\x0e" + (1008).to_bytes(2) + b"rate_limited"


class Hand:
    """A clock that is moved by hand, and a connection that pays."""

    now = 100.0
    due = 0.0
    unpaid = 0
    refusals = refused_at = turn = 0.0

    def __init__(self, *namespaces: str) -> None:
        self.clients = dict.fromkeys(namespaces)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def party(market: Market) -> Party:
    return await market.join(Role.CUSTOMER, "Paul Polite", connect=False)


@pytest.fixture
async def raw(market: Market, party: Party) -> AsyncIterator[RawSocket]:
    client = await open_raw_socket(market, party)
    assert (await client.connect("/account")).startswith("0")
    yield client
    await client.socket.close()


@pytest.fixture
async def polled(market: Market, party: Party) -> PollingClient:
    client = await open_polling_client(market, party)
    assert (await client.connect("/account")).startswith("0")
    return client


# -- the bucket ------------------------------------------------------------------------------


def test_frames_and_bytes_share_one_bucket() -> None:
    """Guard: `frame_budget.FrameBudget.charge`; a refused charge takes nothing, so each of those
    that are refused together passes in its own turn. `charge` and `note_refusal` forgive."""
    hand = Hand("/account")
    budget = FrameBudget(32, hand)
    assert [budget.charge(hand) for _ in range(256)] == [0] * 256
    waits = [budget.charge(hand) for _ in range(100)]
    assert waits == [HOLD_SECONDS + (2 * number - 1) / 64 for number in range(1, 101)]
    assert hand.refusals == 100
    for left, wait in zip(range(99, -1, -1), waits, strict=True):
        hand.now = 100 + wait
        assert (budget.charge(hand), hand.refusals) == (0, left)
    budget.note_refusal(hand, 100)
    hand.now = hand.refused_at + FORGIVEN_SECONDS * 50 / budget.signed_in.refusals
    budget.note_refusal(hand)
    assert hand.refusals == 51
    hand.now += 4
    hand.unpaid = 4 * 1280 * 1024
    assert budget.charge(hand, 0) == 0 and hand.unpaid == 0
    assert budget.charge(hand) > 0


def test_a_message_of_the_largest_size_is_read() -> None:
    """Guard: `frame_budget.BYTES_PER_SECOND`, also where few commands are allowed."""
    hand = Hand("/account")
    hand.unpaid = 4 * 1024 * 1024
    assert FrameBudget(1, hand).charge(hand, 0) == 0


def test_a_socket_without_a_namespace_has_a_small_allowance() -> None:
    """Guard: `frame_budget.ANONYMOUS`: much smaller, and not scaled by COMMANDS_PER_SECOND."""
    hand, usual = Hand(), signed_in(50)
    budget = FrameBudget(1_000_000, hand)
    accepted = sum(not budget.charge(hand) for _ in range(1000))
    assert accepted == ANONYMOUS.ahead / ANONYMOUS.frame < usual.ahead / usual.frame / 5
    assert ANONYMOUS.ahead / ANONYMOUS.byte < usual.ahead / usual.byte / 50
    assert budget.exhausted(hand)


# -- counting --------------------------------------------------------------------------------


def client_frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """Source: RFC 6455, 5.2."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2) if size < 65536 else b"\xff" + size.to_bytes(8)
    return bytes((opcode | final << 7,)) + length + KEY + payload


SORTS = [
    (0x1, True),
    (0x2, True),
    (0x0, True),
    (0x1, False),
    (0x0, False),
    (0x9, True),
    (0xA, True),
]


def test_each_fragment_is_counted_once_however_its_bytes_arrive() -> None:
    """Guard: `frame_walk.FrameWalk.follow`, its missing bytes and an incomplete header."""
    chance = random.Random(5)
    for _ in range(50):
        frames = []
        for _ in range(200):
            opcode, final = chance.choice(SORTS)
            size = 5 if opcode > 8 else chance.choice((0, 0, 1, 100, 126, 3000, 70_000))
            frames.append((final, client_frame(opcode, bytes(size), final)))
        stream, walk, counted, at = b"".join(data for _, data in frames), FrameWalk(), 0, 0
        while at < len(stream):
            size = chance.choice((1, 2, 7, 1000, 300_000))
            rest, at = stream[at : at + size], at + size
            while rest:
                end, more = walk.follow(rest)
                assert 0 < end <= BYTES_AT_ONCE and more <= FRAMES_AT_ONCE
                counted, rest = counted + more, rest[end:]
        assert counted == sum(not final for final, _ in frames)
        assert walk.at_start_of_frame


# -- floods ----------------------------------------------------------------------------------


@pytest.fixture
async def bystander(market: Market, server: Server) -> AsyncIterator[Party]:
    """Another user, who is answered before and after."""
    party = await market.contractor("Bea Bystander")
    yield party
    assert (await party.call("/account", "me"))["id"] == party.id
    assert server.web.realtime.users() == {party.id}


def of(frame: bytes) -> Iterable[bytes]:
    return itertools.repeat(frame, FLOOD)


FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "ping": lambda: of(client_frame(0x9, b"")),
    "large ping": lambda: of(client_frame(0x9, bytes(125))),
    "pong": lambda: of(client_frame(0xA, b"")),
    "Engine.IO ping": lambda: of(masked("2")),
    "Engine.IO pong": lambda: of(masked("3")),
    "Engine.IO noop": lambda: of(masked("6")),
    "binary": lambda: of(client_frame(0x2, b"")),
    "empty fragments": lambda: itertools.chain(
        [client_frame(0x1, b"", False)], of(client_frame(0x0, b"", False))
    ),
    "message without an end": lambda: itertools.chain(
        [client_frame(0x1, bytes(3_000_000))[:14]], itertools.repeat(bytes(1000), 3000)
    ),
    "events": lambda: of(masked('42/account,7["me",{}]')),
    "unknown packets": lambda: of(masked("47")),
    "namespaces": lambda: of(masked('40/account,{"token":"a.b.c"}')),
}


@both_paths
@pytest.mark.parametrize("joined", [False, True], ids=["anonymous", "signed in"])
async def test_a_flood_is_cut(
    joined: bool,
    market: Market,
    server: Server,
    bystander: Party,
    realtime: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guard: `fast_transport.FastTransport.cut` and the charge for each kind of frame: the client
    gets 1008 after a bounded number of frames, and leaves nothing behind."""
    monkeypatch.setattr(fast_transport, "CUT_SECONDS", 0.1)
    server.web.realtime.eio.budget.signed_in = SMALL
    for name, flood in FLOODS.items():
        party = await market.join(Role.CUSTOMER, "Flo Flood", connect=False)
        reader, writer = await asyncio.open_connection("127.0.0.1", market.settings.port)
        writer.write(UPGRADE)
        if joined:
            writer.write(masked(f"40/account,{json.dumps({'token': party.token})}"))
            await reader.readuntil(b"40/account,")
        elif realtime == "stock":  # what comes with the handshake is not charged: one read
            await reader.readuntil(b"sid")
        for data in flood():
            writer.write(data)
        async with asyncio.timeout(SECONDS):
            received = await read_to_end(reader)
        assert received.endswith(TOO_MUCH), (name, received[-100:])
        await wait_until(lambda: server.web.realtime.connection_count == 1)
        # The stock path charges the bytes of a read before it handles the events in it.
        answered = joined and name == "events" and realtime == "fast"
        assert b'"rate_limited"' in received or not answered
        writer.close()


@both_paths
async def test_who_was_cut_does_not_get_a_full_bucket_at_once(
    market: Market, server: Server, bystander: Party
) -> None:
    """Guard: `note_cut` and `cooling` of `FrameBudget`: a flood goes on over new connections."""
    budget = server.web.realtime.eio.budget
    party = await market.customer()
    (connection,) = server.web.realtime.rooms.members(user_room(party.id))
    connection.refusals = budget.signed_in.refusals + 1
    connection.cut_if_exhausted()
    await party.wait_until_disconnected()
    with pytest.raises(Refused) as refused:
        await party.connect()
    assert refused.value.code == "rate_limited"
    assert 0 < refused.value.details["retry_after"] <= budget.signed_in.ahead + 0.1
    assert (await bystander.call("/account", "me"))["id"] == bystander.id
    later = time.monotonic() + budget.signed_in.ahead
    budget._clock = lambda: later
    await party.connect()
    await party.disconnect()
    await wait_until(lambda: server.web.realtime.connection_count == 1)


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    received = b""
    try:
        while data := await reader.read(65536):
            received += data
    except ConnectionError:
        pass
    return received


async def test_a_flood_over_an_upgrade_is_cut(
    polled: PollingClient, market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `probes` in `Connection.cut`; the websocket is not yet the connection's transport."""
    monkeypatch.setattr(fast_transport, "CUT_SECONDS", 0.1)
    server.web.realtime.eio.budget.signed_in = SMALL
    sid = polled.opening["sid"].encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", market.settings.port)
    writer.write(UPGRADE.replace(b"=websocket", b"=websocket&sid=" + sid))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(masked("2probe"))
    for frame in FLOODS["ping"]():
        writer.write(frame)
    async with asyncio.timeout(SECONDS):
        assert (await read_to_end(reader)).endswith(TOO_MUCH)
    writer.close()
    await wait_until(lambda: server.web.realtime.connection_count == 0)


# -- one read with many frames ---------------------------------------------------------------


async def test_commands_of_one_read_are_answered_in_order(raw: RawSocket, server: Server) -> None:
    """Guard: `fast_transport.FastTransport._go_on` and `resume`: a read is parsed in slices, while
    the connection stops reading for its waiting commands, and nothing is lost."""
    count = 4 * FRAMES_AT_ONCE
    frames = [masked(f'42/account,{id}["me",{{}}]') for id in range(1000, 1000 + count)]
    transport = raw.socket._response.connection.transport  # type: ignore[union-attr]
    transport.write(b"".join(frames))
    answered = []
    while len(answered) < count:
        await raw.receive()
        answered += [packet[10:14] for packet in raw.packets if packet.startswith("3/account,")]
        raw.packets.clear()
    assert answered == [str(id) for id in range(1000, 1000 + count)]


async def test_a_command_that_is_refused_passes_after_its_wait(
    raw: RawSocket, server: Server
) -> None:
    """Guard: `frame_budget.FrameBudget.charge` in `Realtime.receive_packet`."""
    server.web.realtime.eio.budget.signed_in = Allowance(1 / 10, 0, ahead=1.0, refusals=20)
    answers = [await raw.emit("/account", '["me"]') for _ in range(14)]
    refused = answers[-1]["error"]
    assert refused["code"] == "rate_limited" and 0 < refused["details"]["retry_after"] < 5
    await asyncio.sleep(refused["details"]["retry_after"])
    assert await raw.responds()


@both_paths
async def test_a_frame_without_a_mask_ends_the_connection(raw: RawSocket) -> None:
    """Guard: ValueError in `frame_walk.FrameWalk.follow`, and PROTOCOL_ERROR in `StockMeter`.
    Source: RFC 6455, 5.1."""
    transport = raw.socket._response.connection.transport  # type: ignore[union-attr]
    transport.write(b"\x81\x012")
    message = await raw.socket.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1002)


# -- polling ---------------------------------------------------------------------------------

BODIES = {
    "pongs": SEPARATOR.join(["3"] * 900),
    "events": SEPARATOR.join(['42/account,["me",{}]'] * 900),
    "bytes": "4" + "x" * 60_000,
}


@pytest.mark.parametrize("joined", [False, True], ids=["anonymous", "signed in"])
async def test_a_flood_by_polling_is_cut(
    joined: bool, market: Market, server: Server, bystander: Party
) -> None:
    """Guard: `connection.Connection.receive` and `handle_post_request`."""
    server.web.realtime.eio.budget.signed_in = SMALL
    for name, body in BODIES.items():
        party = await market.join(Role.CUSTOMER, "Pola Poller", connect=False)
        client = await open_polling_client(market, party)
        if joined:
            assert (await client.connect("/account")).startswith("0")
        statuses = [await client.post(body)]
        while statuses[-1] == 200 and len(statuses) < 200:
            statuses.append(await client.post(body))
        assert statuses[-1] == 429, (name, statuses[-5:])
        await wait_until(lambda: server.web.realtime.connection_count == 1)


async def test_two_bodies_at_once_end_the_connection(polled: PollingClient, server: Server) -> None:
    """Guard: `_posting` in `connection.Connection.handle_post_request`: each waiting body is kept
    in memory. Source: Engine.IO protocol 4, "HTTP long-polling"."""
    headers = {"Content-Length": "10"}
    first, begun = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"4"
        begun.set()
        await first.wait()

    waiting = asyncio.create_task(polled.web.post(polled.url, data=slow(), headers=headers))
    await begun.wait()
    await wait_until(lambda: server.web.realtime.eio.connections[0]._posting)
    assert await polled.post("3") == 400
    await wait_until(lambda: server.web.realtime.connection_count == 0)
    first.set()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_body_that_does_not_arrive_ends_the_connection(
    polled: PollingClient, market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: POST_SECONDS in `connection.Connection.handle_post_request`."""
    monkeypatch.setattr(connection, "POST_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", market.settings.port)
    path = polled.url.removeprefix(market.url)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4".encode())
    assert b" 400 " in await reader.readline()
    await wait_until(lambda: server.web.realtime.connection_count == 0)
    writer.close()


async def test_a_body_in_several_pieces_is_read_whole(polled: PollingClient, party: Party) -> None:
    """Guard: `readexactly` in `connection.Connection.handle_post_request`."""
    body = f'42/account,7["me",{{"x":"{"y" * 40_000}"}}]\x1e42/account,8["me"]'.encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]
            await asyncio.sleep(0.02)

    headers = {"Content-Length": str(len(body))}
    async with polled.web.post(polled.url, data=pieces(), headers=headers) as response:
        assert response.status == 200
    assert (await polled.ack("/account", 8))["data"]["id"] == party.id


@pytest.mark.parametrize("body", [None, "d=4%5B%5D"])
async def test_jsonp_is_not_served(polled: PollingClient, body: str | None) -> None:
    """Guard: `engine.Engine.handle_request` and JSONP in `connection`."""
    if body:
        assert await polled.post(body) == 400
    else:
        async with polled.web.get(f"{polled.url}&j=0") as response:
            assert response.status == 400
            assert "___eio" not in await response.text()


# -- a queue of an offline client --------------------------------------------------------------


def test_a_client_that_obeys_is_not_cut_for_a_queue_of_1000() -> None:
    """Decided: one that sends more before it reads the first answer cannot be told from a flood.
    Guard: the pace of turns, and what an accepted frame makes good, in `FrameBudget.charge`."""
    hand = Hand("/chat")
    budget, buckets, turns = FrameBudget(50, hand), Buckets(hand), Turns(hand)
    limits = {"user": RateTable().of_user, "send": RateTable().of(send.operation.limits[0])}  # type: ignore[attr-defined]

    def limited() -> float:
        """As `RateLimits` with the limits of a user and of `chat.send`."""
        for name, rate in limits.items():
            if wait := buckets.take(name, rate):
                if name == "send" and not turns.outstanding(name):
                    buckets.give_back(name, rate, -HOLD_SECONDS * rate.per_second)
                    wait += HOLD_SECONDS
                budget.note_refusal(hand)
                return turns.give(name, wait, rate.interval)
        return 0.0

    waiting, accepted = [(hand.now, number) for number in range(1000)], 0
    while waiting:
        at, number = heapq.heappop(waiting)
        hand.now, hand.unpaid = max(hand.now, at), 1024
        if wait := budget.charge(hand) or limited():
            assert not budget.exhausted(hand), (number, accepted)
            heapq.heappush(waiting, (hand.now + rounded(wait), number))
        else:
            accepted += 1
    assert accepted == 1000
    budget.note_refusal(hand, 2000)
    assert budget.exhausted(hand)


QUEUE = 200


async def test_a_queue_of_an_offline_client_arrives_in_order(
    market: Market, server: Server
) -> None:
    """Guard: `token_buckets.Turns` in `RateLimits._take`, `FrameBudget.note_refusal`, and the clear
    event in `Realtime._handle_eio_message`: a client that waits as it is told is refused each
    message once at most, and is not cut. The same on both paths."""
    talk, eio = await meet(market), server.web.realtime.eio
    (limit,) = send.operation.limits  # type: ignore[attr-defined]
    server.web.rates._rates[limit] = Rate(120, 40)
    server.web.limits._user, eio.budget.signed_in = RateTable().of_user, signed_in(50)
    for way, party in (("fast", talk.customer), ("stock", talk.contractor)):
        await party.disconnect()
        eio.use_fast_transport = way == "fast"
        client = await open_raw_socket(market, party)
        assert (await client.connect("/chat")).startswith("0")
        refused = 0
        waiting: dict[int, str] = {}
        for id in range(1, QUEUE + 1):
            fields = {"conversation_id": talk.id, "text": f"{way} {id:03d}"}
            waiting[id] = f"42/chat,{id}{json.dumps(['send', fields])}"
            await client.send(waiting[id])
        while waiting:
            packet = await client.wait_for(lambda packet: packet.startswith("3/chat,"))
            id, answer = int(packet[7 : packet.index("[")]), json.loads(packet[packet.index("[") :])
            if answer[0]["ok"]:
                del waiting[id]
                continue
            assert answer[0]["error"]["code"] == "rate_limited"
            refused += 1
            delay = answer[0]["error"]["details"]["retry_after"]
            later = functools.partial(asyncio.ensure_future, client.send(waiting[id]))
            asyncio.get_running_loop().call_later(delay, later)
        assert 0 < refused <= QUEUE - 120, refused
        await client.socket.close()
    await talk.customer.connect()
    texts, seq = [], 0
    while seq < 2 * QUEUE:
        page = (await talk.history(talk.customer, after_seq=seq, limit=100))["items"]
        texts, seq = texts + [message["text"] for message in page], page[-1]["seq"]
    assert texts == sorted(texts) and len(texts) == 2 * QUEUE
