"""Money held, captured and given back: whatever Stripe and the card do, the end is the right one."""

import pytest

from domain import ledger, offers
from domain.audit import audit
from domain.deal import Offer, Payment
from domain.ledger import Transaction
from domain.webhooks import WebhookEvent
from tests.parties import Refused

CAPTURES = "/v1/payment_intents/*/capture"
SECURE = "pm_card_threeDSecure2Required"
PATIENCE = 30


@pytest.fixture
def impatient(monkeypatch):
    """Before `market`: the gateway gives Stripe one second."""
    monkeypatch.setattr("server.stripe_gateway.TIMEOUT_SECONDS", 1)


class Scene:
    """A customer, an applicant and a job, ready for an offer."""

    def __init__(self, market, server):
        self.market, self.server, self.sandbox = market, server, server.sandbox

    async def set(self, **job):
        self.customer = await self.market.customer()
        self.contractor = await self.market.contractor()
        self.job = await self.market.job(self.customer, **job)
        await self.market.application(self.contractor, self.job)
        return self

    async def offers(self, payment_method="pm_card_visa", **fields):
        """The answer to `bidding.create`, whatever becomes of the payment."""
        return await self.customer.call("/bidding", "create", {
            "job_id": self.job["id"], "contractor_id": self.contractor.id, "amount": 100_000,
            "currency": self.job["currency"], "description": "As discussed.", "timeline_days": 5,
            **({"payment_method": payment_method} if payment_method else {}), **fields,
        })  # fmt: skip

    async def pending(self):
        return await self.market.offer(self.customer, self.contractor, self.job)

    async def accepts(self, offer):
        return await self.contractor.call("/bidding", "accept", {"offer_id": offer["id"]})

    async def told(self, party, name, offer, seconds=PATIENCE):
        return await party.push("/bidding", name, lambda o: o["id"] == offer["id"], seconds)

    async def intent(self, offer):
        payment = await self.server.store.single().get(Payment, offer["payment_id"])
        return await self.sandbox.api("GET", f"payment_intents/{payment.intent_id}")

    async def ended(self, offer, status, payment_status):
        """Both records are at their end, Stripe holds nothing, and nothing was ever booked."""
        await self.market.settled(PATIENCE)
        shown = await self.customer.call("/bidding", "get", {"offer_id": offer["id"]})
        assert shown["status"] == status
        payment = await self.customer.call("/payment", "get", {"payment_id": offer["payment_id"]})
        assert payment["status"] == payment_status
        assert (await self.intent(offer))["status"] == "canceled"
        assert await self.market.rows(Transaction) == []
        assert (await audit(self.server.ports)).differences == []
        return payment

    async def unseen(self, offer):
        """The contractor knows nothing of the offer."""
        contractor = self.contractor
        assert (await contractor.call("/bidding", "list"))["items"] == []
        assert (await contractor.call("/payment", "list"))["items"] == []
        for namespace, event, fields in (
            ("/bidding", "get", {"offer_id": offer["id"]}),
            ("/bidding", "accept", {"offer_id": offer["id"]}),
            ("/bidding", "reject", {"offer_id": offer["id"]}),
            ("/payment", "get", {"payment_id": offer["payment_id"]}),
        ):
            with pytest.raises(Refused) as refused:
                await contractor.call(namespace, event, fields)
            assert refused.value.code == "not_found"
        assert not [p for p in contractor.pushes if p.namespace in ("/bidding", "/payment")]


@pytest.fixture
async def scene(market, server):
    return await Scene(market, server).set()


# -- before the contractor sees anything ---------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_a_declined_card_fails_the_offer(scene, card, reason):
    """Guard: `await declined(...)` in `settlement.settle`; without it the offer waits for ever.
    Guard: `uow.later(Release(payment.id))` in `declined`; without it the client secret can still
    pay for an offer that has failed."""
    answer = await scene.offers(card)
    assert answer["offer"]["status"] == "failed"
    assert answer["payment"]["status"] == "failed"
    assert answer["payment"]["failure"] == reason
    await scene.ended(answer["offer"], "failed", "failed")
    await scene.unseen(answer["offer"])
    assert (await scene.offers())["offer"]["status"] in ("awaiting_payment", "pending")


async def test_an_unknown_payment_method_fails_the_offer(scene):
    """Guard: `except GatewayRefused` in `Hold._create`; without it the task is a dead letter and
    the offer waits for ever."""
    answer = await scene.offers("pm_nobody")
    assert (answer["offer"]["status"], answer["payment"]["status"]) == ("failed", "failed")
    await scene.market.settled()
    await scene.unseen(answer["offer"])
    assert await scene.market.rows(Transaction) == []


@pytest.mark.parametrize("told_by", ["confirm", "webhook"])
async def test_an_offer_behind_3d_secure_is_seen_once_it_is_paid(scene, told_by):
    """Guard: `visible` is set in `settlement.held` alone; with `visible=True` from the start the
    contractor sees an offer without money. Guard: `uow.later(Inspect(...))` in `payments.confirm`;
    without it only a webhook can tell."""
    if told_by == "confirm":
        await scene.sandbox.fault(webhook="*", drop=True, times=100)
    answer = await scene.offers(SECURE)
    offer, sheet = answer["offer"], answer["payment"]
    assert (offer["status"], sheet["status"]) == ("awaiting_payment", "requires_payment")
    assert sheet["redirect_url"] and sheet["client_secret"]
    await scene.unseen(offer)
    early = await scene.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (early["status"], early["redirect_url"]) == ("requires_payment", sheet["redirect_url"])
    await scene.unseen(offer)
    await scene.sandbox.challenge(sheet["redirect_url"])
    if told_by == "confirm":
        done = await scene.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
        assert (done["status"], done["redirect_url"]) == ("authorized", None)
    seen = await scene.told(scene.contractor, "offer.created", offer)
    assert seen["status"] == "pending"
    await scene.market.accept(scene.contractor, offer)


async def test_failed_authentication_fails_the_offer(scene):
    """Guard: `intent.failure and payment.payment_method` in `settlement.settle`; without it the
    offer waits for a card that the bank has refused."""
    answer = await scene.offers(SECURE)
    await scene.sandbox.challenge(answer["payment"]["redirect_url"], passed=False)
    await scene.told(scene.customer, "offer.failed", answer["offer"])
    payment = await scene.ended(answer["offer"], "failed", "failed")
    assert payment["failure"] == "payment_intent_authentication_failure"
    await scene.unseen(answer["offer"])


async def test_the_client_pays_by_itself(scene):
    """Guard: `and payment.payment_method` in `settlement.settle`; without it a first card that is
    declined ends the offer, although Stripe.js lets the customer try another."""
    answer = await scene.offers(payment_method=None)
    sheet = answer["payment"]
    assert (sheet["status"], sheet["redirect_url"]) == ("requires_payment", None)
    assert await _stripe_js(scene, sheet, "pm_card_chargeDeclined") == 402
    await scene.market.settled()
    again = await scene.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (again["status"], again["failure"]) == ("requires_payment", "generic_decline")
    await scene.unseen(answer["offer"])
    assert await _stripe_js(scene, sheet, "pm_card_visa") == 200
    paid = await scene.customer.call("/payment", "confirm", {"payment_id": sheet["id"]})
    assert (paid["status"], paid["failure"]) == ("authorized", None)
    assert (await scene.told(scene.contractor, "offer.created", answer["offer"]))[
        "amount"
    ] == 100_000


async def _stripe_js(scene, sheet, card):
    """Confirm as a browser does: with the publishable key and the client secret; the status."""
    intent = sheet["client_secret"].partition("_secret_")[0]
    async with scene.market.web.post(
        f"{scene.sandbox.base}/v1/payment_intents/{intent}/confirm",
        headers={"Authorization": f"Bearer {scene.market.settings.stripe_publishable_key}"},
        data={"client_secret": sheet["client_secret"], "payment_method": card},
    ) as response:
        return response.status


async def test_a_hold_that_comes_too_late_is_given_back_unseen(scene):
    """Guard: `visible=offer.status is O.AWAITING_PAYMENT` in `settlement.held`; with True, the
    contractor is pushed the payment of an offer that was withdrawn before they could see it."""
    answer = await scene.offers(SECURE)
    await scene.sandbox.fault(path="/v1/payment_intents/*/cancel", status=409, times=2)
    await scene.customer.call("/bidding", "withdraw", {"offer_id": answer["offer"]["id"]})
    await scene.sandbox.challenge(answer["payment"]["redirect_url"])
    await scene.ended(answer["offer"], "withdrawn", "canceled")
    await scene.unseen(answer["offer"])


async def test_the_webhook_knows_the_payment_before_we_know_its_id(scene):
    """Guard: `if payment is None and event.payment_id` in `webhooks.Process`; without it the event
    is lost on us, and nobody learns of the hold whose answer never arrived."""
    await scene.sandbox.fault(
        path="/v1/payment_intents", method="POST", when="after", drop=True, times=50
    )
    answer = await scene.offers()
    await scene.told(scene.contractor, "offer.created", answer["offer"])
    await scene.market.settled(PATIENCE)
    intents = (await scene.sandbox.api("GET", "payment_intents"))["data"]
    assert [intent["status"] for intent in intents] == ["requires_capture"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_hold_that_is_answered_with_500(scene, when):
    """Guard: `raise TryAgain(str(stale), Hold(self.payment_id, self.key + 1))`; without a new key
    Stripe replays its 500 for a day. Guard: `self.key` in `Hold.run` looks for the payment before
    the new key is used; without it the card is held twice."""
    await scene.sandbox.fault(path="/v1/payment_intents", method="POST", status=500, when=when)
    await scene.sandbox.fault(webhook="*", drop=True, times=100)
    answer = await scene.offers()
    offer = await scene.told(scene.contractor, "offer.created", answer["offer"])
    await scene.market.settled(PATIENCE)
    intents = (await scene.sandbox.api("GET", "payment_intents"))["data"]
    assert [intent["status"] for intent in intents] == ["requires_capture"]
    await scene.market.accept(scene.contractor, offer)
    assert (await audit(scene.server.ports)).differences == []


# -- the end of an offer -------------------------------------------------------------------------


async def test_an_expired_hold_ends_the_offer(scene):
    """Guard: `await hold_ended(...)` in `settlement.settle`; without it the contractor can accept
    an offer without money."""
    offer = await scene.pending()
    await scene.sandbox.advance(7 * 86_400 + 1)
    for party in (scene.customer, scene.contractor):
        assert (await scene.told(party, "offer.expired", offer))["status"] == "expired"
    await scene.ended(offer, "expired", "canceled")
    with pytest.raises(Refused) as refused:
        await scene.accepts(offer)
    assert refused.value.code == "offer_not_pending"


async def test_an_offer_never_outlives_its_hold(scene):
    """Guard: `min(ends, intent.capture_before - HOLD_MARGIN)` in `settlement.held`; without it the
    offer is still standing when its hold is gone."""
    await scene.sandbox.settings(hold_seconds=7200)
    offer = await scene.pending()
    payment = (await scene.market.rows(Payment))[0]
    held = await scene.server.store.single().get(Offer, offer["id"])
    assert 3590 < (payment.capture_before - held.expires_at).total_seconds() <= 3600


async def test_an_expired_offer_cannot_be_accepted_and_ends(scene):
    """Guard: `if offer.expires_at <= uow.now` in `offers.accept`; without it the seconds until the
    scheduler comes by are a gift. Guard: `expire_due` closes with `close`, which releases; with
    `move_offer` alone the customer's money stays held for a week."""
    offer = await scene.pending()
    await scene.server.web.scheduler.stop()
    store = scene.server.store.single()
    await store.change(Offer, offer["id"], expires_at=store.now)
    before = await scene.market.traces()
    with pytest.raises(Refused) as refused:
        await scene.accepts(offer)
    assert refused.value.code == "offer_expired"
    assert await scene.market.traces() == before
    assert await offers.expire_due(scene.server.ports) == 1
    assert await offers.expire_due(scene.server.ports) == 0
    for party in (scene.customer, scene.contractor):
        await scene.told(party, "offer.expired", offer)
    await scene.ended(offer, "expired", "canceled")


async def test_the_scheduler_expires_by_itself(scene):
    """Guard: `asyncio.create_task(self._every(EXPIRY_SECONDS, self._expire))` in the scheduler."""
    offer = await scene.pending()
    store = scene.server.store.single()
    await store.change(Offer, offer["id"], expires_at=store.now)
    await scene.told(scene.contractor, "offer.expired", offer)
    await scene.ended(offer, "expired", "canceled")


# -- the capture ---------------------------------------------------------------------------------


async def test_a_declined_capture_opens_the_job_again(scene):
    """Guard: `await give_up(...)` in `settlement.capture_failed`; without it the job belongs to an
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
    """Guard: `elif offer.status is O.ACCEPTING: await give_up(...)` in `settlement.hold_ended`;
    without it the job waits for a capture that can never come."""
    offer = await scene.pending()
    await scene.sandbox.fault(webhook="*", drop=True, times=100)
    await scene.sandbox.advance(7 * 86_400 + 1)
    await scene.accepts(offer)
    await scene.told(scene.contractor, "offer.failed", offer)
    await scene.ended(offer, "failed", "canceled")
    job = await scene.customer.call("/job", "get", {"job_id": scene.job["id"]})
    assert job["status"] == "open"


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ({"status": 500, "when": "before"}, {"0", "1"}),
        ({"status": 500, "when": "after"}, {"0"}),
        ({"drop": True, "when": "before"}, {"0"}),
        ({"drop": True, "when": "after"}, {"0"}),
        ({"delay": 2, "when": "before"}, {"0"}),
        ({"delay": 2, "when": "after"}, {"0"}),
        ({"status": 409, "when": "before", "times": 2}, {"0"}),
        ({"status": 429, "when": "before"}, {"0"}),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if value is dict else None,
)
async def test_an_open_outcome_is_one_capture_in_the_end(impatient, scene, fault, keys):
    """Guard: in `Capture.run` the key rises only after `gateway.intent` says `requires_capture`;
    a new key after every failure captures twice or, as Stripe refuses that, fails the offer. Guard:
    `GatewayUnknown` for no answer, 409 and 5xx in the gateway; as a refusal it would fail it too."""
    await scene.sandbox.fault(webhook="*", drop=True, times=100)
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
    """Guard: `await book_fee(...)` in `settlement.captured`; without it the platform believes to
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
    """Guard: `uow.later(Refund(offer.payment_id, kept, "cancel"))` in `completion.cancel`. Guard:
    the platform's delta in `settlement.refunded`; without it escrow cannot pay the fee back."""
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
    """Guard: `find_refund` before posting in `Refund.run`; a new key alone refunds twice."""
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
    """Guard: `raise DisputeRequired` in `completion.cancel`; without it the answer is
    `job_not_open`, which does not say what to do."""
    await scene.market.accept(scene.contractor, await scene.pending())
    await scene.market.start(scene.contractor, scene.job)
    before = await scene.market.traces()
    with pytest.raises(Refused) as refused:
        await scene.customer.call("/job", "cancel", {"job_id": scene.job["id"]})
    assert refused.value.code == "dispute_required"
    assert await scene.market.traces() == before


async def test_money_for_a_closed_offer_is_booked_and_sent_back(scene):
    """Guard: `uow.later(Refund(payment.id, intent.captured_amount, "late"))` in
    `settlement.captured`; without it we keep money that belongs to no offer."""
    offer = await scene.pending()
    payment = (await scene.market.rows(Payment))[0]
    await scene.sandbox.api("POST", f"payment_intents/{payment.intent_id}/capture")
    await scene.told(scene.contractor, "offer.expired", offer)
    await scene.market.settled(PATIENCE)
    assert [row.kind for row in await scene.market.rows(Transaction)] == ["captured", "refunded"]
    assert (await scene.market.rows(Payment))[0].status == "refunded"
    assert await ledger.total_escrow(scene.server.store.single()) == {}
    assert (await audit(scene.server.ports)).differences == []
    assert all(event.done for event in await scene.market.rows(WebhookEvent))
