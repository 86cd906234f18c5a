"""Saved payment methods, and methods that allow no hold."""

import pytest

from domain.accounts.user import User
from domain.operations.task import TryAgain
from domain.payments.processing import HoldPayment
from domain.ports.payment_gateway import GatewayUnknown
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import Refused


async def saved(market, customer, card="pm_card_visa"):
    """Confirm a SetupIntent as Stripe.js does; returns the saved method."""
    prepared = await customer.call("/payment", "setup")
    secret = prepared["client_secret"]
    url = f"{market.sandbox.base}/v1/setup_intents/{secret.partition('_secret_')[0]}/confirm"
    headers = {"Authorization": f"Bearer {market.settings.stripe_publishable_key}"}
    data = {"client_secret": secret, "payment_method": card, "return_url": market.url}
    async with market.web.post(url, headers=headers, data=data) as response:
        assert response.status == 200, await response.text()
    return (await customer.call("/payment", "methods"))["items"][0]


async def test_a_saved_card_pays_an_offer_and_is_deleted(market, server):
    """Guard: `customer_id` in `processing.HoldPayment`; Stripe refuses a customer's card without
    it. Guard: the owner in `payment_methods._own_method`; `payment_methods.default`."""
    customer, other = await market.customer(), await market.customer("Olga")
    assert (await customer.call("/payment", "methods"))["items"] == []
    card = await saved(market, customer)
    assert (card["type"], card["brand"], card["last4"]) == ("card", "visa", "4242")
    work = await JobInProgress(market, server).start(customer=customer, payment_method=card["id"])
    assert (await work.current_job())["status"] == "in_progress"
    assert not card["is_default"]
    own = {"method_id": card["id"]}
    assert (await customer.call("/payment", "default", own))["is_default"]
    assert (await customer.call("/payment", "methods"))["items"][0]["is_default"]
    for thief in (other, await market.customer("Tom")):
        for step in ("detach", "default"):
            with pytest.raises(Refused) as refused:
                await thief.call("/payment", step, own)
            assert refused.value.code == "not_found"
        assert (await thief.call("/payment", "methods"))["items"] == []
    await customer.call("/payment", "detach", own)
    assert (await customer.call("/payment", "methods"))["items"] == []
    assert (await server.store.single().get(User, customer.id)).default_method is None
    assert not (await saved(market, customer))["is_default"]
    assert (await server.store.single().get(User, customer.id)).customer_id
    assert len(await work.stripe_list("customers")) == 1


async def test_a_customer_is_created_between_two_attempts_of_a_hold(market, server):
    """Guard: `spent` in the gateway's `_problem`; without it the hold is repeated for a day under a
    key that Stripe knows without the customer, and the offer waits for its payment."""
    await server.web.scheduler.stop()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    committed, server.store.committed = server.store.committed, lambda rows: None
    answer = await customer.call(
        "/bidding",
        "create",
        {
            "job_id": job["id"],
            "contractor_id": contractor.id,
            "amount": 100_000,
            "currency": "USD",
            "description": "As discussed.",
            "timeline_days": 5,
            "payment_method": "pm_card_visa",
        },
    )
    hold = HoldPayment(answer["offer"]["payment_id"])
    await server.sandbox.fault(path="/v1/payment_intents", method="POST", status=500, times=1)
    with pytest.raises(GatewayUnknown):
        await hold.run(server.ports)
    server.store.committed = committed
    assert (await customer.call("/payment", "setup"))["client_secret"]
    with pytest.raises(TryAgain) as stale:
        await hold.run(server.ports)
    assert stale.value.task == HoldPayment(hold.payment_id, 1)
    await stale.value.task.run(server.ports)
    await contractor.push("/bidding", "offer.created", lambda offer: True, TIMEOUT)
    intents = (await server.sandbox.api("GET", "payment_intents"))["data"]
    assert [(each["status"], bool(each["customer"])) for each in intents] == [
        ("requires_capture", True)
    ]


async def test_the_card_of_another_customer_is_refused(market, server):
    """Guard: `customer_id` in `HoldPayment._post` is the paying user's own."""
    owner, thief = await market.customer(), await market.customer("Tom")
    card = await saved(market, owner)
    contractor = await market.contractor()
    job = await market.job(thief)
    await market.application(contractor, job)
    answer = await thief.call(
        "/bidding",
        "create",
        {
            "job_id": job["id"],
            "contractor_id": contractor.id,
            "amount": 100_000,
            "currency": "USD",
            "description": "Mine",
            "timeline_days": 5,
            "payment_method": card["id"],
        },
    )
    assert answer["offer"]["status"] == "failed"
    assert (await contractor.call("/bidding", "list"))["items"] == []


async def test_a_method_without_holds_is_captured_with_the_offer(market, server):
    """Guard: `make_pending(...)` in `processing.settle_capture` and `accept_captured`; the fee is
    due only with the acceptance."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job, payment_method="pm_crypto_usdc")
    work = JobInProgress(market, server)
    work.customer, work.contractor, work.job, work.offer = customer, contractor, job, offer
    assert (await work.stored_payment()).status == "captured"
    assert await work.platform_and_escrow() == (0, 100_000)
    await market.accept(contractor, offer)
    assert await work.platform_and_escrow() == (10_000, 90_000)
    await market.start(contractor, job)
    await work.complete()
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available") == (70_000,)


ENDINGS = ["reject", "withdraw", "cancel", "counter"]


async def test_captured_money_is_refunded_when_the_offer_ends(market, server):
    """Guard: `refund_unaccepted` after `apply_intent` in `ReleasePayment.run`."""
    customer, contractor = await market.customer(), await market.contractor()
    work = JobInProgress(market, server)
    for count, ending in enumerate(ENDINGS, 1):
        job = await market.job(customer)
        await market.application(contractor, job)
        offer = await market.offer(customer, contractor, job, payment_method="pm_crypto_usdc")
        id = {"offer_id": offer["id"]}
        match ending:
            case "withdraw":
                await customer.call("/bidding", "withdraw", id)
            case "cancel":
                await customer.call("/job", "cancel", {"job_id": job["id"]})
            case "reject":
                await contractor.call("/bidding", "reject", id)
            case "counter":
                await contractor.call("/bidding", "counter", {**id, "amount": 120_000})
        await customer.push(
            "/payment",
            "payment.updated",
            lambda p, id=offer["payment_id"]: (p["id"], p["status"]) == (id, "refunded"),
            TIMEOUT,
        )
        assert await work.platform_and_escrow() == (0, 0), ending
        refunds = [refund["amount"] for refund in await work.stripe_list("refunds")]
        assert refunds == [100_000] * count, ending
