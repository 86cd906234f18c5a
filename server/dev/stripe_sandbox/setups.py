"""Setup intents: a card is checked and kept with a customer for later."""

from __future__ import annotations

from server.dev.stripe_sandbox import customers, payments

from .call import Call
from .errors import Json, StripeError, refused
from .forms import EXPAND, PAGE, Need, Spec, boolean, listing, mapping, merged, one_of, shape, text
from .state import new_id

COMMON: Spec = {
    "payment_method": text,
    "payment_method_data": shape(**customers.METHOD),
    "return_url": text,
    "use_stripe_sdk": boolean,
    **EXPAND,
}
CREATE: Spec = {
    "automatic_payment_methods": shape(
        enabled=Need(boolean), allow_redirects=one_of("always", "never")
    ),
    "confirm": boolean,
    "customer": text,
    "description": text,
    "metadata": mapping,
    "payment_method_types": listing(),
    "usage": payments.USAGES,
    **COMMON,
}
CONFIRM: Spec = {"client_secret": text, **COMMON}
RETRIEVE: Spec = {"client_secret": text, **EXPAND}
CANCEL: Spec = {
    "cancellation_reason": one_of("abandoned", "duplicate", "requested_by_customer"),
    **EXPAND,
}
LIST: Spec = {**PAGE, "customer": text, "payment_method": text}
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(call: Call) -> Json:
    """Make a setup intent and, if asked, confirm it at once."""
    params, name = call.params, new_id("seti_1")
    if params.get("customer"):
        customers.customer_of(call, params["customer"], in_path=False)
    automatic: Json = params.get("automatic_payment_methods") or {}
    if not automatic and "payment_method_types" not in params:
        automatic = {"enabled": True}
    on = automatic.get("enabled", False)
    setup: Json = {
        "id": name,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", **automatic} if on else None,
        "cancellation_reason": None,
        "client_secret": f"{name}_secret_{new_id('', 25)}",
        "created": call.now,
        "customer": params.get("customer"),
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": merged(None, params.get("metadata", {})),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": params.get("payment_method_types", ["card", "link"]),
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }
    call.add(setup)
    _choose(call, setup)
    call.emit("setup_intent.created", setup)
    return _confirm(call, setup) if params.get("confirm") else setup


def _choose(call: Call, setup: Json) -> None:
    method = payments.method_given(call)
    if method is not None:
        customers.check_usable(method)
        if method["customer"] not in (None, setup["customer"]):
            raise refused(
                "The payment method supplied belongs to a different Customer.",
                None,
                "payment_method",
            )
        setup.update(payment_method=method["id"], status="requires_confirmation")
        call.save(setup)


def retrieve(call: Call, name: str) -> Json:
    """One setup intent; with a publishable key only for its client secret."""
    setup = call.get("setup_intent", name, "intent")
    if call.params.get("client_secret") not in (None, setup["client_secret"]):
        raise refused(
            "The client_secret provided does not match this SetupIntent.",
            "setup_intent_invalid_parameter",
            "client_secret",
        )
    return setup


def confirm(call: Call, name: str) -> Json:
    """Check the card."""
    setup = retrieve(call, name)
    _need_open(setup)
    _choose(call, setup)
    return _confirm(call, setup)


def _confirm(call: Call, setup: Json) -> Json:
    if setup["payment_method"] is None:
        raise refused(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            "setup_intent_unexpected_state",
        )
    call.save(setup)
    method = call.get("payment_method", setup["payment_method"])
    card = customers.card_of(method)
    if method["type"] not in setup["payment_method_types"]:
        raise refused(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this SetupIntent.",
            "setup_intent_invalid_parameter",
            "payment_method",
        )
    if not card.attachable:
        raise _fail(call, setup, method, card.error)
    if card.secure:
        page = f"{call.base_url}/3ds/{setup['id']}"
        back = call.params.get("return_url")
        redirect = {"return_url": back, "url": page}
        action: Json = {"type": "redirect_to_url", "redirect_to_url": redirect}
        if not back:
            secure = {"type": "three_d_secure_redirect", "stripe_js": page}
            action = {"type": "use_stripe_sdk", "use_stripe_sdk": secure}
        setup.update(status="requires_action", next_action=action, _return_url=back)
        call.emit("setup_intent.requires_action", setup)
        return setup
    return _succeed(call, setup, method)


def _succeed(call: Call, setup: Json, method: Json) -> Json:
    if setup["customer"]:
        customers.attach_to(call, method, setup["customer"])
        call.emit("payment_method.attached", method)
    setup.update(status="succeeded", next_action=None, last_setup_error=None)
    call.emit("setup_intent.succeeded", setup)
    return setup


def _fail(call: Call, setup: Json, method: Json, error: StripeError) -> StripeError:
    error.fields["payment_method"] = call.shown(method)
    reason = error.body["error"]
    setup.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=reason,
    )
    call.emit("setup_intent.setup_failed", setup)
    error.fields["setup_intent"] = call.shown(setup)
    return error


def authenticate(call: Call, setup: Json, *, passed: bool) -> Json:
    """What the 3-D Secure page does."""
    if setup["status"] != "requires_action":
        _need_open({**setup, "status": "canceled"})
    method = call.get("payment_method", call.save(setup)["payment_method"])
    if passed:
        return _succeed(call, setup, method)
    _fail(
        call,
        setup,
        method,
        StripeError(
            402,
            "invalid_request_error",
            "The provided PaymentMethod has failed authentication.",
            code="setup_intent_authentication_failure",
        ),
    )
    return setup


def cancel(call: Call, name: str) -> Json:
    """Give up the setup."""
    setup = retrieve(call, name)
    _need_open(setup)
    reason = call.params.get("cancellation_reason")
    setup.update(status="canceled", cancellation_reason=reason, next_action=None)
    call.emit("setup_intent.canceled", call.save(setup))
    return setup


def list_setups(call: Call) -> Json:
    """Setup intents, newest first."""
    params = call.params
    return call.page(
        "setup_intent",
        "/v1/setup_intents",
        customer=params.get("customer"),
        payment_method=params.get("payment_method"),
    )


def _need_open(setup: Json) -> None:
    if setup["status"] not in OPEN:
        raise refused(
            f"You cannot do this to a SetupIntent with a status of {setup['status']}.",
            "setup_intent_unexpected_state",
        )
