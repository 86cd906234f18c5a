"""Holds that end without a full capture. Since API version 2025-03-31.basil Stripe makes no refund
of the released part, and counts none in the charge."""

from domain import ledger
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from tests.faults.outcome import books_differences
from tests.support.negotiation import TIMEOUT

HELD, TAKEN = 100_000, 60_000


async def test_a_partial_capture_is_refunded_by_what_was_taken(offered):
    """Guard: `amount_refunded` in `stripe_mapping.intent`; compensated by the released part, the
    audit reads a refund of -40,000 before the refund, and of 20,000 after it."""
    negotiation, offer = offered, offered.offer
    intent = await negotiation.stripe_intent(offer)
    await negotiation.sandbox.capture_partly(intent["id"], TAKEN)
    payment = await negotiation.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded", TIMEOUT
    )
    assert (payment["captured_amount"], payment["refunded_amount"]) == (TAKEN, TAKEN)
    await negotiation.market.settled(TIMEOUT)
    kinds = [row.kind for row in await negotiation.market.rows(Transaction)]
    assert kinds == ["captured", "refunded"]
    (refund,) = (await negotiation.sandbox.api("GET", "refunds"))["data"]
    assert (refund["amount"], refund["status"]) == (TAKEN, "succeeded")
    await assert_clean(negotiation)


async def test_a_cancelled_hold_is_no_refund(offered):
    """Guard: `charges.cancel_intent` of the sandbox, and `PaymentStatus.CANCELED`: it reads as that
    of a released hold, not as a refund."""
    negotiation, offer = offered, offered.offer
    await negotiation.contractor.call("/bidding", "reject", {"offer_id": offer["id"]})
    payment = await negotiation.assert_ended_unbooked(offer, "rejected", "canceled")
    assert (payment["captured_amount"], payment["refunded_amount"]) == (0, 0)
    assert (await negotiation.stripe_intent(offer))["cancellation_reason"] is None
    await assert_nothing_refunded(negotiation)


async def test_an_expired_hold_is_no_refund(offered):
    """Guard: `settle_cancellation` for the cancellation reason `expired`."""
    negotiation, offer = offered, offered.offer
    await negotiation.market.settled(TIMEOUT)
    await negotiation.sandbox.advance(7 * 86_400 + 1)
    await negotiation.wait_for_push(negotiation.customer, "offer.expired", offer)
    payment = await negotiation.assert_ended_unbooked(offer, "expired", "canceled")
    assert payment["refunded_amount"] == 0
    assert (await negotiation.stripe_intent(offer))["cancellation_reason"] == "expired"
    assert "charge.expired" in [row["type"] for row in await negotiation.sandbox.events()]
    await assert_nothing_refunded(negotiation)


async def assert_nothing_refunded(negotiation):
    """Neither a refund, nor an event or a notice of one."""
    assert (await negotiation.sandbox.api("GET", "refunds"))["data"] == []
    assert not await negotiation.sandbox.events("charge.refund*")
    (charge,) = (await negotiation.sandbox.api("GET", "charges"))["data"]
    assert not charge["refunded"]
    assert (charge["amount_refunded"], charge["amount_captured"]) == (0, 0)
    (payment,) = await negotiation.market.rows(Payment)
    assert (payment.refunded_amount, payment.captured_amount) == (0, 0)
    notices = {
        push.data["kind"] for push in negotiation.customer.received("/account", "notification")
    }
    assert "refund_made" not in notices
    await assert_clean(negotiation)


async def assert_clean(negotiation):
    assert await books_differences(negotiation.market, negotiation.server.ports) == []
    uow = negotiation.server.store.single()
    assert (await ledger.total_of(uow, "escrow")) == {}
