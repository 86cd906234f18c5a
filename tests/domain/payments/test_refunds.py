"""Refunds before and after the work, by an admin, in Stripe's dashboard, and returned by a bank."""

import pytest

from domain.deals.offer import RefundStatus
from domain.ledger.transaction import Transaction
from domain.payments.refunds import SendRefund
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import Refused


async def test_a_partial_refund_before_the_work_is_done(work):
    """Guard: `deltas[PLATFORM]` in `allocation.rebook`; the fee on the refunded amount is refunded
    too."""
    await work.refund(30_000)
    paid = await work.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "partially_refunded", TIMEOUT
    )
    assert paid["refunded_amount"] == 30_000
    assert await work.platform_and_escrow() == (7000, 63_000)
    done = await work.complete()
    assert done["split"]["contractor_amount"] == 49_000
    assert await work.platform_and_escrow() == (21_000, 0)
    assert await work.wallet("available") == (49_000,)


async def test_a_refund_of_everything_ends_the_job(work):
    """Guard: `fulfillment.work.end_if_finished(...)` in `wallet_actions.refund`; without it a job
    without money waits for a completion that pays nothing."""
    await work.refund()
    assert (await work.current_job())["status"] == "cancelled"
    assert await work.platform_and_escrow() == (0, 0)
    fields = {"payment_id": work.offer["payment_id"], "reason": "Once more"}
    await work.assert_refused(work._admin, "/admin", "refund", fields, "not_refundable")


async def test_a_refund_after_completion_is_taken_from_the_wallet(work):
    """Guard: `take_available` in `allocation.claw_back`; without it the platform bears the
    contractor's share."""
    await work.complete()
    assert await work.platform_and_escrow() == (30_000, 0)
    await work.refund(20_000)
    assert await work.platform_and_escrow() == (24_000, 0)
    assert await work.wallet("available", "debt") == (56_000, 0)
    assert [t["amount_reversed"] for t in await work.stripe_list("transfers")] == [14_000]
    await work.refund()
    assert await work.platform_and_escrow() == (0, 0)
    assert await work.wallet("available", "pending", "debt") == (0, 0, 0)
    assert (await work.stored_payment()).status == "refunded"


async def test_withdrawn_money_becomes_debt_and_is_repaid_first(work):
    """Guard: `changes[ledger.debt(user_id)] = -left` in `allocation.claw_back`, and `repaid` in
    `allocate`."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.withdraw(60_000)
    await work.sandbox.add_funds(60_000)  # else the refund waits for it
    await work.refund()
    assert await work.platform_and_escrow() == (0, 0)
    assert await work.wallet("available", "debt") == (0, -60_000)
    later = await JobInProgress(work.market, work.server).start_and_complete(
        customer=work.customer, contractor=work.contractor
    )
    assert await later.platform_and_escrow() == (30_000, 0)
    assert await later.wallet("available", "debt") == (10_000, 0)
    assert [t["amount"] for t in await later.stripe_list("transfers")] == [70_000, 10_000]


async def test_a_refund_that_the_bank_returns_is_booked_back(work):
    """Guard: `_settle_returned` in `refunds.settle_refund`; without it the returned money is booked
    nowhere. Guard: the alert in it."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.sandbox.fault(refund="usd", delay=1)
    await work.refund(50_000)
    pushed = await work._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT
    )
    assert pushed["subject"] == work.offer["payment_id"]
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("available", "pending", "debt") == (35_000, 0, 0)
    assert (await work.stored_payment()).status == "captured"
    await work.decide_refund("again")
    assert await work.platform_and_escrow() == (15_000, 0)
    states = [refund.status for refund in (await work.stored_offer()).refunds]
    assert states == [RefundStatus.FAILED, RefundStatus.MADE]


async def test_a_refund_made_in_stripes_dashboard_is_booked(work):
    """Guard: `_with_external_refund` in `refunds.settle_refund`; without it only the audit
    notices."""
    intent = (await work.stored_payment()).intent_id
    await work.sandbox.api("POST", "refunds", payment_intent=intent, amount=25_000)
    await work.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 25_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (7500, 67_500)
    assert (await work.stored_offer()).refunds[0].by == "stripe"


async def without_balance(work):
    """A refund that waits until the platform's balance at Stripe suffices."""
    await work.market.settled(TIMEOUT)
    some = {"pending_reason": "insufficient_funds", "delay": 86_400}
    await work.sandbox.fault(refund="usd", **some)
    await work.refund(30_000)
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_waits", TIMEOUT)
    assert await work.platform_and_escrow() == (10_000, 90_000)
    (waiting,) = (await work.stored_offer()).refunds
    assert (waiting.status, (await work.stored_offer()).refundable) == ("requested", 70_000)
    return waiting


async def test_a_refund_without_balance_is_booked_when_its_money_moves(work):
    """Guard: `state.moved` in `refunds.settle_refund`. Guard: `refund.stripe_id` in
    `SendRefund`; without it the key replays its first response, and after KEY_LIFETIME a second
    refund is requested."""
    waiting = await without_balance(work)
    await work.sandbox.fault(webhook="*", drop=True, times=100)
    await SendRefund(work.offer["id"], waiting.id).run(work.server.ports)
    await work.sandbox.settle_refund(waiting.stripe_id)
    await SendRefund(work.offer["id"], waiting.id).run(work.server.ports)
    assert await work.platform_and_escrow() == (7000, 63_000)
    assert (await work.stored_payment()).refunded_amount == 30_000
    assert len(await work.stripe_list("refunds")) == 1


async def test_a_refund_without_balance_that_fails_was_never_booked(work):
    """Guard: `state.moved` in `refunds._book_round_trip`; Stripe has no balance transaction for it,
    so two bookings would be permanent differences."""
    waiting = await without_balance(work)
    await work.sandbox.fail_refund(waiting.stripe_id)
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT)
    assert await work.platform_and_escrow() == (10_000, 90_000)
    kinds = {row.kind for row in await work.market.rows(Transaction)}
    assert not kinds & {"refunded", "refund_failed"}
    await work.refund(30_000)
    assert await work.platform_and_escrow() == (7000, 63_000)


async def test_a_refund_without_balance_made_at_stripe_waits_as_well(work):
    """Guard: `PENDING` in `refunds.settle_refund`; without it the same money can be refunded
    again."""
    await work.sandbox.fault(refund="usd", pending_reason="insufficient_funds", delay=86_400)
    intent = (await work.stored_payment()).intent_id
    made = await work.sandbox.refund_in_dashboard(intent, 25_000)
    await work.customer.push(
        "/bidding", "offer.updated", lambda offer: bool(offer["refunds"]), TIMEOUT
    )
    assert await work.platform_and_escrow() == (10_000, 90_000)
    assert (await work.stored_offer()).refundable == 75_000
    await work.sandbox.settle_refund(made["id"])
    assert await work.platform_and_escrow() == (7500, 67_500)


async def test_two_refunds_at_once_never_exceed_the_payment(prompt_retries, work):
    """Guard: `offer.refundable` in `refunds.request_refund` subtracts the requested refunds."""
    await work.sandbox.fault(path="/v1/refunds", method="POST", status=500, times=1000)
    await work.refund(60_000)
    before = await work.stored_offer()
    with pytest.raises(Refused) as refused:
        await work.refund(60_000)
    assert refused.value.code == "amount_not_payable"
    assert await work.stored_offer() == before
    assert (await work.stored_payment()).refunded_amount == 0, "the first is not made yet"
    await work.sandbox.clear_faults()
    await work.refund(40_000)
    assert await work.platform_and_escrow() == (0, 0)


async def test_an_open_offer_is_not_refunded(market, server):
    """Guard: `offer.live and offer.accepted_at is None` in `wallet_actions.refund`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    work, admin = JobInProgress(market, server), await market.admin()
    fields = {"payment_id": offer["payment_id"], "reason": "Too early"}
    await work.assert_refused(admin, "/admin", "refund", fields, "not_refundable")
