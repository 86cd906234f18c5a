"""Charges and holds: what a confirmed payment intent does to money."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, customers

from .call import Call
from .errors import Json, StripeError, refused
from .forms import PAGE, Spec, text
from .state import new_id

LIST: Spec = {**PAGE, "customer": text, "payment_intent": text, "transfer_group": text}


def _is_held(intent: Json, method: Json) -> bool:
    """Captured later: a method's own option goes before the intent's."""
    options = intent["payment_method_options"].get(method["type"]) or {}
    return bool((options.get("capture_method") or intent["capture_method"]) == "manual")


def _charge(call: Call, intent: Json, method: Json, *, secure: bool) -> Json:
    """A charge that was approved and is not captured yet."""
    kind = method["type"]
    details = _details(intent, method, secure=secure)
    due = call.now + int(call.tenant.setting("hold_seconds"))
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
        "created": call.now,
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
        "receipt_url": f"{call.base_url}/receipts/{intent['id']}",
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


def _details(intent: Json, method: Json, *, secure: bool) -> Json:
    """What a charge tells about how it was paid."""
    if method["type"] == "card":
        return _card_details(intent, method["card"], secure=secure)
    if method["type"] == "link":
        return {"country": "US"}
    return {
        "buyer_address": f"0x{new_id('', 40)}",
        "network": "base",
        "token_currency": "usdc",
        "transaction_hash": f"0x{new_id('', 64)}",
    }


def _card_details(intent: Json, card: Json, *, secure: bool) -> Json:
    """What a charge tells about its card."""
    amount = intent["amount"]
    return {
        "amount_authorized": amount,
        "authorization_code": new_id("", 6).upper(),
        "brand": card["brand"],
        "checks": card["checks"],
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
        "three_d_secure": _secured() if secure else None,
        "wallet": None,
    }


def _secured() -> Json:
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


def succeed(call: Call, intent: Json, method: Json, *, secure: bool = False) -> Json:
    """The bank approves: hold the money, or capture it at once."""
    charge = call.add(_charge(call, intent, method, secure=secure))
    intent.update(latest_charge=charge["id"], last_payment_error=None, next_action=None)
    if intent["setup_future_usage"] and intent["customer"]:
        customers.attach_to(call, method, intent["customer"])
    call.save(method)["_spent"] = True
    call.save(intent)
    if _is_held(intent, method):
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        call.later(charge["_capture_before"], "hold", intent["id"])
        call.emit("charge.succeeded", charge)
        call.emit("payment_intent.amount_capturable_updated", intent)
        return intent
    _settle(call, intent, charge, intent["amount"])
    call.emit("charge.succeeded", charge)
    call.emit("payment_intent.succeeded", intent)
    return intent


def fail(call: Call, intent: Json, method: Json, error: StripeError) -> StripeError:
    """The bank declines: a failed charge stays behind; returns the error to raise."""
    charge = _charge(call, intent, method, secure=False)
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
        ),
        receipt_url=None,
    )
    call.add(charge)
    intent["latest_charge"] = charge["id"]
    error.fields["charge"] = charge["id"]
    call.emit("charge.failed", charge)
    note_failure(call, intent, method, error)
    error.fields["payment_intent"] = call.shown(intent)
    return error


def note_failure(call: Call, intent: Json, method: Json, error: StripeError) -> None:
    """Back to `requires_payment_method`, with the reason."""
    error.fields["payment_method"] = call.shown(method)
    reason = error.body["error"]
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=reason,
    )
    call.save(intent)
    call.emit("payment_intent.payment_failed", intent)


def _settle(call: Call, intent: Json, charge: Json, amount: int) -> None:
    """Book the money and mark both objects as paid."""
    tenant = call.tenant
    fee = min(
        amount,
        round(amount * tenant.setting("fee_bps") / 10_000) + int(tenant.setting("fee_fixed")),
    )
    method = call.find(charge["payment_method"])
    assert method is not None, "methods are never removed"
    card = customers.card_of(method)
    if card.disputed:
        call.later(tenant.now(), "dispute", charge["id"])
    delay = 0 if card.instant else int(tenant.setting("available_delay_seconds"))
    entry = balances.book(
        call,
        "charge" if card.kind == "card" else "payment",
        charge,
        amount,
        fee=fee,
        available_on=call.now + delay,
        description=intent["description"],
    )
    charge.update(captured=True, amount_captured=amount, balance_transaction=entry["id"])
    call.save(charge)
    intent.update(status="succeeded", amount_capturable=0, amount_received=amount)
    call.save(intent)


def capture(call: Call, intent: Json, charge: Json, amount: int) -> Json:
    """Take `amount` of the hold and release the rest. Raises charge_expired_for_capture."""
    if call.now >= charge["_capture_before"]:
        raise too_late(charge)
    _settle(call, intent, charge, amount)
    # Stripe counts what a partial capture lets go of as refunded.
    charge["amount_refunded"] = charge["amount"] - amount
    call.emit("charge.captured", charge)
    call.emit("payment_intent.succeeded", intent)
    return intent


def too_late(charge: Json) -> StripeError:
    """The hold is over."""
    error = refused(
        "This charge cannot be captured because it has expired.", "charge_expired_for_capture"
    )
    error.fields["charge"] = charge["id"]
    return error


def release(call: Call, intent: Json, reason: str | None) -> Json:
    """Cancel an intent; a hold shows as a full refund of the charge, as at Stripe."""
    charge = call.find(intent["latest_charge"])
    if charge is not None and intent["status"] == "requires_capture":
        expired = reason == "automatic"
        charge.update(refunded=True, amount_refunded=charge["amount"])
        call.save(charge)
        call.add(
            {
                "id": new_id("re_3"),
                "object": "refund",
                "amount": charge["amount"],
                "balance_transaction": None,
                "charge": charge["id"],
                "created": call.now,
                "currency": charge["currency"],
                "destination_details": {"card": {"type": "reversal"}, "type": "card"},
                "metadata": {},
                "payment_intent": intent["id"],
                "reason": "expired_uncaptured_charge" if expired else None,
                "receipt_number": None,
                "source_transfer_reversal": None,
                "status": "succeeded",
                "transfer_reversal": None,
            }
        )
        call.emit("charge.expired" if expired else "charge.refunded", charge)
    intent.update(
        status="canceled",
        canceled_at=call.now,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    call.save(intent)
    call.emit("payment_intent.canceled", intent)
    return intent


def expire_hold(call: Call, name: str) -> None:
    """The timer of a hold: cancel it if it is still held."""
    intent = call.find(name)
    if intent is not None and intent["status"] == "requires_capture":
        release(call, intent, "automatic")


def retrieve(call: Call, name: str) -> Json:
    """One charge."""
    return call.get("charge", name, "charge")


def list_charges(call: Call) -> Json:
    """Charges, newest first."""
    return call.page(
        "charge",
        "/v1/charges",
        **{
            name: call.params.get(name) for name in ("customer", "payment_intent", "transfer_group")
        },
    )
