"""Clients that break the protocol, on a raw websocket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import socketio

from domain.kernel.actor import Role
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Party
from tests.support.raw_socket import SECONDS, RawSocket, open_raw_socket

pytestmark = one_server


@pytest_asyncio.fixture(loop_scope="module")
async def victim(market: Market) -> AsyncIterator[Party]:
    """Another user, who must not be affected."""
    party = await market.contractor("Vic Victim")
    yield party
    assert (await party.call("/account", "me"))["id"] == party.id
    assert party.pushes == []


@pytest_asyncio.fixture(loop_scope="module")
async def raw(market: Market, victim: Party) -> AsyncIterator[RawSocket]:
    """A signed-in customer's socket on /account, /job and /chat."""
    party = await market.join(Role.CUSTOMER, "Harry Hostile", connect=False)
    client = await open_raw_socket(market, party)
    for namespace in ("/account", "/job", "/chat"):
        assert (await client.connect(namespace)).startswith("0")
    yield client
    await client.socket.close()


JOB = {
    "title": "T",
    "description": "D",
    "category": "c",
    "budget_min_amount": 1,
    "budget_max_amount": 2,
    "currency": "USD",
}


def create(**fields: Any) -> str:
    return json.dumps(["create", {**JOB, **fields}])


DEEP = "[" * 30_000 + "]" * 30_000
BESIDE_THE_LIMIT = "[" * 800 + "]" * 800
BAD_COMMANDS = {
    "reserved connect": ('["connect",{"token":"x"}]', "unknown_command"),
    "reserved disconnect": ('["disconnect","transport close"]', "unknown_command"),
    "reserved error": ('["connect_error",{}]', "unknown_command"),
    "unknown": ('["explode",{}]', "unknown_command"),
    "of another namespace": ('["withdraw",{"amount":1}]', "unknown_command"),
    "an operation's own name": ('["job.create",{}]', "unknown_command"),
    "an attribute": ('["__class__",{}]', "unknown_command"),
    "empty name": ('["",{}]', "unknown_command"),
    "long name": (json.dumps(["x" * 60_000]), "unknown_command"),
    "number as name": ("[1,{}]", "invalid"),
    "null as name": ("[null,{}]", "invalid"),
    "object as name": ('[{"$ne":null},{}]', "invalid"),
    "list as name": (f"[{BESIDE_THE_LIMIT}]", "invalid"),
    "no name": ("[]", "invalid"),
    "nothing": ("", "invalid"),
    "no list": ('{"create":{}}', "invalid"),
    "a text": ('"create"', "invalid"),
    "fields as a list": ('["create",[1]]', "invalid"),
    "fields as text": ('["create","{}"]', "invalid"),
    "fields null": ('["create",null]', "invalid"),
    "three arguments": ('["create",{},{},{}]', "invalid"),
    "unknown option": ('["create",{},{"request":"x"}]', "invalid"),
    "options as text": ('["create",{},"x"]', "invalid"),
    "request_id empty": ('["create",{},{"request_id":""}]', "invalid"),
    "request_id number": ('["create",{},{"request_id":7}]', "invalid"),
    "request_id operator": ('["create",{},{"request_id":{"$ne":null}}]', "invalid"),
    "request_id control": ('["create",{},{"request_id":"a\\u0000b"}]', "invalid"),
    "request_id long": (json.dumps(["create", {}, {"request_id": "x" * 129}]), "invalid"),
    "wrong type": (create(title=7), "invalid"),
    "operator": (create(title={"$ne": None}), "invalid"),
    "operator as field": (create(**{"$where": "1"}), "invalid"),
    "two megabytes": (create(description="x" * 2_000_000), "too_large"),
    "many fields": (create(**{f"f{n}": n for n in range(20_000)}), "too_large"),
    "deep": (f'["create",{{"title":{DEEP}}}]', "invalid"),
    "deep and long": (f'["create",{{"title":{DEEP * 5}}}]', "too_large"),
    "deep beside the limit": (f'["create",{{"title":{BESIDE_THE_LIMIT}}}]', "invalid"),
    "deep options": (f'["create",{{}},{BESIDE_THE_LIMIT}]', "invalid"),
    "duplicate keys": ('["create",{"title":"a","title":{"$ne":null}}]', "invalid"),
    "unfinished JSON": ('["create",{"title":', "invalid"),
    "half a surrogate": ('["create",{"title":"\\ud800"}]', "invalid"),
    "not a number": ('["create",{"budget_min_amount":NaN}]', "invalid"),
    "huge exponent": ('["create",{"budget_min_amount":1e999}]', "invalid"),
    "huge integer": (create(budget_min_amount=10**400), "invalid"),
    "after the end": ('["create",{}]]', "invalid"),
}


async def test_every_bad_command_is_acknowledged(raw: RawSocket, market: Market) -> None:
    """Fails when `parse_command` lets python-socketio dispatch (reserved names), when
    `_start_packet` raises for unreadable JSON, or without MAX_COMMAND."""
    before = await market.traces()
    wrong = []
    for name, (data, code) in BAD_COMMANDS.items():
        answer = await raw.emit("/job", data)
        if answer["ok"] or answer["error"]["code"] != code:
            wrong.append((name, answer))
        assert answer.keys() == {"ok", "error"}
        assert answer["error"].keys() == {"code", "message", "details"}
    assert wrong == []
    assert await raw.responds()
    assert await market.traces() == before


async def test_without_an_id_nothing_is_answered(raw: RawSocket, market: Market) -> None:
    """Fails when `_ack` sends without being asked."""
    before = await market.traces()
    for data, _ in BAD_COMMANDS.values():
        if not data[:1].isdigit():
            await raw.send(f"42/job,{data}")
    assert await raw.responds()
    assert raw.packets == []
    assert await market.traces() == before


BINARY: list[tuple[str, list[bytes]]] = [
    ("51-", [b"x"]),
    ("51-", []),
    ("50-", []),
    ("5", []),
    ("59999999999-", [b"x"] * 3),
    ("52-", [b"x" * 1_000_000, b"y"]),
]


@both_paths
async def test_attachments_are_refused_and_not_kept(
    raw: RawSocket, server: Server, market: Market
) -> None:
    """Fails when `_start_packet` hands a binary event to python-socketio, which would keep
    up to ten digits of attachments, and take everything after a wrong one for another."""
    before = await market.traces()
    data = '["create",{"title":{"_placeholder":true,"num":7}}]'
    for header, attachments in BINARY:
        answer = await raw.emit("/job", data, *attachments, kind=header)
        assert answer["error"]["code"] == "invalid"
        assert server.web.realtime._binary_packet == {}
        assert await raw.responds()
    assert await market.traces() == before


BAD_PACKETS = [
    "2",
    "2/job",
    "2/job,",
    "2/job,9",
    "29[]",
    '2/nowhere,5["me"]',
    '2/payment,5["list"]',
    "3/job,1[{}]",
    "3/job,[]",
    "3",
    "3/job,1" + DEEP,
    "4/job,{}",
    "61-/job,1[]",
    "1/payment,",
    "1/nowhere,",
    "7/job,[]",
    "9",
    "x",
    "/",
    "2" + "/" * 5000,
    "2/job," + "9" * 200 + "[]",
    "2\u00b2[]",
    "2-",
    "2999999999999-/job,1[]",
    "0",
    "0/",
    "{}",
    "null",
    "[]",
    "true",
    '"2"',
    DEEP,
    "2/job\u0000,1[]",
    "2/job?x=y,[]",
]


@both_paths
async def test_malformed_packets_are_ignored(raw: RawSocket, market: Market) -> None:
    """Fails when a packet that cannot be read raises in `_start_packet` or `packets.decode`."""
    before = await market.traces()
    for packet in BAD_PACKETS:
        await raw.send(f"4{packet}")
        assert await raw.responds(), packet
    assert [got for got in raw.packets if not got.startswith(("4", "3/job"))] == []
    assert await market.traces() == before


@both_paths
async def test_an_invalid_frame_ends_the_connection_at_once(
    server: Server, market: Market, victim: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails without the look at `kind` in `Connection.on_text`: a dead client is kept until its
    ping times out."""
    party = await market.join(Role.CUSTOMER, "Fay Frame", connect=False)
    for frame in ("", "x", "7", "9", "b!!!", "bAAAA", "\u0665", "\u20ac"):
        client = await open_raw_socket(market, party)
        assert (await client.connect("/account")).startswith("0")
        await client.send(frame)
        assert await client.wait_until_closed()
        await left_with(server, {victim.id})
    assert server.web.realtime.connection_count == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def left_with(server: Server, users: set[str]) -> None:
    for _ in range(int(SECONDS * 100)):
        if server.web.realtime.users() == users:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the server still keeps a client that is gone")


@both_paths
async def test_odd_frames_change_nothing(raw: RawSocket) -> None:
    """Fails when binary data reaches a packet parser that expects text."""
    for frame in ("0", "2", "2probe", "5", "6", "3", b"", b"binary", b"\xff" * 99):
        await raw.send(frame)
        assert await raw.responds(), frame


@both_paths
async def test_too_large_a_frame_ends_only_its_own_connection(
    raw: RawSocket, server: Server, victim: Party
) -> None:
    """Fails without `max_http_buffer_size`, which bounds the memory for one client."""
    with contextlib.suppress(ConnectionError):  # it may end while this is being sent
        await raw.send("42/job,1" + create(description="x" * 5_000_000))
    await left_with(server, {victim.id})


async def test_a_namespace_opens_once_and_only_if_it_exists(raw: RawSocket, market: Market) -> None:
    """Fails when `_admit` leaves these two to python-socketio, which gives no code."""
    before = await market.traces()
    for namespace, code in (
        ("/job", "conflict"),
        ("/nowhere", "not_found"),
        ("/__proto__", "not_found"),
        ("/admin", "forbidden"),
    ):
        answer = await raw.connect(namespace)
        assert answer.startswith("4"), answer
        assert json.loads(answer.partition(",")[2])["data"]["code"] == code
    for auth in (
        None,
        7,
        [],
        "x",
        {"token": {"$ne": None}},
        {"token": "a.b.c"},
        {"token": ""},
        {"token": "\u20ac" * 3000},
    ):
        answer = await raw.connect("/wallet", auth)
        assert json.loads(answer.partition(",")[2])["data"]["code"] == "unauthenticated"
    await raw.send("40/wallet,{broken")
    answer = await raw.wait_for(lambda packet: packet.startswith("4/wallet"))
    assert "unauthenticated" in answer
    assert await raw.responds()
    assert await market.traces() == before


async def test_a_closed_namespace_answers_nothing_more(raw: RawSocket, server: Server) -> None:
    """Fails without the look at `connection.clients` in `_start_packet`, or without
    `_leave_namespace`."""
    await raw.send("41/job,")
    await raw.send("42/job,77" + create())
    assert await raw.responds()
    assert raw.packets == []
    assert {
        name for connection in server.web.realtime.eio.connections for name in connection.clients
    } >= {"/chat"}
    assert (await raw.connect("/job")).startswith("0")


# -- failing and slow operations -------------------------------------------------------------


async def test_a_slow_stripe_does_not_delay_other_commands_of_the_client(market: Market) -> None:
    """Fails when `_run_pipelined` awaits the whole answer of an operation with a `reply`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    await market.sandbox.fault(method="POST", path="/v1/payment_intents", delay=30)
    offering = asyncio.create_task(
        customer.call(
            "/bidding",
            "create",
            {
                "job_id": job["id"],
                "contractor_id": contractor.id,
                "amount": 10_000,
                "currency": "USD",
                "description": "Soon",
                "timeline_days": 1,
                "payment_method": "pm_card_visa",
            },
        )
    )
    await asyncio.sleep(0)
    (offer,) = (await customer.call("/bidding", "list"))["items"]
    assert offer["status"] == "awaiting_payment"
    assert (await customer.call("/account", "me"))["id"] == customer.id
    assert not offering.done()
    await market.sandbox.clear_faults()  # answers the request
    answer = await offering
    assert answer["offer"]["status"] == "pending"


# -- doors -----------------------------------------------------------------------------------


async def test_polling_works_for_all_namespaces(market: Market) -> None:
    """Fails when the transport is restricted to websockets; some networks let only HTTP pass."""
    party = await market.join(Role.CUSTOMER, "Polly", connect=False)
    client = socketio.AsyncClient(reconnection=False)
    names = party.namespaces
    await client.connect(
        market.url, auth={"token": party.token}, transports=["polling"], namespaces=names
    )
    assert client.transport() == "polling"
    for namespace, event in (("/account", "me"), ("/job", "list"), ("/wallet", "balance")):
        answer = await client.call(event, {}, namespace=namespace, timeout=10)
        assert answer["ok"], answer
    await client.eio.disconnect(abort=True)  # a goodbye would wait for the hanging poll


async def test_an_expired_token_ends_the_connection(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `SessionRegistry._expire`."""
    monkeypatch.setattr("server.adapters.jwt_tokens.ACCESS_LIFE", timedelta(seconds=2))
    party = await market.join(Role.CUSTOMER, "Tim", connect=False)
    client = await open_raw_socket(market, party)
    assert (await client.connect("/account")).startswith("0")
    revoked = await client.wait_for(lambda packet: "session.revoked" in packet)
    assert '"reason":"expired"' in revoked
    await client.wait_for(lambda packet: packet.startswith("1/account"))
    answer = await client.connect("/account")
    assert json.loads(answer.partition(",")[2])["data"]["code"] == "token_expired"
