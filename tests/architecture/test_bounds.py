"""No stored record has an array that grows without bound."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from domain.accounts.user import MAX_CLOSED_ACCOUNTS, User
from domain.kernel.bounds import bound_of, check_bounds, field_bounds
from domain.kernel.errors import TooMany
from domain.kernel.record import Record
from domain.registry import RECORDS
from tests.support.market import Market

ARRAYS = (tuple, list, set, frozenset, dict)


def unbounded(hint: Any, path: str, bounded: bool = False) -> Iterator[str]:
    """The arrays in a type, and in the structs in it, that declare no bound."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from unbounded_fields(hint, path)
        return
    if get_origin(hint) is Annotated:
        yield from unbounded(get_args(hint)[0], path, bounded=bound_of(hint) is not None)
        return
    is_array = hint in ARRAYS or get_origin(hint) in ARRAYS
    if is_array and not bounded:
        yield path
    for inner in get_args(hint):
        yield from unbounded(inner, path)


def unbounded_fields(kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        yield from unbounded(hints[name], f"{path}.{name}")


@pytest.mark.parametrize("kind", RECORDS)
def test_every_array_of_a_record_has_a_bound(kind: type[Record]) -> None:
    """Guard: `bounds.Bounded`. What grows with history is a collection of its own: each change
    writes and pushes the whole record."""
    assert list(unbounded_fields(kind, kind.__name__)) == []


class Inner(msgspec.Struct):
    names: tuple[str, ...]


class Outer(msgspec.Struct):
    single: Inner | None
    many: Annotated[tuple[Inner, ...], msgspec.Meta(max_length=2)]
    table: dict[str, int]
    bare: list | None  # type: ignore[type-arg]
    fine: Annotated[list[int], msgspec.Meta(max_length=2)] | None
    nested: Annotated[list[list[int]], msgspec.Meta(max_length=2)]


def test_an_array_without_a_bound_is_found() -> None:
    """The test above sees arrays in options, in structs and in arrays."""
    found = [path.partition(".")[2] for path in unbounded_fields(Outer, "")]
    assert found == ["single.names", "many.names", "table", "bare", "nested"]


def test_no_bound_is_exceeded() -> None:
    """Guard: `bounds.check_bounds`; options, and fields that are not changed, are fine."""
    assert dict(field_bounds(User))["closed_accounts"] == MAX_CLOSED_ACCOUNTS
    check_bounds(User, {"skills": (), "closed_accounts": None, "name": "x" * 1000})
    with pytest.raises(TooMany) as refused:
        check_bounds(User, {"closed_accounts": ("acct_1",) * (MAX_CLOSED_ACCOUNTS + 1)})
    assert refused.value.details == {"limit": MAX_CLOSED_ACCOUNTS}


async def test_the_store_writes_no_more_than_the_bound(market: Market) -> None:
    """Guard: `check_bounds` in `documents.plain_fields` and `documents.document`."""
    user = (await market.contractor(connect=False)).user
    uow, accounts = market.store.single(), ("acct_1",) * (MAX_CLOSED_ACCOUNTS + 1)
    with pytest.raises(TooMany):
        await uow.change(User, user.id, closed_accounts=accounts)
    with pytest.raises(TooMany):
        await uow.add(uow.new(User, id="usr_many", **fields_of(user) | {"skills": ("a",) * 31}))
    assert await uow.get(User, user.id) == user


def fields_of(user: User) -> dict[str, Any]:
    kept = msgspec.structs.asdict(user)
    return {name: kept[name] for name in ("email", "name", "role", "password_hash")}
