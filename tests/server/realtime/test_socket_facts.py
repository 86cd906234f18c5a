"""Defaults of python-socketio on aiohttp that must not apply here, each with its test."""

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from domain.kernel.actor import Role
from domain.kernel.rooms import user_room
from server.config import load
from server.dev.stores import ROOT, Addresses
from server.realtime import engine, rooms
from server.realtime.fast_transport import MAX_UNSENT_BYTES
from tests.conftest import Installation, Server, both_paths
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Party
from tests.support.processes import Processes
from tests.support.raw_socket import (
    PATH,
    RawSocket,
    StalledReader,
    open_raw_socket,
    private_bytes,
    wait_until,
)

pytestmark = one_server


@pytest_asyncio.fixture(loop_scope="module")
async def party(market: Market) -> Party:
    return await market.join(Role.CUSTOMER, "Fay Fact", connect=False)


@pytest_asyncio.fixture(loop_scope="module")
async def raw(market: Market, party: Party) -> AsyncIterator[RawSocket]:
    client = await open_raw_socket(market, party)
    assert (await client.connect("/account")).startswith("0")
    yield client
    await client.socket.close()


# -- commands --------------------------------------------------------------------------------


async def test_an_emitted_connect_or_disconnect_is_no_connection(
    raw: RawSocket, server: Server
) -> None:
    """Guard: `parse_command` knows only our commands; python-socketio would call the handlers of
    the real events."""
    rooms_before = {
        room: set(members) for room, members in server.web.realtime.rooms._connections.items()
    }
    for name in ("connect", "disconnect", "connect_error"):
        answer = await raw.emit("/account", json.dumps([name, {"token": "another"}]))
        assert answer["error"]["code"] == "unknown_command", name
    assert server.web.realtime.rooms._connections == rooms_before
    assert await raw.responds()


async def test_an_unknown_event_is_refused_and_not_acked_like_a_success(raw: RawSocket) -> None:
    """Guard: `raise UnknownCommand`; python-socketio acks `[]`."""
    answer = await raw.emit("/account", '["explode",{}]')
    assert (answer["ok"], answer["error"]["code"]) == (False, "unknown_command")
    assert answer["error"]["details"] == {"command": "explode"}


async def test_a_crash_is_acknowledged_without_details(
    raw: RawSocket, server: Server, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `except Exception` in `handlers.expose.answer`."""

    async def crash(*_: Any) -> None:
        raise RuntimeError("the password is swordfish")

    commands = server.web.realtime._commands
    broken = msgspec.structs.replace(commands["/account", "update"], run=crash)
    monkeypatch.setitem(commands, ("/account", "update"), broken)
    before = await market.traces()
    answer = await raw.emit("/account", '["update",{"name":"N"},{"request_id":"r"}]')
    assert answer["error"].items() >= {"code": "internal", "details": {}}.items()
    assert "swordfish" not in json.dumps(answer)
    assert await raw.responds()
    assert await market.traces() == before


@both_paths
async def test_commands_of_one_client_run_in_order(raw: RawSocket) -> None:
    """Fails when `_handle_waiting` does not wait for a command: the next ones overtake it."""
    for number in range(40):
        await raw.send(f'42/account,{1000 + number}["update",{{"headline":"{number}"}}]')
    users = [(await raw.ack("/account", 1000 + number))["data"] for number in range(40)]
    assert [user["headline"] for user in users] == [str(number) for number in range(40)]
    first = users[0]["version"]
    assert [user["version"] for user in users] == list(range(first, first + 40))


# -- the transport ---------------------------------------------------------------------------


@both_paths
async def test_deflate_is_not_negotiated(market: Market) -> None:
    """Fails without `compress=False` in `Takeover`: it costs 100 KiB a connection."""
    socket = await market.web.ws_connect(market.url + PATH, compress=15)
    assert not socket.compress
    await socket.close()


@both_paths
async def test_a_push_is_framed_once_for_all_recipients(
    market: Market, server: Server, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `framed` in `Rooms.deliver`; python-socketio makes a packet, a task and a wake-up for
    each of them."""
    clients = [await open_raw_socket(market, party) for _ in range(5)]
    for client in clients:
        assert (await client.connect("/account")).startswith("0")
    framed: list[bytes] = []

    def counted(payload: bytes) -> bytes:
        framed.append(payload)
        return frame(payload)

    frame = rooms.frame
    monkeypatch.setattr(rooms, "frame", counted)
    tasks = asyncio.all_tasks()
    server.web.realtime.push(user_room(party.id), "/account", "head", {"head": 1})
    assert len(framed) == 1 and asyncio.all_tasks() == tasks
    packets = {await client.wait_for(lambda packet: '"head"' in packet) for client in clients}
    assert len(packets) == 1
    for client in clients:
        await client.socket.close()


@both_paths
async def test_a_client_that_stops_reading_is_disconnected_and_costs_no_memory(
    market: Market,
    server: Server,
    party: Party,
    raw: RawSocket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guard: `FastTransport.pause_writing`, MAX_UNSENT_BYTES in `Connection.send_packet`, and
    `Engine._end_stalled`; python-engineio's queue is unbounded. Other clients still receive
    everything."""
    monkeypatch.setattr(engine, "STALLED_SECONDS", 0.1)
    realtime = server.web.realtime
    stalled = StalledReader(server.url, party.token)
    await stalled.connect("/account")
    room = user_room(party.id)
    assert len(realtime.rooms.members(room)) == 2
    reading, before, pushed = asyncio.create_task(_count(raw)), private_bytes(), 0
    while len(realtime.rooms.members(room)) == 2:
        for _ in range(100):
            realtime.push(room, "/account", "head", {"head": pushed, "filler": "x" * 1000})
            pushed += 1
        assert pushed < 60_000
        await asyncio.sleep(0.01)  # stalled clients are looked for once a second
    assert private_bytes() - before < 5 * MAX_UNSENT_BYTES
    realtime.push(room, "/account", "head", {"head": None})
    assert await reading == pushed
    stalled.socket.close()


async def _count(raw: RawSocket) -> int:
    """How many pushes come, without keeping them, until the last."""
    for count in range(1_000_000):
        message = await raw.socket.receive()
        if '"head":null' in message.data:
            return count
        assert f'"head":{count},' in message.data, "one is missing"
    raise AssertionError("the last does not come")


async def test_after_a_redis_reconnect_clients_sync_and_no_subscription_leaks(
    market: Market, server: Server, stores: Addresses, party: Party
) -> None:
    """Guard: `Resync.on_missed`; python-socketio's manager loses messages of the break without
    notice, and leaks a subscription each time."""
    await party.connect()
    fanout = server.web.fanout
    channel = fanout._servers[0]._redis_name(f"room:user:{party.id}")
    async with Redis.from_url(str(stores.redis_url)) as redis:
        for round in range(1, 3):
            for client in await redis.client_list(_type="pubsub"):
                with contextlib.suppress(Exception):
                    await redis.client_kill(client["addr"])
            await party.push("/account", "resync")
            await wait_until(lambda: len(party.received("/account", "resync")) == 1)
            assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 1}, round
            said = party.received("/account", "resync")[0]
            assert (said.seq, said.data) == (None, {})
            party.clear_pushes()


async def test_clients_sync_once_after_losses_of_several_processes(
    market: Market, server: Server, party: Party
) -> None:
    """Guard: RESYNC_DELAY_SECONDS; when Redis returns each process reports a loss, and every
    client would sync once for each process."""
    await party.connect()
    for _ in range(5):
        server.web.fanout._tell_missed(None)
    await wait_until(lambda: not server.web.realtime._resync.pending)
    await party.push("/account", "resync")
    server.web.fanout._tell_missed(user_room(party.id))  # sent at once, so after the others
    await wait_until(lambda: len(party.received("/account", "resync")) > 1)
    assert len(party.received("/account", "resync")) == 2
    server.web.fanout._tell_missed(None)
    await wait_until(lambda: len(party.received("/account", "resync")) == 3)


# -- doors -----------------------------------------------------------------------------------


async def test_a_page_of_another_origin_is_refused(market: Market, server: Server) -> None:
    """Fails when CORS_ORIGINS becomes an empty list, which turns python-engineio's check off."""
    party = await market.join(Role.CUSTOMER, "Orla", connect=False)
    for origin in ("http://evil.test", "null", "http://127.0.0.1:1", market.url + ".evil.test"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await open_raw_socket(market, party, Origin=origin)
        assert refused.value.status == 400
        polling = f"{market.url}/socket.io/?EIO=4&transport=polling"
        async with market.web.get(polling, headers={"Origin": origin}) as response:
            assert response.status == 400
            assert "Access-Control-Allow-Origin" not in response.headers
    assert server.web.realtime.connection_count == 0
    for headers in ({}, {"Origin": server.web.settings.cors_origins[0]}):
        client = await open_raw_socket(market, party, **headers)
        assert (await client.connect("/account")).startswith("0")
        await client.socket.close()


@pytest.fixture
def proxied(installation: Installation) -> None:
    """Before `market`: a load balancer on this machine stands in front."""
    installation.env["TRUSTED_PROXIES"] = "127.0.0.0/8"
    installation.settings = load(installation.env)


async def address_of(market: Market, party: Party) -> str:
    """The one that a command by socket is noted with; the client claims another."""
    client = await open_raw_socket(market, party, **{"X-Forwarded-For": "6.6.6.6, 198.51.100.7"})
    assert (await client.connect("/account")).startswith("0")
    assert (await client.emit("/account", '["update",{"headline":"Hello"}]'))["ok"]
    await client.socket.close()
    (row,) = await market.trail(operation="account.update")
    return str(row.address)


async def test_clients_cannot_choose_their_address(market: Market, party: Party) -> None:
    """Guard: `trusted` in `client_address`: without a proxy the client writes the header."""
    assert await address_of(market, party) == "127.0.0.1"


@own_server
@pytest.mark.usefixtures("proxied")
async def test_the_real_address_is_known_behind_a_trusted_proxy(market: Market) -> None:
    """Guard: `self._address(request)` in the engine; python-engineio sees 127.0.0.1 for all."""
    party = await market.join(Role.CUSTOMER, "Fay Fact", connect=False)
    assert await address_of(market, party) == "198.51.100.7"


# -- the end of a process --------------------------------------------------------------------


@own_server
@both_paths
async def test_javascript_clients_survive_the_end_of_their_process(
    client: None, processes: Processes
) -> None:
    """Guard: `Connection.close_transport` in `Engine.drain` ends transports; a Socket.IO disconnect
    keeps JavaScript clients from reconnecting. `sync` returns what they missed. With
    `stock`, `Connection.handle_get_request`: the transport of a poll that ends does not end an
    upgrade."""
    first, second, market = await processes.web(), await processes.web(), processes.market
    customer = await market.customer(connect=False)
    staying = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests" / "stories" / "node" / "stay.mjs"),
        first.url,
        str(customer.token),
        cwd=ROOT,
        stdout=PIPE,
    )
    assert staying.stdout
    try:
        async with asyncio.timeout(30):
            assert await staying.stdout.readline() == b"ready\n"
        assert await first.stop() == 0
        await market.job(await customer.connect(url=second.url))
        again = await processes.web()
        assert again.url == first.url
        async with asyncio.timeout(30):
            found = json.loads(await staying.stdout.readline())
    finally:
        if staying.returncode is None:
            staying.kill()
        await staying.wait()
    assert len(found) == 6
    for each in found:
        assert each["reasons"] and set(each["reasons"]) <= {"transport close", "transport error"}
        assert each["seqs"] == [1]
