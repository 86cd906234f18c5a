"""The errors that an operation declares are those that its code can raise, no more and no fewer.

That an operation answers no other code is seen by the whole suite: `pytest_runtest_makereport` in
tests/conftest.py fails the test in which one does.
"""

import ast
from functools import cache
from typing import Any

import pytest

from domain.accounts.step_up import StepUpCheck
from domain.kernel.errors import (
    Blocked,
    Conflict,
    DomainError,
    JobNotOpen,
    JobTaken,
    NotFound,
    TooOld,
    Unavailable,
)
from domain.kernel.store import UnitOfWork
from domain.operations.operation import Operation
from domain.ports.ports import Ports
from handlers.documents.problems import ErrorDetails
from handlers.statements import DOWNLOADS
from tests.architecture.raised_errors import of, raised, unresolved
from tests.architecture.source_tree import production, trees
from tests.architecture.test_limits import OPERATIONS

ROWS = {download.operation.name: download.rows for download in DOWNLOADS}


def roots(op: Operation) -> tuple[Any, ...]:
    """Where the code of an operation begins: itself, its reply, the rows of its file, and the check
    for a recent confirmation."""
    return op.run, op.reply, ROWS.get(op.name), StepUpCheck.check if op.step_up else None


@cache
def raised_by_operations() -> dict[str, frozenset[type[DomainError]]]:
    return {name: raised(*roots(op)) for name, op in OPERATIONS.items()}


def test_declared_errors_can_be_raised() -> None:
    """Guard: `errors` on the operations. Fails for one that the code does not raise any more."""
    stale = [
        (name, error.__name__)
        for name, found in raised_by_operations().items()
        for error in OPERATIONS[name].errors
        if error not in found
    ]
    assert stale == []


def test_errors_that_can_be_raised_are_declared() -> None:
    """Guard: `Operation.codes`. A raise counts even if its condition never holds in this operation:
    the code should not contain it, then."""
    missing = [
        (name, error.__name__)
        for name, found in raised_by_operations().items()
        for error in found
        if error.code not in OPERATIONS[name].codes
    ]
    assert missing == []


def test_all_calls_of_operations_can_be_followed() -> None:
    """The two tests above see everything: what is left are `get` of dictionaries without a type."""
    found = [each for op in OPERATIONS.values() for root in roots(op) if (each := of(root))]
    assert unresolved(found) == [
        "domain.kernel.store.put: get()",
        "domain.operations.audit_log._logged_change: get()",
    ]


def test_details_of_errors_are_documented() -> None:
    """Guard: the fields of `ErrorDetails`, which both documents describe."""
    kinds = {error.__name__ for error in DomainError.__subclasses__()}
    given = {
        keyword.arg
        for path in production()
        for node in ast.walk(trees()[path])
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in kinds
        for keyword in node.keywords
    }
    assert given - {None} <= set(ErrorDetails.__struct_fields__)


# -- the analysis itself ---------------------------------------------------------------------


class Member:
    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    async def read(self) -> None:
        await self._uow.get(Any, "id")  # type: ignore[type-var]


class Table:
    def __init__(self, action: Any) -> None:
        self.action = action


def helper() -> None:
    raise JobTaken


def taken(open: bool) -> DomainError:
    if open:
        return JobTaken()
    return JobNotOpen("It is closed.")


TABLE = {"action": Table(helper)}


async def by_method(uow: UnitOfWork) -> None:
    await Member(uow).read()


async def by_port(ports: Ports) -> None:
    await ports.sessions.end("user", "session")


async def by_nested_function(ports: Ports) -> None:
    async def work(uow: UnitOfWork) -> None:
        helper()

    await ports.store.transact(work)


async def by_table() -> None:
    TABLE["action"].action()


async def by_made_error() -> None:
    raise taken(open=True)


async def caught() -> None:
    try:
        helper()
    except (JobTaken, NotFound) as late:
        raise Conflict from late


async def raised_again() -> None:
    try:
        helper()
    except JobTaken:
        print("late")
        raise
    except Blocked:
        raise TooOld from None


@pytest.mark.parametrize(
    ("function", "errors"),
    [
        (by_method, {NotFound}),
        (by_port, {Unavailable}),
        (by_nested_function, {JobTaken, Unavailable}),
        (by_table, {JobTaken}),
        (by_made_error, {JobTaken, JobNotOpen}),
        (caught, {Conflict}),
        (raised_again, {JobTaken, TooOld}),
    ],
)
def test_the_analysis_follows_calls_and_catches(function: Any, errors: set[type]) -> None:
    assert raised(function) == errors
