"""Engine.IO 4 and Socket.IO 5 by their protocols, on the fast transport and the stock path."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from domain.kernel.actor import Role
from domain.kernel.rooms import user_room
from server.realtime import connection, engine
from server.realtime.connection import MAX_MESSAGE, unparsed_packets
from server.realtime.engine import PING_INTERVAL, PING_TIMEOUT
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.parties import Party
from tests.support.polling_client import SEPARATOR, PollingClient, open_polling_client
from tests.support.raw_socket import PATH, SECONDS, RawSocket, open_raw_socket, wait_until


@pytest.fixture
async def party(market: Market) -> Party:
    return await market.join(Role.CUSTOMER, "Polly", connect=False)


@pytest.fixture
async def polled(market: Market, party: Party) -> AsyncIterator[PollingClient]:
    """A connection by long-polling, signed in on /account."""
    client = await open_polling_client(market, party)
    assert (await client.connect("/account")).startswith("0")
    yield client
    await client.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `market`: a client is pinged at each fifth tick, and has four to answer."""
    monkeypatch.setattr(engine, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(engine, "PING_INTERVAL", 5)
    monkeypatch.setattr(engine, "PING_TIMEOUT", 4)


async def ended(socket: aiohttp.ClientWebSocketResponse) -> None:
    async with asyncio.timeout(SECONDS):
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


def only_connection(server: Server) -> connection.Connection:
    (found,) = server.web.realtime.eio.connections
    return found


# -- opening ---------------------------------------------------------------------------------


async def test_the_first_packet_has_the_parameters_of_the_connection(
    market: Market, party: Party
) -> None:
    """Guard: `Engine._open_data`."""
    socket = await market.web.ws_connect(market.url + PATH)
    by_websocket = json.loads((await socket.receive_str())[1:])
    by_polling = (await open_polling_client(market, party)).opening
    assert by_websocket.pop("sid") != by_polling.pop("sid")
    agreed = {
        "pingInterval": PING_INTERVAL * 1000,
        "pingTimeout": PING_TIMEOUT * 1000,
        "maxPayload": MAX_MESSAGE,
    }
    assert by_websocket == {**agreed, "upgrades": []}
    assert by_polling == {**agreed, "upgrades": ["websocket"]}
    await socket.close()


REFUSED = (
    "transport=polling",
    "transport=websocket",
    "EIO=3&transport=polling",
    "EIO=abc",
    "EIO=4&transport=carrier-pigeon",
    "EIO=4&transport=websocket",
    "EIO=4&transport=polling&sid=nobody",
)


async def test_other_protocols_are_refused(market: Market, server: Server) -> None:
    """Guard: the checks of engineio's handle_request come before `Engine._handle_connect`."""
    for query in REFUSED:
        async with market.web.get(f"{market.url}/socket.io/?{query}") as response:
            assert response.status == 400, query
    assert server.web.realtime.connection_count == 0


# -- long-polling only -----------------------------------------------------------------------


async def test_long_polling_carries_commands_and_pushes(
    polled: PollingClient, party: Party
) -> None:
    """Guard: `Connection.send_packet` on the stock path, and `Realtime._handle_eio_message`."""
    assert (await polled.emit("/account", '["me"]'))["data"]["id"] == party.id
    commands = (f'42/account,{id}["update",{{"headline":"{id}"}}]' for id in (101, 102, 103))
    assert await polled.post(SEPARATOR.join(commands)) == 200
    answers = [await polled.ack("/account", id) for id in (101, 102, 103)]
    assert [answer["data"]["headline"] for answer in answers] == ["101", "102", "103"]
    await polled.wait_for(lambda packet: packet.startswith('2/account,["account.updated"'))


async def test_two_polls_at_once_end_the_connection(polled: PollingClient, server: Server) -> None:
    """Guard: `self._polling` in `Connection.poll`: one of the two would get what the other waits
    for.

    Source: Engine.IO protocol 4, "HTTP long-polling"."""
    answers = await asyncio.gather(polled.get(), polled.get())
    assert sorted(answers)[0] == (200, "1") and sorted(answers)[1][0] == 400
    await wait_until(lambda: server.web.realtime.connection_count == 0)


async def test_a_body_that_is_no_payload_ends_the_connection(
    market: Market, server: Server, party: Party
) -> None:
    """Guard: `Connection.handle_post_request`; no connection remains, and no request hangs."""
    for body in ("abc", "7", "", "3" + SEPARATOR, SEPARATOR.join(["3"] * 1001)):
        client = await open_polling_client(market, party)
        assert await client.post(body) == 400, body[:10]
        await wait_until(lambda: server.web.realtime.connection_count == 0)


async def test_data_of_packets_stays_text(polled: PollingClient, server: Server) -> None:
    """Guard: `unparsed_packets`; python-engineio parses as JSON what is no Socket.IO packet: 4 MB
    of lists hold the event loop for 100 ms."""
    for body in ("4" + "[" * 5000, "3[1e308]", "4{}", "bAAA=", "b!"):
        assert await polled.post(body) == 200, body[:10]
    assert [packet.data for packet in unparsed_packets("4[1]" + SEPARATOR + '3{"a":1}')] == [
        "[1]",
        '{"a":1}',
    ]
    await polled.responds()


async def test_too_large_a_body_is_refused(polled: PollingClient, server: Server) -> None:
    """Guard: `max_http_buffer_size`; the connection ends, as it does on a websocket."""
    assert await polled.post("4" * (MAX_MESSAGE + 1)) == 400
    await wait_until(lambda: server.web.realtime.connection_count == 0)


async def test_unfetched_packets_of_a_poller_are_bounded(
    polled: PollingClient, server: Server, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `self.unsent` in `Connection.send_packet`: its client is told about the pushes that
    were left out. And `Engine._end_stalled`: one that polls no more is cut."""
    connection, room = only_connection(server), user_room(party.id)
    for number in range(2000):
        server.web.realtime.push(room, "/account", "head", {"head": number, "text": "x" * 1000})
    assert connection.queue.qsize() <= 1100
    await polled.wait_for(lambda packet: '"resync"' in packet)
    assert await polled.responds()
    monkeypatch.setattr(engine, "STALLED_SECONDS", 0.1)
    for number in range(2000):
        server.web.realtime.push(room, "/account", "head", {"head": number, "text": "x" * 1000})
    await wait_until(lambda: server.web.realtime.connection_count == 0)


# -- upgrade to a websocket ------------------------------------------------------------------


@both_paths
async def test_a_connection_is_upgraded_to_a_websocket(
    polled: PollingClient, server: Server, party: Party
) -> None:
    """Guard: `_Probe` and `Connection.switch_to`; namespaces and unsent packets are kept."""
    connection = only_connection(server)
    raw = await polled.upgrade()
    await wait_until(lambda: connection.upgraded)
    assert (connection.fast_transport is not None) == server.web.realtime.eio.use_fast_transport
    assert (await raw.emit("/account", '["me"]'))["data"]["id"] == party.id
    server.web.realtime.push(user_room(party.id), "/account", "head", {})
    await raw.wait_for(lambda packet: '"head"' in packet)
    assert (await polled.get())[0] == 400, "polling has ended"
    assert await polled.post("3") == 400
    assert server.web.realtime.connection_count == 1
    await raw.socket.close()
    await wait_until(lambda: server.web.realtime.connection_count == 0)


@both_paths
async def test_pushes_during_an_upgrade_arrive_once(
    polled: PollingClient, server: Server, party: Party
) -> None:
    """Guard: the queue in `Connection.switch_to`: it is sent first."""
    waiting = asyncio.create_task(polled.receive())
    socket = await polled.probe()
    await waiting
    for number in range(5):
        server.web.realtime.push(user_room(party.id), "/account", "head", {"head": number})
    await socket.send_str("5")
    raw = RawSocket(socket, party.token)
    server.web.realtime.push(user_room(party.id), "/account", "head", {"head": 5})
    for number in range(6):
        await raw.wait_for(lambda packet, number=number: f'"head":{number}' in packet)
    assert raw.packets == [] and polled.packets == []
    await socket.close()


@both_paths
async def test_no_noop_is_sent_where_no_poll_waits(polled: PollingClient) -> None:
    """Guard: `Connection.end_waiting_poll` and `_is_noop` in `Connection.poll`. A poll that begins
    during the upgrade is ended at once. Source: Engine.IO protocol 4, "Upgrade"."""
    socket = await polled.probe()
    assert await polled.get() == (200, "6")
    await socket.send_str("5")
    await socket.send_str('42/account,7["me"]')
    assert (await socket.receive_str()).startswith("43/account,7[")
    await socket.close()


@both_paths
async def test_a_second_websocket_is_refused(
    polled: PollingClient, server: Server, party: Party
) -> None:
    """Guard: `upgraded or upgrading` in `Connection._upgrade_websocket`."""
    raw = await polled.upgrade()
    assert await raw.responds()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await polled.web.ws_connect(polled.url.replace("=polling", "=websocket"))
    assert refused.value.status == 400
    assert await raw.responds()
    await raw.socket.close()


@both_paths
async def test_an_invalid_probe_changes_nothing(polled: PollingClient) -> None:
    """Guard: the last branch of `_Probe.on_text`, and `upgrading = False` after a websocket."""
    for first in ("5", "2", "4", "x", ""):
        socket = await polled.web.ws_connect(polled.url.replace("=polling", "=websocket"))
        await socket.send_str(first)
        await ended(socket)
        assert await polled.responds(), first
    raw = await polled.upgrade()
    assert await raw.responds()
    await raw.socket.close()


@both_paths
async def test_an_unfinished_upgrade_times_out(
    monkeypatch: pytest.MonkeyPatch, polled: PollingClient
) -> None:
    """Guard: UPGRADE_SECONDS; such a websocket gets no ping, so it would stay for ever."""
    monkeypatch.setattr(connection, "UPGRADE_SECONDS", 0.3)
    silent = await polled.web.ws_connect(polled.url.replace("=polling", "=websocket"))
    await ended(silent)
    await ended(await polled.probe())
    assert await polled.responds()


# -- the end ---------------------------------------------------------------------------------


@both_paths
@pytest.mark.usefixtures("hasty")
async def test_a_client_that_answers_no_ping_is_disconnected(
    market: Market, server: Server, party: Party
) -> None:
    """Guard: `connection.abort()` in `Engine._heartbeat`; a client that answers stays, on
    either transport."""
    silent, dead = await open_raw_socket(market, party), await open_polling_client(market, party)
    assert (await silent.connect("/account")).startswith("0")
    assert (await dead.connect("/account")).startswith("0")
    lively, polled = await open_raw_socket(market, party), await open_polling_client(market, party)
    staying = [
        asyncio.create_task(lively.wait_until_closed()),
        asyncio.create_task(polled.wait_until_closed()),
    ]
    await wait_until(lambda: server.web.realtime.connection_count == 2)
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while (message := await silent.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            assert message.data[0] in "024"
    assert (await dead.get())[0] == 400
    eio = server.web.realtime.eio
    later = eio._ticks + engine.PING_INTERVAL + engine.PING_TIMEOUT  # another round of pings
    await wait_until(lambda: eio._ticks > later)
    assert server.web.realtime.connection_count == 2
    assert not any(task.done() for task in staying)
    await lively.socket.close()
    await polled.close()
    await asyncio.gather(*staying, return_exceptions=True)


@both_paths
async def test_a_close_packet_ends_the_connection(
    market: Market, server: Server, party: Party, polled: PollingClient
) -> None:
    """Guard: `kind == "1"` in `Connection.on_text`; the same by polling."""
    raw = await open_raw_socket(market, party)
    assert (await raw.connect("/account")).startswith("0")
    await raw.send("1")
    assert await raw.wait_until_closed()
    await wait_until(lambda: server.web.realtime.connection_count == 1)
    waiting = asyncio.create_task(polled.get())
    await asyncio.sleep(0.05)
    await polled.send("1")
    await wait_until(lambda: server.web.realtime.connection_count == 0)
    async with asyncio.timeout(SECONDS):
        assert await waiting == (200, "6")


async def test_a_waiting_poll_ends_with_the_server(server: Server, polled: PollingClient) -> None:
    """Guard: `Connection.close_transport` without a websocket; otherwise the process waits for its
    time limit."""
    waiting = asyncio.create_task(polled.get())
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await server.web.realtime.eio.drain(60)
        assert (await waiting) == (200, "1")


# -- Socket.IO -------------------------------------------------------------------------------


async def test_attachments_are_refused_by_polling_too(
    polled: PollingClient, server: Server, market: Market
) -> None:
    """Guard: `packets.EVENTS` in `Realtime._start_packet`; the attachment itself is ignored."""
    before = await market.traces()
    data = '["update",{"headline":{"_placeholder":true,"num":0}}]'
    answer = await polled.emit("/account", data, b"x" * 100, kind="51-")
    assert answer["error"]["code"] == "invalid"
    assert server.web.realtime._binary_packet == {}
    assert await polled.responds()
    assert await market.traces() == before


@both_paths
async def test_pollers_and_websockets_in_a_room_receive_the_same(
    market: Market, polled: PollingClient, party: Party
) -> None:
    """Guard: `Rooms.deliver` sends to every connection, on every transport."""
    owner = await market.customer("Olga")
    job = await market.job(owner)
    over, direct = (
        await (await open_polling_client(market, party)).upgrade(),
        await open_raw_socket(market, party),
    )
    everybody = [polled, over, direct]
    for client in everybody:
        assert (await client.connect("/job")).startswith("0")
        watch = json.dumps(["watch", {"job_id": job["id"]}])
        assert (await client.emit("/job", watch))["ok"]
    titles = [f"Fence {number}" for number in range(5)]
    for title in titles:
        await owner.call("/job", "update", {"job_id": job["id"], "title": title})
    received = []
    for client in everybody:
        found = [
            await client.wait_for(lambda packet, title=title: f'"title":"{title}"' in packet)
            for title in titles
        ]
        received.append(found)
    assert received[0] == received[1] == received[2]
    await over.socket.close()
    await direct.socket.close()
