"""Times and cursors that the database cannot express are `invalid`, in every operation."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from domain.operations.command import Cursor, Moment
from domain.operations.operation import Operation
from handlers import NAMESPACES
from handlers.expose import Route
from tests.domain.operations.test_currency_case import is_of_type
from tests.support.operation_cases import CASES, SPECIAL, STATUS, VALUES
from tests.support.parties import Json
from tests.support.property_sizes import SEED

BEYOND = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9-00:01")
NO_TIMES = (
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-02-30",
    "2026-01-31 01:30",
    "NaN",
    "",
    "1e400",
)
NUMBERS = ("253402300800", "-62135596801", "1e400", "inf", "-inf", "nan")  # in a query string
EXTREMES = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00-23:59")
SPELLINGS = {
    "2026-01-31": "2026-01-31T00:00:00+00:00",
    "2026-01-31T01:30:00 01:30": "2026-01-31T00:00:00+00:00",
    "2026-01-31 01:30:00.5 01:30": "2026-01-31T00:00:00.500000+00:00",
}
PERIOD = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}


def exposed() -> Iterator[tuple[str, str | None, Route | None, Operation]]:
    for space in NAMESPACES:
        for each in space.exposed:
            yield space.name, each.event, each.route, each.operation


def fields_of_type(op: Operation, wanted: Any) -> list[str]:
    hints = get_type_hints(op.command, include_extras=True)
    return [name for name, hint in hints.items() if is_of_type(hint, wanted)]


def valid(op: Operation) -> Json:
    """The required fields of the command."""
    values = VALUES | {"status": STATUS.get(op.name)} | PERIOD | SPECIAL.get(op.name, {})
    ids = {name: "usr_1" for name in CASES[op.name].fields.split() if name.endswith("_id")}
    required = (field.name for field in msgspec.structs.fields(op.command) if field.required)
    return {name: (values | ids)[name] for name in required}


OPERATIONS = [op for *_, op in exposed()]
TIMES = [(op, name) for op in OPERATIONS for name in fields_of_type(op, Moment)]


def test_every_time_and_cursor_has_the_common_type():
    """Guard: `command.Moment` and `command.Cursor`, the types that a new field has to have."""
    wrong = []
    for op in OPERATIONS:
        moments, cursors = fields_of_type(op, Moment), fields_of_type(op, Cursor)
        for name, hint in get_type_hints(op.command).items():
            if datetime in (hint, *get_args(hint)) and name not in moments:
                wrong.append((op.name, name))
            if name == "cursor" and name not in cursors:
                wrong.append((op.name, name))
    assert wrong == []
    assert len(TIMES) > 5


@pytest.mark.parametrize(("op", "name"), TIMES, ids=[f"{op.name}-{name}" for op, name in TIMES])
def test_a_time_beyond_the_calendar_is_invalid(op, name):
    """Guard: `command.Moment`, `moments.in_utc` and the ValueError of `Operation.parse`."""
    for text in (False, True):
        for value in (*BEYOND, *NO_TIMES, *(NUMBERS if text else ())):
            with pytest.raises(Exception) as refused:
                op.parse(valid(op) | {name: value}, text=text)
            assert getattr(refused.value, "code", refused.value) == "invalid", (value, text)
        fields, command = op.parse(valid(op) | {name: "2026-01-01T01:30:00+01:30"}, text=text)
        assert getattr(command, name) == datetime(2026, 1, 1, tzinfo=UTC)
        assert fields[name] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(("op", "name"), TIMES, ids=[f"{op.name}-{name}" for op, name in TIMES])
def test_a_date_and_a_plus_that_became_a_space(op, name):
    """Guard: `moments.completed`, in every field of the type `Moment`."""
    for value, wanted in SPELLINGS.items():
        for text in (False, True):
            fields, command = op.parse(valid(op) | {name: value}, text=text)
            assert (getattr(command, name).isoformat(), fields[name]) == (wanted, wanted)


def packed(*values: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


CURSORS = [
    *(packed(time, *rest) for time in (*BEYOND, *EXTREMES) for rest in ([], ["x_1"], ["x_1", "x"])),
    *(packed(each, "x_1") for each in (2**63, -(2**70), 1.5, None, True, {"$gt": ""}, ["a"], "\0")),
    *(packed(each) for each in (2**63, None, {"$gt": ""}, "\0", "x" * 200)),
    *("", "e", "====", "é", "\0", "x" * 500),
    *("WyJcdWQ4MDAiXQ", "W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tb"),
]


async def test_no_time_and_no_cursor_is_an_error_of_the_server(market):
    """Guard: `documents.after_cursor`, `owner_view.check_span` in `runs.reconcile`, and all that
    calculates with a time. Valid extremes are refused or answered. What is on both wires gets every
    second value on each; in the full run, each value on both."""
    people = [await market.customer(), await market.contractor(), await market.admin()]
    wrong: list[Any] = []
    for namespace, event, route, op in exposed():
        who = next((person for person in people if person.role in op.roles), None)
        if who is None:
            continue
        variants = [
            *({name: value} for name in fields_of_type(op, Moment) for value in EXTREMES),
            *({name: value} for name in fields_of_type(op, Cursor) for value in CURSORS),
        ]
        on_http = bool(route and route.method == "GET" and "{" not in route.path)
        for number, variant in enumerate(variants):
            fields = valid(op) | variant
            both = SEED or not (event and on_http)
            if event and (both or number % 2):
                answer = await who.ack(namespace, event, fields)
                if not answer["ok"] and answer["error"]["code"] == "internal":
                    wrong.append(("socket", op.name, variant))
            if route and on_http and (both or not number % 2):
                query = {name: str(value) for name, value in fields.items()}
                status, _ = await who.http("GET", route.path, params=query)
                if status >= 500:
                    wrong.append(("http", op.name, variant, status))
    assert wrong == []
