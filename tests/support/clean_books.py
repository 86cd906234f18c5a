"""The books at the end of a test: the audit and a reconciliation with Stripe's sandbox are clean.

It is checked after each test of MONEY on a server in this process in which money moved, without a
call in the test. A test whose point is a difference is marked, `@pytest.mark.books_differ("why")`.
There is no end to check after a test that failed, or that leaves faults in force, events that were
not told, or work under way.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from domain.kernel.outbox import OutboxRow
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from domain.reconciliation.difference import Difference
from domain.reconciliation.runs import compare_books
from tests.support.installations import Server

SETTLE_SECONDS = 2.0
LATER = timedelta(minutes=1)  # no test waits for a task that is due later
MARK = "books_differ"
HAS_PASSED = pytest.StashKey[bool]()
TESTS = Path(__file__).parent.parent
# The folders and files whose tests are checked.
MONEY = (
    "domain/admin",
    "domain/bidding",
    "domain/disputes",
    "domain/fulfillment",
    "domain/payments",
    "domain/payouts",
    "domain/reconciliation",
    "faults/test_accounts.py",
    "faults/test_chargeback_lines.py",
    "faults/test_chargebacks.py",
    "faults/test_clients.py",
    "faults/test_closed_accounts.py",
    "faults/test_delayed_methods.py",
    "faults/test_fees.py",
    "faults/test_foreign_objects.py",
    "faults/test_fraud_signals.py",
    "faults/test_holds.py",
    "faults/test_money_without_owner.py",
    "faults/test_outcomes.py",
    "faults/test_own_deeds.py",
    "faults/test_payouts.py",
    "faults/test_permanent_refusals.py",
    "faults/test_platform_payouts.py",
    "faults/test_reconciliation_lines.py",
    "faults/test_refunds.py",
    "faults/test_refunds_wait.py",
    "faults/test_returned_refunds.py",
    "faults/test_second_charge.py",
    "faults/test_settlement_currency.py",
    "faults/test_small_units.py",
    "faults/test_stores.py",
    "faults/test_unasked_payouts.py",
    "faults/test_webhooks.py",
    "properties/test_machine_findings.py",
)


def is_checked(test: pytest.Item) -> bool:
    """Whether the books are checked at the end of a test."""
    if test.get_closest_marker(MARK) or not test.stash.get(HAS_PASSED, False):
        return False
    return any(test.path.is_relative_to(TESTS / each) for each in MONEY)


async def check_books(server: Server) -> None:
    """Fails when the audit or a reconciliation finds a difference, once all is settled.

    A difference counts when it stays: neither reads a snapshot, and periodic jobs go on.
    """
    if await server.store.single().find(Transaction, {}) is None:
        return
    found: list[Difference] = []
    for _ in range(2):
        if not await _is_at_rest(server):
            return
        found = await _differences(server)
        if not found:
            return
    assert found == [], "money moved, and the books differ from Stripe's"


async def _differences(server: Server) -> list[Difference]:
    """Of the audit, or else of a reconciliation."""
    if found := (await audit(server.ports)).differences:
        return found
    now, day = server.ports.clock.now(), timedelta(days=1)
    return (await compare_books(server.ports, now - day, now + day)).differences


async def _is_at_rest(server: Server) -> bool:
    """Whether all that was asked of Stripe is done, and Stripe has told all that happened."""
    if await server.sandbox.faults():
        return False
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    uow = server.store.single()
    quiet = 0
    while quiet < 2:  # a finished task may cause a webhook, and a webhook a task
        if asyncio.get_running_loop().time() > deadline:
            return False
        parked = {"dead": False, "lease_until": {"$gt": uow.now + LATER}}
        if await uow.find(OutboxRow, parked):
            return False
        under_way = await uow.find(OutboxRow, {"dead": False}) or await server.sandbox.pending()
        quiet = 0 if under_way else quiet + 1
        await asyncio.sleep(0.05 if under_way else 0.01)
    return not await server.sandbox.untold()
