"""Answers that never come, come twice or say something else: one effect at Stripe in the end."""

import msgspec
import pytest

from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.jobs.job import Job
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from tests.domain.payments.test_payments import SECURE
from tests.faults.outcome import told, until
from tests.support.offer_scene import PATIENCE
from tests.support.parties import Refused

CAPTURES = "/v1/payment_intents/*/capture"
NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


async def captured_once(scene, offer, amount=100_000):
    await scene.told(scene.contractor, "offer.accepted", offer)
    await scene.market.settled(PATIENCE)
    charges = (await scene.sandbox.api("GET", "charges"))["data"]
    assert [charge["amount_captured"] for charge in charges] == [amount]
    for party in (scene.customer, scene.contractor):
        assert await told(party, "offer.accepted") == [offer["id"]]
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


ANSWERS_LOST = {"path": "/v1/payment_intents", "method": "POST", "when": "after", "drop": True}


async def test_same_key_with_another_amount_after_the_effect(scene):
    """Guard: the look in `Hold.run` before it takes the next key, and `captured_amount` in
    `processing.captured`: what Stripe holds for a key that is spent is not held twice, and is given
    back when it turns out to be another amount."""
    offer = await repaired(scene, 90_000)
    await scene.told(scene.contractor, "offer.created", offer)
    await scene.accepts(offer)
    await scene.told(scene.contractor, "offer.failed", offer)
    await scene.market.settled(PATIENCE)
    [intent] = (await scene.sandbox.api("GET", "payment_intents"))["data"]
    assert (intent["amount_received"], intent["status"]) == (100_000, "succeeded")
    [refund] = (await scene.sandbox.api("GET", "refunds"))["data"]
    assert refund["amount"] == 100_000
    kinds = [row.kind for row in await scene.market.rows(Transaction)]
    assert kinds == ["captured", "refunded"]
    assert (await scene.market.rows(Payment))[0].status == "refunded"
    assert (await scene.market.rows(Job))[0].status == "open"
    for party in (scene.customer, scene.contractor):
        assert await told(party, "offer.failed") == [offer["id"]]
        assert await told(party, "offer.accepted") == []
    assert (await audit(scene.server.ports)).differences == []


async def test_same_key_with_another_amount_without_the_effect(scene):
    """Guard: `spent` in the gateway's `_problem`; if that were an open outcome, the hold would be
    asked for under a key that answers nothing any more, and the offer would wait for a day."""
    failure = {**ANSWERS_LOST, "when": "before", "status": 500}  # and Stripe keeps it for the key
    await scene.sandbox.fault(**failure)
    offer = await repaired(scene, 90_000)
    await scene.told(scene.contractor, "offer.created", offer)
    await scene.accepts(offer)
    await captured_once(scene, offer, 90_000)
    [intent] = (await scene.sandbox.api("GET", "payment_intents"))["data"]
    assert intent["amount_received"] == 90_000


async def repaired(scene, amount):
    """An offer whose amount is set right in the database while its hold is asked for and nothing is
    heard of it, until Stripe has refused to take another amount under the same key."""
    await scene.sandbox.fault(**NEWS_LOST)
    await scene.sandbox.fault(**ANSWERS_LOST, times=1000)
    offer = (await scene.offers())["offer"]
    uow = scene.server.store.single()
    [part] = (await uow.get(Offer, offer["id"])).milestones
    parts = (msgspec.structs.replace(part, amount=amount),)
    await uow.change(Offer, offer["id"], amount=amount, milestones=parts)
    await uow.change(Payment, offer["payment_id"], amount=amount)

    async def refusals():
        key = f"hold:{offer['payment_id']}:0"
        entries = await scene.sandbox.requests()
        return [e for e in entries if (e["idempotency_key"], e["status"]) == (key, 400)]

    [refusal] = await until(refusals)
    assert refusal["response"]["error"]["type"] == "idempotency_error"
    await scene.sandbox.clear_faults()
    await scene.sandbox.fault(**NEWS_LOST)
    return offer


async def test_hold_expired_at_accept(scene):
    """Guard: `give_up` in `processing.hold_ended`: the offer fails and the job is open again."""
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
    """Guard: `intent.captured_amount != offer.amount` in `processing.captured`; without it the
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
