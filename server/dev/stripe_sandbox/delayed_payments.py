"""Delayed payment methods: a bank works for days on a payment that was confirmed."""

from __future__ import annotations

from server.dev.stripe_sandbox import charges, payment_methods
from server.dev.stripe_sandbox.errors import Json, StripeError
from server.dev.stripe_sandbox.request_context import RequestContext

STUCK, FAILS = "stuck", "fails"  # what becomes of a test account's payments, if not paid
ERRORS = {
    "usBankAccount_accountClosed": ("account_closed", "The bank account has been closed."),
    "usBankAccount_insufficientFunds": (
        "insufficient_funds",
        "The customer's account has insufficient funds to cover this payment.",
    ),
}


def begin(context: RequestContext, intent: Json, method: Json) -> Json:
    """The bank begins to work: the charge is pending, and the intent is `processing`."""
    charge = charges.new_charge(context, intent, method, secure=False)
    charge.update(status="pending", paid=False, outcome=None)
    context.add(charge)
    intent.update(
        status="processing", latest_charge=charge["id"], last_payment_error=None, next_action=None
    )
    context.save(method)["_spent"] = True
    context.save(intent)
    if payment_methods.behavior_of(method).delayed != STUCK:
        due = context.now + int(context.tenant.setting("processing_seconds"))
        context.set_timer(due, "delayed", intent["id"])
    context.emit("charge.pending", charge)
    context.emit("payment_intent.processing", intent)
    return intent


def finish(context: RequestContext, intent_id: str) -> None:
    """Timer: the bank has paid, or refuses to."""
    intent = context.find(intent_id)
    if intent is None or intent["status"] != "processing":
        return
    charge, method = context.find(intent["latest_charge"]), context.find(intent["payment_method"])
    assert charge is not None and method is not None
    if payment_methods.behavior_of(method).delayed == FAILS:
        return _fail(context, intent, charge, method)
    charge.update(status="succeeded", paid=True)
    charges.settle(context, intent, charge, intent["amount"])
    context.emit("charge.succeeded", charge)
    context.emit("payment_intent.succeeded", intent)


def _fail(context: RequestContext, intent: Json, charge: Json, method: Json) -> None:
    code, message = ERRORS[method["_card"]]
    charge.update(status="failed", failure_code=code, failure_message=message)
    context.save(charge)
    context.emit("charge.failed", charge)
    error = StripeError(
        402,
        "invalid_request_error",
        message,
        code="payment_intent_payment_attempt_failed",
        decline_code=code,
        charge=charge["id"],
    )
    charges.reset_after_failure(context, intent, method, error)
