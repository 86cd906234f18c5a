"""The books at the end of a test: the audit and a reconciliation with Stripe's sandbox are clean.

It is checked after each test in which money moved, on a server in this process or on real
processes, without a call in the test. A test whose point is a difference, or that writes to the
books by itself, is marked, `@pytest.mark.books_differ("why")`. There is no end to check after a
test that failed, or that leaves faults in force, events that were not told, or work under way. A
task that waits for a later time explains differences of what it names, and no others.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from domain.kernel.outbox import OutboxRow
from domain.ledger.transaction import Transaction
from domain.ports.ports import Ports
from domain.reconciliation.books_audit import compare_records
from domain.reconciliation.difference import Difference
from domain.reconciliation.runs import compare_books
from server.container import Container
from tests.support.installations import Installation, Server
from tests.support.processes import Processes
from tests.support.sandbox_client import Sandbox

SETTLE_SECONDS = 2.0
LATER = timedelta(minutes=1)  # no test waits for a task that is due later
DAY = timedelta(days=1)
MARK = "books_differ"
HAS_PASSED = pytest.StashKey[bool]()


def is_checked(test: pytest.Item) -> bool:
    """Whether the books are checked at the end of a test."""
    return test.get_closest_marker(MARK) is None and test.stash.get(HAS_PASSED, False)


async def check_books(server: Server) -> None:
    """Fails when the audit or a reconciliation finds a difference, once all is settled.

    A difference counts when it stays: neither reads a snapshot, and periodic jobs go on.
    """
    await _check(server.ports, server.sandbox, SETTLE_SECONDS)


async def check_books_of_processes(installation: Installation, processes: Processes) -> None:
    """The same for real processes, which go on meanwhile. What is under way when all of them have
    ended remains so."""
    container = Container(installation.settings)
    alive = any(process.alive for process in processes.started)
    try:
        await _check(container.ports, installation.sandbox, SETTLE_SECONDS if alive else 0)
    finally:
        await container.close()


async def _check(ports: Ports, sandbox: Sandbox, patience: float) -> None:
    if await ports.store.single().find(Transaction, {}) is None:
        return
    found: list[Difference] = []
    for looks in (1, 2):  # a difference counts only if all was at rest for certain
        waiting = await _waiting_at_rest(ports, sandbox, patience, looks)
        if waiting is None:
            return
        found = _unexplained(await _differences(ports), waiting)
        if not found:
            return
    assert found == [], "money moved, and the books differ from Stripe's"


async def _differences(ports: Ports) -> list[Difference]:
    """Of the audit, or else of a reconciliation."""
    if found := (await compare_records(ports)).differences:
        return found
    now = ports.clock.now()
    return (await compare_books(ports, now - DAY, now + DAY)).differences


def _unexplained(found: Sequence[Difference], waiting: Sequence[OutboxRow]) -> list[Difference]:
    """The differences whose subject no waiting task names."""
    named = "".join(f"{row.subject} {msgspec.json.encode(row.body).decode()}" for row in waiting)
    return [each for each in found if each.subject not in named]


async def _waiting_at_rest(
    ports: Ports, sandbox: Sandbox, patience: float, looks: int
) -> list[OutboxRow] | None:
    """The tasks that wait for a later time, once all else that was asked of Stripe is done, and
    Stripe has told all that happened, at so many looks in a row; None if that does not come
    about."""
    deadline = asyncio.get_running_loop().time() + patience
    uow = ports.store.single()
    quiet = 0
    while True:  # a finished task may cause a webhook, and a webhook a task
        counts = await sandbox.rest()
        if counts["faults"] or counts["untold"]:
            return None
        rows = await uow.all(OutboxRow, {"dead": False})
        waiting = [row for row in rows if row.lease_until > uow.now + LATER]
        under_way = len(rows) > len(waiting) or counts["undelivered"]
        quiet = 0 if under_way else quiet + 1
        if quiet == looks:
            return waiting
        if asyncio.get_running_loop().time() > deadline:
            return None
        await asyncio.sleep(0.05 if under_way else 0.01)
