"""Connections are limited in number and in time; silent clients never shut out active ones."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_network
from socket import SO_RCVBUF, SOL_SOCKET

import aiohttp
import pytest

from domain.kernel.actor import Role
from domain.kernel.rooms import user_room
from server import admission
from server.admission import Accepted, Capacity
from server.cross_origin import CrossOrigin
from server.realtime import engine
from server.realtime import server as realtime_server
from server.runtime.descriptors import for_connections, raise_limit
from tests.bench.realtime.frames import UPGRADE
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.polling_client import PollingClient, open_polling_client
from tests.support.raw_socket import PATH, SECONDS, RawSocket, open_raw_socket, wait_until

ALIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def opened(market: Market) -> AsyncIterator[list[Streams]]:
    """The connections of a test, which are closed at its end."""
    streams: list[Streams] = []
    yield streams
    for _, writer in streams:
        writer.close()


async def open_silent(market: Market, opened: list[Streams], first: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", market.settings.port)
    writer.write(first)
    opened.append((reader, writer))
    return reader, writer


async def ends(streams: Streams) -> bytes:
    """What is still received until the server closes the connection."""
    received = b""
    async with asyncio.timeout(SECONDS):
        with suppress(ConnectionError):
            while data := await streams[0].read(65536):
                received += data
    return received


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `market`: the server's timer looks at its connections every 0.05 s."""
    monkeypatch.setattr(engine, "TICK_SECONDS", 0.05)


def limit(server: Server, **capacity: object) -> None:
    server.web.admission.capacity = server.web.admission.capacity._replace(**capacity)


# -- room ------------------------------------------------------------------------------------

SILENT = {
    "nothing": b"",
    "half a request": b"GET / HTTP/1.1\r\nX-Drip: ",
    "half a body": b"POST /api/account/login HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{",
    "a websocket without a namespace": UPGRADE,
    "an answered request": ALIVE,
}


@both_paths
async def test_silent_connections_shut_nobody_out(
    market: Market, server: Server, opened: list[Streams]
) -> None:
    """Guard: `admission.Admission._make_room`: the oldest make room, those in use stay."""
    limit(server, total=40)
    party = await market.customer()
    for first in SILENT.values():
        for _ in range(40):
            await open_silent(market, opened, first)
        newcomer = await market.contractor()
        assert (await newcomer.call("/account", "me"))["id"] == newcomer.id
        await newcomer.disconnect()
        assert len(server.web.admission.connections) <= 41
    assert (await party.call("/account", "me"))["id"] == party.id


async def test_the_last_place_is_refused_with_503(market: Market, server: Server) -> None:
    """Guard: `admission.Admission.admit` when all connections are in use."""
    people = [await market.customer(f"Carla {number}") for number in range(3)]
    await market.web.close()
    market.web = aiohttp.ClientSession()
    await wait_until(lambda: not server.web.admission.idle)
    limit(server, total=len(server.web.admission.connections))
    async with market.web.get(f"{market.url}/livez") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        assert (await response.json(content_type=None))["code"] == "unavailable"
    for party in people:
        assert (await party.call("/account", "me"))["id"] == party.id


async def test_an_address_has_a_limit(
    market: Market, server: Server, opened: list[Streams], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `per_address` in `admission.Admission.admit`; a /64 of IPv6 is one address."""
    limit(server, per_address=3)
    admit = server.web.admission.admit
    addresses = iter(["2001:db8::1", "2001:db8::2", "2001:db8::f:3", "2001:db8::4", "2001:db9::1"])
    monkeypatch.setattr(server.web.admission, "admit", lambda new, _: admit(new, next(addresses)))
    answers = []
    for _ in range(5):
        reader, _ = await open_silent(market, opened, ALIVE)
        answers.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
    assert answers == [b"200", b"200", b"200", b"429", b"200"]


def test_loopback_and_proxies_have_no_limit() -> None:
    """Guard: `admission.Admission.limited`."""
    found = admission.Admission(
        Capacity(9, 9, (ip_network("10.0.0.0/8"),)), CrossOrigin(())
    ).limited
    assert [found(each) for each in ("127.0.0.1", "::1", "10.1.2.3", "", "unix")] == [None] * 5
    assert found("192.0.2.7") == found("::ffff:192.0.2.7") == "192.0.2.7"
    assert found("2001:db8::1") == found("2001:db8::f:2") == "2001:db8::/64"


@both_paths
async def test_clients_behind_a_proxy_have_a_limit_each(market: Market, server: Server) -> None:
    """Guard: `engine.Engine._refusal`: sockets are counted by the client's own address."""
    server.web.realtime.eio._address = lambda request: request.headers["X-Forwarded-For"]
    limit(server, per_address=2)
    sockets = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        headers = {"X-Forwarded-For": address}
        sockets.append(await market.web.ws_connect(market.url + PATH, headers=headers))
    headers = {"X-Forwarded-For": "192.0.2.1"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await market.web.ws_connect(market.url + PATH, headers=headers)
    assert refused.value.status == 429 and refused.value.headers
    assert refused.value.headers["Retry-After"] == "10"
    polling = market.url + PATH.replace("websocket", "polling")
    async with market.web.get(polling, headers=headers) as response:
        assert response.status == 429
    await sockets[0].close()
    await wait_until(lambda: server.web.realtime.connection_count == 2)
    async with market.web.get(polling, headers=headers) as response:
        assert response.status == 200
    for socket in sockets:
        await socket.close()


async def test_requests_of_an_address_have_a_limit(market: Market, server: Server) -> None:
    """Guard: `charge_request` in `HttpApi.problems`: on any path, by the client's own address; the
    connection is closed, so that the client pays with a new one."""
    server.web.http._address = lambda request: request.headers["X-Forwarded-For"]
    limit(server, per_address=4)

    async def ask(path: str, address: str) -> aiohttp.ClientResponse:
        headers = {"X-Forwarded-For": address}
        async with market.web.get(market.url + path, headers=headers) as response:
            await response.read()
        return response

    paths = ["/livez", "/none", "/api/job", "/socket.io/?EIO=4&transport=polling"] * 3
    answers = [await ask(path, "192.0.2.1") for path in paths]
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.status != 429 for answer in answers[:8]] == [True] * 8
    assert refused[-1].headers["Retry-After"] and refused[-1].headers["Connection"] == "close"
    assert (await ask("/livez", "192.0.2.2")).status == 200
    assert (await ask("/livez", "127.0.0.1")).status == 200


async def test_pollers_have_a_limit(market: Market, server: Server) -> None:
    """Guard: POLLERS_SHARE in `engine.Engine._refusal`: the oldest without a namespace goes."""
    party = await market.join(Role.CUSTOMER, "Polly", connect=False)
    limit(server, total=4 * 3)
    joined = [await open_polling_client(market, party) for _ in range(2)]
    for client in joined:
        assert (await client.connect("/account")).startswith("0")
    last = await open_polling_client(market, party)
    newer = await open_polling_client(market, party)
    assert (await last.get())[0] == 400
    assert (await newer.connect("/account")).startswith("0")
    assert (await PollingClient(market, party.token).get())[0] == 503
    assert all([await client.responds() for client in joined])


@pytest.mark.usefixtures("quick_ticks")
async def test_unsent_bytes_of_all_pollers_are_bounded(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `engine.Engine._limit_unsent`: the one with the most goes."""
    monkeypatch.setattr(engine, "MAX_POLLED_BYTES", 50_000)
    party = await market.join(Role.CUSTOMER, "Polly", connect=False)
    small, large = [await open_polling_client(market, party) for _ in range(2)]
    for client, count in ((small, 1), (large, 60)):
        connection = server.web.realtime.eio.sockets[client.opening["sid"]]
        for _ in range(count):
            connection.send_packet(b'2/account,["x","%b"]' % (b"x" * 1000))
    await wait_until(lambda: server.web.realtime.connection_count == 1)
    assert (await large.get())[0] == 400
    assert (await small.get())[0] == 200
    assert server.web.realtime.eio.unsent == 0


# -- users -----------------------------------------------------------------------------------


@both_paths
async def test_a_user_has_a_limit_of_sockets(market: Market, server: Server) -> None:
    """Guard: `sockets_per_user` in `server.Realtime._connect`."""
    server.web.realtime._sockets_per_user = 2
    party = await market.join(Role.CUSTOMER, "Tabea Tabs", connect=False)
    sockets = [await open_raw_socket(market, party) for _ in range(3)]
    for socket in sockets[:2]:
        for namespace in ("/account", "/chat"):
            assert (await socket.connect(namespace)).startswith("0")
    answer = await sockets[2].connect("/account")
    problem = json.loads(answer.partition(",")[2])["data"]
    assert problem["code"] == "rate_limited" and problem["details"]["retry_after"] > 0
    await sockets[0].socket.close()
    await wait_until(lambda: server.web.realtime.connection_count == 2)
    assert (await sockets[2].connect("/account")).startswith("0")
    for socket in sockets[1:]:
        await socket.socket.close()


@both_paths
async def test_a_lost_socket_makes_room_for_its_user(market: Market, server: Server) -> None:
    """Guard: `server._end_silent`; a client that changes its network comes back at once."""
    realtime = server.web.realtime
    realtime._sockets_per_user = 1
    party = await market.join(Role.CUSTOMER, "Nora Network", connect=False)
    lost, new = [await open_raw_socket(market, party) for _ in range(2)]
    assert (await lost.connect("/account")).startswith("0")
    [connection] = realtime.rooms.members(user_room(party.id))
    connection.ponged = False  # of a ping without an answer
    assert (await new.connect("/account")).startswith("0")
    await wait_until(lambda: connection.closed and realtime.connection_count == 1)
    await new.socket.close()


async def test_watched_jobs_are_bounded(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `server.Realtime._exceeded`, for a connection and for its user."""
    owner, party = await market.customer(), await market.contractor()
    jobs = [(await market.job(owner))["id"] for _ in range(4)]
    monkeypatch.setattr(realtime_server, "ROOMS_PER_CONNECTION", 2 + 2 * 2)  # two of its own
    monkeypatch.setattr(realtime_server, "ROOMS_PER_USER", 6 + 2 + 2)
    first, second = [await open_raw_socket(market, party) for _ in range(2)]
    await party.disconnect()
    for client in (first, second):
        assert (await client.connect("/job")).startswith("0")

    async def watch(client: RawSocket, job: str) -> str:
        answer = await client.emit("/job", json.dumps(["watch", {"job_id": job}]))
        return "ok" if answer["ok"] else str(answer["error"]["code"])

    assert [await watch(first, job) for job in jobs] == ["ok", "ok", "too_many", "too_many"]
    assert await watch(first, jobs[0]) == "ok", "watched already"
    assert [await watch(second, job) for job in jobs[:2]] == ["ok", "too_many"]
    unwatch = json.dumps(["unwatch", {"job_id": jobs[0]}])
    assert (await first.emit("/job", unwatch))["ok"]
    assert await watch(first, jobs[2]) == "ok"
    for client in (first, second):
        await client.socket.close()


# -- time ------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `market`: time limits of a part of a second."""
    for name in ("HEADER_SECONDS", "BODY_SECONDS", "IDLE_SECONDS", "STALLED_SECONDS"):
        monkeypatch.setattr(admission, name, 0.3)
    monkeypatch.setattr(admission, "SWEEP_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "first", ["nothing", "half a request", "half a body", "an answered request"]
)
async def test_a_connection_that_does_not_go_on_is_closed(
    first: str, market: Market, server: Server, opened: list[Streams]
) -> None:
    """Guard: `admission.Admission.sweep`: headers, a body and the next request have a limit."""
    streams = await open_silent(market, opened, SILENT[first])
    await ends(streams)
    await wait_until(lambda: not server.web.admission.connections)


@pytest.mark.usefixtures("hasty")
async def test_a_dripped_header_is_not_waited_for(
    market: Market, server: Server, opened: list[Streams]
) -> None:
    """Guard: HEADER_SECONDS: what arrives does not extend it."""
    streams = await open_silent(market, opened, SILENT["half a request"])

    async def drip() -> None:
        with suppress(ConnectionError):
            while True:
                streams[1].write(b"x")
                await streams[1].drain()
                await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    await ends(streams)
    dripping.cancel()
    assert not server.web.admission.connections


@pytest.mark.usefixtures("hasty")
async def test_a_client_that_does_not_read_its_answer_is_closed(
    market: Market, server: Server, opened: list[Streams]
) -> None:
    """Guard: `admission.Accepted.stalls`: unsent bytes that do not become fewer."""
    reader, writer = await open_silent(market, opened)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(2000):
        writer.write(b"GET /static/app.js HTTP/1.1\r\nHost: x\r\n\r\n")
    await wait_until(lambda: server.web.admission.connections)
    await wait_until(lambda: not server.web.admission.connections)


async def test_what_is_not_read_is_bounded(
    market: Market, server: Server, opened: list[Streams]
) -> None:
    """Guard: UNREAD in `admission.Admission.listen`. The kernel counts twice what is asked for,
    since it includes its own overhead."""

    def kept() -> list[int]:
        return [
            each._transport.get_extra_info("socket").getsockopt(SOL_SOCKET, SO_RCVBUF)
            for each in server.web.admission.connections
        ]

    await open_silent(market, opened)
    await wait_until(lambda: kept() == [2 * admission.UNREAD])


@both_paths
@pytest.mark.usefixtures("quick_ticks")
@pytest.mark.parametrize("left", [False, True], ids=["never joined", "left"])
async def test_a_connection_without_a_namespace_is_closed(
    left: bool, market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: JOIN_SECONDS in `engine.Engine.await_namespace`, by websocket and by polling, although
    the client answers pings; one with a namespace stays."""
    party = await market.customer()
    server.web.realtime.eio.joining.clear()  # of the party, which would end later
    if not left:
        monkeypatch.setattr(engine, "JOIN_SECONDS", 0.2)
    socket, polled = await open_raw_socket(market, party), await open_polling_client(market, party)
    if left:
        for client in (socket, polled):
            assert (await client.connect("/account")).startswith("0")
        monkeypatch.setattr(engine, "JOIN_SECONDS", 0.2)
        for client in (socket, polled):
            await client.send("41/account,")
    assert await socket.wait_until_closed() and await polled.wait_until_closed()
    assert socket.socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
    assert server.web.realtime.users() == {party.id}


# -- descriptors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "most"), [(256, 128), (512, 384), (1024, 768), (4096, 3584), (65_536, 65_024)]
)
def test_a_part_of_the_descriptors_is_kept(limit: int, most: int) -> None:
    """Guard: `descriptors.for_connections`."""
    assert for_connections(limit) == most


def test_the_limit_of_descriptors_is_raised() -> None:
    """Guard: `descriptors.raise_limit`."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
    try:
        assert raise_limit() == min(before[1], 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_connection_is_registered_until_it_ends(market: Market, server: Server) -> None:
    """Guard: `admission.Accepted.hand_over` and `release`, on all transports."""
    party = await market.customer()
    polled = await open_polling_client(market, party)
    raw = await polled.upgrade()
    registered = server.web.admission
    assert all(isinstance(each, Accepted) for each in registered.connections)
    assert (await raw.connect("/account")).startswith("0")
    assert len(registered.connections) >= 2 and not registered.active
    await raw.socket.close()
    await party.disconnect()
    await market.web.close()
    await wait_until(lambda: not registered.connections)
    assert not (registered.unproven or registered.active or registered.idle)
