"""Money captured, or not, and sent back: one capture in the end, whatever Stripe answers."""

import pytest

from domain import ledger
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import WebhookEvent
from tests.support.offer_scene import PATIENCE, Scene
from tests.support.parties import Refused

CAPTURES = "/v1/payment_intents/*/capture"
ALL_NEWS_LOST = {"webhook": "*", "drop": True, "times": 100}


@pytest.fixture
def impatient(monkeypatch):
    """Before `market`: the gateway gives Stripe one second."""
    monkeypatch.setattr("server.adapters.stripe_gateway.TIMEOUT_SECONDS", 1)


@pytest.fixture
async def scene(market, server):
    return await Scene(market, server).set()


async def test_a_declined_capture_opens_the_job_again(scene):
    """Guard: `await give_up(...)` in `processing.capture_failed`; without it the job belongs to an
    offer that has failed, for ever. Guard: `uow.later(Release(payment.id))` after it."""
    other = await scene.market.contractor("Olga Other")
    await scene.market.application(other, scene.job)
    spare = await scene.market.offer(scene.customer, other, scene.job, 90_000)
    offer = await scene.pending()
    await scene.sandbox.fault(path=CAPTURES, status=402)
    assert (await scene.accepts(offer))["status"] == "accepting"
    for party in (scene.customer, scene.contractor):
        assert (await scene.told(party, "offer.failed", offer))["status"] == "failed"
    payment = await scene.ended(offer, "failed", "failed")
    assert payment["failure"] == "generic_decline"
    job = await scene.customer.call("/job", "get", {"job_id": scene.job["id"]})
    assert (job["status"], job["contractor_id"]) == ("open", None)
    await scene.market.accept(other, spare)
    job = await scene.customer.call("/job", "get", {"job_id": scene.job["id"]})
    assert (job["status"], job["contractor_id"]) == ("assigned", other.id)


async def test_a_hold_that_ends_during_the_capture(scene):
    """Guard: `await give_up(...)` in `processing.hold_ended`; without it the job waits for a
    capture that can never come. Guard: `_tell_admins` in it."""
    admin = await scene.market.admin()
    offer = await scene.pending()
    await scene.market.settled()  # news of the hold that is still read would find its end
    await scene.sandbox.fault(**ALL_NEWS_LOST)
    await scene.sandbox.advance(7 * 86_400 + 1)
    await scene.accepts(offer)
    await scene.told(scene.contractor, "offer.failed", offer)
    await scene.ended(offer, "failed", "canceled")
    job = await scene.customer.call("/job", "get", {"job_id": scene.job["id"]})
    assert job["status"] == "open"
    (alert,) = admin.received("/admin", "alert")
    assert (alert.data["kind"], alert.data["subject"]) == ("capture_failed", offer["id"])


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ({"status": 500}, {"0", "1"}),
        ({"status": 500, "when": "after"}, {"0"}),
        ({"drop": True}, {"0"}),
        ({"drop": True, "when": "after"}, {"0"}),
        ({"delay": 2}, {"0"}),
        ({"delay": 2, "when": "after"}, {"0"}),
        ({"status": 409, "times": 2}, {"0"}),
        ({"status": 429}, {"0"}),
    ],
    ids=["500", "500-done", "lost", "lost-done", "slow", "slow-done", "409", "429"],
)
async def test_an_open_outcome_is_one_capture_in_the_end(impatient, scene, fault, keys):
    """Guard: in `Capture.run` the key rises only after `gateway.intent` says `requires_capture`;
    with a new key after every failure, the offer fails at Stripe's refusal to capture again.
    Guard: `GatewayUnknown` for no answer, 409, 429 and 5xx in the gateway; a refusal fails it."""
    await scene.sandbox.fault(**ALL_NEWS_LOST)
    offer = await scene.pending()
    await scene.sandbox.fault(path=CAPTURES, **fault)
    await scene.accepts(offer)
    for party in (scene.customer, scene.contractor):
        await scene.told(party, "offer.accepted", offer)
    await scene.market.settled(PATIENCE)
    charges = (await scene.sandbox.api("GET", "charges"))["data"]
    assert [charge["amount_captured"] for charge in charges] == [100_000]
    calls = [c for c in await scene.sandbox.requests() if offer_intent(c) or is_capture(c)]
    captures = [c for c in calls if is_capture(c)]
    assert {c["idempotency_key"].rpartition(":")[2] for c in captures} == keys
    for place, call in enumerate(calls):
        if is_capture(call) and call["idempotency_key"].endswith(":1"):
            assert not is_capture(calls[place - 1]), "read again before the next key"
    uow = scene.server.store.single()
    assert await ledger.balance_of(uow, ledger.STRIPE) == {"USD": -100_000}
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 10_000}
    assert (await audit(scene.server.ports)).differences == []


def is_capture(call):
    return call["path"].endswith("/capture")


def offer_intent(call):
    return call["method"] == "GET" and call["path"].startswith("/v1/payment_intents/pi_")


async def test_what_stripe_keeps_is_the_platforms_cost(scene):
    """Guard: `await book_fee(...)` in `processing.captured`; without it the platform believes to
    have money that Stripe has kept."""
    await scene.sandbox.settings(fee_bps=290, fee_fixed=30)
    await scene.market.accept(scene.contractor, await scene.pending())
    await scene.market.settled()
    uow = scene.server.store.single()
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 10_000 - 2_930}
    assert await ledger.balance_of(uow, ledger.STRIPE_FEES) == {"USD": 2_930}
    balance = await scene.sandbox.api("GET", "balance")
    assert balance["available"][0]["amount"] == 90_000 + 10_000 - 2_930
    assert (await audit(scene.server.ports)).differences == []


# -- a cancelled job -----------------------------------------------------------------------------


async def test_cancelling_an_assigned_job_refunds_everything(scene):
    """Guard: `promise(...)` in `fulfillment.work.cancel`. Guard: the platform's delta in
    `allocation.rebook`; without it escrow cannot pay the fee back."""
    offer = await scene.pending()
    await scene.market.accept(scene.contractor, offer)
    scene.customer.forget()
    await scene.customer.call("/job", "cancel", {"job_id": scene.job["id"]})
    await scene.contractor.push("/job", "job.updated", lambda job: job["status"] == "cancelled")
    payment = await scene.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded"
    )
    assert (payment["captured_amount"], payment["refunded_amount"]) == (100_000, 100_000)
    await scene.market.settled()
    uow = scene.server.store.single()
    assert await ledger.balance_of(uow, ledger.STRIPE) == {"USD": 0}
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 0}
    assert await ledger.total_escrow(uow) == {}
    refunds = (await scene.sandbox.api("GET", "refunds"))["data"]
    assert [refund["amount"] for refund in refunds] == [100_000]
    assert (await audit(scene.server.ports)).differences == []
    with pytest.raises(Refused) as refused:
        await scene.customer.call("/job", "cancel", {"job_id": scene.job["id"]})
    assert refused.value.code == "job_not_open"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_refund_whose_answer_is_lost_is_sent_once(scene, when):
    """Guard: `find_refund` before posting in `SendRefund.run`; a new key alone refunds twice."""
    await scene.market.accept(scene.contractor, await scene.pending())
    await scene.sandbox.fault(path="/v1/refunds", method="POST", status=500, when=when)
    await scene.customer.call("/job", "cancel", {"job_id": scene.job["id"]})
    await scene.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded", PATIENCE
    )
    await scene.market.settled(PATIENCE)
    assert len((await scene.sandbox.api("GET", "refunds"))["data"]) == 1
    assert (await audit(scene.server.ports)).differences == []


async def test_a_job_in_progress_cannot_be_cancelled(scene):
    """Guard: `raise DisputeRequired` in `fulfillment.work.cancel`; without it the answer is
    `job_not_open`, which does not say what to do."""
    await scene.market.accept(scene.contractor, await scene.pending())
    await scene.market.start(scene.contractor, scene.job)
    before = await scene.market.traces()
    with pytest.raises(Refused) as refused:
        await scene.customer.call("/job", "cancel", {"job_id": scene.job["id"]})
    assert refused.value.code == "dispute_required"
    assert await scene.market.traces() == before


async def test_money_for_a_closed_offer_is_booked_and_sent_back(scene):
    """Guard: `send_back(uow, offer.id)` in `processing.captured`; without it we keep money that
    belongs to no offer."""
    offer = await scene.pending()
    payment = (await scene.market.rows(Payment))[0]
    await scene.sandbox.fault(path="/v1/payment_intents/*/cancel", status=500, times=2)
    await scene.customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
    await scene.sandbox.api("POST", f"payment_intents/{payment.intent_id}/capture")
    await scene.customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "refunded", PATIENCE
    )
    await scene.market.settled(PATIENCE)
    assert [row.kind for row in await scene.market.rows(Transaction)] == ["captured", "refunded"]
    assert (await scene.market.rows(Payment))[0].status == "refunded"
    assert await ledger.total_escrow(scene.server.store.single()) == {}
    assert (await audit(scene.server.ports)).differences == []
    assert all(event.status == "done" for event in await scene.market.rows(WebhookEvent))
