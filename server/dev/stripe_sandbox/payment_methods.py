"""Payment methods: creation from test cards, attachment to customers."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from server.dev.stripe_sandbox.card_behaviors import (
    BY_NUMBER,
    CARDS,
    OTHER_METHODS,
    CardBehavior,
    card_name,
)
from server.dev.stripe_sandbox.errors import Json, StripeError, missing, no_such, refused
from server.dev.stripe_sandbox.parameters import (
    ADDRESS,
    EXPAND,
    Required,
    Spec,
    integer,
    merge_metadata,
    metadata,
    nested,
    one_of,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

BILLING = nested(address=ADDRESS, email=text, name=text, phone=text, tax_id=text)
METHOD: dict[str, Any] = {
    "type": Required(one_of("card", "crypto", "link", "us_bank_account")),
    "card": nested(number=text, exp_month=integer, exp_year=integer, cvc=text, token=text),
    "crypto": nested(),
    "link": nested(),
    "us_bank_account": nested(
        account_holder_type=text, account_number=text, account_type=text, routing_number=text
    ),
    "billing_details": BILLING,
    "allow_redisplay": one_of("always", "limited", "unspecified"),
    "metadata": metadata,
}
CREATE_METHOD: Spec = {**METHOD, **EXPAND}


# By the capability of the platform's account that each type needs, with its only currency.
TYPES = {
    "card": ("card_payments", None),
    "crypto": ("crypto_payments", "usd"),
    "link": ("link_payments", None),
    "us_bank_account": ("us_bank_account_ach_payments", "usd"),
}


def check_types(context: RequestContext, kinds: list[str], currency_code: str | None) -> None:
    """Raises refused for a type that is unknown, not activated, or pays in another currency."""
    account = context.find(context.tenant.account)
    active = account["capabilities"] if account else {}
    for kind in kinds:
        capability, only = TYPES.get(kind, ("", None))
        if active.get(capability) != "active":
            raise refused(
                f'The payment method type "{kind}" is invalid. Please ensure the provided type is'
                " activated in your dashboard"
                " (https://dashboard.stripe.com/account/payments/settings) and your account is"
                " enabled for any preview features that you are trying to use.",
                "payment_intent_invalid_parameter",
                "payment_method_types",
            )
        if only and currency_code and currency_code != only:
            raise refused(
                f"The currency provided ({currency_code}) is invalid for one or more payment method"
                " types on this PaymentIntent.",
                "payment_intent_invalid_parameter",
                "currency",
            )


def create_method(context: RequestContext) -> Json:
    """Create a payment method."""
    return create_from_parameters(context, context.params)


def create_from_parameters(context: RequestContext, params: Json) -> Json:
    """Create a card from its number or test token, or another method from its type alone.
    Raises card errors for unknown numbers."""
    kind, given = params["type"], params.get("card")
    if kind != "card":
        return _add_method(
            context, next(n for n, other in OTHER_METHODS.items() if other.kind == kind), params
        )
    if not given:
        raise missing("card")
    if given.get("token"):
        name = card_name(given["token"], "tok_")
        if name is None:
            raise no_such("token", given["token"], "card[token]", in_path=False)
    else:
        name = BY_NUMBER.get((given.get("number") or "").replace(" ", ""), "")
        if not name:
            raise StripeError(
                402,
                "card_error",
                "Your card number is incorrect.",
                code="incorrect_number",
                param="number",
            )
    return _add_method(context, name, params)


def _add_method(context: RequestContext, name: str, params: Json) -> Json:
    card = behavior_by_name(name)
    billing = params.get("billing_details", {})
    address = {key: None for key in ("city", "country", "line1", "line2", "postal_code", "state")}
    details: Json = {"email": billing.get("email")} if card.kind == "link" else {}
    if card.kind == "card":
        details = _card_details(name, card, params.get("card"))
    if card.kind == "us_bank_account":
        details = _bank_account_details(name, card)
    return context.add(
        {
            "id": new_id("pm_1"),
            "object": "payment_method",
            "allow_redisplay": params.get("allow_redisplay", "unspecified"),
            "billing_details": {
                "email": None,
                "name": None,
                "phone": None,
                "tax_id": None,
                **billing,
                "address": {**address, **billing.get("address", {})},
            },
            card.kind: details,
            "created": context.now,
            "customer": None,
            "livemode": False,
            "metadata": merge_metadata(None, params.get("metadata", {})),
            "type": card.kind,
            "_card": name,
            "_spent": False,
            "_set_up": False,
        }
    )


def _card_details(name: str, card: CardBehavior, given: Json | None) -> Json:
    """The `card` object of a payment method: of the card in the form, or of a test id."""
    checked = "pass" if given is None or given.get("token") else None
    given = given or {}
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "unchecked" if given.get("cvc") else checked,
        },
        "country": "US",
        "display_brand": card.brand,
        "exp_month": given.get("exp_month", 12),
        "exp_year": given.get("exp_year", 2034),
        "fingerprint": sha256(card.number.encode()).hexdigest()[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank_account_details(name: str, account: CardBehavior) -> Json:
    """The `us_bank_account` object of a payment method."""
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": (name.partition("_")[2] + "FingerPrintOfBank")[:16],
        "last4": account.number[-4:],
        "routing_number": "110000000",
    }


def get_or_create_method(context: RequestContext, method_id: str, *, in_path: bool = False) -> Json:
    """A payment method by id. A test id such as `pm_card_visa` creates a new method."""
    magic = card_name(method_id, "pm_card_")
    if magic is not None:
        return _add_method(context, magic, {})
    if method_id.removeprefix("pm_") in OTHER_METHODS:
        return _add_method(context, method_id.removeprefix("pm_"), {})
    found = context.find(method_id, context.account)
    if found is None or found["object"] != "payment_method":
        raise no_such("PaymentMethod", method_id, "payment_method", in_path=in_path)
    return found


def behavior_by_name(name: str) -> CardBehavior:
    """The behavior of a test method, by its name."""
    return CARDS.get(name) or OTHER_METHODS[name]


def behavior_of(method: Json) -> CardBehavior:
    """The behavior of a payment method."""
    return behavior_by_name(method["_card"])


def retrieve_method(context: RequestContext, method_id: str) -> Json:
    """One payment method."""
    return get_or_create_method(context, method_id, in_path=True)


def attach_to_customer(context: RequestContext, method: Json, customer_id: str) -> None:
    """Attach a payment method. Raises refused for another customer's or a used one."""
    if method["customer"] not in (None, customer_id):
        raise refused("The payment method you provided has already been attached to a customer.")
    check_usable(method)
    card = behavior_of(method)
    if card.kind == "card" and card.attachable:
        context.save(method)["card"]["checks"]["cvc_check"] = "pass"
    if not card.attachable:
        if card.refusal:
            error = card.error
            error.fields.setdefault("param", "")
            raise error
        raise refused(f"Payment methods of the type {card.kind} cannot be saved.", None, "type")
    context.save(method)["customer"] = customer_id


def check_usable(method: Json) -> None:
    """Raises refused for a method that was used without a customer, or detached."""
    if method["_spent"] and method["customer"] is None:
        raise refused(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer"
            " attachment, shared with a connected account without Customer attachment, or was"
            " detached from a Customer. It may not be used again. To use a PaymentMethod multiple"
            " times, you must attach it to a Customer first."
        )


def detach(context: RequestContext, method_id: str) -> Json:
    """Detach a payment method. It cannot be used again."""
    method = context.get("payment_method", method_id, "payment_method")
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible.",
        )
    method.update(customer=None, _spent=True)
    context.save(method)
    context.emit("payment_method.detached", method)
    return method
