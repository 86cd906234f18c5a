"""Refunds draw on the platform's available balance: they wait at Stripe while it is too small."""

from datetime import timedelta

import pytest

from domain.disputes.chargebacks import refresh_dispute
from tests.faults.outcome import books_differences, feed_values
from tests.support.job_in_progress import TIMEOUT, JobInProgress

DAY = 86_400
FEE = 1500  # of a dispute


async def waiting_refund(work):
    """The only refund at Stripe, which waits."""
    await work.market.settled(TIMEOUT)
    (refund,) = await work.stripe_list("refunds")
    assert (refund["status"], refund["balance_transaction"]) == ("pending", None)
    assert refund["pending_reason"] == "insufficient_funds"
    return refund


async def alerts_of(work, kind):
    return [push for push in work._admin.received("/admin", "alert") if push.data["kind"] == kind]


async def test_a_refund_shortly_after_the_capture_waits_without_an_alert(early):
    """Guard: `keep_waiting` in `refunds._settle_waiting`: with an alert for each of them nobody
    reads those that matter."""
    await early.refund(30_000)
    await waiting_refund(early)
    assert await alerts_of(early, "refund_waits") == []
    (stored,) = (await early.stored_offer()).refunds
    assert (stored.status, (await early.stored_offer()).refundable) == ("requested", 70_000)
    assert await early.platform_and_escrow() == (10_000, 90_000)
    assert await books_differences(early.market, early.server.ports) == []
    await early.sandbox.advance(2 * DAY + 1)
    await early.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 30_000, TIMEOUT
    )
    assert await early.platform_and_escrow() == (7000, 63_000)
    kinds = await feed_values(early.customer, "notification", "kind")
    assert (kinds.count("refund_made"), kinds.count("refund_failed")) == (1, 0)
    assert await alerts_of(early, "refund_waits") == []
    assert await books_differences(early.market, early.server.ports) == []


async def test_a_refund_that_waits_too_long_is_an_alert(early, monkeypatch):
    """Guard: `CheckWaitingRefund`: the platform has paid out the money that the refund needs."""
    monkeypatch.setattr("domain.payments.waiting_refunds.PATIENCE", -timedelta(days=2))
    await early.sandbox.add_balance_entry("stripe_fee", -100_000, "USD")
    await early.refund(30_000)
    told = await early._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "refund_waits", TIMEOUT
    )
    assert told["subject"] == early.offer["payment_id"]
    assert "add funds" in told["message"]
    await early.sandbox.add_funds(150_000)
    await early.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 30_000, TIMEOUT
    )
    assert await early.platform_and_escrow() == (7000, 63_000)


async def test_a_waiting_refund_that_fails_gives_it_back(completed_work):
    """Guard: `give_back` in `refunds._settle_refused`: the contractor keeps what they have earned,
    and the customer can be refunded again."""
    await completed_work.withdraw(70_000)
    await completed_work.refund()
    refund = await waiting_refund(completed_work)
    assert await completed_work.wallet("available", "debt") == (0, -70_000)
    await completed_work.sandbox.fail_refund(refund["id"])
    await completed_work._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    assert await completed_work.wallet("available", "pending", "debt") == (0, 0, 0)
    (stored,) = (await completed_work.stored_offer()).refunds
    assert (stored.status, stored.completed_amount, stored.taken_amount) == ("failed", 100_000, 0)
    ports = completed_work.server.ports
    assert await books_differences(completed_work.market, ports) == []
    await completed_work.sandbox.add_funds(70_000)
    await completed_work.refund()
    assert await completed_work.platform_and_escrow() == (0, 0)
    assert await completed_work.wallet("debt") == (-70_000,)


async def waits(work):
    """The next refund waits at Stripe, until a test says how it ends."""
    await work.sandbox.fault(refund="usd", pending_reason="insufficient_funds", delay=9 * DAY)


async def lost_chargeback(work, amount):
    payment = await work.stored_payment()
    dispute = await work.sandbox.dispute(payment.charge_id, amount)
    await work.sandbox.move_dispute(dispute["id"], "lost")
    return dispute["id"]


@pytest.mark.parametrize("fails", [True, False])
async def test_a_chargeback_is_lost_while_it_waits(completed_work, fails):
    """Guard: `restore_completed` in `give_back`, and `undo_by_chargebacks` in `_settle_made`. A
    failed refund restored more work than there was money for, so its events became dead letters;
    one that was made counted the loss as its own, and what the bank gave back had no owner."""
    work = completed_work
    await waits(work)
    await work.refund(60_000)
    refund = await waiting_refund(work)
    dispute = await lost_chargeback(work, 50_000)
    await work.platform_and_escrow()
    assert (await work.stored_offer()).completed_amount == 40_000
    end = work.sandbox.fail_refund if fails else work.sandbox.settle_refund
    await end(refund["id"])
    assert await work.platform_and_escrow() == ((15_000 if fails else 0) - FEE, 0)
    kept = 50_000 if fails else 0
    assert (await work.stored_offer()).completed_amount == kept
    await work.sandbox.move_dispute(dispute, "won")
    kept = 100_000 if fails else 40_000
    assert await work.platform_and_escrow() == (kept * 3 // 10 - FEE, 0)
    available, pending = await work.wallet("available", "pending")
    assert available + pending == kept * 7 // 10
    assert (await work.stored_offer()).completed_amount == kept


async def test_a_chargeback_is_lost_before_it_is_known(completed_work):
    """Guard: `taken` in `keep_waiting`: the bank has taken what the contractor had earned."""
    work = completed_work
    await waits(work)
    await work.sandbox.hold_events()
    refund = await work.sandbox.refund_in_dashboard((await work.stored_payment()).intent_id, 60_000)
    await refresh_dispute(work.server.ports, await lost_chargeback(work, 100_000))
    await work.sandbox.release_events()
    await waiting_refund(work)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await work.wallet("available", "pending", "debt") == (0, 0, 0)
    await work.sandbox.fail_refund(refund["id"])
    assert await work.platform_and_escrow() == (-FEE, 0)


async def test_work_is_completed_for_which_no_money_is_left(work):
    """Guard: `max` in `Offer.earnable`: a refund that waits and a lost chargeback exceed what was
    paid, and the completed work was below zero."""
    await waits(work)
    refund = await work.sandbox.refund_in_dashboard((await work.stored_payment()).intent_id, 80_000)
    await lost_chargeback(work, 50_000)
    await work.market.settled(TIMEOUT)
    offer = await work.stored_offer()
    assert (offer.net_amount, offer.earnable, offer.refundable) == (50_000, 0, 0)
    await work.complete()
    assert await work.platform_and_escrow() == (5000 - FEE, 45_000)
    await work.sandbox.settle_refund(refund["id"])
    assert await work.platform_and_escrow() == (-FEE, 0)


async def test_fees_funds_and_refund_of_an_asynchronous_capture_are_booked_later(market, server):
    """Guard: `charge_pending` in the sandbox's `refunds._reason_to_wait`, and `charge.updated` for
    a payment that Stripe captures asynchronously; `settle_charge` on it: Stripe's fee is not known
    at the capture."""
    await server.sandbox.settings(
        async_seconds=DAY, fee_bps=290, fee_fixed=30, available_delay_seconds=2 * DAY
    )
    work = JobInProgress(market, server)
    await work.start(payment_method="pm_crypto_usdc")
    assert (await work.stored_payment()).available_on is None
    assert await work.platform_and_escrow() == (10_000, 90_000)
    await work.refund(30_000)
    await work.market.settled(TIMEOUT)
    (refund,) = await work.stripe_list("refunds")
    assert (refund["status"], refund["pending_reason"]) == ("pending", "charge_pending")
    assert await alerts_of(work, "refund_waits") == []
    await server.sandbox.advance(DAY + 1)
    await market.settled(TIMEOUT)
    assert (await work.stored_payment()).available_on is not None
    assert await work.platform_and_escrow() == (10_000 - 2930, 90_000)
    await server.sandbox.advance(2 * DAY + 1)
    await work.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 30_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (7000 - 2930, 63_000)
    assert await books_differences(market, server.ports) == []
