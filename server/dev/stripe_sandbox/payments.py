"""Payment intents: the state machine from a card to held or captured money."""

from __future__ import annotations

from server.dev.stripe_sandbox import cards, charges, customers

from .call import Call
from .errors import Json, StripeError, declined, refused
from .forms import (
    EXPAND,
    PAGE,
    Need,
    Spec,
    boolean,
    currency,
    integer,
    listing,
    mapping,
    merged,
    off_session,
    one_of,
    shape,
    text,
)
from .money import check_charge
from .state import new_id

CAPTURES = one_of("automatic", "automatic_async", "manual")
USAGES = one_of("off_session", "on_session")
OPTIONS = shape(
    card=shape(
        capture_method=one_of("", "manual"),
        request_three_d_secure=one_of("any", "automatic", "challenge"),
        setup_future_usage=one_of("none", "off_session", "on_session"),
    ),
    crypto=shape(setup_future_usage=one_of("none")),
    link=shape(
        capture_method=one_of("", "manual"),
        setup_future_usage=one_of("none", "off_session"),
    ),
)
COMMON: Spec = {
    "capture_method": CAPTURES,
    "payment_method": text,
    "payment_method_data": shape(**customers.METHOD),
    "payment_method_options": OPTIONS,
    "payment_method_types": listing(),
    "receipt_email": text,
    "setup_future_usage": USAGES,
    **EXPAND,
}
EDITABLE: Spec = {
    "customer": text,
    "description": text,
    "metadata": mapping,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    "transfer_group": text,
}
CONFIRMING: Spec = {
    "error_on_requires_action": boolean,
    "off_session": off_session,
    "return_url": text,
    "use_stripe_sdk": boolean,
}
CREATE: Spec = {
    "amount": Need(integer),
    "currency": Need(currency),
    "confirm": boolean,
    "confirmation_method": one_of("automatic", "manual"),
    "automatic_payment_methods": shape(
        enabled=Need(boolean), allow_redirects=one_of("always", "never")
    ),
    **COMMON,
    **EDITABLE,
    **CONFIRMING,
}
UPDATE: Spec = {"amount": integer, "currency": currency, **COMMON, **EDITABLE}
CONFIRM: Spec = {"client_secret": text, **COMMON, **CONFIRMING}
RETRIEVE: Spec = {"client_secret": text, **EXPAND}
CAPTURE: Spec = {
    "amount_to_capture": integer,
    "final_capture": boolean,
    "metadata": mapping,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    **EXPAND,
}
CANCEL: Spec = {
    "cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    **EXPAND,
}
LIST: Spec = {**PAGE, "customer": text}
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def blank(call: Call, amount: int, money: str) -> Json:
    """A new payment intent without a card."""
    name = new_id("pi_3")
    return {
        "id": name,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{name}_secret_{new_id('', 25)}",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": money,
        "customer": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        "_return_url": None,
    }


def create(call: Call) -> Json:
    """Make a payment intent and, if asked, confirm it at once."""
    params = call.params
    check_charge(params["amount"], params["currency"])
    intent = blank(call, params["amount"], params["currency"])
    automatic = params.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in params:
        automatic = {"enabled": True}
    if automatic and automatic["enabled"]:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
        intent["payment_method_types"] = _fitting(params)
    intent["confirmation_method"] = params.get("confirmation_method", "automatic")
    _apply(call, intent)
    call.add(intent)
    call.emit("payment_intent.created", intent)
    return _confirm(call, intent) if params.get("confirm") else intent


def _fitting(params: Json) -> list[str]:
    """What the dashboard has switched on, as far as it can do what is asked for."""
    coins = params["currency"] == "usd" and params.get("capture_method") != "manual"
    return ["card", "link", *(["crypto"] if coins else [])]


def retrieve(call: Call, name: str) -> Json:
    """One payment intent; with a publishable key only for its client secret."""
    intent = call.get("payment_intent", name, "intent")
    given = call.params.get("client_secret")
    if given is not None and given != intent["client_secret"]:
        raise refused(
            "The client_secret provided does not match the client_secret associated with the"
            " PaymentIntent.",
            "payment_intent_invalid_parameter",
            "client_secret",
        )
    return intent


def update(call: Call, name: str) -> Json:
    """Change a payment intent that is not confirmed yet."""
    intent = retrieve(call, name)
    if set(call.params) - {"metadata", "description", "expand", "transfer_group"}:
        _need(intent, "updated", CONFIRMABLE)
    wanted = {"amount": intent["amount"], "currency": intent["currency"], **call.params}
    check_charge(wanted["amount"], wanted["currency"])
    intent.update(amount=wanted["amount"], currency=wanted["currency"])
    _apply(call, intent)
    return call.save(intent)


def _apply(call: Call, intent: Json) -> None:
    """Take over what the parameters say about an intent."""
    params = call.params
    if params.get("customer"):
        customers.customer_of(call, params["customer"], in_path=False)
    for name in (*EDITABLE, "capture_method", "receipt_email", "setup_future_usage"):
        if name in params and name != "metadata":
            intent[name] = params[name]
    if "payment_method_types" in params:
        intent["payment_method_types"] = params["payment_method_types"]
    for kind, options in params.get("payment_method_options", {}).items():
        told = intent["payment_method_options"].setdefault(kind, {})
        told.update({name: value for name, value in options.items() if value})
    intent["metadata"] = merged(intent["metadata"], params.get("metadata", {}))
    method = method_given(call)
    if method is not None:
        customers.check_usable(method)
        _check_kind(intent, method)
        if method["customer"] not in (None, intent["customer"]):
            raise refused(
                f"The provided PaymentMethod ({method['id']}) belongs to a Customer. Please"
                " include the Customer in the `customer` parameter on the PaymentIntent.",
                None,
                "payment_method",
            )
        intent["payment_method"] = method["id"]
        if intent["status"] in CONFIRMABLE:
            intent.update(status="requires_confirmation", next_action=None)


def _check_kind(intent: Json, method: Json) -> None:
    """Raises payment_intent_incompatible_payment_method."""
    kinds = intent["payment_method_types"]
    if method["type"] not in kinds:
        raise refused(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent."
            " Please attach a PaymentMethod of one of the following types:"
            f" {', '.join(kinds)}.",
            "payment_intent_incompatible_payment_method",
            "payment_method",
        )


def method_given(call: Call) -> Json | None:
    """The card that the parameters name or describe."""
    if call.params.get("payment_method"):
        return customers.use_method(call, call.params["payment_method"])
    if call.params.get("payment_method_data"):
        return customers.method_from(call, call.params["payment_method_data"])
    return None


def confirm(call: Call, name: str) -> Json:
    """Try the card."""
    intent = retrieve(call, name)
    _need(intent, "confirmed", CONFIRMABLE)
    _apply(call, intent)
    return _confirm(call, intent)


def _confirm(call: Call, intent: Json) -> Json:
    params = call.params
    if intent["payment_method"] is None:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method. To"
            " confirm the PaymentIntent with a saved payment method, specify the payment method"
            " along with the customer.",
            "payment_intent_unexpected_state",
        )
    _check_return_url(intent, params)
    intent["_return_url"] = params.get("return_url")
    call.save(intent)
    method = call.get("payment_method", intent["payment_method"])
    card = customers.card_of(method)
    wish = intent["payment_method_options"]["card"]["request_three_d_secure"]
    if card.secure or (card.kind == "card" and wish in ("any", "challenge")):
        if params.get("off_session") or params.get("error_on_requires_action"):
            raise charges.fail(call, intent, method, declined(*cards.REFUSALS["authentication"]))
        return _ask_for_action(call, intent)
    if card.refusal:
        raise charges.fail(call, intent, method, card.error)
    return charges.succeed(call, intent, method)


def _check_return_url(intent: Json, params: Json) -> None:
    automatic = intent["automatic_payment_methods"] or {"allow_redirects": "never"}
    exempt = ("return_url", "off_session", "use_stripe_sdk", "error_on_requires_action")
    if automatic["allow_redirects"] == "never" or any(params.get(name) for name in exempt):
        return
    raise refused(
        "This PaymentIntent is configured to accept payment methods enabled in your Dashboard."
        " Because some of these payment methods might redirect your customer off of your page, you"
        " must provide a `return_url`. If you don't want to accept redirect-based payment methods,"
        " set `automatic_payment_methods[enabled]` to `true` and"
        " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and"
        " Payment Intents.",
        None,
        "return_url",
    )


def _ask_for_action(call: Call, intent: Json) -> Json:
    """Send the payer to the page of the bank, or of the wallet."""
    page = f"{call.base_url}/3ds/{intent['id']}"
    if intent["_return_url"]:
        redirect = {"return_url": intent["_return_url"], "url": page}
        action: Json = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        secure = {"type": "three_d_secure_redirect", "stripe_js": page}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": secure}
    intent.update(status="requires_action", next_action=action)
    call.emit("payment_intent.requires_action", intent)
    return intent


def authenticate(call: Call, intent: Json, *, passed: bool) -> Json:
    """What the 3-D Secure page does. Raises payment_intent_unexpected_state."""
    _need(intent, "authenticated", ("requires_action",))
    call.save(intent)["next_action"] = None
    method = call.get("payment_method", intent["payment_method"])
    if passed:
        return charges.succeed(call, intent, method, secure=True)
    error = StripeError(
        402,
        "invalid_request_error",
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data"
        " or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
        code="payment_intent_authentication_failure",
    )
    charges.note_failure(call, intent, method, error)
    return intent


def capture(call: Call, name: str) -> Json:
    """Take the held money, or a part of it and let go of the rest."""
    intent = retrieve(call, name)
    held = call.find(intent["latest_charge"])
    if intent["cancellation_reason"] == "automatic" and held is not None:
        raise charges.too_late(held)
    _need(intent, "captured", ("requires_capture",))
    assert held is not None
    wanted = {"amount_to_capture": intent["amount_capturable"], **call.params}
    amount: int = wanted["amount_to_capture"]
    if not 1 <= amount <= intent["amount_capturable"]:
        raise refused(
            f"The remaining amount available to capture for this PaymentIntent is"
            f" {intent['amount_capturable']}, but you requested to capture {amount}.",
            "amount_too_large" if amount > 0 else "parameter_invalid_integer",
            "amount_to_capture",
        )
    intent["metadata"] = merged(intent["metadata"], call.params.get("metadata", {}))
    return charges.capture(call, intent, held, amount)


def cancel(call: Call, name: str) -> Json:
    """Give up the intent and let go of held money."""
    intent = retrieve(call, name)
    _need(intent, "canceled", (*CONFIRMABLE, "requires_capture"))
    return charges.release(call, intent, call.params.get("cancellation_reason"))


def list_intents(call: Call) -> Json:
    """Payment intents, newest first."""
    return call.page("payment_intent", "/v1/payment_intents", customer=call.params.get("customer"))


def _need(intent: Json, done: str, states: tuple[str, ...]) -> None:
    """Raises payment_intent_unexpected_state."""
    if intent["status"] not in states:
        error = refused(
            f"This PaymentIntent could not be {done} because it has a status of"
            f" {intent['status']}. Only a PaymentIntent with one of the following statuses may be"
            f" {done}: {', '.join(states)}.",
            "payment_intent_unexpected_state",
        )
        error.fields["payment_intent"] = {k: v for k, v in intent.items() if k[0] != "_"}
        raise error
