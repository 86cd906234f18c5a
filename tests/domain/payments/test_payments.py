"""Holds and their release: the contractor sees an offer only after its money is held."""

from datetime import timedelta

import msgspec
import pytest

from domain.bidding import offers
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.errors import JobTaken
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from tests.support.databases import needs
from tests.support.negotiation import TIMEOUT
from tests.support.parties import Refused

SECURE = "pm_card_threeDSecure2Required"
ALL_NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


# -- before the contractor sees anything ---------------------------------------------------------


DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
}


@needs("freed keys")
async def test_a_declined_card_fails_the_offer(negotiation):
    """Guard: `await declined(...)` in `processing.settle_payment`; without it the offer waits for
    ever. Guard: `uow.later(Release(payment.id))` in `settle_decline`; without it the client secret
    can still pay for an offer that has failed."""
    for card, reason in DECLINES.items():
        answer = await negotiation.create_offer(card)
        assert answer["offer"]["status"] == "failed", card
        assert answer["payment"]["status"] == "failed", card
        assert answer["payment"]["failure"] == reason, card
        await negotiation.assert_ended_unbooked(answer["offer"], "failed", "failed")
        await negotiation.assert_hidden_from_contractor(answer["offer"])
    assert (await negotiation.create_offer())["offer"]["status"] in ("awaiting_payment", "pending")


async def test_an_unknown_payment_method_fails_the_offer(negotiation):
    """Guard: `HoldPayment._refused`; without it the task becomes a dead letter and the offer stays
    open."""
    answer = await negotiation.create_offer("pm_nobody")
    assert (answer["offer"]["status"], answer["payment"]["status"]) == ("failed", "failed")
    await negotiation.market.settled()
    await negotiation.assert_hidden_from_contractor(answer["offer"])
    assert await negotiation.market.rows(Transaction) == []


@pytest.mark.parametrize("told_by", ["confirm", "webhook"])
async def test_an_offer_behind_3d_secure_is_seen_once_it_is_paid(negotiation, told_by):
    """Guard: `visible` is set in `processing.settle_hold` alone; with `visible=True` from the start
    the contractor sees an offer without money. Guard: `uow.later(ReadPayment(...))` in
    `payments.confirm`; without it only a webhook reports the payment."""
    if told_by == "confirm":
        await negotiation.sandbox.fault(**ALL_NEWS_LOST)
    answer = await negotiation.create_offer(SECURE)
    offer, sheet = answer["offer"], answer["payment"]
    assert (offer["status"], sheet["status"]) == ("awaiting_payment", "requires_payment")
    assert sheet["redirect_url"] and sheet["client_secret"]
    await negotiation.assert_hidden_from_contractor(offer)
    early = await negotiation.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (early["status"], early["redirect_url"]) == ("requires_payment", sheet["redirect_url"])
    await negotiation.assert_hidden_from_contractor(offer)
    await negotiation.sandbox.answer_challenge(sheet["redirect_url"])
    if told_by == "confirm":
        done = await negotiation.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
        assert (done["status"], done["redirect_url"]) == ("authorized", None)
    seen = await negotiation.wait_for_push(negotiation.contractor, "offer.created", offer)
    assert seen["status"] == "pending"
    await negotiation.market.accept(negotiation.contractor, offer)


async def test_failed_authentication_fails_the_offer(negotiation):
    """Guard: `intent.failure and payment.payment_method` in `processing.settle_payment`; without it
    the offer waits for a card that the bank has refused."""
    answer = await negotiation.create_offer(SECURE)
    await negotiation.sandbox.answer_challenge(answer["payment"]["redirect_url"], passed=False)
    await negotiation.wait_for_push(negotiation.customer, "offer.failed", answer["offer"])
    payment = await negotiation.assert_ended_unbooked(answer["offer"], "failed", "failed")
    assert payment["failure"] == "payment_intent_authentication_failure"
    await negotiation.assert_hidden_from_contractor(answer["offer"])


async def test_the_client_confirms_the_payment(negotiation):
    """Guard: `and payment.payment_method` in `processing.settle_payment`; without it a first card
    that is declined ends the offer, although Stripe.js lets the customer try another."""
    answer = await negotiation.create_offer(payment_method=None)
    sheet = answer["payment"]
    assert (sheet["status"], sheet["redirect_url"]) == ("requires_payment", None)
    assert await _stripe_js(negotiation, sheet, "pm_card_chargeDeclined") == 402
    await negotiation.market.settled()
    again = await negotiation.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (again["status"], again["failure"]) == ("requires_payment", "generic_decline")
    await negotiation.assert_hidden_from_contractor(answer["offer"])
    assert await _stripe_js(negotiation, sheet, "pm_card_visa") == 200
    paid = await negotiation.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (paid["status"], paid["failure"]) == ("authorized", None)
    assert (
        await negotiation.wait_for_push(negotiation.contractor, "offer.created", answer["offer"])
    )["amount"] == 100_000


async def _stripe_js(negotiation, sheet, card):
    """Confirm as a browser does, with the publishable key and the client secret; returns the
    status."""
    intent = sheet["client_secret"].partition("_secret_")[0]
    async with negotiation.market.web.post(
        f"{negotiation.sandbox.base}/v1/payment_intents/{intent}/confirm",
        headers={"Authorization": f"Bearer {negotiation.market.settings.stripe_publishable_key}"},
        data={
            "client_secret": sheet["client_secret"],
            "payment_method": card,
            "return_url": negotiation.server.url,
        },
    ) as response:
        return response.status


@pytest.mark.usefixtures("prompt_retries")
async def test_a_late_hold_is_released_unseen(negotiation):
    """Guard: `visible=offer.status is OfferStatus.AWAITING_PAYMENT` in `processing.settle_hold`;
    with True, the contractor is pushed the payment of an offer that was withdrawn before they could
    see it."""
    answer = await negotiation.create_offer(SECURE)
    await negotiation.sandbox.fault(path="/v1/payment_intents/*/cancel", status=409, times=2)
    await negotiation.customer.call("/bidding", "withdraw", {"offer_id": answer["offer"]["id"]})
    await negotiation.sandbox.answer_challenge(answer["payment"]["redirect_url"])
    await negotiation.assert_ended_unbooked(answer["offer"], "withdrawn", "canceled")
    await negotiation.assert_hidden_from_contractor(answer["offer"])


@pytest.mark.usefixtures("prompt_retries")
async def test_a_webhook_before_the_response_finds_the_payment(negotiation):
    """Guard: `if payment is None and event.payment_id` in `inbox.ProcessEvent`; without it the
    event is ignored, and a hold whose response was lost is never found."""
    await negotiation.sandbox.fault(
        path="/v1/payment_intents", method="POST", when="after", drop=True, times=50
    )
    answer = await negotiation.create_offer()
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", answer["offer"])
    await negotiation.market.settled(TIMEOUT)
    intents = (await negotiation.sandbox.api("GET", "payment_intents"))["data"]
    assert [intent["status"] for intent in intents] == ["requires_capture"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_hold_that_is_answered_with_500(prompt_retries, negotiation, when):
    """Guard: `next_key` in `HoldPayment._hold`; without a new key Stripe replays its 500 for a day.
    Guard: `find` there looks for the payment before the new key is used; without it the card is
    held twice."""
    await negotiation.sandbox.fault(
        path="/v1/payment_intents", method="POST", status=500, when=when
    )
    await negotiation.sandbox.fault(**ALL_NEWS_LOST)
    answer = await negotiation.create_offer()
    offer = await negotiation.wait_for_push(
        negotiation.contractor, "offer.created", answer["offer"]
    )
    await negotiation.market.settled(TIMEOUT)
    intents = (await negotiation.sandbox.api("GET", "payment_intents"))["data"]
    assert [intent["status"] for intent in intents] == ["requires_capture"]
    await negotiation.market.accept(negotiation.contractor, offer)
    assert (await audit(negotiation.server.ports)).differences == []


# -- the end of an offer -------------------------------------------------------------------------


async def test_an_expired_hold_ends_the_offer(negotiation):
    """Guard: `await settle_cancellation(...)` in `processing.settle_payment`; without it the
    contractor can accept an offer without money."""
    offer = await negotiation.pending_offer()
    await negotiation.sandbox.advance(7 * 86_400 + 1)
    for party in (negotiation.customer, negotiation.contractor):
        assert (await negotiation.wait_for_push(party, "offer.expired", offer))[
            "status"
        ] == "expired"
    await negotiation.assert_ended_unbooked(offer, "expired", "canceled")
    with pytest.raises(Refused) as refused:
        await negotiation.accept(offer)
    assert refused.value.code == "offer_not_pending"


async def test_an_offer_never_outlives_its_hold(negotiation):
    """Guard: `min(ends, intent.capture_before - HOLD_MARGIN)` in `processing.settle_hold`; without
    it the offer is still open when its hold has expired."""
    await negotiation.sandbox.settings(hold_seconds=7200)
    offer = await negotiation.pending_offer()
    payment = (await negotiation.market.rows(Payment))[0]
    held = await negotiation.server.store.single().get(Offer, offer["id"])
    assert 3590 < (payment.capture_before - held.expires_at).total_seconds() <= 3600


async def test_an_expired_offer_cannot_be_accepted_and_ends(negotiation, monkeypatch):
    """Guard: `if offer.expires_at <= uow.now` in `offers.accept`; without it the seconds until the
    scheduler comes by are a gift. Guard: `expire_due` closes with `close_offer`, which releases;
    with `move_offer` alone the customer's money stays held for a week. And `first_readable` in it,
    and its second round: neither a damaged offer nor one that cannot be closed stops the others."""
    offer = await negotiation.pending_offer()
    await negotiation.server.web.scheduler.stop()
    store = negotiation.server.store.single()
    await store.change(Offer, offer["id"], expires_at=store.now)
    before = await negotiation.market.traces()
    with pytest.raises(Refused) as refused:
        await negotiation.accept(offer)
    assert refused.value.code == "offer_expired"
    assert await negotiation.market.traces() == before

    close = offers.close_offer

    async def close_others(uow, found, *how, **fields):
        if found.id == "ofr_stuck":
            raise JobTaken
        return await close(uow, found, *how, **fields)

    earlier = store.now - timedelta(minutes=1)
    stuck = msgspec.structs.replace(
        await store.get(Offer, offer["id"]), id="ofr_stuck", live=False, expires_at=earlier
    )
    await store.add(stuck)
    damaged = {"_id": "ofr_damaged", "status": "pending", "expires_at": earlier}
    await store.put(Offer, [damaged])
    with monkeypatch.context() as patched, pytest.raises(JobTaken):
        patched.setattr(offers, "close_offer", close_others)
        await offers.expire_due(negotiation.server.ports)
    await store.remove(Offer, {"_id": (stuck.id, damaged["_id"])})
    assert await offers.expire_due(negotiation.server.ports) == 0
    for party in (negotiation.customer, negotiation.contractor):
        await negotiation.wait_for_push(party, "offer.expired", offer)
    await negotiation.assert_ended_unbooked(offer, "expired", "canceled")


@pytest.mark.usefixtures("prompt_jobs")
async def test_the_scheduler_expires_offers(negotiation):
    """Guard: `Job("expire offers", ...)` in the scheduler's list."""
    offer = await negotiation.pending_offer()
    store = negotiation.server.store.single()
    await store.change(Offer, offer["id"], expires_at=store.now)
    await negotiation.wait_for_push(negotiation.contractor, "offer.expired", offer)
    await negotiation.assert_ended_unbooked(offer, "expired", "canceled")


async def test_only_the_customer_receives_the_client_secret(market, server):
    """Guard: `own` in `payments.operations.payment_sheet`; without it a contractor or admin could
    pay with the client secret."""
    customer, contractor = await market.customer(), await market.contractor()
    admin = await market.admin()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    fields = {"payment_id": offer["payment_id"]}
    assert (await customer.call("/payment", "confirm", fields))["client_secret"]
    for other in (contractor, admin):
        answer = await other.call("/payment", "confirm", fields)
        assert (answer["status"], answer["client_secret"]) == ("authorized", None)
        assert "client_secret" not in await other.call("/payment", "get", fields)
