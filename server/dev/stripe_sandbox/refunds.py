"""Refunds of captured charges, in total never above the captured amount."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, disputes, fault_injection
from server.dev.stripe_sandbox.currencies import check_positive
from server.dev.stripe_sandbox.errors import Json, missing, no_such, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Spec,
    boolean,
    integer,
    merge_metadata,
    metadata,
    one_of,
    text,
)
from server.dev.stripe_sandbox.payment_methods import behavior_of
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_digits, new_id

CREATE: Spec = {
    "amount": integer,
    "charge": text,
    "payment_intent": text,
    "metadata": metadata,
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
    "reverse_transfer": boolean,
    "refund_application_fee": boolean,
    **EXPAND,
}
CREATE_OF_CHARGE: Spec = {name: parse for name, parse in CREATE.items() if name != "charge"}
UPDATE: Spec = {"metadata": metadata, **EXPAND}
LIST: Spec = {**PAGE, "charge": text, "payment_intent": text}
UNRETURNED = ("pending", "requires_action", "succeeded")
UNFUNDED = ("charge_pending", "insufficient_funds")  # no money moves for these
# The refund outcomes of Stripe's test cards.
PLAN_BY_TEST_CARD: dict[str, Json] = {"failed": {}, "pending": {"pending_reason": "processing"}}


def create(context: RequestContext) -> Json:
    """Refund a charge. Raises charge_already_refunded, charge_disputed and others."""
    charge = _get_charge(context)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(f"Charge {charge['id']} has not been captured.", "charge_not_refundable")
    disputes.check_refundable(context, charge)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", "charge_already_refunded"
        )
    amount = context.params.get("amount", left)
    check_positive(amount, charge["currency"])
    if amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            None,
            "amount",
        )
    refund = context.add(_new_refund(context, charge, amount))
    _plan_outcome(context, refund, charge)
    if refund["status"] == "succeeded" and (reason := _reason_to_wait(context, refund, charge)):
        refund.update(status="pending", pending_reason=reason)
        balances.wait_for_funds(context, context.save(refund))
    if refund.get("pending_reason") not in UNFUNDED:
        _book_refund(context, refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    context.save(charge)
    context.emit("refund.created", refund)
    context.emit("charge.refunded", charge)
    if refund["status"] == "succeeded":
        _add_bank_reference(context, refund)
    disputes.close_refunded_inquiries(context, charge)
    return refund


def _reason_to_wait(context: RequestContext, refund: Json, charge: Json) -> str:
    """Why Stripe keeps a refund back; empty if it does not.

    Refunds draw on the available balance, also shortly after the payment that they are of:
    https://support.stripe.com/questions/pending-refunds-due-to-insufficient-funds-or-stripe-balance
    """
    entry = context.find(charge["balance_transaction"])
    if entry is None:
        return "charge_pending"
    account, waits = context.owner(refund), context.tenant.setting("refunds_wait")
    currency, amount = _in_balance(refund, entry)
    held = balances.available_and_pending(context, account).get(currency, (0, 0))
    return "insufficient_funds" if waits and held[0] < amount else ""


def _in_balance(refund: Json, entry: Json) -> tuple[str, int]:
    """The currency of the balance, and the amount in it, for a refund of the charge of `entry`."""
    return entry["currency"], round(refund["amount"] * (entry["exchange_rate"] or 1))


def retry_waiting(context: RequestContext, account: str) -> None:
    """Timer: make the refunds for which the balance suffices now, the oldest first."""
    for refund_id in balances.waiting_refunds(context, account):
        refund = context.find(refund_id)
        assert refund is not None, "refunds are never removed"
        charge = context.find(refund["charge"])
        if refund["status"] != "pending":
            balances.stop_waiting(context, refund_id)
        elif charge is not None and not _reason_to_wait(context, refund, charge):
            succeed(context, refund)


def _book_refund(context: RequestContext, refund: Json) -> None:
    kind = "refund" if refund["destination_details"]["type"] == "card" else "payment_refund"
    note = "REFUND FOR CHARGE" if kind == "refund" else "REFUND FOR PAYMENT"
    charge = context.find(refund["charge"])
    booked = context.find(charge["balance_transaction"]) if charge else None
    assert booked is not None, "a refund waits until its charge is booked"
    currency, amount = _in_balance(refund, booked)
    entry = balances.book(context, kind, refund, -amount, description=note, converted_to=currency)
    context.save(refund)["balance_transaction"] = entry["id"]


def _add_bank_reference(context: RequestContext, refund: Json) -> None:
    """Add the bank's reference number to a card refund and emit the update."""
    if "card" in refund["destination_details"]:
        refund["destination_details"]["card"] |= {
            "reference": new_digits(23),
            "reference_status": "available",
        }
    _emit_updated(context, context.save(refund))


def _emit_updated(context: RequestContext, refund: Json) -> None:
    context.emit("refund.updated", refund)
    context.emit("charge.refund.updated", refund)


def _get_charge(context: RequestContext) -> Json:
    params = context.params
    if params.get("charge"):
        return context.get("charge", params["charge"], "charge", in_path=False)
    if not params.get("payment_intent"):
        raise missing("payment_intent")
    intent = context.get(
        "payment_intent", params["payment_intent"], "payment_intent", in_path=False
    )
    charge = context.find(intent["latest_charge"])
    if charge is None or intent["status"] != "succeeded":
        raise refused(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            "payment_intent_unexpected_state",
        )
    return charge


def _new_refund(context: RequestContext, charge: Json, amount: int) -> Json:
    kind = charge["payment_method_details"]["type"]
    details: dict[str, Json] = {
        "card": {
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        },
        "crypto": {"reference": None},
    }
    return {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": context.now,
        "currency": charge["currency"],
        "destination_details": {"type": kind, **({kind: details[kind]} if kind in details else {})},
        "metadata": merge_metadata(None, context.params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "reason": context.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _plan_outcome(context: RequestContext, refund: Json, charge: Json) -> None:
    """Plan a pending or failing refund, by a fault or by the test card."""
    names = (refund["id"], refund["charge"], refund["currency"])
    plan = fault_injection.take_for_object(context.store, context.tenant.key, "refund", names)
    method = context.find(charge["payment_method"])
    if plan is None and method is not None:
        plan = PLAN_BY_TEST_CARD.get(behavior_of(method).refund)
    if plan is None:
        return
    if plan.get("requires_action"):
        context.save(refund)["status"] = "requires_action"
        return
    if "pending_reason" in plan:
        refund.update(status="pending", pending_reason=plan["pending_reason"])
    if "failure_code" in plan or "pending_reason" not in plan:
        refund["_failure"] = plan.get("failure_code", "lost_or_stolen_card")
    due = context.tenant.now() + plan.get("delay", 0)
    context.set_timer(due, "refund", context.save(refund)["id"])


def carry_out_plan(context: RequestContext, refund_id: str) -> None:
    """Timer: carry out the planned outcome of a refund."""
    refund = context.find(refund_id)
    if refund is None:
        return
    if "_failure" in refund:
        fail(context, refund, refund["_failure"])
    else:
        succeed(context, refund)


def succeed(context: RequestContext, refund: Json) -> Json:
    """Settle a pending refund."""
    if refund["status"] == "pending":
        refund.update(status="succeeded")
        refund.pop("pending_reason", None)
        balances.stop_waiting(context, refund["id"])
        if refund["balance_transaction"] is None:
            _book_refund(context, refund)
        _add_bank_reference(context, refund)
    return refund


def fail(context: RequestContext, refund: Json, reason: str) -> Json:
    """Fail a refund that the bank returns; the money returns to the balance."""
    charge = context.find(refund["charge"])
    if charge is None or refund["status"] not in UNRETURNED:
        return refund
    refund.update(status="failed", failure_reason=reason)
    _return_money(context, refund, charge)
    context.emit("refund.failed", refund)
    _emit_updated(context, refund)
    return refund


def _return_money(context: RequestContext, refund: Json, charge: Json) -> None:
    """Return the money of a refund that ended without reaching the customer to the balance."""
    if refund["balance_transaction"]:
        taken = context.get("balance_transaction", refund["balance_transaction"])
        back, currency = -taken["amount"], taken["currency"]
        entry = balances.book(context, "refund_failure", refund, back, converted_to=currency)
        refund["failure_balance_transaction"] = entry["id"]
    refund.pop("pending_reason", None)
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    context.save(refund)
    context.save(charge)


def cancel(context: RequestContext, refund_id: str) -> Json:
    """Cancel a refund that waits for the customer; Stripe cancels no other refund."""
    refund = retrieve(context, refund_id)
    charge = context.find(refund["charge"])
    if refund["status"] != "requires_action" or charge is None:
        raise refused(
            f"Only refunds with a status of requires_action can be canceled; this one is"
            f" {refund['status']}."
        )
    refund["status"] = "canceled"
    _return_money(context, refund, charge)
    _emit_updated(context, refund)
    return refund


def create_of_charge(context: RequestContext, charge_id: str) -> Json:
    """Refund the charge in the path."""
    context.get("charge", charge_id, "charge")
    context.params["charge"] = charge_id
    return create(context)


def list_of_charge(context: RequestContext, charge_id: str) -> Json:
    """The refunds of the charge in the path, newest first."""
    context.get("charge", charge_id, "charge")
    return context.page("refund", f"/v1/charges/{charge_id}/refunds", charge=charge_id)


def retrieve_of_charge(context: RequestContext, charge_id: str, refund_id: str) -> Json:
    """One refund of the charge in the path."""
    refund = retrieve(context, refund_id)
    if refund["charge"] != charge_id:
        raise no_such("refund", refund_id, "refund")
    return refund


def update_of_charge(context: RequestContext, charge_id: str, refund_id: str) -> Json:
    """Change the metadata of a refund of the charge in the path."""
    retrieve_of_charge(context, charge_id, refund_id)
    return update(context, refund_id)


def retrieve(context: RequestContext, refund_id: str) -> Json:
    """One refund."""
    return context.get("refund", refund_id, "refund")


def update(context: RequestContext, refund_id: str) -> Json:
    """Change a refund's metadata."""
    refund = retrieve(context, refund_id)
    refund["metadata"] = merge_metadata(refund["metadata"], context.params.get("metadata", {}))
    _emit_updated(context, context.save(refund))
    return refund


def list_refunds(context: RequestContext) -> Json:
    """Refunds, newest first."""
    params = context.params
    return context.page(
        "refund",
        "/v1/refunds",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )
