"""Answers that never come, come twice or say something else: one effect at Stripe in the end."""

import pytest

from domain.audit import audit
from domain.deal import Offer, Payment
from domain.ledger import Transaction
from domain.ports import GatewayRefused, GatewayUnknown
from tests.parties import Refused
from tests.scenes import PATIENCE
from tests.test_payments import SECURE

CAPTURES = "/v1/payment_intents/*/capture"
NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


async def captured_once(scene, offer):
    await scene.told(scene.contractor, "offer.accepted", offer)
    await scene.market.settled(PATIENCE)
    charges = (await scene.sandbox.api("GET", "charges"))["data"]
    assert [charge["amount_captured"] for charge in charges] == [100_000]
    kinds = [row.kind for row in await scene.market.rows(Transaction)]
    assert kinds == ["captured", "accepted"]
    assert (await audit(scene.server.ports)).differences == []


async def test_time_out_with_the_effect_done(impatient, scene):
    """Guard: the same key is used again in `Capture.run`; Stripe then tells what it has done."""
    offer = await scene.pending()
    await scene.sandbox.fault(**NEWS_LOST)
    await scene.sandbox.fault(path=CAPTURES, method="POST", when="after", delay=3)
    await scene.accepts(offer)
    await captured_once(scene, offer)


async def test_time_out_without_the_effect(impatient, scene):
    """Guard: `GatewayUnknown` is asked again by the relay, and no failure is booked."""
    offer = await scene.pending()
    await scene.sandbox.fault(**NEWS_LOST)
    await scene.sandbox.fault(path=CAPTURES, method="POST", when="before", drop=True, times=2)
    await scene.accepts(offer)
    await captured_once(scene, offer)


async def test_same_key_with_another_amount(scene):
    """Guard: `IdempotencyError` is an open outcome in the gateway: under a key that Stripe knows
    with other parameters something may have happened, so it is never taken for a refusal."""
    offer = await scene.pending()
    await scene.market.accept(scene.contractor, offer)
    payment = (await scene.market.rows(Payment))[0]
    gateway = scene.server.ports.gateway
    first = await gateway.refund(payment.intent_id, 1000, key="test:1", metadata={})
    assert first.amount == 1000
    with pytest.raises(GatewayUnknown) as unknown:
        await gateway.refund(payment.intent_id, 2000, key="test:1", metadata={})
    assert not isinstance(unknown.value, GatewayRefused)
    refunds = (await scene.sandbox.api("GET", "refunds"))["data"]
    assert [refund["amount"] for refund in refunds] == [1000]


async def test_hold_expired_at_accept(scene):
    """Guard: `give_up` in `settlement.hold_ended`: the offer fails and the job is open again."""
    offer = await scene.pending()
    await scene.market.settled()  # news of the hold that is still read would find its end
    await scene.sandbox.fault(**NEWS_LOST)
    await scene.sandbox.advance(7 * 86_400 + 1)
    await scene.accepts(offer)
    await scene.told(scene.contractor, "offer.failed", offer)
    await scene.ended(offer, "failed", "canceled")
    job = await scene.customer.call("/job", "get", {"job_id": scene.job["id"]})
    assert job["status"] == "open"


async def test_already_captured(scene):
    """Guard: `Capture.run` reads the payment after a refusal; somebody has captured it by hand,
    and the acceptance that follows is booked on that."""
    offer = await scene.pending()
    intent = (await scene.intent(offer))["id"]
    await scene.sandbox.fault(**NEWS_LOST)
    await scene.sandbox.api("POST", f"payment_intents/{intent}/capture")
    await scene.accepts(offer)
    await captured_once(scene, offer)


async def test_captured_by_hand_before_the_answer(scene):
    """Guard: a standing offer whose money is captured goes on standing; without `accept_paid` its
    acceptance waits for a capture that has been."""
    offer = await scene.pending()
    intent = (await scene.intent(offer))["id"]
    await scene.sandbox.api("POST", f"payment_intents/{intent}/capture")
    await scene.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "captured", PATIENCE
    )
    await scene.accepts(offer)
    await captured_once(scene, offer)


async def test_3d_secure_abandoned(scene):
    """Guard: `expire_due` also ends offers that wait for their payment, and cancels it at Stripe;
    without it somebody may confirm it a week later."""
    answer = await scene.offers(SECURE, expires_in_hours=1)
    offer = answer["offer"]
    await scene.unseen(offer)
    past = scene.server.ports.clock.now()
    await scene.server.store.single().change(Offer, offer["id"], expires_at=past)
    await scene.told(scene.customer, "offer.expired", offer)
    await scene.ended(offer, "expired", "canceled")
    await scene.unseen(offer)


async def test_partial_capture_from_stripes_dashboard(scene):
    """Guard: `intent.captured_amount != offer.amount` in `settlement.captured`; without it the
    contractor accepts a job whose money is not all there."""
    offer = await scene.pending()
    await scene.sandbox.capture_partly((await scene.intent(offer))["id"], 60_000)
    await scene.told(scene.contractor, "offer.expired", offer)
    await scene.market.settled(PATIENCE)
    refunds = (await scene.sandbox.api("GET", "refunds"))["data"]
    assert [refund["amount"] for refund in refunds if refund["balance_transaction"]] == [60_000]
    assert (await scene.market.rows(Payment))[0].status == "refunded"
    assert (await audit(scene.server.ports)).differences == []
    with pytest.raises(Refused) as refused:
        await scene.accepts(offer)
    assert refused.value.code == "offer_not_pending"
