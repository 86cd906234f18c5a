"""Every list of an operation ends at a bound in bytes, and its pages join to the whole list."""

import inspect
from itertools import chain
from typing import Any, get_origin

import pytest

from domain.kernel import paging
from domain.kernel.record import Page
from tests.architecture.test_matrix import World, operations, valid_fields, world  # noqa: F401
from tests.support.market import Market
from tests.support.parties import Json, Party

# Lists that are complete: a user has few of these, and each is small.
COMPLETE = {"account.passkeys", "job.searches"}


LISTS = [
    (namespace, event, op)
    for namespace, event, _, op in operations()
    if event and get_origin(op.answer) is Page
]


def test_every_list_is_read_by_pages() -> None:
    """Fails for a new operation that answers a Page which neither `uow.page` nor `found_jobs` has
    bounded."""
    paged = ("uow.page(", "found_jobs(")
    whole = {
        op.name for *_, op in LISTS if not any(call in inspect.getsource(op.run) for call in paged)
    }
    assert whole == COMPLETE


async def walk(who: Party, namespace: str, event: str, fields: Json) -> list[list[Any]]:
    """The items of every page, from the first to the last."""
    found, cursor = [], {}
    while True:
        page = await who.call(namespace, event, {**fields, **cursor})
        found.append(page["items"])
        if not page["next_cursor"]:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_every_list_is_bounded_in_bytes(
    world: World,  # noqa: F811
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guard: `paging.read_within`, by which `UnitOfWork.page` reads; a list that is read in another
    way answers more than one item here."""
    wrong: list[Any] = []
    for who in (*world.insiders, world.admin):
        for namespace, event, op in LISTS:
            if who.role not in op.roles:
                continue
            fields = valid_fields(op, world)
            fields.pop("status", None)
            whole = list(chain(*await walk(who, namespace, event, fields)))
            with monkeypatch.context() as patch:
                patch.setattr(paging, "PAGE_BYTES", 1)
                small = await walk(who, namespace, event, fields)
            most = 2 if op.name == "admin.audit" else 1  # it joins two collections
            if max(map(len, small)) > most or not includes(list(chain(*small)), whole):
                wrong.append((op.name, who.role, len(whole), list(map(len, small))))
    assert wrong == []


def includes(found: list[Any], wanted: list[Any]) -> bool:
    """Whether `wanted` is in `found`, in its order. The audit log grows with each reading of it."""
    rest = iter(found)
    return all(any(identity(each) == identity(item) for each in rest) for item in wanted)


def identity(item: Json) -> Any:
    return item.get("id", item)
