"""Refunds that are concurrent, late, too large, or returned."""

import pytest

from domain.ledger.transaction import Transaction
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT


@pytest.mark.usefixtures("prompt_retries")
async def test_refund_webhook_before_the_api_reply(impatient_gateway, work):
    """Guard: `metadata["fact"]` in `refunds._matches`: the event arrives before the response with
    the refund's id; without it the refund is booked twice."""
    await work.sandbox.fault(path="/v1/refunds", method="POST", when="after", delay=3)
    await work.refund(40_000)
    await work.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 40_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (6000, 54_000)
    assert [row.kind for row in await work.market.rows(Transaction)].count("refunded") == 1
    assert len(await work.stripe_list("refunds")) == 1


async def test_refund_after_transfer_with_balance(completed_work):
    """Guard: `take_available` in `allocation.claw_back`: the contractor's share is reversed at
    Stripe. And `refund_reserved` in `waiting_refunds.keep_waiting`: the money that the refund waits
    for is on the contractor's account, and came back only after the refund."""
    await completed_work.refund()
    assert await completed_work.platform_and_escrow() == (0, 0)
    assert await completed_work.wallet("available", "pending", "debt") == (0, 0, 0)
    assert [t["amount_reversed"] for t in await completed_work.stripe_list("transfers")] == [70_000]
    await refund_was_notified(completed_work)
    assert (await feed_values(completed_work.contractor, "wallet.updated", "available"))[-1] == 0
    kinds = [row.kind for row in await completed_work.market.rows(Transaction)]
    assert [kind for kind in kinds if kind.startswith("refund")] == ["refund_reserved", "refunded"]
    told = await feed_values(completed_work.contractor, "notification", "kind")
    assert told.count("refund_reserved") == 1
    alerts = completed_work._admin.received("/admin", "alert")
    assert "refund_waits" not in [push.data["kind"] for push in alerts]
    (refund,) = (await completed_work.stored_offer()).refunds
    assert (refund.status, refund.completed_amount, refund.taken_amount) == ("made", 100_000, 0)


async def test_refund_after_transfer_without_balance(two_jobs):
    """Guard: the debt in `allocation.claw_back`; later earnings repay it first (`repaid` in
    `allocate`)."""
    await two_jobs.withdraw(70_000)
    await two_jobs.refund()
    assert await two_jobs.platform_and_escrow() == (20_000, 180_000)
    assert await two_jobs.wallet("available", "debt") == (0, -70_000)
    assert [t["amount_reversed"] for t in await two_jobs.stripe_list("transfers")] == [0]
    await refund_was_notified(two_jobs)
    assert (await feed_values(two_jobs.contractor, "wallet.updated", "debt"))[-1] == -70_000
    await two_jobs.market.complete(two_jobs.customer, two_jobs.later_job)
    assert await two_jobs.platform_and_escrow() == (60_000, 0)
    assert await two_jobs.wallet("available", "pending", "debt") == (70_000, 0, 0)


async def refund_was_notified(completed_work):
    """Both parties were notified once, with the full amount."""
    for party in (completed_work.customer, completed_work.contractor):
        back = await feed_values(party, "payment.updated", "refunded_amount")
        assert [amount for amount in back if amount] == [100_000]
        kinds = await feed_values(party, "notification", "kind")
        assert kinds.count("refund_made") == 1


async def test_refund_during_dispute(work):
    """Guard: `DisputeOpen` and `contested_amount` in `wallet_actions.refund`."""
    dispute = await work.open_dispute()
    admin = await work.market.admin()
    fields = {"payment_id": work.offer["payment_id"], "reason": "Now"}
    await work.assert_refused(admin, "/admin", "refund", fields, "dispute_open")
    await work.as_admin("resolve", dispute_id=dispute["id"], refund_amount=0, reason="Done well")
    await work.market.settled(TIMEOUT)
    await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    await work.assert_refused(admin, "/admin", "refund", fields, "not_refundable")
    assert await work.stripe_list("refunds") == []


@pytest.mark.usefixtures("prompt_retries")
async def test_refund_requested_when_the_card_is_disputed(work):
    """Guard: `_settle_refused` in `refunds.settle_refund`: Stripe refuses to refund a disputed
    charge."""
    await work.sandbox.fault(path="/v1/refunds", method="POST", status=500, times=100)
    await work.refund(30_000)
    await work.open_chargeback()
    await work.sandbox.clear_faults()
    await work.market.settled(TIMEOUT)
    offer = await work.stored_offer()
    assert [refund.status for refund in offer.refunds] == ["failed"]
    assert offer.contested_amount
    await work.platform_and_escrow()
