"""Payment intents: the state machine from a payment method to held or captured money."""

from __future__ import annotations

from server.dev.stripe_sandbox import charges, customers, delayed_payments, payment_methods
from server.dev.stripe_sandbox.card_behaviors import CardBehavior, decline_error
from server.dev.stripe_sandbox.currencies import check_charge_amount
from server.dev.stripe_sandbox.errors import Json, StripeError, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Required,
    Spec,
    array,
    boolean,
    currency,
    integer,
    merge_metadata,
    metadata,
    nested,
    off_session,
    one_of,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CAPTURE_METHODS = one_of("automatic", "automatic_async", "manual")
FUTURE_USAGES = one_of("off_session", "on_session")
METHOD_OPTIONS = nested(
    card=nested(
        capture_method=one_of("", "manual"),
        request_three_d_secure=one_of("any", "automatic", "challenge"),
        setup_future_usage=one_of("none", "off_session", "on_session"),
    ),
    crypto=nested(setup_future_usage=one_of("none")),
    link=nested(
        capture_method=one_of("", "manual"),
        setup_future_usage=one_of("none", "off_session"),
    ),
    us_bank_account=nested(setup_future_usage=one_of("none", "off_session", "on_session")),
)
COMMON: Spec = {
    "capture_method": CAPTURE_METHODS,
    "payment_method": text,
    "payment_method_data": nested(**payment_methods.METHOD),
    "payment_method_options": METHOD_OPTIONS,
    "payment_method_types": array(),
    "receipt_email": text,
    "setup_future_usage": FUTURE_USAGES,
    **EXPAND,
}
EDITABLE: Spec = {
    "customer": text,
    "description": text,
    "metadata": metadata,
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
    "amount": Required(integer),
    "currency": Required(currency),
    "confirm": boolean,
    "confirmation_method": one_of("automatic", "manual"),
    "automatic_payment_methods": nested(
        enabled=Required(boolean), allow_redirects=one_of("always", "never")
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
    "metadata": metadata,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    **EXPAND,
}
CANCEL: Spec = {
    "cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    **EXPAND,
}
LIST: Spec = {**PAGE, "customer": text}
CONFIRMABLE_STATUSES = ("requires_payment_method", "requires_confirmation", "requires_action")


def new_intent(context: RequestContext, amount: int, currency_code: str) -> Json:
    """A new payment intent without a payment method."""
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
        "created": context.now,
        "currency": currency_code,
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


def create(context: RequestContext) -> Json:
    """Create a payment intent and, with `confirm`, confirm it at once."""
    params = context.params
    check_charge_amount(params["amount"], params["currency"])
    intent = new_intent(context, params["amount"], params["currency"])
    automatic = params.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in params:
        automatic = {"enabled": True}
    if automatic and automatic["enabled"]:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
        intent["payment_method_types"] = _automatic_method_types(params)
    intent["confirmation_method"] = params.get("confirmation_method", "automatic")
    _apply_parameters(context, intent)
    context.add(intent)
    context.emit("payment_intent.created", intent)
    return _confirm(context, intent) if params.get("confirm") else intent


def _automatic_method_types(params: Json) -> list[str]:
    """The method types enabled in the dashboard that fit the currency and capture method."""
    coins = params["currency"] == "usd" and params.get("capture_method") != "manual"
    return ["card", "link", *(["crypto", "us_bank_account"] if coins else [])]


def retrieve(context: RequestContext, intent_id: str) -> Json:
    """One payment intent. A publishable key needs its client secret."""
    intent = context.get("payment_intent", intent_id, "intent")
    given = context.params.get("client_secret")
    if given is not None and given != intent["client_secret"]:
        raise refused(
            "The client_secret provided does not match the client_secret associated with the"
            " PaymentIntent.",
            "payment_intent_invalid_parameter",
            "client_secret",
        )
    return intent


def update(context: RequestContext, intent_id: str) -> Json:
    """Update a payment intent that is not confirmed."""
    intent = retrieve(context, intent_id)
    if set(context.params) - {"metadata", "description", "expand", "transfer_group"}:
        _check_status(intent, "updated", CONFIRMABLE_STATUSES)
    wanted = {"amount": intent["amount"], "currency": intent["currency"], **context.params}
    check_charge_amount(wanted["amount"], wanted["currency"])
    intent.update(amount=wanted["amount"], currency=wanted["currency"])
    _apply_parameters(context, intent)
    return context.save(intent)


def _apply_parameters(context: RequestContext, intent: Json) -> None:
    """Set the request's parameters on an intent."""
    params = context.params
    if params.get("customer"):
        customers.get_customer(context, params["customer"], in_path=False)
    for name in (*EDITABLE, "capture_method", "receipt_email", "setup_future_usage"):
        if name in params and name != "metadata":
            intent[name] = params[name]
    if "payment_method_types" in params:
        kinds = params["payment_method_types"]
        payment_methods.check_types(context, kinds, intent["currency"])
        intent["payment_method_types"] = kinds
    for kind, options in params.get("payment_method_options", {}).items():
        stored = intent["payment_method_options"].setdefault(kind, {})
        stored.update({name: value for name, value in options.items() if value})
    intent["metadata"] = merge_metadata(intent["metadata"], params.get("metadata", {}))
    method = find_given_method(context)
    if method is not None:
        payment_methods.check_usable(method)
        _check_method_type(intent, method)
        if method["customer"] not in (None, intent["customer"]):
            raise refused(
                f"The provided PaymentMethod ({method['id']}) belongs to a Customer. Please"
                " include the Customer in the `customer` parameter on the PaymentIntent.",
                None,
                "payment_method",
            )
        intent["payment_method"] = method["id"]
        if intent["status"] in CONFIRMABLE_STATUSES:
            intent.update(status="requires_confirmation", next_action=None)


def _check_method_type(intent: Json, method: Json) -> None:
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


def find_given_method(context: RequestContext) -> Json | None:
    """The payment method that the parameters name or describe, or None."""
    if context.params.get("payment_method"):
        return payment_methods.get_or_create_method(context, context.params["payment_method"])
    if context.params.get("payment_method_data"):
        return payment_methods.create_from_parameters(
            context, context.params["payment_method_data"]
        )
    return None


def confirm(context: RequestContext, intent_id: str) -> Json:
    """Confirm a payment intent: charge its payment method."""
    intent = retrieve(context, intent_id)
    _check_status(intent, "confirmed", CONFIRMABLE_STATUSES)
    _apply_parameters(context, intent)
    return _confirm(context, intent)


def _confirm(context: RequestContext, intent: Json) -> Json:
    params = context.params
    if intent["payment_method"] is None:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method. To"
            " confirm the PaymentIntent with a saved payment method, specify the payment method"
            " along with the customer.",
            "payment_intent_unexpected_state",
        )
    _check_return_url(intent, params)
    intent["_return_url"] = params.get("return_url")
    context.save(intent)
    method = context.get("payment_method", intent["payment_method"])
    card = payment_methods.behavior_of(method)
    wish = intent["payment_method_options"]["card"]["request_three_d_secure"]
    if _needs_authentication(card, method, wish, absent=params.get("off_session", False)):
        if params.get("off_session") or params.get("error_on_requires_action"):
            raise _refuse_authentication(context, intent, method, card)
        return _require_action(context, intent)
    if card.refusal:
        raise charges.decline(context, intent, method, card.error)
    if card.delayed:
        return delayed_payments.begin(context, intent, method)
    return charges.approve(context, intent, method)


def _needs_authentication(card: CardBehavior, method: Json, wish: str, *, absent: bool) -> bool:
    """Whether Stripe or the bank asks for 3-D Secure; a card that was set up is spared off-session
    where its bank allows it."""
    if card.kind == "card" and wish in ("any", "challenge"):
        return True
    return card.secure and not (card.asks_when_absent and absent and method.get("_set_up"))


def _refuse_authentication(
    context: RequestContext, intent: Json, method: Json, card: CardBehavior
) -> StripeError:
    """The error of a payment that needs 3-D Secure and gets none. Only a bank that was asked leaves
    a failed charge; where Stripe itself asks for authentication, none was tried."""
    if context.params.get("error_on_requires_action"):
        error = decline_error("authentication_not_handled")
    else:
        error = decline_error("authentication")
        if card.asks_when_absent:
            return charges.decline(context, intent, method, error)
    charges.reset_after_failure(context, intent, method, error)
    error.fields["payment_intent"] = context.public_view(intent)
    return error


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


def _require_action(context: RequestContext, intent: Json) -> Json:
    """Require the payer's action on the page of the bank or wallet."""
    page = f"{context.base_url}/3ds/{intent['id']}"
    if intent["_return_url"]:
        redirect = {"return_url": intent["_return_url"], "url": page}
        action: Json = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        secure = {"type": "three_d_secure_redirect", "stripe_js": page}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": secure}
    intent.update(status="requires_action", next_action=action)
    context.emit("payment_intent.requires_action", intent)
    return intent


def authenticate(context: RequestContext, intent: Json, *, passed: bool) -> Json:
    """Apply the result of the 3-D Secure page. Raises payment_intent_unexpected_state."""
    _check_status(intent, "authenticated", ("requires_action",))
    context.save(intent)["next_action"] = None
    method = context.get("payment_method", intent["payment_method"])
    if passed:
        return charges.approve(context, intent, method, secure=True)
    error = StripeError(
        402,
        "invalid_request_error",
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data"
        " or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
        code="payment_intent_authentication_failure",
    )
    charges.reset_after_failure(context, intent, method, error)
    return intent


def capture(context: RequestContext, intent_id: str) -> Json:
    """Capture the held money, or a part of it and release the rest."""
    intent = retrieve(context, intent_id)
    held = context.find(intent["latest_charge"])
    if intent["cancellation_reason"] == charges.EXPIRED and held is not None:
        raise charges.expired_error(held)
    _check_status(intent, "captured", ("requires_capture",))
    assert held is not None
    wanted = {"amount_to_capture": intent["amount_capturable"], **context.params}
    amount: int = wanted["amount_to_capture"]
    if not 1 <= amount <= intent["amount_capturable"]:
        raise refused(
            f"The remaining amount available to capture for this PaymentIntent is"
            f" {intent['amount_capturable']}, but you requested to capture {amount}.",
            "amount_too_large" if amount > 0 else "parameter_invalid_integer",
            "amount_to_capture",
        )
    intent["metadata"] = merge_metadata(intent["metadata"], context.params.get("metadata", {}))
    return charges.capture(context, intent, held, amount)


def cancel(context: RequestContext, intent_id: str) -> Json:
    """Cancel the intent and release held money."""
    intent = retrieve(context, intent_id)
    _check_status(intent, "canceled", (*CONFIRMABLE_STATUSES, "requires_capture"))
    return charges.cancel_intent(context, intent, context.params.get("cancellation_reason"))


def list_intents(context: RequestContext) -> Json:
    """Payment intents, newest first."""
    return context.page(
        "payment_intent", "/v1/payment_intents", customer=context.params.get("customer")
    )


def _check_status(intent: Json, done: str, states: tuple[str, ...]) -> None:
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
