"""Failures that the state machine has found, each as the shortest story that reproduces it."""

import asyncio
from datetime import timedelta

from domain.accounts.user import User
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.disputes.chargebacks import refresh_dispute
from domain.kernel.outbox import OutboxRow
from domain.ledger.chart import STRIPE
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.reconciliation.runs import compare_books
from tests.support.job_in_progress import TIMEOUT


async def test_a_refund_returned_before_it_was_read_is_in_both_books(market, server, work):
    """Guard: `_book_round_trip` in `refunds.settle_refund`; without it Stripe's two balance
    transactions have no bookings here, and every reconciliation reports them."""
    payment = await work.stored_payment()
    await work.sandbox.hold_events()
    refund = await work.sandbox.refund_in_dashboard(payment.intent_id, 20_000)
    await work.sandbox.fail_refund(refund["id"])
    await work.sandbox.release_events()
    before = await work.platform_and_escrow()
    rows = await market.rows(
        Transaction, fact=(f"refund:{refund['id']}", f"refund_failed:{refund['id']}")
    )
    assert sorted(row.kind for row in rows) == ["refund_failed", "refunded"]
    assert {STRIPE} < {account for row in rows for account in row.accounts}
    now = server.ports.clock.now()
    span = (now - timedelta(hours=1), now + timedelta(hours=1))
    assert (await compare_books(server.ports, *span)).differences == []
    await work.complete()
    assert before == (10_000, 90_000)
    assert await work.platform_and_escrow() == (30_000, 0)


async def test_a_transfer_reversed_under_a_withdrawal_costs_its_owner_nothing(
    market, server, completed_work
):
    """Guard: `refill=True` in `external_reversals.settle_external_reversal`; booked as a debt,
    it was collected at Stripe a second time, and the balance in the wallet could never be
    withdrawn."""
    work = completed_work
    user = await server.store.single().get(User, work.contractor.id)
    await work.sandbox.fault(path="/v1/payouts", method="POST", status=409, times=3)
    await market.withdraw(work.contractor, 70_000)
    [transfer] = await work.stripe_list("transfers")
    await work.sandbox.reverse_transfer(transfer["id"], 50_000)
    await work.platform_and_escrow()
    assert await work.wallet("available", "pending", "in_transit", "debt") == (70_000, 0, 0, 0)
    [refill] = await market.rows(Transfer, refill=True)
    await work.as_admin("release", transfer_id=refill.id, reason="Clarified")
    await market.settled(TIMEOUT)
    balance = await work.sandbox.api("GET", "balance", user.connect_id)
    assert [part["amount"] for part in balance["available"]] == [70_000]
    await work.withdraw(70_000)
    assert await work.platform_and_escrow() == (30_000, 0)


async def test_an_external_reversal_reduces_an_open_one(market, work):
    """Guard: `reversals.reduce_open_reversals`; without it
    Stripe refuses our reversal forever, because less than its amount is left, and that amount is
    parked to be sent again."""
    await work.complete()
    await market.settled(TIMEOUT)
    [transfer] = await work.stripe_list("transfers")
    payment = await work.stored_payment()
    await work.sandbox.fault(path="/v1/transfers/*/reversals", method="POST", status=409, times=9)
    await work.as_admin("refund", payment_id=payment.id, reason="Not done")
    async with asyncio.timeout(TIMEOUT):
        while not await market.rows(OutboxRow, last_error={"$gt": ""}):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await work.sandbox.clear_faults()
    await work.sandbox.reverse_transfer(transfer["id"], 30_000)
    async with asyncio.timeout(TIMEOUT):
        while not all(row.done for row in await market.rows(Reversal)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert sorted(row.amount for row in await market.rows(Reversal)) == [30_000, 40_000]
    assert [row.status for row in await market.rows(Transfer)] == [TransferStatus.REVERSED]
    assert await work.wallet("available", "pending", "in_transit", "debt") == (0, 0, 0, 0)
    [transfer] = await work.stripe_list("transfers")
    assert transfer["amount_reversed"] == 70_000
    assert await work.platform_and_escrow() == (0, 0)


async def test_a_delayed_read_of_a_dispute_does_not_overwrite_a_newer_one(
    market, server, completed_work
):
    """Guard: `known` in `chargebacks.settle_dispute`; without it a delayed response overwrites the
    state of a later one, and the dispute stays lost here although it was won."""
    work = completed_work
    await work.open_chargeback()
    [dispute] = await work.stripe_list("disputes")
    await work.sandbox.move_dispute(dispute["id"], "lost")
    await work.platform_and_escrow()
    some = {"path": "/v1/disputes/*", "method": "GET", "when": "after", "delay": 1.5}
    await work.sandbox.fault(**some)
    slow = asyncio.create_task(refresh_dispute(server.ports, dispute["id"]))
    async with asyncio.timeout(TIMEOUT):
        while await work.sandbox.faults():  # noqa: ASYNC110 - until the delayed response is on its way
            await asyncio.sleep(0.01)
    await work.sandbox.move_dispute(dispute["id"], "under_review")
    await refresh_dispute(server.ports, dispute["id"])
    await slow
    await work.platform_and_escrow()
    [row] = await market.rows(Chargeback)
    assert (row.status, row.steps) == (ChargebackStatus.OPEN, 3)
