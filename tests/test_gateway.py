"""The gateway against the sandbox: what it asks of Stripe, and how it reads what Stripe answers.

Guards are those of server/stripe_gateway.py and server/stripe_shapes.py.
"""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from domain.ports import GatewayRefused, GatewayUnknown, StaleFailure
from server.stripe_gateway import StripeGateway
from tests import stripe_oracle
from tests.sandbox_client import Sandbox

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
RETURN = "http://shop.test"


def key() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def sandbox(stores):
    """A tenant of its own; all that was asked, answered and told is judged by the oracle."""
    sandbox = Sandbox(stores.stripe_api_base, f"sk_test_{secrets.token_hex(16)}")
    yield sandbox
    stripe_oracle.check_log(await sandbox.requests())
    for event in await sandbox.events():
        stripe_oracle.check_event(event)
    await sandbox.close()


@pytest.fixture
async def stripe(sandbox):
    gateway = StripeGateway(sandbox.key, sandbox.base, RETURN)
    yield gateway
    await gateway.close()


@pytest.fixture
async def account(stripe, sandbox):
    """A connected account that finished its onboarding."""
    made = await stripe.create_account(key=key(), email="c@x.test", user_id="usr_c", country="US")
    await sandbox.fill_in_onboarding(await stripe.onboarding_url(made.id), "Carla", "usd,jpy")
    return made.id


async def hold(stripe, method="pm_card_visa", amount=10_000, **more):
    given = {"currency": "USD", "group": "ofr_1", "customer_id": None, "key": key(),
             "metadata": {"payment_id": "pay_1"}, **more}  # fmt: skip
    return await stripe.hold(amount=amount, payment_method=method, **given)


async def pay(stripe, method="pm_card_visa", amount=10_000, **more):
    held = await hold(stripe, method, amount, **more)
    return await stripe.capture(held.id, key=key())


async def refusal(work):
    """The code with which Stripe refuses."""
    with pytest.raises(GatewayRefused) as refused:
        await work
    return refused.value.code


# -- payments ----------------------------------------------------------------------------------


async def test_a_card_is_held_and_captured(stripe):
    """Guard: `HOLDABLE`; `capture_before` and the balance transaction in `shapes.intent`."""
    held = await hold(stripe)
    assert (held.status, held.captured_amount, held.currency) == ("requires_capture", 0, "USD")
    assert timedelta(days=6) < held.capture_before - datetime.now(UTC) < timedelta(days=8)
    assert held.metadata == {"payment_id": "pay_1"}
    assert held.fee_amount is None
    taken = await stripe.capture(held.id, key=key())
    assert (taken.status, taken.captured_amount, taken.fee_amount) == ("succeeded", 10_000, 0)
    assert taken.charge_id.startswith("ch_")
    assert taken.available_on is not None
    assert await stripe.intent(held.id) == taken == await stripe.find_intent("pay_1", LONG_AGO)
    assert await stripe.find_intent("pay_2", LONG_AGO) is None
    assert await refusal(stripe.cancel(held.id, key=key())) == "payment_intent_unexpected_state"


@pytest.mark.parametrize("method", ["pm_crypto_usdc", "pm_link"])
async def test_what_cannot_be_held_is_captured_at_once(stripe, method):
    """Guard: `automatic_async` and `automatic_payment_methods` in `hold`."""
    paid = await hold(stripe, method)
    assert (paid.status, paid.captured_amount, paid.capture_before) == ("succeeded", 10_000, None)
    assert paid.charge_id.startswith("py_")
    refund = await stripe.refund(paid.id, 10_000, key=key(), metadata={})
    assert (refund.status, (await stripe.intent(paid.id)).refunded_amount) == ("succeeded", 10_000)


@pytest.mark.parametrize(
    ("method", "status"),
    [("pm_card_visa", "requires_capture"), ("pm_crypto_usdc", "succeeded"), ("crypto", "succeeded"),
     ("link", "succeeded")],
)  # fmt: skip
async def test_a_browser_confirms_with_whatever_it_has(stripe, sandbox, method, status):
    """Guard: `hold` without a method leaves it open, with all types that are switched on."""
    made = await hold(stripe, None)
    assert made.status == "requires_payment_method"
    await sandbox.confirm(made.client_secret, method)
    assert (await stripe.intent(made.id)).status == status


@pytest.mark.parametrize(
    ("method", "status"),
    [("pm_card_authenticationRequired", "requires_capture"), ("pm_crypto_usdc_page", "succeeded")],
)
async def test_a_page_is_in_between(stripe, sandbox, method, status):
    """Guard: `return_url` in `hold`, `redirect_to_url` in `shapes.intent`."""
    asked = await hold(stripe, method)
    assert asked.status == "requires_action"
    await sandbox.challenge(asked.redirect_url)
    assert (await stripe.intent(asked.id)).status == status


async def test_a_page_that_is_not_passed(stripe, sandbox):
    """Guard: `last_payment_error` in `shapes.intent`."""
    asked = await hold(stripe, "pm_card_authenticationRequired")
    await sandbox.challenge(asked.redirect_url, passed=False)
    failed = await stripe.intent(asked.id)
    assert failed.status == "requires_payment_method"
    assert failed.failure == "payment_intent_authentication_failure"
    assert (await stripe.cancel(asked.id, key=key())).status == "canceled"


async def test_a_decline_is_an_intent(stripe):
    """Guard: `refused.declined` in `hold`."""
    declined = await hold(stripe, "pm_card_chargeDeclinedInsufficientFunds")
    assert (declined.status, declined.failure) == ("requires_payment_method", "insufficient_funds")
    assert declined.metadata == {"payment_id": "pay_1"}


async def test_stablecoins_pay_dollars_only(stripe):
    """What cannot be paid so is refused before anything happens."""
    code = await refusal(hold(stripe, "pm_crypto_usdc", currency="JPY"))
    assert code == "payment_intent_incompatible_payment_method"


async def test_a_part_is_captured_in_the_dashboard(stripe, sandbox):
    """Guard: `_refunded` in the shapes; Stripe counts what it let go of as refunded."""
    held = await hold(stripe)
    await sandbox.capture_partly(held.id, 6000)
    found = await stripe.intent(held.id)
    assert (found.status, found.captured_amount, found.refunded_amount) == ("succeeded", 6000, 0)
    await sandbox.refund_in_dashboard(found.id)
    assert (await stripe.intent(held.id)).refunded_amount == 6000


async def test_intents_of_a_time(stripe):
    """Guard: `_since`, and the pages of `_each`."""
    made = {(await hold(stripe)).id for _ in range(3)}
    assert {intent.id async for intent in stripe.intents(LONG_AGO)} == made
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [intent async for intent in stripe.intents(later)] == []


# -- saved methods -----------------------------------------------------------------------------


async def test_a_method_is_set_up_used_and_detached(stripe, sandbox):
    """Guard: `customer` in `hold` and `setup`; `shapes.method`, `shapes.setup`."""
    owner = await stripe.create_customer(key=key(), email="a@x.test", user_id="usr_a")
    other = await stripe.create_customer(key=key(), email="b@x.test", user_id="usr_b")
    assert await stripe.find_customer("usr_a", LONG_AGO) == owner
    assert await stripe.find_customer("usr_z", LONG_AGO) is None
    setup = await stripe.setup(owner, key=key())
    assert (setup.status, await stripe.methods(owner)) == ("requires_payment_method", [])
    await sandbox.confirm(setup.client_secret, "pm_card_mastercard")
    assert (await stripe.setup_state(setup.id)).status == "succeeded"
    (method,) = await stripe.methods(owner)
    assert (method.type, method.brand, method.last4, method.customer_id) == (
        "card", "mastercard", "4444", owner,
    )  # fmt: skip
    assert (method.exp_month, method.exp_year) == (12, 2034)
    for _ in range(2):
        held = await hold(stripe, method.id, customer_id=owner)
        assert held.status == "requires_capture"
    for stranger in (other, None):
        assert await refusal(hold(stripe, method.id, customer_id=stranger)) == "refused"
    assert (await stripe.detach(method.id, key=key())).customer_id is None
    assert (await stripe.methods(owner), await stripe.methods(other)) == ([], [])
    assert await refusal(hold(stripe, method.id, customer_id=owner)) == "refused"
    assert await refusal(stripe.method("pm_none")) == "resource_missing"
    assert await refusal(stripe.methods("cus_none")) == "resource_missing"


async def test_a_set_up_asks_the_bank(stripe, sandbox):
    """Guard: `status` in `shapes.setup`."""
    owner = await stripe.create_customer(key=key(), email="a@x.test", user_id="usr_a")
    for passed, status, count in ((False, "requires_payment_method", 0), (True, "succeeded", 1)):
        setup = await stripe.setup(owner, key=key())
        asked = await sandbox.confirm(setup.client_secret, "pm_card_threeDSecure2Required")
        assert (await stripe.setup_state(setup.id)).status == "requires_action"
        await sandbox.challenge(asked["next_action"]["redirect_to_url"]["url"], passed=passed)
        assert (await stripe.setup_state(setup.id)).status == status
        assert len(await stripe.methods(owner)) == count


# -- refunds -----------------------------------------------------------------------------------


async def test_refunds_are_found_by_their_fact(stripe, sandbox):
    """Guard: `besides` in `find_refund`; `refunds` leaves none out."""
    paid = await pay(stripe)
    await sandbox.fault(refund="usd", failure_code="declined")
    failing = await stripe.refund(paid.id, 1000, key=key(), metadata={"fact": "rf_1"})
    assert (await stripe.refund_state(failing.id)).failure == "declined"
    assert await stripe.find_refund(paid.id, "rf_1") is None
    made = await stripe.refund(paid.id, 2000, key=key(), metadata={"fact": "rf_1"})
    assert await stripe.find_refund(paid.id, "rf_1") == await stripe.refund_state(made.id)
    other = await sandbox.refund_in_dashboard(paid.id, 500)
    found = await stripe.refunds(paid.id)
    assert [(refund.id, refund.status) for refund in found] == [
        (other["id"], "succeeded"), (made.id, "succeeded"), (failing.id, "failed"),
    ]  # fmt: skip
    assert [refund async for refund in stripe.refunds_since(LONG_AGO)] == found
    assert (await stripe.intent(paid.id)).refunded_amount == 2500
    assert await refusal(stripe.refund(paid.id, 9000, key=key(), metadata={})) == "refused"
    await stripe.refund(paid.id, 7500, key=key(), metadata={})
    assert await refusal(stripe.refund(paid.id, 1, key=key(), metadata={})) == (
        "charge_already_refunded"
    )


async def test_pending_refunds(stripe, sandbox):
    """Guard: `moved` in `shapes.settled`."""
    paid = await pay(stripe)
    await sandbox.fault(refund="usd", pending_reason="insufficient_funds", delay=9999)
    waiting = await stripe.refund(paid.id, 4000, key=key(), metadata={})
    assert (waiting.status, waiting.moved) == ("pending", False)
    await sandbox.settle_refund(waiting.id)
    done = await stripe.refund_state(waiting.id)
    assert (done.status, done.moved) == ("succeeded", True)
    await sandbox.fail_refund(waiting.id, "expired_or_canceled_card")
    failed = await stripe.refund_state(waiting.id)
    assert (failed.status, failed.failure) == ("failed", "expired_or_canceled_card")
    assert (await stripe.intent(paid.id)).refunded_amount == 0


# -- disputes ----------------------------------------------------------------------------------


async def test_a_dispute_from_inquiry_to_victory(stripe, sandbox):
    """Guard: `withdrawn_amount` and the fee of `shapes.dispute`."""
    paid = await pay(stripe)
    opened = await sandbox.dispute(paid.charge_id, inquiry=True, reason="product_not_received")
    found = await stripe.dispute(opened["id"])
    assert (found.status, found.amount, found.reason) == (
        "warning_needs_response", 10_000, "product_not_received",
    )  # fmt: skip
    assert (found.charge_id, found.intent_id) == (paid.charge_id, paid.id)
    assert (found.withdrawn_amount, found.fee_amount, found.fee_currency) == (0, 0, None)
    assert found.due_by > datetime.now(UTC)
    await sandbox.escalate(found.id)
    found = await stripe.dispute(found.id)
    assert (found.status, found.withdrawn_amount) == ("needs_response", 10_000)
    assert (found.fee_amount, found.fee_currency) == (1500, "USD")
    draft = await stripe.submit_evidence(found.id, {"uncategorized_text": "No"}, key=key(),
                                         submit=False)  # fmt: skip
    assert (draft.status, draft.submissions) == ("needs_response", 0)
    given = await stripe.submit_evidence(found.id, {"customer_name": "A"}, key=key(), submit=True)
    assert (given.status, given.submissions) == ("under_review", 1)
    more = stripe.submit_evidence(found.id, {"customer_name": "B"}, key=key(), submit=True)
    assert await refusal(more) == "refused"
    await sandbox.close_dispute(found.id, won=True)
    found = await stripe.dispute(found.id)
    assert (found.status, found.withdrawn_amount, found.fee_amount) == ("won", 0, 1500)


async def test_disputes_of_a_payment(stripe, sandbox):
    """Guard: the filter of `find_disputes`; `disputes` has all."""
    paid, other = await pay(stripe), await pay(stripe)
    first = await sandbox.dispute(paid.charge_id, 3000)
    second = await sandbox.dispute(paid.charge_id)
    third = await sandbox.dispute(other.charge_id)
    found = await stripe.find_disputes(paid.id)
    assert [(dispute.id, dispute.amount) for dispute in found] == [
        (second["id"], 7000), (first["id"], 3000),
    ]  # fmt: skip
    everyone = [dispute.id async for dispute in stripe.disputes(LONG_AGO)]
    assert everyone == [third["id"], second["id"], first["id"]]
    code = await refusal(stripe.refund(paid.id, 100, key=key(), metadata={}))
    assert code == "charge_disputed"


# -- transfers ---------------------------------------------------------------------------------


async def test_transfers_and_their_reversals(stripe, sandbox, account):
    """Guard: `source_transaction` only with a charge; `reversed_amount` in `shapes.settled`."""
    paid = await pay(stripe)
    given = {"currency": "USD", "account_id": account, "group": "ofr_1"}
    first = await stripe.transfer(key=key(), amount=6000, charge_id=paid.charge_id,
                                  metadata={"fact": "trf_1"}, **given)  # fmt: skip
    second = await stripe.transfer(key=key(), amount=4000, charge_id=None,
                                   metadata={"fact": "trf_2"}, **given)  # fmt: skip
    assert await stripe.find_transfer("ofr_1", "trf_2") == second
    assert await stripe.find_transfer("ofr_1", "trf_3") is None
    assert [each.id async for each in stripe.transfers(LONG_AGO)] == [second.id, first.id]
    spent = stripe.transfer(key=key(), amount=1, charge_id=None, metadata={}, **given)
    assert await refusal(spent) == "balance_insufficient"

    back = await stripe.reverse(first.id, 1000, key=key(), metadata={"fact": "rev_1"})
    assert (back.status, back.amount, back.currency) == ("succeeded", 1000, "USD")
    assert await stripe.find_reversal(first.id, "rev_1") == back
    assert await stripe.find_reversal(first.id, "rev_2") is None
    assert sum(r.amount for r in await stripe.reversals(first.id)) == 1000
    assert await refusal(stripe.reverse(first.id, 5001, key=key(), metadata={})) == "refused"
    await stripe.payout(account, 9000, "USD", key=key(), metadata={})
    poor = stripe.reverse(first.id, 5000, key=key(), metadata={})
    assert await refusal(poor) == "balance_insufficient"


# -- payouts and accounts ----------------------------------------------------------------------


async def test_a_payout_comes_back_after_it_was_paid(stripe, sandbox, account):
    """Guard: the account in the options of the payouts' methods."""
    paid = await pay(stripe)
    await stripe.transfer(key=key(), amount=10_000, currency="USD", account_id=account,
                          charge_id=paid.charge_id, group="g", metadata={})  # fmt: skip
    meta = {"withdrawal_id": "wdr_1"}
    made = await stripe.payout(account, 10_000, "USD", key=key(), metadata=meta)
    await sandbox.advance(10)
    assert (await stripe.payout_state(account, made.id)).status == "paid"
    await sandbox.dead_payout(made.id, "account_closed")
    failed = await stripe.find_payout(account, "wdr_1", LONG_AGO)
    assert (failed.id, failed.status, failed.failure) == (made.id, "failed", "account_closed")
    assert [each.id async for each in stripe.payouts(account, LONG_AGO)] == [made.id]
    assert await stripe.find_payout(account, "wdr_2", LONG_AGO) is None


async def test_an_account_loses_what_it_may_do(stripe, sandbox, account):
    """Guard: `shapes.account`."""
    found = await stripe.account(account)
    assert (found.transfers_active, found.payouts_enabled, found.closed) == (True, True, False)
    assert (found.currencies, found.requirements) == (("JPY", "USD"), ())
    await sandbox.deactivate(account, "individual.id_number")
    found = await stripe.account(account)
    assert (found.transfers_active, found.payouts_enabled) == (False, False)
    assert found.requirements == ("individual.id_number",)
    assert found.disabled_reason == "requirements.past_due"
    await pay(stripe)
    given = {"amount": 1, "currency": "USD", "account_id": account, "charge_id": None, "group": "g"}
    refused = stripe.transfer(key=key(), metadata={}, **given)
    assert await refusal(refused) == "insufficient_capabilities_for_transfer"
    await sandbox.activate(account)
    assert (await stripe.transfer(key=key(), metadata={}, **given)).status == "succeeded"
    await sandbox.reject(account)
    assert (await stripe.account(account)).disabled_reason == "rejected.fraud"
    assert await refusal(stripe.payout(account, 1, "USD", key=key(), metadata={})) == (
        "payouts_not_allowed"
    )


async def test_a_closed_account(stripe, sandbox, account):
    """Guard: `account_invalid` in `account`; lists tell a refusal as what it is."""
    await sandbox.close_account(account)
    found = await stripe.account(account)
    assert (found.closed, found.transfers_active, found.payouts_enabled) == (True, False, False)
    payout = stripe.payout(account, 1, "USD", key=key(), metadata={})
    assert await refusal(payout) == "account_invalid"
    assert await refusal(stripe.find_payout(account, "wdr_1", LONG_AGO)) == "account_invalid"
    await pay(stripe)
    gone = stripe.transfer(key=key(), amount=1, currency="USD", account_id=account, charge_id=None,
                           group="g", metadata={})  # fmt: skip
    assert await refusal(gone) == "resource_missing"
    assert await stripe.find_account("usr_c", LONG_AGO) is None


# -- the books ---------------------------------------------------------------------------------


async def test_all_lines_of_stripes_books(stripe, sandbox, account):
    """Guard: `shapes.entry`, and `until` in `entries`."""
    await sandbox.settings(fee_bps=290, fee_fixed=30)
    paid = await pay(stripe)
    coins = await hold(stripe, "pm_crypto_usdc", 2000)
    refund = await stripe.refund(paid.id, 1000, key=key(), metadata={})
    await sandbox.fail_refund(refund.id)
    back = await stripe.refund(coins.id, 2000, key=key(), metadata={})
    sent = await stripe.transfer(key=key(), amount=500, currency="USD", account_id=account,
                                 charge_id=paid.charge_id, group="g", metadata={})  # fmt: skip
    reversal = await stripe.reverse(sent.id, 200, key=key(), metadata={})
    dispute = await sandbox.dispute(paid.charge_id, 4000)
    payout = await sandbox.api("POST", "payouts", amount=100, currency="usd")
    await sandbox.dead_payout(payout["id"])
    await sandbox.book_entry("stripe_fee", -250, "USD", "Radar")
    lines = [line async for line in stripe.entries(LONG_AGO)][::-1]
    assert [(line.type, line.amount, line.fee, line.source_id) for line in lines] == [
        ("charge", 10_000, 320, paid.charge_id),
        ("payment", 2000, 88, coins.charge_id),
        ("refund", -1000, 0, refund.id),
        ("refund_failure", 1000, 0, refund.id),
        ("payment_refund", -2000, 0, back.id),
        ("transfer", -500, 0, sent.id),
        ("transfer_refund", 200, 0, reversal.id),
        ("adjustment", -4000, 1500, dispute["id"]),
        ("payout", -100, 0, payout["id"]),
        ("payout_failure", 100, 0, payout["id"]),
        ("stripe_fee", -250, 0, None),
    ]
    assert all(line.net == line.amount - line.fee for line in lines)
    assert {(line.currency, line.created_at.tzinfo) for line in lines} == {("USD", UTC)}
    balance = await sandbox.api("GET", "balance")
    assert sum(line.net for line in lines) == balance["available"][0]["amount"]
    noon = lines[0].created_at
    assert [line async for line in stripe.entries(LONG_AGO, until=noon)] == []


async def test_more_lines_than_a_page_has(stripe, sandbox):
    """Guard: `auto_paging_iter` in `_each`."""
    for number in range(230):
        await sandbox.book_entry("topup", number + 1, "usd")
    lines = [line.amount async for line in stripe.entries(LONG_AGO)]
    assert lines == list(range(230, 0, -1))


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 409, 429, 500, 503])
@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/refunds/*"])
async def test_what_leaves_the_outcome_open(stripe, sandbox, status, path):
    """Guard: `open_outcome` in `_problem`."""
    await sandbox.fault(path=path, status=status)
    with pytest.raises(GatewayUnknown) as unknown:
        await (stripe.refunds("pi_1") if path == "/v1/refunds" else stripe.refund_state("re_1"))
    assert not isinstance(unknown.value, StaleFailure)
    assert str(status) in str(unknown.value)


async def test_a_lost_answer_and_its_repetition(stripe, sandbox):
    """Guard: `APIConnectionError` in `_problem`; the key makes the second call harmless."""
    paid, again = await pay(stripe), key()
    await sandbox.fault(path="/v1/refunds", drop=True, when="after")
    with pytest.raises(GatewayUnknown):
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    made = await stripe.refund(paid.id, 1000, key=again, metadata={})
    assert [refund.id for refund in await stripe.refunds(paid.id)] == [made.id]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stored_failure_is_told_apart(stripe, sandbox, when):
    """Guard: `Idempotent-Replayed` in `_problem`."""
    paid, again = await pay(stripe), key()
    await sandbox.fault(path="/v1/refunds", status=500, when=when)
    with pytest.raises(GatewayUnknown) as first:
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    with pytest.raises(StaleFailure):
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    assert type(first.value) is GatewayUnknown
    assert len(await stripe.refunds(paid.id)) == (when == "after")


async def test_a_key_with_other_parameters(stripe):
    """Guard: `IdempotencyError` in `_problem`: the first call had an outcome of its own."""
    paid, again = await pay(stripe), key()
    await stripe.refund(paid.id, 1000, key=again, metadata={})
    with pytest.raises(GatewayUnknown):
        await stripe.refund(paid.id, 1001, key=again, metadata={})


async def test_definite_refusals_have_codes(stripe, sandbox):
    """Guard: `decline_code` before `code` in `_problem`."""
    held = await hold(stripe)
    error = {"type": "card_error", "decline_code": "lost_card"}
    await sandbox.fault(path="/v1/payment_intents/*/capture", status=402, error=error)
    assert await refusal(stripe.capture(held.id, key=key())) == "lost_card"
    await sandbox.advance(8 * 86_400)
    assert await refusal(stripe.capture(held.id, key=key())) == "charge_expired_for_capture"
    assert await refusal(hold(stripe, amount=49)) == "amount_too_small"
    for work in (stripe.intent("pi_none"), stripe.refund_state("re_none"),
                 stripe.dispute("dp_none"), stripe.reversals("tr_none"),
                 stripe.setup_state("seti_none")):  # fmt: skip
        assert await refusal(work) == "resource_missing"
