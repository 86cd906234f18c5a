"""Customers and the payment methods that they keep."""

from __future__ import annotations

from typing import Any

from .call import Call
from .cards import BY_NUMBER, CARDS, OTHERS, Card
from .errors import Json, StripeError, missing, no_such, refused
from .forms import (
    ADDRESS,
    EXPAND,
    PAGE,
    Need,
    Spec,
    integer,
    listing,
    mapping,
    merged,
    one_of,
    shape,
    text,
)
from .state import new_id

BILLING = shape(address=ADDRESS, email=text, name=text, phone=text, tax_id=text)
CUSTOMER: Spec = {
    "address": ADDRESS,
    "description": text,
    "email": text,
    "invoice_settings": shape(default_payment_method=text),
    "metadata": mapping,
    "name": text,
    "payment_method": text,
    "phone": text,
    "preferred_locales": listing(),
    **EXPAND,
}
METHOD: dict[str, Any] = {
    "type": Need(one_of("card", "crypto", "link")),
    "card": shape(number=text, exp_month=integer, exp_year=integer, cvc=text, token=text),
    "crypto": shape(),
    "link": shape(),
    "billing_details": BILLING,
    "allow_redisplay": one_of("always", "limited", "unspecified"),
    "metadata": mapping,
}
CREATE_METHOD: Spec = {**METHOD, **EXPAND}
ATTACH: Spec = {"customer": text, **EXPAND}
METHODS: Spec = {**PAGE, "customer": text, "type": text, "allow_redisplay": text}
CUSTOMERS: Spec = {**PAGE, "email": text}


def create_customer(call: Call) -> Json:
    """Add a customer, with a card when one is given."""
    params = call.params
    customer: Json = {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": params.get("address"),
        "balance": 0,
        "created": call.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
            **params.get("invoice_settings", {}),
        },
        "livemode": False,
        "metadata": merged(None, params.get("metadata", {})),
        "name": params.get("name"),
        "phone": params.get("phone"),
        "preferred_locales": params.get("preferred_locales", []),
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    call.add(customer)
    if params.get("payment_method"):
        attach_to(call, use_method(call, params["payment_method"]), customer["id"])
    call.emit("customer.created", customer)
    return customer


def customer_of(call: Call, name: str, *, in_path: bool = True) -> Json:
    """A customer who was not deleted. Raises resource_missing."""
    customer = call.get("customer", name, "customer", in_path=in_path)
    if customer.get("deleted"):
        raise no_such("customer", name, "customer", in_path=in_path)
    return customer


def retrieve_customer(call: Call, name: str) -> Json:
    """A customer, or the trace of a deleted one."""
    return call.get("customer", name, "customer")


def update_customer(call: Call, name: str) -> Json:
    """Change a customer."""
    customer, params = customer_of(call, name), call.params
    if "metadata" in params:
        params["metadata"] = merged(customer["metadata"], params["metadata"])
    if "invoice_settings" in params:
        params["invoice_settings"] = {**customer["invoice_settings"], **params["invoice_settings"]}
    customer.update({k: v for k, v in params.items() if k not in ("expand", "payment_method")})
    call.save(customer)
    call.emit("customer.updated", customer)
    return customer


def delete_customer(call: Call, name: str) -> Json:
    """Forget a customer and let go of the cards."""
    customer = customer_of(call, name)
    for method in call.of("payment_method", "customer", customer["id"]):
        call.save(method)["customer"] = None
    call.emit("customer.deleted", customer)
    gone = {"id": customer["id"], "object": "customer", "deleted": True}
    customer.clear()
    customer.update(gone)
    return call.save(customer)


def list_customers(call: Call) -> Json:
    """Customers, newest first."""
    return call.page("customer", "/v1/customers", email=call.params.get("email"))


def create_method(call: Call) -> Json:
    """Add a card."""
    return method_from(call, call.params)


def method_from(call: Call, params: Json) -> Json:
    """A card from its number or a test token, or another method that needs no more than its type.
    Raises card errors for impossible cards."""
    kind, given = params["type"], params.get("card")
    if kind != "card":
        return _add_method(
            call, next(n for n, other in OTHERS.items() if other.kind == kind), params
        )
    if not given:
        raise missing("card")
    if given.get("token"):
        name = given["token"].removeprefix("tok_")
        if name not in CARDS:
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
    return _add_method(call, name, params)


def _add_method(call: Call, name: str, params: Json) -> Json:
    card = behaviour(name)
    billing = params.get("billing_details", {})
    address = {key: None for key in ("city", "country", "line1", "line2", "postal_code", "state")}
    details: Json = {"email": billing.get("email")} if card.kind == "link" else {}
    if card.kind == "card":
        details = _card(name, card, params.get("card", {}))
    return call.add(
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
            "created": call.now,
            "customer": None,
            "livemode": False,
            "metadata": merged(None, params.get("metadata", {})),
            "type": card.kind,
            "_card": name,
            "_spent": False,
        }
    )


def _card(name: str, card: Card, given: Json) -> Json:
    """What a method tells about its card."""
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass" if given.get("cvc") else None,
        },
        "country": "US",
        "display_brand": card.brand,
        "exp_month": given.get("exp_month", 12),
        "exp_year": given.get("exp_year", 2034),
        "fingerprint": (name + "FingerPrintOfCard")[:16],
        "funding": "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def use_method(call: Call, name: str, *, in_path: bool = False) -> Json:
    """A payment method by id; a magic test id makes a concrete one."""
    magic = name.removeprefix("pm_card_")
    if name.startswith("pm_card_") and magic in CARDS:
        return _add_method(call, magic, {})
    if name.removeprefix("pm_") in OTHERS:
        return _add_method(call, name.removeprefix("pm_"), {})
    return call.get("payment_method", name, "payment_method", in_path=in_path)


def behaviour(name: str) -> Card:
    """What a test method does, by its name."""
    return CARDS.get(name) or OTHERS[name]


def card_of(method: Json) -> Card:
    """How a payment method behaves."""
    return behaviour(method["_card"])


def retrieve_method(call: Call, name: str) -> Json:
    """One payment method."""
    return use_method(call, name, in_path=True)


def attach(call: Call, name: str) -> Json:
    """Give a card to a customer. Raises card errors for cards that the bank turns away."""
    if not call.params.get("customer"):
        raise missing("customer")
    customer = customer_of(call, call.params["customer"], in_path=False)
    method = use_method(call, name, in_path=True)
    attach_to(call, method, customer["id"])
    call.emit("payment_method.attached", method)
    return method


def attach_to(call: Call, method: Json, customer: str) -> None:
    """Attach, unless the card is someone else's, spent, or refused by its bank."""
    if method["customer"] not in (None, customer):
        raise refused(
            "The payment method you provided has already been attached to a customer.",
            "payment_method_already_attached",
        )
    check_usable(method)
    card = card_of(method)
    if not card.attachable:
        if card.refusal:
            raise card.error
        raise refused(f"Payment methods of the type {card.kind} cannot be saved.", None, "type")
    call.save(method)["customer"] = customer


def check_usable(method: Json) -> None:
    """A card that was used without a customer, or detached, is spent. Raises refused."""
    if method["_spent"] and method["customer"] is None:
        raise refused(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer"
            " attachment, shared with a connected account without Customer attachment, or was"
            " detached from a Customer. It may not be used again. To use a PaymentMethod multiple"
            " times, you must attach it to a Customer first."
        )


def detach(call: Call, name: str) -> Json:
    """Take a card from its customer for good."""
    method = call.get("payment_method", name, "payment_method")
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible.",
        )
    method.update(customer=None, _spent=True)
    call.save(method)
    call.emit("payment_method.detached", method)
    return method


def list_methods(call: Call) -> Json:
    """A customer's cards, newest first."""
    customer = call.params.get("customer")
    if not customer:
        raise missing("customer")
    return methods_of(call, customer, "/v1/payment_methods")


def methods_of(call: Call, customer: str, url: str = "") -> Json:
    """The cards of the customer in the path."""
    customer_of(call, customer)
    url = url or f"/v1/customers/{customer}/payment_methods"
    return call.page("payment_method", url, customer=customer, type=call.params.get("type"))
