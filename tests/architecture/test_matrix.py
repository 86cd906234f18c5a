"""The access and validation matrix: each operation as each user who may not call it, each field
with each kind of invalid value.

The matrix is built from the handlers' lists. An operation without a row in CASES fails the test.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from domain.accounts.passkey import Passkey
from domain.accounts.second_factor import CODES_PER_ACCOUNT, SETTING_UP
from domain.deals.payment import Payment
from domain.kernel.actor import Role
from domain.kernel.errors import Invalid, Rule
from domain.kernel.record import Page
from domain.operations.limits import PASSWORDS_PER_ACCOUNT
from domain.operations.operation import Operation
from handlers import NAMESPACES
from handlers.expose import Route
from server.token_buckets import Rate
from tests.support.file_samples import upload
from tests.support.market import Market
from tests.support.operation_cases import (
    ALL,
    CASES,
    NOT_FOUND,
    NOTHING,
    OWN,
    PATTERNED,
    SPECIAL,
    STATUS,
    VALUES,
)
from tests.support.parties import AnonymousClient, Json, Party, Refused


class World(NamedTuple):
    """Two deals of one customer and one contractor, and an unrelated user of each role."""

    customer: Party
    contractor: Party
    other_customer: Party
    other_contractor: Party
    admin: Party
    ids: Json

    @property
    def insiders(self) -> tuple[Party, ...]:
        return self.customer, self.contractor

    @property
    def outsiders(self) -> tuple[Party, ...]:
        return self.other_customer, self.other_contractor

    @property
    def people(self) -> tuple[Party, ...]:
        return *self.insiders, *self.outsiders, self.admin


def operations() -> Iterator[tuple[str, str | None, Route | None, Operation]]:
    for namespace in NAMESPACES:
        for exposed in namespace.exposed:
            yield namespace.name, exposed.event, exposed.route, exposed.operation


@pytest.fixture
async def world(market: Market) -> World:
    """A deal in progress, a paid-out deal, and an object of each kind that belongs to them."""
    customer = await market.customer()
    first = await market.accepted_job(customer)
    contractor = first.contractor
    await market.start(contractor, first.job)
    paid = await market.accepted_job(customer, contractor)
    await market.start(contractor, paid.job)
    await market.complete(customer, paid.job)
    await contractor.push("/wallet", "wallet.updated", lambda wallet: wallet["available"] >= 70_000)
    await market.sandbox.settings(payout_delay_seconds=0.1)
    withdrawal = await market.withdraw(contractor, 1000)
    await contractor.push(
        "/wallet", "withdrawal.updated", lambda pushed: pushed["status"] == "paid", 10
    )
    dispute = await customer.call(
        "/payment",
        "dispute_open",
        {
            "job_id": first.job["id"],
            "reason": "quality",
            "text": "It is still raw wood.",
        },
    )
    chargeback = await charged_back(market, customer, paid.offer["payment_id"])
    members = {"job_id": first.job["id"], "user_id": contractor.id}
    chat = await customer.call("/chat", "open", members)
    hello = await customer.call("/chat", "send", {"conversation_id": chat["id"], "text": "Hello"})
    saved = [
        await who.call("/job", "search_save", {"name": "All", "q": "fence"})
        for who in (customer, contractor)
    ]
    passkeys = [await with_passkey(market, who) for who in (customer, contractor)]
    file = await upload(customer, b"What I see.")
    now = market.store.clock.now()
    ids = {
        "job_id": first.job["id"],
        "application_id": first.application["id"],
        "offer_id": first.offer["id"],
        "payment_id": first.offer["payment_id"],
        "conversation_id": chat["id"],
        "conversations": {chat["id"]: 0},
        "revisions": {chat["id"]: 0},
        "message_id": hello["id"],
        "reply_to": hello["id"],
        "conversation_ids": [chat["id"]],
        "search_id": saved[0]["id"],
        "user_id": customer.id,
        "contractor_id": contractor.id,
        "withdrawal_id": withdrawal["id"],
        "session_id": customer.refresh_token.partition(".")[0],
        "thread_id": first.offer["thread_id"],
        "dispute_id": dispute["id"],
        "file_id": file["id"],
        "passkey_id": passkeys[0].id,
        "chargeback_id": chargeback["id"],
        "transfer_id": "trf_none",
        "refresh_token": "ses_none.none",
        "start": (now - timedelta(days=1)).isoformat(),
        "end": (now + timedelta(days=1)).isoformat(),
    }
    outside = await market.customer("Olga"), await market.contractor("Otto"), await market.admin()
    return World(customer, contractor, *outside, ids)


async def charged_back(market: Market, customer: Party, payment_id: str) -> Json:
    payment = await market.store.single().get(Payment, payment_id)
    await market.sandbox.control("POST", "disputes", {"charge": payment.charge_id})
    return await customer.push("/payment", "chargeback.updated", lambda pushed: True, 10)


async def with_passkey(market: Market, who: Party) -> Passkey:
    uow = market.store.single()
    passkey = uow.new(
        Passkey,
        user_id=who.id,
        credential_id=who.id,
        public_key="",
        sign_count=0,
        name="Key",
    )
    await uow.add(passkey)
    return passkey


def valid_fields(op: Operation, world: World, *, all_fields: bool = False) -> Json:
    """Valid fields for `op`: the required ones and the status; or all except the cursor."""
    known = msgspec.structs.fields(op.command)
    needed = {field.name for field in known if field.required} | {
        "status",
        *SPECIAL.get(op.name, ()),
    }
    names = [name for name in CASES[op.name].fields.split() if all_fields or name in needed]
    values = VALUES | world.ids | {"status": STATUS.get(op.name)} | SPECIAL.get(op.name, {})
    return {name: values[name] for name in names if name != "cursor"}


async def by_http(who: AnonymousClient, route: Route, fields: Json) -> tuple[int, Any]:
    """Send `fields` in the path's placeholders, and the rest in the query or body."""
    rest, path = dict(fields), route.path
    for name in fields:
        if f"{{{name}}}" in path and isinstance(fields[name], str) and fields[name]:
            path = path.replace(f"{{{name}}}", quote(rest.pop(name)[:2000], safe=""))
    if route.method != "GET":
        return await who.http(route.method, path, rest)
    query = {name: as_text(value) for name, value in rest.items()}
    return await who.http("GET", path, params=query)


def as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return value if isinstance(value, list) else str(value)


async def code_by_http(who: AnonymousClient, route: Route, fields: Json) -> str | None:
    status, body = await by_http(who, route, fields)
    assert (status >= 400) == ("code" in body if isinstance(body, dict) else False), (status, body)
    return body["code"] if status >= 400 else None


async def code_by_socket(who: Party, namespace: str, event: str, fields: Json) -> str | None:
    answer = await who.ack(namespace, event, fields)
    return None if answer["ok"] else str(answer["error"]["code"])


def test_every_operation_has_a_case() -> None:
    """Fails for a new operation in handlers.NAMESPACES, or a new field of one, without a case."""
    fields = {op.name: set(op.command.__struct_fields__) for *_, op in operations()}
    assert {name: set(case.fields.split()) for name, case in CASES.items()} == fields


async def test_each_operation_as_each_user_and_with_each_invalid_field(
    market: Market, world: World, server: Any
) -> None:
    """Guard: see the four checks; they share a world, which they leave as it is."""
    await users_without_the_role_are_refused(market, world)
    await outsiders_reach_no_object_of_others(market, world)
    await the_parties_of_a_deal_get_answers(world)
    await every_field_is_checked(market, world, server)


async def users_without_the_role_are_refused(market: Market, world: World) -> None:
    """Fails without `Forbidden` or `Unauthenticated` in Operation.admit, without `_caller` in
    server/http.py, or without the check for ADMIN in Realtime._admit."""
    before = await market.traces()
    wrong: list[Any] = []
    for namespace, event, route, op in operations():
        fields = valid_fields(op, world)
        op.parse(fields, text=False)  # valid fields: the role is the only reason for a refusal
        for who in world.people:
            if not op.roles or who.role in op.roles:
                continue
            if route and (code := await code_by_http(who, route, fields)) != "forbidden":
                wrong.append(("http", op.name, who.role, code))
            if event and namespace in who.namespaces:
                code = await code_by_socket(who, namespace, event, fields)
                if code != "forbidden":
                    wrong.append(("socket", op.name, who.role, code))
        if route and op.roles:
            code = await code_by_http(market.anonymous_client(), route, fields)
            if code != "unauthenticated":
                wrong.append(("http", op.name, "anonymous", code))
    assert wrong == []
    assert await market.traces() == before


async def test_no_namespace_opens_without_a_token(market: Market) -> None:
    """Fails when Realtime._admit lets a connection pass without `identify`, or /admin without its
    role check."""
    anonymous = await market.join(Role.CUSTOMER, "Vera", connect=False)
    before = await market.traces()
    for namespace in {namespace for namespace, event, *_ in operations() if event}:
        with pytest.raises(Refused) as refused:
            await anonymous.connect(namespaces=[namespace], token="no token")
        assert refused.value.code == "unauthenticated", namespace
    for role in (Role.CUSTOMER, Role.CONTRACTOR):
        party = await market.join(role, "Vera", connect=False)
        with pytest.raises(Refused) as refused:
            await party.connect(namespaces=["/admin"])
        assert refused.value.code == "forbidden"
    after = await market.traces()
    before["users"] = after["users"]  # users of this test
    assert after == before


async def outsiders_reach_no_object_of_others(market: Market, world: World) -> None:
    """Fails when an operation reads or changes by id alone: `uow.get(Kind, id, owner=...)` and
    filters of lists by owner are all needed."""
    before = await market.traces()
    wrong: list[Any] = []
    for namespace, event, route, op in operations():
        case = CASES[op.name]
        if case.stranger in (OWN, ALL):
            continue
        for who in world.outsiders:
            if who.role not in op.roles:
                continue
            fields = valid_fields(op, world)
            if op.name == "chat.open" and who.role is Role.CUSTOMER:
                fields["user_id"] = world.contractor.id
            answers = []
            if event:
                answers.append(await who.ack(namespace, event, fields))
            if route:
                status, body = await by_http(who, route, fields)
                data = {"data": body} if status < 400 else {"error": body}
                answers.append({"ok": status < 400, **data})
            seen = [outcome(answer) for answer in answers]
            if set(seen) != {case.stranger}:
                wrong.append((op.name, who.role, seen))
    assert wrong == []
    assert await market.traces() == before


def outcome(answer: Any) -> str:
    if not answer["ok"]:
        return str(answer["error"]["code"])
    data = answer["data"]
    return NOTHING if not data.get("items", data.get("lines", [data])) else "something"


async def the_parties_of_a_deal_get_answers(world: World) -> None:
    """With the same fields the parties get data, so the refusals above have no other reason.
    Fails when a list hides the caller's own objects."""
    wrong: list[Any] = []
    for namespace, event, _, op in operations():
        if CASES[op.name].stranger not in (NOT_FOUND, NOTHING) or op.style != "read" or not event:
            continue
        for who in world.insiders:
            if (
                who.role in op.roles
                and (answer := outcome(await who.ack(namespace, event, valid_fields(op, world))))
                != "something"
            ):
                wrong.append((op.name, who.role, answer))
    assert wrong == []


# -- fields ----------------------------------------------------------------------------------


SENT = "unknown"  # the kind of error that is sent over both transports for each operation
# The rules that may be reported for each kind of error.
RULES = {
    SENT: {Rule.UNKNOWN},
    "missing": {Rule.REQUIRED},
    "wrong type": {Rule.TYPE, Rule.CHOICE, Rule.FORMAT},
    "null in a list": {Rule.TYPE, Rule.CHOICE},
    "operator": {Rule.TYPE, Rule.CHOICE, Rule.REQUIRED, Rule.UNKNOWN},
    "null byte": {Rule.TYPE, Rule.FORMAT, Rule.PATTERN, Rule.CHOICE, Rule.MAX_LENGTH, Rule.VALUE},
    "line end": {Rule.FORMAT, Rule.PATTERN, Rule.CHOICE, Rule.MAX_LENGTH},
    "very long": {Rule.MAX_LENGTH, Rule.PATTERN, Rule.CHOICE, Rule.FORMAT},
    "too low": {Rule.MIN, Rule.ABOVE, Rule.TYPE, Rule.FORMAT},
    "too high": {Rule.MAX, Rule.TYPE, Rule.FORMAT},
    "very many": {Rule.MAX_LENGTH},
    "item": {Rule.REQUIRED},
}
WITH_LIMIT = {Rule.MIN, Rule.ABOVE, Rule.MAX, Rule.MIN_LENGTH, Rule.MAX_LENGTH, Rule.CHOICE}
# Parts of regular expressions, names of types, and the words of the library that converts input.
NOT_PLAIN = re.compile(
    r"[\\^$\[]|\(\?|\.\.\.|[Ee]xpected|[Ii]nvalid|regex|RFC|matching|of length|out of range"
    r"|\b(str|int|float|bool|dict|tuple|array|datetime|NoneType|Object|timezone)\b"
)


def invalid_variants(op: Operation, valid: Json, *, text: bool) -> Iterator[tuple[str, str, Json]]:
    """Invalid variants of `valid`: (kind of error, the field to be reported, the fields)."""
    yield SENT, "surprise", {**valid, "surprise": 1}
    for field in msgspec.structs.fields(op.command):
        name, value = field.name, valid.get(field.name, VALUES.get(field.name, "text"))
        if field.required:
            yield "missing", name, {key: item for key, item in valid.items() if key != name}
        is_text = isinstance(value, str)
        if not text:
            yield "wrong type", name, {**valid, name: "x" if isinstance(value, bool) else True}
            yield "null in a list", name, {**valid, name: [None]}
        elif not is_text and not isinstance(value, list):
            yield "wrong type", name, {**valid, name: "x"}
        if is_text:
            yield "operator", name, {**valid, name: {"$ne": None}}
            yield "null byte", name, {**valid, name: f"{value}\0"}
            if name in PATTERNED and name != "email":
                yield "line end", name, {**valid, name: f"{value}\n"}
            yield "very long", name, {**valid, name: value + "x" * (2000 if text else 25_000)}
        elif isinstance(value, int | float):
            yield "too low", name, {**valid, name: -(10**30)}
            yield "too high", name, {**valid, name: 10**30}
        elif isinstance(value, list):
            yield "very many", name, {**valid, name: (value or ["text"]) * 200}
            if value and isinstance(value[0], dict):
                yield "item", f"{name}[1].{min(value[0])}", {**valid, name: with_bad_item(value)}
            yield "null byte", name, {**valid, name: ["\0"]}
        elif isinstance(value, dict):
            yield "operator", name, {**valid, name: {"$ne": None}}


async def every_field_is_checked(market: Market, world: World, server: Any) -> None:
    """Fails for a field without limits, without `forbid_unknown_fields` of Command, without
    `_has_null` in Operation.parse, or when `input_errors.refused_input` does not name the field and
    the rule in a plain sentence. One kind of error is
    sent over each transport; the others are, too, where parsing accepts them."""
    for limit in (PASSWORDS_PER_ACCOUNT, CODES_PER_ACCOUNT, SETTING_UP):
        server.web.rates._rates[limit] = Rate(10_000, 1)
    callers = {Role.CUSTOMER: world.customer, Role.CONTRACTOR: world.contractor}
    before = await market.traces()
    wrong: list[Any] = []
    for namespace, event, route, op in operations():
        who = next((callers[role] for role in callers if role in op.roles), world.admin)
        valid = valid_fields(op, world, all_fields=True)
        op.parse(valid, text=False)
        for done, name, fields in invalid_variants(op, valid, text=False) if event else ():
            if done != SENT and refused_by_parse(op, fields, done) == name:
                continue
            answer = await who.ack(namespace, event or "", fields)
            if (found := reported_field(answer.get("error"), done)) != name:
                wrong.append(("socket", op.name, done, name, found))
        if op.name == "files.upload":
            continue  # its body is a file
        text = bool(route and route.method == "GET")
        for done, name, fields in invalid_variants(op, valid, text=text) if route else ():
            assert route
            if f"{{{name}}}" in route.path and not isinstance(fields.get(name), str):
                continue  # a path is always text
            if done != SENT and not text and refused_by_parse(op, fields, done) == name:
                continue
            status, body = await by_http(who, route, fields)
            if (found := reported_field(body if status >= 400 else None, done)) != name:
                wrong.append(("http", op.name, done, name, found))
    assert wrong == []
    assert await market.traces() == before


def with_bad_item(items: list[Json]) -> list[Json]:
    """A second item that lacks its first field."""
    return [items[0], {name: items[0][name] for name in items[0] if name != min(items[0])}]


def refused_by_parse(op: Operation, fields: Json, done: str) -> str | None:
    """The field that the operation's own parsing reports; both transports parse JSON with it."""
    try:
        op.parse(fields, text=False)
    except Invalid as refused:
        error = {"code": refused.code, "message": str(refused), "details": refused.details}
        return reported_field(error, done)
    return None


def reported_field(error: Any, done: str) -> str:
    """The field that an `invalid` error reports, without the path inside it, or what is wrong with
    the error. `done` is the kind of error."""
    if not error or error["code"] != "invalid":
        return f"({error and error['code']})"
    details = error["details"]
    if flaw := flaw_of(error.get("message") or error["title"], details, done):
        return f"({flaw})"
    field = str(details["field"])
    return field if done == "item" else field.partition(".")[0].partition("[")[0]


def flaw_of(message: str, details: Json, done: str) -> str | None:
    name, separator, sentence = message.partition(": ")
    rule = details.get("rule")
    if name != details["field"] or not separator or NOT_PLAIN.search(sentence):
        return f"no plain sentence about the field: {message}"
    if not sentence.endswith(".") or not sentence[0].islower():
        return f"no sentence: {message}"
    if rule not in RULES[done]:
        return f"rule {rule}: {message}"
    if details.keys() - {"field", "rule", "limit"}:
        return f"details {sorted(details)}"
    if ("limit" in details) != (rule in WITH_LIMIT):
        return f"limit of {rule}: {message}"
    return None


def test_a_page_has_the_fields_that_outcome_reads() -> None:
    """`outcome` reads lists by these names. Fails when a field of Page is renamed."""
    assert Page.__struct_fields__ == ("items", "next_cursor")
