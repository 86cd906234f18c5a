"""Commands of the JavaScript client: answers, refusals, repeats, and what waits offline."""

import asyncio
from typing import Any

import pytest

from domain.jobs.job import Job
from server.realtime.connection import Connection
from tests.clients.javascript.node_clients import Node, NodeClient
from tests.clients.javascript.test_feed import follower
from tests.domain.chat.test_conversations import meet
from tests.support.installations import Installation, Server
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Refused
from tests.support.processes import free_port

pytestmark = one_server

JOB = {
    "title": "Paint the fence",
    "description": "Twelve metres of wooden fence, two coats.",
    "category": "painting",
    "budget_min_amount": 50_000,
    "budget_max_amount": 200_000,
    "currency": "USD",
}
MISSING = {"job_id": "job_1"}


async def signed_in(node: Node, market: Market, **options: Any) -> NodeClient:
    """A customer's client, which is not connected."""
    customer = await market.customer(connect=False)
    client = await node.client(market.url, **options)
    await client.adopt(customer)
    return client


@pytest.mark.parametrize("connected", [True, False], ids=["socket", "http"])
async def test_commands_on_both_transports(node: Node, market: Market, connected: bool) -> None:
    """Guard: `#ask` in commands.js takes HTTP for what is not connected; fields go into paths,
    queries and bodies as the server reads them."""
    client = await signed_in(node, market)
    if connected:
        await client.call("connect")
    job = await client.call("job.create", {**JOB, "skills": ["painting", "wood"]}, {})
    changed = await client.call("job.update", {"job_id": job["id"], "title": "Paint it"})
    assert (changed["title"], changed["skills"]) == ("Paint it", ["painting", "wood"])
    near = {"lon": 1, "lat": 2}
    listed = await client.call("job.mine", {"limit": 5})
    assert [item["id"] for item in listed["items"]] == [job["id"]]
    assert (await client.call("job.list", {"skills": ["wood"], "near": near}))["items"] == []
    with pytest.raises(Refused) as refused:
        await client.call("job.get", MISSING)
    assert refused.value.code == "not_found"
    with pytest.raises(Refused) as refused:
        await client.call("job.create", {**JOB, "currency": "Euro"})
    assert refused.value.details["field"] == "currency"


async def test_files_are_sent_and_saved(node: Node, market: Market) -> None:
    """Guard: `form` and `saved` in http.js, and `fileUrl`, whose ticket needs no token."""
    client = await signed_in(node, market)
    sent = await client.call("sendText", "note.txt", "Two coats.")
    assert (sent["name"], sent["type"]) == ("note.txt", "text/plain")
    assert await client.call("readText", {"file_id": sent["id"]}) == ["note.txt", "Two coats."]
    async with market.web.get(await client.call("fileUrl", sent["id"])) as response:
        assert await response.text() == "Two coats."


async def test_a_lost_answer_is_asked_for_again(
    node: Node, server: Server, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `request_id` in commands.js. The connection ends in place of the first answer."""
    customer = await market.customer(connect=False)
    client = await follower(node, server, customer)
    send, lost = Connection.send_packet, []

    def lose_first(connection: Connection, packet: bytes) -> None:
        if packet.startswith(b"3/job,") and not lost:
            lost.append(packet)
            connection.abort()
        else:
            send(connection, packet)

    monkeypatch.setattr(Connection, "send_packet", lose_first)
    job = await client.call("job.create", JOB)
    assert lost
    [stored] = await server.store.single().all(Job, {"customer_id": customer.id})
    assert stored.id == job["id"]


async def test_a_command_that_must_not_be_repeated_tells_so(
    node: Node, server: Server, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `#waitFor` in commands.js: without a request id the outcome is unknown."""
    client = await follower(node, server, await market.customer(connect=False))

    def lose(connection: Connection, packet: bytes) -> None:
        connection.abort()

    send = Connection.send_packet
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "send_packet", lose)
        with pytest.raises(Refused) as refused:
            await client.call("account.totp_begin", {})
    assert Connection.send_packet is send
    assert (refused.value.code, refused.value.details) == ("unavailable", {"sent": True})


async def test_waiting_commands_are_bounded_and_keep_their_order(
    node: Node, market: Market, server: Server
) -> None:
    """Guard: `queueLimit` and `#inTurn` in commands.js; what has waited too long says that it was
    never sent."""
    talk = await meet(market)
    away = await node.client(f"http://127.0.0.1:{free_port()}", queueLimit=3, patience=500)
    await away.adopt(talk.customer)
    connecting = away.start("connect", {"patience": 1})
    waiting = [away.start("chat.send", {"conversation_id": talk.id, "text": "1"}) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        await away.call("chat.send", {"conversation_id": talk.id, "text": "too many"})
    assert (refused.value.code, refused.value.details) == ("too_many", {"limit": 3})
    late = await asyncio.gather(connecting, *waiting, return_exceptions=True)
    assert {each.code for each in late if isinstance(each, Refused)} == {"unavailable"}
    assert [each.details for each in late if isinstance(each, Refused)] == [{"sent": False}] * 4


@pytest.fixture
def few_commands(installation: Installation) -> None:
    """Users may give 20 commands at once, and 4 a second."""
    installation.configure(COMMANDS_PER_SECOND="4")


@own_server
async def test_limited_commands_are_repeated_in_time(
    few_commands: None, node: Node, market: Market
) -> None:
    """Guard: `retry_after` in commands.js; what would take longer than its patience is refused."""
    client = await signed_in(node, market)
    reads = [client.start("account.me") for _ in range(24)]
    assert len({user["id"] for user in await asyncio.gather(*reads)}) == 1
    with pytest.raises(Refused) as refused:
        for _ in range(10):
            await client.call("account.verify_send")
    assert refused.value.code == "rate_limited"
    assert refused.value.details["retry_after"] > 60
