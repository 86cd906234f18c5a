"""Currency codes are taken in any case, in every field of every command, and kept in upper case."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from domain.operations.command import CurrencyCode
from domain.operations.operation import Operation
from handlers import NAMESPACES
from tests.support.operation_cases import CASES, SPECIAL, STATUS, VALUES

OPERATIONS = [each.operation for space in NAMESPACES for each in space.exposed]


def hints(kind: type[msgspec.Struct]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field of a struct and of all structs in it, however deep in lists and options."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name in kind.__struct_fields__:
            yield (name,), hint
            for inner in inside(hint):
                yield from (((name, *path), each) for path, each in hints(inner))


def inside(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for each in get_args(hint):
        yield from inside(each)


def is_of_type(hint: Any, wanted: Any) -> bool:
    """Whether a field has this type, also in an option, or with a description of its own."""
    return get_args(wanted)[-1] in marks(hint)


def marks(hint: Any) -> list[Any]:
    """The annotations of a type and of all types in it."""
    own = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return [*own, *(mark for each in get_args(hint) for mark in marks(each))]


TABLE = [
    pytest.param(op, path, hint, id=f"{op.name}-{'.'.join(path)}")
    for op in OPERATIONS
    for path, hint in hints(op.command)
    if path[-1].endswith("currency")
]


def valid(op: Operation, path: tuple[str, ...], code: str) -> dict[str, Any]:
    """Valid fields of the command with `code` at `path`."""
    values = VALUES | {"status": STATUS.get(op.name)} | SPECIAL.get(op.name, {})
    ids = {name: "usr_1" for name in CASES[op.name].fields.split() if name.endswith("_id")}
    required = (f.name for f in msgspec.structs.fields(op.command) if f.required)
    moments = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    fields: dict[str, Any] = {name: (ids | moments | values)[name] for name in required}
    place = fields
    for step in path[:-1]:
        place[step] = dict(place.get(step) or values.get(step) or {})
        place = place[step]
    place[path[-1]] = code
    return fields


@pytest.mark.parametrize(("op", "path", "hint"), TABLE)
def test_a_currency_may_be_in_any_case(op: Operation, path: tuple[str, ...], hint: Any) -> None:
    """Guard: `normalization.normalized_fields`, and `CurrencyCode` as the field's type."""
    assert is_of_type(hint, CurrencyCode)
    upper = op.parse(valid(op, path, "USD"), text=False)
    for code in ("usd", "Usd"):
        fields = valid(op, path, code)
        assert op.parse(fields, text=False) == upper
        assert op.parse(fields, text=True) == op.parse(valid(op, path, "USD"), text=True)
        assert fields == valid(op, path, code), "the caller's own input was changed"


async def test_the_same_request_in_another_case_is_the_same(market, server):
    """Guard: the fields that `Operation.parse` returns to `execute`, before the fingerprint of the
    request."""
    customer = await market.customer()
    job = await market.job(customer, currency="eur")
    assert job["currency"] == "EUR"
    fields = {"job_id": job["id"], "currency": "usd"}
    first = await customer.call("/job", "update", fields, request_id="r-1")
    again = await customer.call("/job", "update", fields | {"currency": "USD"}, request_id="r-1")
    assert first == again
    assert first["currency"] == "USD"
    query = "?start=2026-01-01T00:00:00Z&end=2026-02-01T00:00:00Z&currency=usd"
    status, answer = await customer.http("GET", f"/api/wallet/statement{query}")
    assert (status, answer["currency"]) == (200, "USD")
    url, token = f"{server.url}/api/wallet/statement.csv{query}", f"Bearer {customer.token}"
    async with customer.web.get(url, headers={"Authorization": token}) as response:
        assert "statement-USD-" in response.headers["Content-Disposition"]
