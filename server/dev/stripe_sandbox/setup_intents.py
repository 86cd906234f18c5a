"""Setup intents: a payment method is checked and attached to a customer for later."""

from __future__ import annotations

from server.dev.stripe_sandbox import customers, payment_intents, payment_methods
from server.dev.stripe_sandbox.errors import Json, StripeError, no_such, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Required,
    Spec,
    array,
    boolean,
    merge_metadata,
    metadata,
    nested,
    one_of,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

COMMON: Spec = {
    "payment_method": text,
    "payment_method_data": nested(**payment_methods.METHOD),
    "return_url": text,
    "use_stripe_sdk": boolean,
    **EXPAND,
}
CREATE: Spec = {
    "automatic_payment_methods": nested(
        enabled=Required(boolean), allow_redirects=one_of("always", "never")
    ),
    "confirm": boolean,
    "customer": text,
    "description": text,
    "metadata": metadata,
    "payment_method_types": array(),
    "usage": payment_intents.FUTURE_USAGES,
    **COMMON,
}
CONFIRM: Spec = {"client_secret": text, **COMMON}
RETRIEVE: Spec = {"client_secret": text, **EXPAND}
CANCEL: Spec = {
    "cancellation_reason": one_of("abandoned", "duplicate", "requested_by_customer"),
    **EXPAND,
}
LIST: Spec = {**PAGE, "customer": text, "payment_method": text}
OPEN_STATUSES = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(context: RequestContext) -> Json:
    """Create a setup intent and, with `confirm`, confirm it at once."""
    params, name = context.params, new_id("seti_1")
    if params.get("customer"):
        customers.get_customer(context, params["customer"], in_path=False)
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
        "created": context.now,
        "customer": params.get("customer"),
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": merge_metadata(None, params.get("metadata", {})),
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
        "payment_method_types": _method_types(context),
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }
    context.add(setup)
    _set_method(context, setup)
    context.emit("setup_intent.created", setup)
    return _confirm(context, setup) if params.get("confirm") else setup


def _method_types(context: RequestContext) -> list[str]:
    kinds: list[str] = context.params.get("payment_method_types", ["card", "link"])
    payment_methods.check_types(context, kinds, None)
    return kinds


def _set_method(context: RequestContext, setup: Json) -> None:
    method = payment_intents.find_given_method(context)
    if method is not None:
        payment_methods.check_usable(method)
        if method["customer"] not in (None, setup["customer"]):
            raise refused(
                "The payment method supplied belongs to a different Customer.",
                None,
                "payment_method",
            )
        setup.update(payment_method=method["id"], status="requires_confirmation")
        context.save(setup)


def retrieve(context: RequestContext, setup_id: str) -> Json:
    """One setup intent. A publishable key needs its client secret."""
    setup = context.find(setup_id, context.account)
    if setup is None or setup["object"] != "setup_intent":
        raise no_such("setupintent", setup_id, "intent")
    if context.params.get("client_secret") not in (None, setup["client_secret"]):
        raise refused(
            "The client_secret provided does not match this SetupIntent.",
            "setup_intent_invalid_parameter",
            "client_secret",
        )
    return setup


def confirm(context: RequestContext, setup_id: str) -> Json:
    """Confirm a setup intent: check its payment method."""
    setup = retrieve(context, setup_id)
    _check_open(setup)
    _set_method(context, setup)
    return _confirm(context, setup)


def _confirm(context: RequestContext, setup: Json) -> Json:
    if setup["payment_method"] is None:
        raise refused(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            "setup_intent_unexpected_state",
        )
    context.save(setup)
    method = context.get("payment_method", setup["payment_method"])
    card = payment_methods.behavior_of(method)
    if method["type"] not in setup["payment_method_types"]:
        raise refused(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this SetupIntent.",
            "setup_intent_invalid_parameter",
            "payment_method",
        )
    if not card.attachable:
        raise _fail(context, setup, method, card.error)
    if card.secure:
        page = f"{context.base_url}/3ds/{setup['id']}"
        back = context.params.get("return_url")
        redirect = {"return_url": back, "url": page}
        action: Json = {"type": "redirect_to_url", "redirect_to_url": redirect}
        if not back:
            secure = {"type": "three_d_secure_redirect", "stripe_js": page}
            action = {"type": "use_stripe_sdk", "use_stripe_sdk": secure}
        setup.update(status="requires_action", next_action=action, _return_url=back)
        context.emit("setup_intent.requires_action", setup)
        return setup
    return _succeed(context, setup, method)


def _succeed(context: RequestContext, setup: Json, method: Json) -> Json:
    context.save(method)["_set_up"] = True
    if setup["customer"]:
        payment_methods.attach_to_customer(context, method, setup["customer"])
        context.emit("payment_method.attached", method)
    setup.update(status="succeeded", next_action=None, last_setup_error=None)
    context.emit("setup_intent.succeeded", setup)
    return setup


def _fail(context: RequestContext, setup: Json, method: Json, error: StripeError) -> StripeError:
    error.fields["payment_method"] = context.public_view(method)
    reason = error.body["error"]
    setup.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=reason,
    )
    context.emit("setup_intent.setup_failed", setup)
    error.fields["setup_intent"] = context.public_view(setup)
    return error


def authenticate(context: RequestContext, setup: Json, *, passed: bool) -> Json:
    """Apply the result of the 3-D Secure page."""
    if setup["status"] != "requires_action":
        _check_open({**setup, "status": "canceled"})
    method = context.get("payment_method", context.save(setup)["payment_method"])
    if passed:
        return _succeed(context, setup, method)
    _fail(
        context,
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


def cancel(context: RequestContext, setup_id: str) -> Json:
    """Cancel the setup intent."""
    setup = retrieve(context, setup_id)
    _check_open(setup)
    reason = context.params.get("cancellation_reason")
    setup.update(status="canceled", cancellation_reason=reason, next_action=None)
    context.emit("setup_intent.canceled", context.save(setup))
    return setup


def list_setups(context: RequestContext) -> Json:
    """Setup intents, newest first."""
    params = context.params
    return context.page(
        "setup_intent",
        "/v1/setup_intents",
        customer=params.get("customer"),
        payment_method=params.get("payment_method"),
    )


def _check_open(setup: Json) -> None:
    if setup["status"] not in OPEN_STATUSES:
        error = refused(
            f"You cannot do this to a SetupIntent with a status of {setup['status']}.",
            "setup_intent_unexpected_state",
        )
        error.fields["setup_intent"] = {k: v for k, v in setup.items() if k[0] != "_"}
        raise error
