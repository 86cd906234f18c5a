"""Stripe's responses are lost, repeated or contradictory: one effect at Stripe in the end."""

import msgspec
import pytest

from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.jobs.job import Job
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from tests.domain.payments.test_payments import SECURE
from tests.faults.outcome import feed_values, until
from tests.support.negotiation import TIMEOUT
from tests.support.parties import Refused

CAPTURES = "/v1/payment_intents/*/capture"
NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


async def captured_once(negotiation, offer, amount=100_000):
    await negotiation.wait_for_push(negotiation.contractor, "offer.accepted", offer)
    await negotiation.market.settled(TIMEOUT)
    charges = (await negotiation.sandbox.api("GET", "charges"))["data"]
    assert [charge["amount_captured"] for charge in charges] == [amount]
    for party in (negotiation.customer, negotiation.contractor):
        assert await feed_values(party, "offer.accepted") == [offer["id"]]
    kinds = [row.kind for row in await negotiation.market.rows(Transaction)]
    assert kinds == ["captured", "accepted"]
    assert (await audit(negotiation.server.ports)).differences == []


@pytest.mark.usefixtures("prompt_retries")
async def test_time_out_with_the_effect_done(impatient_gateway, offered):
    """Guard: `CapturePayment.run` repeats the request under the same key; Stripe replays its
    result."""
    negotiation, offer = offered, offered.offer
    await negotiation.sandbox.fault(**NEWS_LOST)
    await negotiation.sandbox.fault(path=CAPTURES, method="POST", when="after", delay=1.5)
    await negotiation.accept(offer)
    await captured_once(negotiation, offer)


@pytest.mark.usefixtures("prompt_retries")
async def test_time_out_without_the_effect(impatient_gateway, offered):
    """Guard: the relay repeats a task after `GatewayUnknown`, and no failure is booked."""
    negotiation, offer = offered, offered.offer
    await negotiation.sandbox.fault(**NEWS_LOST)
    await negotiation.sandbox.fault(path=CAPTURES, method="POST", when="before", drop=True, times=2)
    await negotiation.accept(offer)
    await captured_once(negotiation, offer)


ANSWERS_LOST = {"path": "/v1/payment_intents", "method": "POST", "when": "after", "drop": True}


@pytest.mark.usefixtures("prompt_retries")
async def test_same_key_with_another_amount_after_the_effect(negotiation):
    """Guard: `find` in `HoldPayment._hold` before it uses the next key, and `captured_amount` in
    `processing.settle_capture`: what Stripe holds for a used key is not held twice, and is refunded
    if it has another amount."""
    offer = await repaired(negotiation, 90_000)
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", offer)
    await negotiation.accept(offer)
    await negotiation.wait_for_push(negotiation.contractor, "offer.failed", offer)
    await negotiation.market.settled(TIMEOUT)
    [intent] = (await negotiation.sandbox.api("GET", "payment_intents"))["data"]
    assert (intent["amount_received"], intent["status"]) == (100_000, "succeeded")
    [refund] = (await negotiation.sandbox.api("GET", "refunds"))["data"]
    assert refund["amount"] == 100_000
    kinds = [row.kind for row in await negotiation.market.rows(Transaction)]
    assert kinds == ["captured", "refunded"]
    assert (await negotiation.market.rows(Payment))[0].status == "refunded"
    assert (await negotiation.market.rows(Job))[0].status == "open"
    for party in (negotiation.customer, negotiation.contractor):
        assert await feed_values(party, "offer.failed") == [offer["id"]]
        assert await feed_values(party, "offer.accepted") == []
    assert (await audit(negotiation.server.ports)).differences == []


@pytest.mark.usefixtures("prompt_retries")
async def test_same_key_with_another_amount_without_the_effect(negotiation):
    """Guard: `spent` in the gateway's `_problem`; as an unknown outcome it would be repeated under
    a key that Stripe always refuses, and the offer would wait for a day."""
    failure = {**ANSWERS_LOST, "when": "before", "status": 500}  # Stripe stores it under the key
    await negotiation.sandbox.fault(**failure)
    offer = await repaired(negotiation, 90_000)
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", offer)
    await negotiation.accept(offer)
    await captured_once(negotiation, offer, 90_000)
    [intent] = (await negotiation.sandbox.api("GET", "payment_intents"))["data"]
    assert intent["amount_received"] == 90_000


async def repaired(negotiation, amount):
    """An offer whose amount is corrected in the database while the responses to its hold are lost,
    until Stripe has refused another amount under the same key."""
    await negotiation.sandbox.fault(**NEWS_LOST)
    await negotiation.sandbox.fault(**ANSWERS_LOST, times=1000)
    offer = (await negotiation.create_offer())["offer"]
    uow = negotiation.server.store.single()
    [part] = (await uow.get(Offer, offer["id"])).milestones
    parts = (msgspec.structs.replace(part, amount=amount),)
    await uow.change(Offer, offer["id"], amount=amount, milestones=parts)
    await uow.change(Payment, offer["payment_id"], amount=amount)

    async def refusals():
        key = f"hold:{offer['payment_id']}:0"
        entries = await negotiation.sandbox.requests()
        return [e for e in entries if (e["idempotency_key"], e["status"]) == (key, 400)]

    [refusal] = await until(refusals)
    assert refusal["response"]["error"]["type"] == "idempotency_error"
    await negotiation.sandbox.clear_faults()
    await negotiation.sandbox.fault(**NEWS_LOST)
    return offer


async def test_hold_expired_at_accept(offered):
    """Guard: `fail_offer` in `processing.settle_cancellation`: the offer fails and the job is open
    again."""
    negotiation, offer = offered, offered.offer
    # An event of the hold that is still processed would read its end.
    await negotiation.market.settled()
    await negotiation.sandbox.fault(**NEWS_LOST)
    await negotiation.sandbox.advance(7 * 86_400 + 1)
    await negotiation.accept(offer)
    await negotiation.wait_for_push(negotiation.contractor, "offer.failed", offer)
    await negotiation.assert_ended_unbooked(offer, "failed", "canceled")
    job = await negotiation.customer.call("/job", "get", {"job_id": negotiation.job["id"]})
    assert job["status"] == "open"


async def test_already_captured(offered):
    """Guard: `CapturePayment.run` reads the payment after a refusal; it was captured in Stripe's
    dashboard, and the acceptance is booked on that capture."""
    negotiation, offer = offered, offered.offer
    intent = (await negotiation.stripe_intent(offer))["id"]
    await negotiation.sandbox.fault(**NEWS_LOST)
    await negotiation.sandbox.api("POST", f"payment_intents/{intent}/capture")
    await negotiation.accept(offer)
    await captured_once(negotiation, offer)


async def test_captured_by_hand_before_the_answer(offered):
    """Guard: a pending offer stays open when its payment is captured; without `accept_captured` its
    acceptance waits for a capture that has happened already."""
    negotiation, offer = offered, offered.offer
    intent = (await negotiation.stripe_intent(offer))["id"]
    await negotiation.sandbox.api("POST", f"payment_intents/{intent}/capture")
    await negotiation.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "captured", TIMEOUT
    )
    await negotiation.accept(offer)
    await captured_once(negotiation, offer)


@pytest.mark.usefixtures("prompt_jobs")
async def test_3d_secure_abandoned(negotiation):
    """Guard: `expire_due` also closes offers that wait for their payment, and cancels it at Stripe;
    without it the payment can be confirmed a week later."""
    answer = await negotiation.create_offer(SECURE, expires_in_hours=1)
    offer = answer["offer"]
    await negotiation.assert_hidden_from_contractor(offer)
    past = negotiation.server.ports.clock.now()
    await negotiation.server.store.single().change(Offer, offer["id"], expires_at=past)
    await negotiation.wait_for_push(negotiation.customer, "offer.expired", offer)
    await negotiation.assert_ended_unbooked(offer, "expired", "canceled")
    await negotiation.assert_hidden_from_contractor(offer)


async def test_partial_capture_from_stripes_dashboard(offered):
    """Guard: `intent.captured_amount != offer.amount` in `processing.settle_capture`; without it
    the contractor accepts a job that is not fully paid."""
    negotiation, offer = offered, offered.offer
    await negotiation.sandbox.capture_partly((await negotiation.stripe_intent(offer))["id"], 60_000)
    await negotiation.wait_for_push(negotiation.contractor, "offer.expired", offer)
    await negotiation.market.settled(TIMEOUT)
    refunds = (await negotiation.sandbox.api("GET", "refunds"))["data"]
    assert [refund["amount"] for refund in refunds if refund["balance_transaction"]] == [60_000]
    assert (await negotiation.market.rows(Payment))[0].status == "refunded"
    assert (await audit(negotiation.server.ports)).differences == []
    with pytest.raises(Refused) as refused:
        await negotiation.accept(offer)
    assert refused.value.code == "offer_not_pending"
