"""Methods that need days: a bank works on a payment that was confirmed, then pays or refuses."""

from datetime import timedelta

import pytest

from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from tests.faults.outcome import books_differences, feed_values
from tests.support.negotiation import TIMEOUT, Negotiation
from tests.support.parties import Refused
from tests.support.worlds import World

PAYS, REFUSES = "pm_usBankAccount_success", "pm_usBankAccount_insufficientFunds"
DAYS = 4 * 86_400 + 1


async def pay_slowly(negotiation):
    await negotiation.prepare()
    answer = await negotiation.create_offer(PAYS)
    negotiation.offer = answer["offer"]
    assert answer["payment"]["status"] == "requires_payment"
    assert answer["payment"]["processing_since"]
    assert answer["payment"]["client_secret"] is None, "nothing is left to confirm"
    negotiation.told = await negotiation.customer.push(
        "/account", "notification", lambda n: n["kind"] == "payment_processing", TIMEOUT
    )


@pytest.fixture(scope="session")
def world_of_slow_payment():
    return World(Negotiation, pay_slowly)


@pytest.fixture
async def slow(world_of_slow_payment, market, server):
    """An offer whose payment a bank works on."""
    return await world_of_slow_payment.enter(market, server)


async def test_the_words_say_that_the_bank_works_on_it(slow):
    """Guard: `settle_processing` in `processing.settle_payment`: without it the customer is asked
    to confirm the payment, again and again."""
    assert "Your bank is still working on the payment" in slow.told["title"]
    assert "held" not in slow.told["title"] + slow.told["text"]
    await slow.market.settled(TIMEOUT)
    kinds = await feed_values(slow.customer, "notification", "kind")
    assert kinds == ["payment_processing"]
    shown = await slow.customer.call("/bidding", "get", {"offer_id": slow.offer["id"]})
    assert (shown["status"], bool(shown["processing_since"])) == ("awaiting_payment", True)
    await slow.assert_hidden_from_contractor(slow.offer)
    assert await slow.market.rows(Transaction) == []
    assert await books_differences(slow.market, slow.server.ports) == []


async def test_the_contractor_answers_when_the_money_has_arrived(slow):
    """Guard: `answer_until` in `processing.settle_capture`, and `expires_at` in
    `delayed.settle_processing`: the bank needs longer than the offer would last."""
    before = await slow.server.store.single().get(Offer, slow.offer["id"])
    assert before.expires_at - before.created_at > timedelta(days=20)
    await slow.sandbox.advance(DAYS)
    offer = await slow.wait_for_push(slow.contractor, "offer.created", slow.offer)
    stored = await slow.server.store.single().get(Offer, slow.offer["id"])
    left = stored.expires_at - slow.server.ports.clock.now()
    assert timedelta(hours=71) < left <= timedelta(hours=72)
    assert (stored.processing_since, offer["processing_since"]) == (None, None)
    payment = await slow.server.store.single().get(Payment, offer["payment_id"])
    assert (payment.status, payment.processing_since) == ("captured", None)
    told = await slow.customer.push(
        "/account", "notification", lambda n: n["kind"] == "offer_created", TIMEOUT
    )
    assert "is paid" in told["text"]
    assert "held" not in told["text"]
    await slow.market.accept(slow.contractor, offer)
    assert await books_differences(slow.market, slow.server.ports) == []


async def test_a_bank_that_refuses_ends_the_offer(negotiation):
    """Guard: `_is_final` in `processing.settle_payment`, also for a payment that the customer's
    browser confirmed: the customer has left the page after days."""
    answer = await negotiation.create_offer(None)
    offer, secret = answer["offer"], answer["payment"]["client_secret"]
    await negotiation.market.settled(TIMEOUT)
    await negotiation.sandbox.confirm(secret, REFUSES)
    await negotiation.customer.push(
        "/bidding", "offer.updated", lambda o: bool(o["processing_since"]), TIMEOUT
    )
    await negotiation.market.settled(TIMEOUT)
    await negotiation.sandbox.advance(DAYS)
    await negotiation.wait_for_push(negotiation.customer, "offer.failed", offer)
    payment = await negotiation.assert_ended_unbooked(offer, "failed", "failed")
    assert (payment["failure"], payment["processing_since"]) == ("insufficient_funds", None)
    stored = await negotiation.server.store.single().get(Offer, offer["id"])
    assert stored.processing_since is None
    kinds = await feed_values(negotiation.customer, "notification", "kind")
    assert kinds == ["payment_unfinished", "payment_processing", "payment_failed"]


async def test_a_second_offer_on_the_job_waits_for_the_bank(slow):
    """Guard: `refuse_second_payment` in `offers.create`: both offers would be paid."""
    other = await slow.market.contractor("Olga Other")
    await slow.market.application(other, slow.job)
    fields = {
        "job_id": slow.job["id"],
        "contractor_id": other.id,
        "amount": 90_000,
        "currency": "USD",
        "description": "As discussed.",
        "timeline_days": 5,
        "payment_method": "pm_card_visa",
    }
    await slow.market.settled(TIMEOUT)
    before = await slow.market.traces()
    with pytest.raises(Refused) as refused:
        await slow.customer.call("/bidding", "create", fields)
    assert refused.value.code == "offer_exists"
    assert "still working on the payment" in refused.value.message
    assert await slow.market.traces() == before
    # Another job is not affected, and the withdrawal of the first offer makes room.
    await slow.add_job()
    await slow.pending_offer()
    await slow.customer.call("/bidding", "withdraw", {"offer_id": slow.offer["id"]})
    answer = await slow.customer.call("/bidding", "create", fields)
    await slow.wait_for_push(other, "offer.created", answer["offer"])
    assert await books_differences(slow.market, slow.server.ports) == []


@pytest.mark.usefixtures("prompt_retries")
async def test_money_for_a_withdrawn_offer_comes_back_when_it_arrives(slow):
    """Guard: `PROCESSING` in `ReleasePayment.run`: Stripe refuses to cancel it, so the task would
    be tried until it is a dead letter."""
    await slow.customer.call("/bidding", "withdraw", {"offer_id": slow.offer["id"]})
    told = await slow.customer.push(
        "/account", "notification", lambda n: n["kind"] == "offer_withdrawn", TIMEOUT
    )
    assert "Your bank is still working on the payment" in told["text"]
    assert "released" not in told["text"]
    await slow.market.settled(TIMEOUT)
    cancels = [path for path in await slow.sandbox.calls() if path.endswith("/cancel")]
    assert cancels == []
    await slow.sandbox.advance(DAYS)
    payment = await slow.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded", TIMEOUT
    )
    assert (payment["captured_amount"], payment["refunded_amount"]) == (100_000, 100_000)
    assert await books_differences(slow.market, slow.server.ports) == []


async def test_an_offer_that_ends_before_a_hold_took_nothing(negotiation):
    """Guard: `history` in `templates.offers._money_back`: no hold is released that never was."""
    answer = await negotiation.create_offer("pm_card_authenticationRequired")
    await negotiation.customer.call("/bidding", "withdraw", {"offer_id": answer["offer"]["id"]})
    told = await negotiation.customer.push(
        "/account", "notification", lambda n: n["kind"] == "offer_withdrawn", TIMEOUT
    )
    assert told["text"] == "Nothing was taken from you."


async def test_link_is_held_and_released(negotiation):
    """Guard: `holdable` in the gateway: without it Link is captured with the offer, and each
    rejection costs the fee of a refund."""
    answer = await negotiation.create_offer("pm_link")
    offer = await negotiation.wait_for_push(
        negotiation.contractor, "offer.created", answer["offer"]
    )
    payment = await negotiation.server.store.single().get(Payment, offer["payment_id"])
    assert (payment.status, payment.captured_amount) == ("authorized", 0)
    assert payment.capture_before
    await negotiation.contractor.call("/bidding", "reject", {"offer_id": offer["id"]})
    await negotiation.assert_ended_unbooked(offer, "rejected", "canceled")
