"""Card testing: a bound for the user, the card and the network, and no hints for thieves."""

from datetime import timedelta

import msgspec
import pytest

from domain.kernel.errors import Code
from domain.notifications.alerts import AlertRecord
from domain.payments.card_attempts import SECRET_DECLINES, CardAttempt, shown_failure
from domain.reconciliation.books_audit import audit
from server.config import load
from tests.faults.outcome import requests_to, until
from tests.support.job_in_progress import TIMEOUT
from tests.support.parties import Refused

FREE = 3
DECLINED = "pm_card_chargeDeclined"


@pytest.fixture
def bound(server):
    """A small bound on this server."""
    server.store.rates = msgspec.structs.replace(server.store.rates, card_attempts=FREE)


async def decline(negotiation, method=DECLINED, **fields):
    answer = await negotiation.create_offer(method, **fields)
    await negotiation.market.settled(TIMEOUT)
    return answer


async def wait_for_next(party, namespace, event, fields):
    """The `retry_after` with which a command is refused."""
    with pytest.raises(Refused) as refused:
        await party.call(namespace, event, fields)
    assert refused.value.code == Code.RATE_LIMITED, refused.value
    return refused.value.details["retry_after"]


def offer_fields(negotiation, method=DECLINED):
    return {
        "job_id": negotiation.job["id"],
        "contractor_id": negotiation.contractor.id,
        "amount": 10_000,
        "currency": "USD",
        "description": "All of it",
        "timeline_days": 3,
        **({"payment_method": method} if method else {}),
    }


async def age(negotiation, **time):
    """Make all counted attempts older."""
    uow = negotiation.server.store.single()
    for row in await negotiation.market.rows(CardAttempt):
        await uow.change(CardAttempt, row.id, created_at=row.created_at - timedelta(**time))


async def alerts(market):
    return [row for row in await market.rows(AlertRecord) if row.kind == "card_testing"]


@pytest.mark.usefixtures("bound")
async def test_a_user_who_tries_many_cards_has_to_wait(negotiation):
    """Guard: `require_attempt` in `offers.create` and `payment_methods.setup`: without it a thief
    tries a hundred cards a minute. The wait doubles, and a refused offer leaves no trace. `_alert`
    in `card_attempts`, once for a user; `_costs` of the user's page."""
    admin = await negotiation.market.admin()
    for _ in range(FREE):
        await decline(negotiation)
    customer, fields = negotiation.customer, offer_fields(negotiation)
    before = await negotiation.market.traces()
    first = await wait_for_next(customer, "/bidding", "create", fields)
    assert 30 < first <= 60
    assert 30 < await wait_for_next(customer, "/payment", "setup", {}) <= 60
    without = offer_fields(negotiation, None)
    assert 30 < await wait_for_next(customer, "/bidding", "create", without) <= 60
    assert await negotiation.market.traces() == before
    await age(negotiation, minutes=1)
    await decline(negotiation)
    assert 90 < await wait_for_next(customer, "/bidding", "create", fields) <= 120
    await age(negotiation, minutes=2)
    await decline(negotiation)
    assert 200 < await wait_for_next(customer, "/bidding", "create", fields) <= 240
    # Administrators are alerted, and see it.
    await age(negotiation, hours=2)
    await decline(negotiation)
    (alert, *_) = await alerts(negotiation.market)
    assert (alert.subject, alert.urgent) == (negotiation.customer.id, True)
    assert "testing stolen cards" in alert.message
    shown = await admin.call("/admin", "user", {"user_id": negotiation.customer.id})
    assert shown["costs"]["card_attempts"] == 2 * FREE
    other = await admin.call("/admin", "user", {"user_id": negotiation.contractor.id})
    assert other["costs"] is None
    await age(negotiation, days=1)
    assert (await decline(negotiation, "pm_card_visa"))["payment"]["status"] == "authorized"
    assert (await audit(negotiation.server.ports)).differences == []


@pytest.mark.usefixtures("bound")
async def test_one_intent_does_not_test_many_cards(negotiation):
    """Guard: `_end_declined` in `settle_unfinished`: the browser confirms one PaymentIntent with
    card after card, without any command of ours. It ends with the bound."""
    answer = await negotiation.create_offer(None)
    secret = answer["payment"]["client_secret"]
    for _ in range(FREE):
        with pytest.raises(AssertionError, match="card_declined"):
            await negotiation.sandbox.confirm(secret, DECLINED)
        await negotiation.market.settled(TIMEOUT)
    payment = await negotiation.customer.call(
        "/payment", "get", {"payment_id": answer["payment"]["id"]}
    )
    assert payment["status"] == "failed"
    offer = await negotiation.customer.call("/bidding", "get", {"offer_id": answer["offer"]["id"]})
    assert offer["status"] == "failed"
    intent = await negotiation.stripe_intent(answer["offer"])
    assert intent["status"] == "canceled"
    rows = await negotiation.market.rows(CardAttempt)
    assert len(rows) == FREE and {row.kind for row in rows} == {"declined"}
    fields = offer_fields(negotiation)
    assert await wait_for_next(negotiation.customer, "/bidding", "create", fields) > 30


@pytest.mark.usefixtures("bound")
async def test_one_card_at_many_users(negotiation):
    """Guard: `card_has_to_wait` in `HoldPayment`: the bound of a card is over all users, and Stripe
    gets no further attempt."""
    market = negotiation.market
    for number in range(FREE):
        customer = await market.customer(f"Thief {number}")
        job = await market.job(customer)
        await market.application(negotiation.contractor, job)
        fields = {**offer_fields(negotiation), "job_id": job["id"]}
        await customer.call("/bidding", "create", fields)
        await market.settled(TIMEOUT)
    held = await requests_to(market, "/v1/payment_intents")
    # Of a method that was used before the card is known, so nothing comes into being.
    fields = offer_fields(negotiation)
    assert 30 < await wait_for_next(negotiation.customer, "/bidding", "create", fields) <= 60
    number = {"type": "card", "card[number]": "4000000000000002", "card[exp_month]": 12}
    typed_in = {**number, "card[exp_year]": 2034, "card[cvc]": 123}
    method = await negotiation.sandbox.api("POST", "payment_methods", **typed_in)
    answer = await decline(negotiation, method["id"])
    assert (answer["payment"]["status"], answer["payment"]["failure"]) == (
        "failed",
        "too_many_attempts",
    )
    assert await requests_to(market, "/v1/payment_intents") == held
    other = await decline(negotiation, "pm_card_mastercard")
    assert other["payment"]["status"] == "authorized"


@pytest.mark.usefixtures("bound")
async def test_one_network_with_many_users(negotiation):
    """Guard: `uow.network` in `require_attempt`: new accounts do not help."""
    uow = negotiation.server.store.single()
    await decline(negotiation)
    (row,) = await negotiation.market.rows(CardAttempt)
    assert row.network and "127.0.0.1" not in row.network
    for number in range(4 * FREE):
        other = uow.new(CardAttempt, user_id=f"usr_{number}", kind="declined", network=row.network)
        await uow.add(other)
    stranger = await negotiation.market.customer("New Account")
    assert await wait_for_next(stranger, "/payment", "setup", {}) > 30


@pytest.mark.usefixtures("bound")
async def test_cards_that_cannot_be_saved_count(negotiation):
    """Guard: `_process_setup` in `inbox`: a SetupIntent tests cards as well as a payment, and ends
    with the bound."""
    customer = negotiation.customer
    secret = (await customer.call("/payment", "setup", {}))["client_secret"]
    for _ in range(FREE - 1):
        with pytest.raises(AssertionError, match="card_declined"):
            await negotiation.sandbox.confirm(secret, DECLINED)
        await negotiation.market.settled(TIMEOUT)
    kinds = sorted(row.kind for row in await negotiation.market.rows(CardAttempt))
    assert kinds == ["declined"] * (FREE - 1) + ["setup"]
    assert await wait_for_next(customer, "/payment", "setup", {}) > 30

    async def ended():
        found = await negotiation.sandbox.api("GET", f"setup_intents/{secret.split('_secret')[0]}")
        return found["status"] == "canceled"

    await until(ended, TIMEOUT)


@pytest.mark.usefixtures("bound")
async def test_an_honest_customer_is_not_held_up(negotiation):
    """A card that worked is new only once, however many offers it pays."""
    for _ in range(FREE + 1):
        answer = await decline(negotiation, "pm_card_visa")
        assert answer["payment"]["status"] == "authorized"
        await negotiation.customer.call("/bidding", "withdraw", {"offer_id": answer["offer"]["id"]})
        await negotiation.market.settled(TIMEOUT)
    rows = await negotiation.market.rows(CardAttempt)
    assert [row.kind for row in rows] == ["new_card"]


async def test_a_thief_learns_nothing_from_a_decline(negotiation):
    """Guard: `shown_failure` wherever a payment's `failure` is stored; administrators see the
    bank's own reason."""
    admin = await negotiation.market.admin()
    for code in ("lost_card", "stolen_card", "fraudulent", "pickup_card"):
        error = {"type": "card_error", "code": "card_declined", "decline_code": code}
        await negotiation.sandbox.fault(
            path="/v1/payment_intents", method="POST", status=402, error=error
        )
        answer = await decline(negotiation)
        await negotiation.sandbox.clear_faults()
        payment = await negotiation.customer.call(
            "/payment", "get", {"payment_id": answer["payment"]["id"]}
        )
        assert (payment["failure"], answer["payment"]["failure"]) == ("generic_decline",) * 2
        assert "decline_code" not in payment
        seen = await admin.call("/admin", "payment", {"payment_id": payment["id"]})
        assert seen["payment"]["decline_code"] == code
        assert code not in msgspec.json.encode(payment).decode()


def test_which_declines_are_told():
    """Guard: `SECRET_DECLINES`. Source: Stripe, "Decline codes"."""
    assert {"lost_card", "stolen_card", "fraudulent", "pickup_card"} < SECRET_DECLINES
    assert shown_failure("insufficient_funds") == "insufficient_funds"
    assert shown_failure(None) is None


def test_the_setting(installation):
    """Guard: CARD_ATTEMPTS in `config.load`."""
    env = {name: text for name, text in installation.env.items() if name != "CARD_ATTEMPTS"}
    assert load(env).card_attempts == 10
    assert load({**env, "CARD_ATTEMPTS": "0"}).card_attempts == 0
