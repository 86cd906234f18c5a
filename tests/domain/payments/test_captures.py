"""Captures and refunds: one capture in the end, for every response of Stripe."""

import asyncio

import pytest

from domain import ledger
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import WebhookEvent
from tests.support.negotiation import TIMEOUT
from tests.support.parties import Refused

CAPTURES = "/v1/payment_intents/*/capture"
ALL_NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


async def test_a_declined_capture_opens_the_job_again(negotiation):
    """Guard: `await fail_offer(...)` in `processing.settle_failed_capture`; without it the job
    belongs to an offer that has failed, for ever. Guard: `uow.later(Release(payment.id))` after
    it."""
    other = await negotiation.market.contractor("Olga Other")
    await negotiation.market.application(other, negotiation.job)
    spare = await negotiation.market.offer(negotiation.customer, other, negotiation.job, 90_000)
    offer = await negotiation.pending_offer()
    await negotiation.sandbox.fault(path=CAPTURES, status=402)
    assert (await negotiation.accept(offer))["status"] == "accepting"
    for party in (negotiation.customer, negotiation.contractor):
        assert (await negotiation.wait_for_push(party, "offer.failed", offer))["status"] == "failed"
    payment = await negotiation.assert_ended_unbooked(offer, "failed", "failed")
    assert payment["failure"] == "generic_decline"
    assert (bool(payment["failed_at"]), payment["captured_at"]) == (True, None)
    job = await negotiation.customer.call("/job", "get", {"job_id": negotiation.job["id"]})
    assert (job["status"], job["contractor_id"]) == ("open", None)
    await negotiation.market.accept(other, spare)
    job = await negotiation.customer.call("/job", "get", {"job_id": negotiation.job["id"]})
    assert (job["status"], job["contractor_id"]) == ("assigned", other.id)


async def test_a_hold_that_ends_during_the_capture(negotiation):
    """Guard: `await fail_offer(...)` in `processing.settle_cancellation`; without it the job waits
    for a capture that can never happen. Guard: `_alert_capture_failed` in it."""
    admin = await negotiation.market.admin()
    offer = await negotiation.pending_offer()
    # An event of the hold that is still processed would read its end.
    await negotiation.market.settled()
    await negotiation.sandbox.fault(**ALL_NEWS_LOST)
    await negotiation.sandbox.advance(7 * 86_400 + 1)
    await negotiation.accept(offer)
    await negotiation.wait_for_push(negotiation.contractor, "offer.failed", offer)
    await negotiation.assert_ended_unbooked(offer, "failed", "canceled")
    job = await negotiation.customer.call("/job", "get", {"job_id": negotiation.job["id"]})
    assert job["status"] == "open"
    (alert,) = admin.received("/admin", "alert")
    assert (alert.data["kind"], alert.data["subject"]) == ("capture_failed", offer["id"])


UNKNOWN_OUTCOMES = {
    # name: (fault, idempotency keys)
    "500": ({"status": 500}, {"0", "1"}),
    "500-done": ({"status": 500, "when": "after"}, {"0"}),
    "lost": ({"drop": True}, {"0"}),
    "lost-done": ({"drop": True, "when": "after"}, {"0"}),
    "slow": ({"delay": 2}, {"0"}),
    "slow-done": ({"delay": 2, "when": "after"}, {"0"}),
    "409": ({"status": 409, "times": 2}, {"0"}),
    "429": ({"status": 429}, {"0"}),
}


async def test_an_unknown_outcome_is_one_capture_in_the_end(
    impatient_gateway, prompt_retries, negotiation
):
    """Guard: in `CapturePayment.run` the key rises only after `gateway.intent` says
    `requires_capture`; with a new key after every failure, the offer fails at Stripe's refusal to
    capture again. Guard: `GatewayUnknown` for no answer, 409, 429 and 5xx in the gateway; a refusal
    fails it."""
    await negotiation.sandbox.fault(**ALL_NEWS_LOST | {"times": 1000})
    offers = {}
    for name, (fault, _) in UNKNOWN_OUTCOMES.items():
        if offers:
            await negotiation.add_job()
        offers[name] = await negotiation.pending_offer()
        intent = await negotiation.stripe_intent(offers[name])
        await negotiation.sandbox.fault(path=f"/v1/payment_intents/{intent['id']}/capture", **fault)
    await asyncio.gather(*(negotiation.accept(offer) for offer in offers.values()))
    for offer in offers.values():
        for party in (negotiation.customer, negotiation.contractor):
            await negotiation.wait_for_push(party, "offer.accepted", offer)
    await negotiation.market.settled(TIMEOUT)
    requests = await negotiation.sandbox.requests()
    for name, (_, keys) in UNKNOWN_OUTCOMES.items():
        intent = await negotiation.stripe_intent(offers[name])
        assert intent["amount_received"] == 100_000, name
        path = f"/v1/payment_intents/{intent['id']}"
        calls = [
            call
            for call in requests
            if call["path"] == f"{path}/capture" or (call["method"], call["path"]) == ("GET", path)
        ]
        captures = [call for call in calls if is_capture(call)]
        assert {c["idempotency_key"].rpartition(":")[2] for c in captures} == keys, name
        for place, call in enumerate(calls):
            if is_capture(call) and call["idempotency_key"].endswith(":1"):
                assert not is_capture(calls[place - 1]), f"{name}: read again before the next key"
    charges = (await negotiation.sandbox.api("GET", "charges"))["data"]
    assert [charge["amount_captured"] for charge in charges] == [100_000] * len(offers)
    uow = negotiation.server.store.single()
    assert await ledger.balance_of(uow, ledger.STRIPE) == {"USD": -100_000 * len(offers)}
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 10_000 * len(offers)}
    assert (await audit(negotiation.server.ports)).differences == []


def is_capture(call):
    return call["path"].endswith("/capture")


async def test_stripes_fee_is_a_cost_of_the_platform(negotiation):
    """Guard: `await book_stripe_fee(...)` in `processing.settle_capture`; without it the platform's
    balance includes money that Stripe has deducted."""
    await negotiation.sandbox.settings(fee_bps=290, fee_fixed=30)
    await negotiation.market.accept(negotiation.contractor, await negotiation.pending_offer())
    await negotiation.market.settled()
    uow = negotiation.server.store.single()
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 10_000 - 2_930}
    assert await ledger.balance_of(uow, ledger.STRIPE_FEES) == {"USD": 2_930}
    balance = await negotiation.sandbox.api("GET", "balance")
    assert balance["available"][0]["amount"] == 90_000 + 10_000 - 2_930
    assert (await audit(negotiation.server.ports)).differences == []


# -- a cancelled job -----------------------------------------------------------------------------


async def test_cancelling_an_assigned_job_refunds_everything(negotiation):
    """Guard: `request_refund(...)` in `fulfillment.work.cancel`. Guard: the platform's delta in
    `allocation.rebook`; without it escrow cannot pay the fee back."""
    offer = await negotiation.pending_offer()
    await negotiation.market.accept(negotiation.contractor, offer)
    negotiation.customer.clear_pushes()
    await negotiation.customer.call("/job", "cancel", {"job_id": negotiation.job["id"]})
    await negotiation.contractor.push(
        "/job", "job.updated", lambda job: job["status"] == "cancelled"
    )
    payment = await negotiation.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded"
    )
    assert (payment["captured_amount"], payment["refunded_amount"]) == (100_000, 100_000)
    await negotiation.market.settled()
    uow = negotiation.server.store.single()
    assert await ledger.balance_of(uow, ledger.STRIPE) == {"USD": 0}
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 0}
    assert await ledger.total_of(uow, "escrow") == {}
    refunds = (await negotiation.sandbox.api("GET", "refunds"))["data"]
    assert [refund["amount"] for refund in refunds] == [100_000]
    assert (await audit(negotiation.server.ports)).differences == []
    with pytest.raises(Refused) as refused:
        await negotiation.customer.call("/job", "cancel", {"job_id": negotiation.job["id"]})
    assert refused.value.code == "job_not_open"


async def test_a_refund_whose_answer_is_lost_is_sent_once(prompt_retries, negotiation):
    """Guard: `find_refund` in `SendRefund.run`; a new key alone refunds twice."""
    market, sandbox = negotiation.market, negotiation.sandbox
    admin, offer = await market.admin(), await negotiation.pending_offer()
    await market.accept(negotiation.contractor, offer)
    sent = []
    for when, amount in (("before", 30_000), ("after", 20_000)):
        await market.settled(TIMEOUT)
        await sandbox.fault(path="/v1/refunds", method="POST", status=500, when=when)
        await sandbox.hold_events()  # an event would tell what became of the refund
        fields = {"payment_id": offer["payment_id"], "amount": amount, "reason": "Goodwill"}
        await admin.call("/admin", "refund", fields)
        sent.append(amount)
        total = sum(sent)
        await negotiation.customer.push(
            "/payment",
            "payment.updated",
            lambda p, total=total: p["refunded_amount"] == total,
            TIMEOUT,
        )
        await sandbox.release_events()
        await market.settled(TIMEOUT)
        refunds = (await sandbox.api("GET", "refunds"))["data"]
        assert [refund["amount"] for refund in refunds] == sent[::-1], when
    assert await sandbox.faults() == []
    assert (await audit(negotiation.server.ports)).differences == []


async def test_a_job_in_progress_cannot_be_cancelled(negotiation):
    """Guard: `raise DisputeRequired` in `fulfillment.work.cancel`; without it the error is
    `job_not_open`, which does not say what to do."""
    await negotiation.market.accept(negotiation.contractor, await negotiation.pending_offer())
    await negotiation.market.start(negotiation.contractor, negotiation.job)
    before = await negotiation.market.traces()
    with pytest.raises(Refused) as refused:
        await negotiation.customer.call("/job", "cancel", {"job_id": negotiation.job["id"]})
    assert refused.value.code == "dispute_required"
    assert await negotiation.market.traces() == before


async def test_money_for_a_closed_offer_is_booked_and_refunded(prompt_retries, negotiation):
    """Guard: `refund_unaccepted(uow, offer.id)` in `processing.settle_capture`; without it the
    platform keeps money that belongs to no offer."""
    offer = await negotiation.pending_offer()
    payment = (await negotiation.market.rows(Payment))[0]
    await negotiation.sandbox.fault(path="/v1/payment_intents/*/cancel", status=500, times=2)
    await negotiation.customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
    await negotiation.sandbox.api("POST", f"payment_intents/{payment.intent_id}/capture")
    await negotiation.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded", TIMEOUT
    )
    await negotiation.market.settled(TIMEOUT)
    assert [row.kind for row in await negotiation.market.rows(Transaction)] == [
        "captured",
        "refunded",
    ]
    assert (await negotiation.market.rows(Payment))[0].status == "refunded"
    assert await ledger.total_of(negotiation.server.store.single(), "escrow") == {}
    assert (await audit(negotiation.server.ports)).differences == []
    assert all(event.status == "done" for event in await negotiation.market.rows(WebhookEvent))
