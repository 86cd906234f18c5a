"""Payments, saved methods, refunds and disputes."""

from datetime import UTC, datetime, timedelta

import pytest

from server.adapters.stripe_gateway import StripeGateway
from tests.server.adapters.gateway.asking import (
    LONG_AGO,
    METHODS,
    RETURN,
    hold,
    key,
    pay,
    refusal,
)

# -- payments ----------------------------------------------------------------------------------


async def test_a_card_is_held_and_captured(stripe):
    """Guard: `holdable` in `hold`; `capture_before` and the balance transaction in
    `shapes.intent`."""
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


async def test_link_is_held_as_long_as_a_card(stripe):
    """Guard: `holdable` in `hold`, and `_capture_before` in `shapes.intent`: Stripe does not say in
    the charge when a hold of Link ends."""
    held = await hold(stripe, "pm_link")
    assert (held.status, held.captured_amount) == ("requires_capture", 0)
    assert timedelta(days=6) < held.capture_before - datetime.now(UTC) < timedelta(days=8)
    assert held.charge_id.startswith("py_")
    taken = await stripe.capture(held.id, key=key())
    assert (taken.status, taken.captured_amount, taken.capture_before) == (
        "succeeded",
        10_000,
        None,
    )


async def test_only_listed_methods_are_asked_for(sandbox, stripe):
    """Guard: `methods_for` in `hold` and `savable` in `setup`: neither what the dashboard has
    switched on, nor a method that does not pay in the currency."""
    only_cards = StripeGateway(sandbox.key, sandbox.base, RETURN, ("card",))
    code = await refusal(hold(only_cards, "pm_crypto_usdc"))
    assert code == "payment_intent_incompatible_payment_method"
    await only_cards.close()
    for currency, kinds in (("USD", METHODS), ("JPY", ("card", "link"))):
        made = await hold(stripe, None, currency=currency)
        found = await sandbox.api("GET", f"payment_intents/{made.id}")
        assert (found["payment_method_types"], found["automatic_payment_methods"]) == (
            list(kinds),
            None,
        )


async def test_a_bank_works_on_a_delayed_method(stripe, sandbox):
    """Guard: `delayed_payments` of the sandbox; Stripe refuses to cancel what a bank works on."""
    begun = await hold(stripe, "pm_usBankAccount_success")
    assert (begun.status, begun.captured_amount) == ("processing", 0)
    assert await refusal(stripe.cancel(begun.id, key=key())) == "payment_intent_unexpected_state"
    await sandbox.advance(4 * 86_400 + 1)
    assert (await stripe.intent(begun.id)).status == "succeeded"
    refused = await hold(stripe, "pm_usBankAccount_insufficientFunds")
    await sandbox.advance(4 * 86_400 + 1)
    found = await stripe.intent(refused.id)
    assert (found.status, found.failure) == ("requires_payment_method", "insufficient_funds")


async def test_what_cannot_be_held_is_captured_at_once(stripe):
    """Guard: `automatic_async` in `hold`."""
    paid = await hold(stripe, "pm_crypto_usdc")
    assert (paid.status, paid.captured_amount, paid.capture_before) == ("succeeded", 10_000, None)
    assert paid.available_on is None, "Stripe books it later, and sends charge.updated then"
    assert paid.charge_id.startswith("py_")
    assert (await stripe.intent(paid.id)).available_on is not None
    refund = await stripe.refund(paid.id, 10_000, key=key(), metadata={})
    assert (refund.status, (await stripe.intent(paid.id)).refunded_amount) == ("succeeded", 10_000)


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("pm_card_visa", "requires_capture"),
        ("pm_crypto_usdc", "succeeded"),
        ("crypto", "succeeded"),
        ("link", "requires_capture"),
    ],
)
async def test_a_browser_confirms_with_any_method(stripe, sandbox, method, status):
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
    await sandbox.answer_challenge(asked.redirect_url)
    assert (await stripe.intent(asked.id)).status == status


async def test_a_page_that_is_not_passed(stripe, sandbox):
    """Guard: `last_payment_error` in `shapes.intent`."""
    asked = await hold(stripe, "pm_card_authenticationRequired")
    await sandbox.answer_challenge(asked.redirect_url, passed=False)
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
    """Another currency is refused before anything happens."""
    code = await refusal(hold(stripe, "pm_crypto_usdc", currency="JPY"))
    assert code == "payment_intent_incompatible_payment_method"


async def test_a_part_is_captured_in_the_dashboard(stripe, sandbox):
    """Guard: `amount_refunded` in `stripe_mapping.intent`: the released part of a hold is no refund
    since API version 2025-03-31.basil."""
    held = await hold(stripe)
    await sandbox.capture_partly(held.id, 6000)
    found = await stripe.intent(held.id)
    assert (found.status, found.captured_amount, found.refunded_amount) == ("succeeded", 6000, 0)
    await sandbox.refund_in_dashboard(found.id)
    assert (await stripe.intent(held.id)).refunded_amount == 6000


async def test_intents_of_a_time(stripe):
    """Guard: `stripe_mapping.since`, and the pages of `_each`."""
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
    (method,) = await stripe.methods(owner)
    assert (method.type, method.brand, method.last4, method.customer_id) == (
        "card",
        "mastercard",
        "4444",
        owner,
    )
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
    """Guard: the customer in `setup`; only a method that the bank has approved is saved."""
    owner = await stripe.create_customer(key=key(), email="a@x.test", user_id="usr_a")
    for passed, count in ((False, 0), (True, 1)):
        setup = await stripe.setup(owner, key=key())
        asked = await sandbox.confirm(setup.client_secret, "pm_card_threeDSecure2Required")
        assert (asked["status"], await stripe.methods(owner)) == ("requires_action", [])
        await sandbox.answer_challenge(
            asked["next_action"]["redirect_to_url"]["url"], passed=passed
        )
        assert len(await stripe.methods(owner)) == count


# -- refunds -----------------------------------------------------------------------------------


async def test_refunds_are_found_by_their_fact(stripe, sandbox):
    """Guard: `excluded` in `find_refund`; `refunds` leaves none out."""
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
        (other["id"], "succeeded"),
        (made.id, "succeeded"),
        (failing.id, "failed"),
    ]
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
        "warning_needs_response",
        10_000,
        "product_not_received",
    )
    assert (found.charge_id, found.intent_id) == (paid.charge_id, paid.id)
    assert (found.withdrawn_amount, found.fee_amount, found.fee_currency) == (0, 0, None)
    assert found.due_by > datetime.now(UTC)
    await sandbox.escalate(found.id)
    found = await stripe.dispute(found.id)
    assert (found.status, found.withdrawn_amount) == ("needs_response", 10_000)
    assert (found.fee_amount, found.fee_currency) == (1500, "USD")
    draft = await stripe.submit_evidence(
        found.id, {"uncategorized_text": "No"}, key=key(), submit=False
    )
    assert (draft.status, draft.submissions) == ("needs_response", 0)
    given = await stripe.submit_evidence(found.id, {"customer_name": "A"}, key=key(), submit=True)
    assert (given.status, given.submissions) == ("under_review", 1)
    more = stripe.submit_evidence(found.id, {"customer_name": "B"}, key=key(), submit=True)
    assert await refusal(more) == "refused"
    await sandbox.close_dispute(found.id, won=True)
    found = await stripe.dispute(found.id)
    assert (found.status, found.withdrawn_amount, found.fee_amount) == ("won", 0, 1500)


async def test_a_file_is_uploaded_for_a_dispute(stripe, sandbox):
    """Guard: `files` of the addresses in `connect`, and the name in `upload_evidence`. Guard: the
    key; a repeated upload is the same file."""
    paid = await pay(stripe)
    found = await stripe.dispute((await sandbox.dispute(paid.charge_id))["id"])
    once = key()
    file = await stripe.upload_evidence("receipt.png", b"pixels", key=once)
    assert await stripe.upload_evidence("receipt.png", b"pixels", key=once) == file
    await stripe.submit_evidence(found.id, {"receipt": file}, key=key(), submit=True)
    given = await sandbox.api("GET", f"disputes/{found.id}")
    assert given["evidence"]["receipt"] == file
    kept = await sandbox.api("GET", f"files/{file}")
    assert (kept["filename"], kept["size"], kept["purpose"]) == (
        "receipt.png",
        6,
        "dispute_evidence",
    )
    assert await refusal(stripe.upload_evidence("words.txt", b"words", key=key())) == "refused"


async def test_disputes_are_listed(stripe, sandbox):
    """Guard: `disputes`, newest first."""
    paid, other = await pay(stripe), await pay(stripe)
    first = await sandbox.dispute(paid.charge_id, 3000)
    second = await sandbox.dispute(paid.charge_id)
    third = await sandbox.dispute(other.charge_id)
    everyone = [(dispute.id, dispute.amount) async for dispute in stripe.disputes(LONG_AGO)]
    assert everyone[1:] == [(second["id"], 7000), (first["id"], 3000)]
    assert everyone[0][0] == third["id"]
    code = await refusal(stripe.refund(paid.id, 100, key=key(), metadata={}))
    assert code == "charge_disputed"
