"""Payment intents: holds, captures, declines, 3-D Secure, cancelling, expiry, amounts."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .conftest import NO_REDIRECT, Shop

WEEK = 7 * 86_400


async def refusal(work: Any) -> stripe.StripeError:
    """The error that a call ends with."""
    with pytest.raises(stripe.StripeError) as caught:
        await work
    return caught.value


async def test_money_is_held_then_captured(sandbox_shop: Shop) -> None:
    """Fails without `charges.approve` holding instead of settling for `capture_method=manual`."""
    held = await sandbox_shop.hold(transfer_group="ofr_1", metadata={"offer": "ofr_1"})
    assert (held.status, held.amount_capturable) == ("requires_capture", 10_000)
    assert await sandbox_shop.available() == 0
    charge = await sandbox_shop.v1.charges.retrieve_async(held.latest_charge)
    assert charge.payment_method_details.card.capture_before == charge.created + WEEK
    assert (charge.captured, charge.transfer_group) == (False, "ofr_1")

    taken = await sandbox_shop.v1.payment_intents.capture_async(
        held.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    entry = taken.latest_charge.balance_transaction
    assert (taken.status, taken.amount_received) == ("succeeded", 10_000)
    assert (entry.fee, entry.net, entry.status) == (320, 9_680, "available")
    assert await sandbox_shop.available() == 9_680
    assert await sandbox_shop.events() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


async def test_automatic_capture_settles_at_once(sandbox_shop: Shop) -> None:
    """Fails without the `_settle` at the end of `charges.approve`."""
    paid = await sandbox_shop.pay(expand=["latest_charge"])
    assert paid.status == "succeeded"
    assert paid.latest_charge.captured
    assert "capture_before" not in paid.latest_charge.payment_method_details.card


async def test_a_partial_capture_releases_the_rest(sandbox_shop: Shop) -> None:
    """Fails with a refund of the released part, which Stripe made until API version
    2025-03-31.basil."""
    held = await sandbox_shop.hold()
    taken = await sandbox_shop.v1.payment_intents.capture_async(
        held.id, {"amount_to_capture": 4_000, "expand": ["latest_charge"]}
    )
    charge = taken.latest_charge
    assert (charge.amount_captured, charge.amount_refunded) == (4_000, 0)
    assert not charge.refunded
    await sandbox_shop.v1.refunds.create_async({"payment_intent": held.id})
    back = await sandbox_shop.v1.charges.retrieve_async(charge.id)
    assert (back.amount_refunded, back.refunded) == (4_000, True)
    more = await refusal(sandbox_shop.v1.payment_intents.capture_async(held.id))
    assert more.code == "payment_intent_unexpected_state"


async def test_a_capture_never_exceeds_the_hold(sandbox_shop: Shop) -> None:
    """Fails without the amount guard in `payment_intents.capture`."""
    held = await sandbox_shop.hold()
    error = await refusal(
        sandbox_shop.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 10_001})
    )
    assert (error.http_status, error.param) == (400, "amount_to_capture")
    assert await sandbox_shop.available() == 0


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
async def test_a_declined_card_leaves_a_failed_charge(
    sandbox_shop: Shop, card: str, code: str, decline: str
) -> None:
    """Fails without `StripeError.keeps_effect`: the failed charge would be rolled back."""
    error = await refusal(sandbox_shop.hold(card))
    assert isinstance(error, stripe.CardError)
    error_body = error.json_body["error"]
    assert (error.code, error_body["decline_code"]) == (code, decline)
    assert error_body["payment_intent"]["status"] == "requires_payment_method"
    intent = await sandbox_shop.v1.payment_intents.retrieve_async(
        error_body["payment_intent"]["id"], {"expand": ["latest_charge"]}
    )
    assert intent.last_payment_error.decline_code == decline
    assert intent.latest_charge.status == "failed"
    assert (await sandbox_shop.events())[-2:] == ["charge.failed", "payment_intent.payment_failed"]

    again = await sandbox_shop.v1.payment_intents.confirm_async(
        intent.id, {"payment_method": "pm_card_visa"}
    )
    assert (again.status, again.last_payment_error) == ("requires_capture", None)


@pytest.mark.parametrize("card", ["authenticationRequired", "threeDSecure2Required"])
async def test_3d_secure_is_completed_on_the_hosted_page(sandbox_shop: Shop, card: str) -> None:
    """Fails without the `card.secure` branch of `payment_intents._confirm`."""
    asked = await sandbox_shop.hold(f"pm_card_{card}", return_url="https://shop.test/back?x=1")
    assert asked.status == "requires_action"
    page = asked.next_action.redirect_to_url.url
    async with sandbox_shop.http.get(page) as response:
        assert "100.00 usd" in await response.text()
    back = await sandbox_shop.post_form(f"{page}/complete", {})
    assert back.startswith(f"https://shop.test/back?x=1&payment_intent={asked.id}")
    assert asked.client_secret in back
    intent = await sandbox_shop.v1.payment_intents.retrieve_async(asked.id)
    assert intent.status == "requires_capture"
    assert "payment_intent.requires_action" in await sandbox_shop.events()


async def test_a_failed_challenge_needs_another_card(sandbox_shop: Shop) -> None:
    """Fails without `charges.reset_after_failure` for a challenge that was not passed."""
    asked = await sandbox_shop.hold("pm_card_authenticationRequired")
    assert asked.next_action.type == "use_stripe_sdk"
    page = f"{sandbox_shop.url}/3ds/{asked.id}"
    async with sandbox_shop.http.post(f"{page}/fail") as response:
        assert response.status == 200
    intent = await sandbox_shop.v1.payment_intents.retrieve_async(asked.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    async with sandbox_shop.http.post(f"{page}/complete") as response:
        assert response.status == 409


async def test_a_3d_secure_card_is_declined_off_session(sandbox_shop: Shop) -> None:
    """Fails without the `off_session` guard in `payment_intents._confirm`."""
    error = await refusal(sandbox_shop.hold("pm_card_authenticationRequired", off_session=True))
    assert (error.http_status, error.code) == (402, "authentication_required")


async def test_canceling_releases_the_hold(sandbox_shop: Shop) -> None:
    """Fails without `charges.cancel_intent` marking the charge as refunded."""
    held = await sandbox_shop.hold()
    gone = await sandbox_shop.v1.payment_intents.cancel_async(
        held.id, {"cancellation_reason": "abandoned", "expand": ["latest_charge"]}
    )
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    assert (gone.latest_charge.refunded, gone.latest_charge.amount_refunded) == (False, 0)
    assert not (await sandbox_shop.v1.refunds.list_async({"payment_intent": held.id})).data
    assert "charge.refunded" not in await sandbox_shop.events()
    for work in ("capture_async", "cancel_async", "confirm_async"):
        error = await refusal(getattr(sandbox_shop.v1.payment_intents, work)(held.id))
        assert error.code == "payment_intent_unexpected_state"


async def test_a_hold_expires_at_capture_before(sandbox_shop: Shop) -> None:
    """Fails without the `hold` timer that `charges.approve` sets."""
    held = await sandbox_shop.hold()
    await sandbox_shop.advance(WEEK - 60)
    intent = await sandbox_shop.v1.payment_intents.retrieve_async(held.id)
    assert intent.status == "requires_capture"
    await sandbox_shop.advance(61)
    intent = await sandbox_shop.v1.payment_intents.retrieve_async(
        held.id, {"expand": ["latest_charge"]}
    )
    assert (intent.status, intent.cancellation_reason) == ("canceled", "expired")
    assert not intent.latest_charge.refunded
    error = await refusal(sandbox_shop.v1.payment_intents.capture_async(held.id))
    assert (error.http_status, error.code) == (400, "charge_expired_for_capture")
    assert (await sandbox_shop.events())[-2:] == ["charge.expired", "payment_intent.canceled"]
    assert not (await sandbox_shop.v1.refunds.list_async({"payment_intent": held.id})).data


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (29, "gbp", "amount_too_small"),
        (49, "jpy", "amount_too_small"),
        (100_000_000, "usd", "amount_too_large"),
        (10_005, "kwd", "parameter_invalid_integer"),
    ],
)
async def test_invalid_amounts_are_refused(
    sandbox_shop: Shop, amount: int, currency: str, code: str
) -> None:
    """Fails without `currencies.check_charge_amount` in `payment_intents.create`."""
    error = await refusal(sandbox_shop.pay(amount=amount, currency=currency))
    assert (error.http_status, error.code, error.param) == (400, code, "amount")
    assert await sandbox_shop.events() == []


@pytest.mark.parametrize(("amount", "currency"), [(50, "jpy"), (10_010, "kwd"), (30, "gbp")])
async def test_minimum_amounts_of_other_currencies(
    sandbox_shop: Shop, amount: int, currency: str
) -> None:
    """Fails when `currencies` treats every currency as one of two decimals."""
    assert (await sandbox_shop.pay(amount=amount, currency=currency)).status == "succeeded"


async def test_redirect_methods_need_a_return_url(sandbox_shop: Shop) -> None:
    """Fails without `payment_intents._check_return_url`."""
    error = await refusal(
        sandbox_shop.v1.payment_intents.create_async(
            {"amount": 1_000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
    )
    assert error.param == "return_url"
    assert (await sandbox_shop.v1.payment_intents.list_async()).data == []


async def test_an_intent_is_updated_only_before_confirmation(sandbox_shop: Shop) -> None:
    """Fails without the state guard in `payment_intents.update`, and metadata merging."""
    intents = sandbox_shop.v1.payment_intents
    made = await intents.create_async(
        {
            "amount": 1_000,
            "currency": "usd",
            "metadata": {"a": "1", "b": "2"},
            "automatic_payment_methods": NO_REDIRECT,
        }
    )
    assert made.status == "requires_payment_method"
    changed = await intents.update_async(
        made.id,
        {"amount": 2_000, "metadata": {"a": "", "c": "3"}, "payment_method": "pm_card_visa"},
    )
    assert (changed.amount, changed.status) == (2_000, "requires_confirmation")
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert (await intents.confirm_async(made.id)).status == "succeeded"
    error = await refusal(intents.update_async(made.id, {"amount": 3_000}))
    assert error.code == "payment_intent_unexpected_state"


async def test_cards_belong_to_customers(sandbox_shop: Shop) -> None:
    """Fails without `payment_methods.attach_to_customer` and the owner guard in
    `payment_intents._apply_parameters`."""
    v1 = sandbox_shop.v1
    one = await v1.customers.create_async({"email": "one@shop.test"})
    two = await v1.customers.create_async({"email": "two@shop.test"})
    card = await v1.payment_methods.attach_async("pm_card_visa", {"customer": one.id})
    found = await v1.customers.payment_methods.list_async(one.id, {"type": "card"})
    assert [entry.id for entry in found.data] == [card.id]
    for _ in range(2):
        assert (await sandbox_shop.pay(card.id, customer=one.id)).status == "succeeded"
    await refusal(sandbox_shop.pay(card.id, customer=two.id))
    await v1.payment_methods.detach_async(card.id)
    assert (await v1.payment_methods.list_async({"customer": one.id})).data == []
    await refusal(sandbox_shop.pay(card.id, customer=one.id))
    bad = await refusal(
        v1.payment_methods.attach_async("pm_card_chargeDeclined", {"customer": one.id})
    )
    assert bad.code == "card_declined"


async def test_an_unattached_card_pays_only_once(sandbox_shop: Shop) -> None:
    """Fails without `payment_methods.check_usable`."""
    card = await sandbox_shop.v1.payment_methods.create_async(
        {
            "type": "card",
            "card": {
                "number": "4242 4242 4242 4242",
                "exp_month": 1,
                "exp_year": 2035,
                "cvc": "123",
            },
        }
    )
    await sandbox_shop.pay(card.id)
    assert "may not be used again" in str(await refusal(sandbox_shop.pay(card.id)))


async def test_a_browser_confirms_with_the_publishable_key(sandbox_shop: Shop) -> None:
    """Fails without `_check_publishable_key` or the client secret guard."""
    await sandbox_shop.control("POST", "grants", {"publishable_keys": ["pk_test_browser"]})
    made = await sandbox_shop.v1.payment_intents.create_async(
        {"amount": 1_000, "currency": "usd", "automatic_payment_methods": NO_REDIRECT}
    )
    browser = sandbox_shop.connect(key="pk_test_browser").v1.payment_intents
    given: Any = {"client_secret": made.client_secret, "payment_method": "pm_card_visa"}
    assert (await refusal(browser.confirm_async(made.id, {**given, "client_secret": "x"}))).param
    assert (await refusal(browser.retrieve_async(made.id))).code == "parameter_missing"
    assert (await refusal(browser.list_async())).http_status == 401
    assert (await browser.confirm_async(made.id, given)).status == "succeeded"


async def test_a_card_is_set_up_for_later(sandbox_shop: Shop) -> None:
    """Fails without `setup_intents._succeed` attaching the card."""
    v1 = sandbox_shop.v1
    customer = await v1.customers.create_async()
    setup = await v1.setup_intents.create_async(
        {
            "customer": customer.id,
            "payment_method": "pm_card_threeDSecure2Required",
            "confirm": True,
            "return_url": "https://shop.test/back",
        }
    )
    assert setup.status == "requires_action"
    await sandbox_shop.post_form(f"{setup.next_action.redirect_to_url.url}/complete", {})
    setup = await v1.setup_intents.retrieve_async(setup.id, {"expand": ["payment_method"]})
    assert (setup.status, setup.payment_method.customer) == ("succeeded", customer.id)
    declined = await refusal(
        v1.setup_intents.create_async({"payment_method": "pm_card_chargeDeclined", "confirm": True})
    )
    assert declined.json_body["error"]["setup_intent"]["status"] == "requires_payment_method"


@pytest.mark.parametrize(
    ("card", "charged"),
    [("authenticationRequired", False), ("authenticationRequiredOnSetup", True)],
)
async def test_an_absent_customer_cannot_authenticate(
    sandbox_shop: Shop, card: str, charged: bool
) -> None:
    """Guard: `payment_intents._refuse_authentication`. Where Stripe itself asks for 3-D Secure
    nothing was tried; a bank that was asked leaves a failed charge."""
    error = await refusal(sandbox_shop.hold(f"pm_card_{card}", off_session=True))
    body = error.json_body["error"]
    assert (body["code"], body["decline_code"]) == ("authentication_required",) * 2
    assert ("charge" in body, body["payment_intent"]["latest_charge"] is not None) == (charged,) * 2
    assert body["payment_intent"]["last_payment_error"]["code"] == "authentication_required"
    events = await sandbox_shop.events()
    assert ("charge.failed" in events) == charged
    assert events[-1] == "payment_intent.payment_failed"


async def test_a_payment_that_may_not_ask_is_refused_without_a_charge(sandbox_shop: Shop) -> None:
    """Guard: `error_on_requires_action` in `payment_intents._refuse_authentication`."""
    asked = sandbox_shop.hold("pm_card_authenticationRequired", error_on_requires_action=True)
    body = (await refusal(asked)).json_body["error"]
    assert body["decline_code"] == "authentication_not_handled"
    assert body["payment_intent"]["latest_charge"] is None


async def test_a_card_that_was_set_up_is_spared_off_session(sandbox_shop: Shop) -> None:
    """Guard: `_set_up` in `payment_intents._needs_authentication`."""
    customer = await sandbox_shop.v1.customers.create_async({"name": "A"})
    setup = await sandbox_shop.v1.setup_intents.create_async(
        {
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "payment_method_types": ["card"],
            "confirm": True,
        }
    )
    assert setup.status == "requires_action"
    async with sandbox_shop.http.post(f"{sandbox_shop.url}/3ds/{setup.id}/complete") as response:
        assert response.status == 200
    held = await sandbox_shop.hold(
        str(setup.payment_method), customer=customer.id, off_session=True
    )
    assert held.status == "requires_capture"


@pytest.mark.parametrize(
    "token", ["tok_visa_chargeDeclinedLostCard", "tok_chargeDeclinedLostCard", "tok_radarBlock"]
)
async def test_tokens_have_the_names_of_test_methods(sandbox_shop: Shop, token: str) -> None:
    """Guard: `card_behaviors.ALIASES`."""
    method = await sandbox_shop.v1.payment_methods.create_async(
        {"type": "card", "card": {"token": token}}
    )
    error = (await refusal(sandbox_shop.pay(method.id))).json_body["error"]
    assert error["decline_code"] == ("fraudulent" if "radar" in token else "lost_card")


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("createDispute", "fraudulent"),
        ("createDisputeProductNotReceived", "product_not_received"),
        ("createDisputeInquiry", "fraudulent"),
    ],
)
async def test_tokens_of_disputes(sandbox_shop: Shop, card: str, reason: str) -> None:
    """Guard: `card_behaviors.card_name` of tokens."""
    method = await sandbox_shop.v1.payment_methods.create_async(
        {"type": "card", "card": {"token": f"tok_{card}"}}
    )
    paid = await sandbox_shop.pay(method.id)
    page = await sandbox_shop.v1.disputes.list_async({"charge": str(paid.latest_charge)})
    assert [dispute.reason for dispute in page.data] == [reason]
