"""Charges and holds: approval, decline, capture and expiry of a confirmed payment intent."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, payment_methods
from server.dev.stripe_sandbox.currencies import exchange_rate
from server.dev.stripe_sandbox.errors import Json, StripeError, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Spec,
    merge_metadata,
    metadata,
    nested,
    one_of,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

ADVICE = ("advice_code", "network_advice_code", "network_decline_code")
UPDATE: Spec = {
    "description": text,
    "fraud_details": nested(user_report=one_of("fraudulent", "safe")),
    "metadata": metadata,
    "receipt_email": text,
    "transfer_group": text,
    **EXPAND,
}
LIST: Spec = {**PAGE, "customer": text, "payment_intent": text, "transfer_group": text}
EXPIRED = "expired"  # the cancellation reason of a hold that ended by itself


def _is_held(intent: Json, method: Json) -> bool:
    """Whether capture is manual. The method's own option overrides the intent's."""
    options = intent["payment_method_options"].get(method["type"]) or {}
    return bool((options.get("capture_method") or intent["capture_method"]) == "manual")


def new_charge(context: RequestContext, intent: Json, method: Json, *, secure: bool) -> Json:
    """An approved charge that is not captured."""
    kind = method["type"]
    details = _payment_method_details(intent, method, secure=secure)
    due = context.now + int(context.tenant.setting("hold_seconds"))
    if kind == "card" and _is_held(intent, method):
        details["capture_before"] = due
    return {
        "id": new_id("ch_3" if kind == "card" else "py_3"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "JOBSPHERE",
        "captured": False,
        "created": context.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome("authorized", "approved_by_network", "Payment complete."),
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{context.base_url}/receipts/{intent['id']}",
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
        "_capture_before": due,
    }


def _payment_method_details(intent: Json, method: Json, *, secure: bool) -> Json:
    """The `payment_method_details` of a charge."""
    if method["type"] == "card":
        return _card_details(intent, method["card"], secure=secure)
    if method["type"] == "link":
        return {"country": "US"}
    if method["type"] == "us_bank_account":
        return dict(method["us_bank_account"])
    return {
        "buyer_address": f"0x{new_id('', 40)}",
        "network": "base",
        "token_currency": "usdc",
        "transaction_hash": f"0x{new_id('', 64)}",
    }


def _card_details(intent: Json, card: Json, *, secure: bool) -> Json:
    """The card details of a charge."""
    amount = intent["amount"]
    return {
        "amount_authorized": amount,
        "authorization_code": new_id("", 6).upper(),
        "brand": card["brand"],
        "checks": card["checks"] | ({"cvc_check": "pass"} if card["checks"]["cvc_check"] else {}),
        "country": card["country"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": new_id("", 15),
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure_result() if secure else None,
        "wallet": None,
    }


def _three_d_secure_result() -> Json:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": new_id("", 20),
        "version": "2.2.0",
    }


def _outcome(kind: str, network: str, message: str, reason: str | None = None) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": message,
        "type": kind,
    }


def approve(context: RequestContext, intent: Json, method: Json, *, secure: bool = False) -> Json:
    """Approve a payment: hold the money, or capture it at once."""
    charge = context.add(new_charge(context, intent, method, secure=secure))
    intent.update(latest_charge=charge["id"], last_payment_error=None, next_action=None)
    if intent["setup_future_usage"] and intent["customer"]:
        payment_methods.attach_to_customer(context, method, intent["customer"])
    context.save(method)["_spent"] = True
    context.save(intent)
    if _is_held(intent, method):
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        context.set_timer(charge["_capture_before"], "hold", intent["id"])
        context.emit("charge.succeeded", charge)
        context.emit("payment_intent.amount_capturable_updated", intent)
        return intent
    settle(context, intent, charge, intent["amount"])
    context.emit("charge.succeeded", charge)
    context.emit("payment_intent.succeeded", intent)
    return intent


def decline(context: RequestContext, intent: Json, method: Json, error: StripeError) -> StripeError:
    """Decline a payment and keep the failed charge. Returns the error to raise."""
    charge = new_charge(context, intent, method, secure=False)
    details = charge["payment_method_details"][method["type"]]
    if method["type"] == "card":
        details.pop("capture_before", None)
        details.update(authorization_code=None, amount_authorized=None)
    charge.update(
        status="failed",
        paid=False,
        failure_code=error.fields["code"],
        failure_message=error.fields["message"],
        outcome=_outcome(
            "issuer_declined",
            "declined_by_network",
            "The bank did not return any further details with this decline.",
            error.fields.get("decline_code"),
        )
        | {name: error.fields.get(name) for name in ADVICE},
        receipt_url=None,
    )
    context.add(charge)
    context.save(method)["_spent"] = True
    intent["latest_charge"] = charge["id"]
    error.fields["charge"] = charge["id"]
    context.emit("charge.failed", charge)
    reset_after_failure(context, intent, method, error)
    error.fields["payment_intent"] = context.public_view(intent)
    return error


def reset_after_failure(
    context: RequestContext, intent: Json, method: Json, error: StripeError
) -> None:
    """Return the intent to `requires_payment_method` with its `last_payment_error`."""
    error.fields["payment_method"] = context.public_view(method)
    reason = error.body["error"]
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=reason,
    )
    context.save(intent)
    context.emit("payment_intent.payment_failed", intent)


def settle(context: RequestContext, intent: Json, charge: Json, amount: int) -> None:
    """Mark charge and intent as paid, and book the captured money.

    With `automatic_async` a payment that was not held is booked later:
    https://docs.stripe.com/payments/payment-intents/asynchronous-capture
    """
    tenant = context.tenant
    method = context.find(charge["payment_method"])
    assert method is not None, "methods are never removed"
    if payment_methods.behavior_of(method).disputed:
        context.set_timer(tenant.now(), "dispute", charge["id"])
    charge.update(captured=True, amount_captured=amount)
    context.save(charge)
    intent.update(status="succeeded", amount_capturable=0, amount_received=amount)
    context.save(intent)
    if intent["capture_method"] == "automatic_async" and not _is_held(intent, method):
        context.set_timer(tenant.now() + tenant.setting("async_seconds"), "balance", charge["id"])
    else:
        _book(context, charge, method)


def book_captured(context: RequestContext, charge_id: str) -> None:
    """Timer: book a payment that was captured asynchronously."""
    charge = context.find(charge_id)
    assert charge is not None, "charges are never removed"
    method = context.find(charge["payment_method"])
    assert method is not None, "methods are never removed"
    _book(context, charge, method)
    context.emit("charge.updated", charge, {"balance_transaction": None})


def _book(context: RequestContext, charge: Json, method: Json) -> None:
    """Book the captured money, less Stripe's fee."""
    tenant, amount, settled = context.tenant, charge["amount_captured"], charge["currency"]
    platform = context.find(tenant.account)
    if tenant.setting("converts") and platform and platform["default_currency"] != settled:
        settled = platform["default_currency"]
        amount = round(amount * exchange_rate(charge["currency"], settled))
    fee = min(
        amount,
        round(amount * tenant.setting("fee_bps") / 10_000) + int(tenant.setting("fee_fixed")),
    )
    card = payment_methods.behavior_of(method)
    delay = 0 if card.instant else int(tenant.setting("available_delay_seconds"))
    entry = balances.book(
        context,
        "charge" if card.kind == "card" else "payment",
        charge,
        amount,
        fee=fee,
        available_on=context.now + delay,
        description=charge["description"],
        converted_to=settled,
    )
    charge["balance_transaction"] = entry["id"]
    context.save(charge)


def capture(context: RequestContext, intent: Json, charge: Json, amount: int) -> Json:
    """Capture `amount` of the hold and release the rest, which is no refund since API version
    2025-03-31.basil. Raises charge_expired_for_capture."""
    if context.now >= charge["_capture_before"]:
        raise expired_error(charge)
    settle(context, intent, charge, amount)
    context.emit("charge.captured", charge)
    context.emit("payment_intent.succeeded", intent)
    return intent


def expired_error(charge: Json) -> StripeError:
    """The error for a capture after the hold has expired."""
    error = refused(
        "This charge cannot be captured because it has expired.", "charge_expired_for_capture"
    )
    error.fields["charge"] = charge["id"]
    return error


def cancel_intent(context: RequestContext, intent: Json, reason: str | None) -> Json:
    """Cancel an intent and release its hold. Since API version 2025-03-31.basil that makes no
    refund, and leaves the charge as it is; only an expiry has an event of the charge.

    https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow
    """
    charge = context.find(intent["latest_charge"])
    if charge is not None and intent["status"] == "requires_capture" and reason == EXPIRED:
        context.emit("charge.expired", charge)
    intent.update(
        status="canceled",
        canceled_at=context.now,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    context.save(intent)
    context.emit("payment_intent.canceled", intent)
    return intent


def expire_hold(context: RequestContext, intent_id: str) -> None:
    """Timer: cancel an intent that is still held."""
    intent = context.find(intent_id)
    if intent is not None and intent["status"] == "requires_capture":
        cancel_intent(context, intent, EXPIRED)


def retrieve(context: RequestContext, charge_id: str) -> Json:
    """One charge."""
    return context.get("charge", charge_id)


def update(context: RequestContext, charge_id: str) -> Json:
    """Change what a charge says, never its money."""
    charge, params = retrieve(context, charge_id), context.params
    for name in ("description", "receipt_email", "transfer_group"):
        charge[name] = params.get(name, charge[name])
    charge["fraud_details"] |= params.get("fraud_details", {})
    charge["metadata"] = merge_metadata(charge["metadata"], params.get("metadata", {}))
    context.emit("charge.updated", context.save(charge))
    return charge


def list_charges(context: RequestContext) -> Json:
    """Charges, newest first."""
    return context.page(
        "charge",
        "/v1/charges",
        **{
            name: context.params.get(name)
            for name in ("customer", "payment_intent", "transfer_group")
        },
    )
