"""Where the server differs on purpose from what the official test suites of Engine.IO and Socket.IO
expect. Each check says what they expect, what happens here instead, and why.

Source: the test suites beside the protocols, engine.io-protocol v4 and socket.io-protocol v5.
"""

import json

import aiohttp
import pytest

from domain.kernel.actor import Role
from server.realtime.connection import MAX_MESSAGE
from server.realtime.engine import JOIN_SECONDS
from tests.conftest import Server
from tests.support.market import Market
from tests.support.parties import Party
from tests.support.polling_client import PollingClient, open_polling_client
from tests.support.raw_socket import PATH, RawSocket, open_raw_socket

Clients = tuple[Market, RawSocket, PollingClient]


async def other_methods(clients: Clients) -> None:
    """Expected: 400. Here: 405, which is HTTP's own status for it and the same on every path."""
    market, _, _ = clients
    async with market.web.put(market.url + PATH) as response:
        assert response.status == 405


async def binary_messages(clients: Clients) -> None:
    """Expected: an application receives them. Here: ignored and charged, on a websocket and in a
    body. No command has binary data; files are uploaded over HTTP, where they are inspected."""
    _, raw, polled = clients
    await raw.send(b"\x01\x02\x03\x04")
    await polled.send(b"\x01\x02\x03\x04")
    assert await raw.responds() and await polled.responds()


async def attachments(clients: Clients) -> None:
    """Expected: delivered with their event. Here: the event is refused as `invalid`, for the same
    reason, and nothing is kept until the attachments arrive."""
    _, raw, _ = clients
    data = '["update",{"headline":{"_placeholder":true,"num":0}}]'
    assert (await raw.emit("/account", data, b"x", kind="51-"))["error"]["code"] == "invalid"


async def the_main_namespace(clients: Clients) -> None:
    """Expected: everybody may connect it. Here: it does not exist, because every socket belongs to
    a user and every command to a namespace of the contract."""
    _, raw, _ = clients
    await raw.send("40")
    refusal = await raw.wait_for(lambda packet: packet.startswith("4/,"))
    assert json.loads(refusal[3:])["data"]["code"] == "not_found"


async def an_unknown_namespace(clients: Clients) -> None:
    """Expected: the message `Invalid namespace` alone. Here: an own message, and the error object
    that every refusal has beside it, as `data`."""
    _, raw, _ = clients
    refusal = json.loads((await raw.connect("/random")).removeprefix("4/random,"))
    assert refusal["message"] == refusal["data"]["message"] and refusal["data"]["code"]


async def malformed_packets(clients: Clients) -> None:
    """Expected: the connection is closed. Here: the packet is ignored, or refused if it has an id,
    and charged: one bad packet does not end all other namespaces and commands under way of its
    user. A client that goes on is cut by its budget."""
    _, raw, _ = clients
    for packet in ("4abc", "42/account,{}", '42/account,abc["me"]'):
        await raw.send(packet)
    assert await raw.responds()


async def a_second_websocket(clients: Clients) -> None:
    """Expected: accepted and then closed. Here: its handshake is refused with 400, before it costs
    anything. Clients see the end of the attempt in both cases."""
    _, _, polled = clients
    upgraded = await polled.upgrade()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await polled.web.ws_connect(polled.url.replace("=polling", "=websocket"))
    assert refused.value.status == 400 and await upgraded.responds()
    await upgraded.socket.close()


async def parameters(clients: Clients) -> None:
    """Expected: those of the suites' own server, 1 MB and pings in fractions of a second. Here: a
    command that is too large is read, to be refused with a code instead of an ended connection.
    `connect_timeout` is shorter than the 45 s of the reference, because a socket without a user
    holds a place of others."""
    _, _, polled = clients
    assert polled.opening["maxPayload"] == MAX_MESSAGE > 1_000_000
    assert JOIN_SECONDS < 45


DECIDED = (
    other_methods,
    binary_messages,
    attachments,
    the_main_namespace,
    an_unknown_namespace,
    malformed_packets,
    parameters,
    a_second_websocket,
)


async def test_differences_from_the_official_suites_are_these(
    market: Market, server: Server
) -> None:
    """Guard: each check's own docstring; the same on both paths."""
    party: Party = await market.join(Role.CUSTOMER, "Paula", connect=False)
    for fast in (True, False):
        server.web.realtime.eio.use_fast_transport = fast
        raw, polled = await open_raw_socket(market, party), await open_polling_client(market, party)
        for client in (raw, polled):
            assert (await client.connect("/account")).startswith("0")
        for check in DECIDED:
            await check((market, raw, polled))
        await raw.socket.close()
