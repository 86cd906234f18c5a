"""Refunds: money that goes back to the card, never more than was taken."""

from __future__ import annotations

from . import balances, faults
from .call import Call
from .errors import Json, missing, refused
from .forms import EXPAND, PAGE, Spec, boolean, integer, mapping, merged, one_of, text
from .money import check_positive
from .state import new_id

CREATE: Spec = {
    "amount": integer,
    "charge": text,
    "payment_intent": text,
    "metadata": mapping,
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
    "reverse_transfer": boolean,
    "refund_application_fee": boolean,
    **EXPAND,
}
UPDATE: Spec = {"metadata": mapping, **EXPAND}
LIST: Spec = {**PAGE, "charge": text, "payment_intent": text}


def create(call: Call) -> Json:
    """Give money back. Raises charge_already_refunded and other refusals."""
    charge = _charge(call)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(f"Charge {charge['id']} has not been captured.", "charge_not_refundable")
    if charge["disputed"]:
        raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                      "charge_disputed")  # fmt: skip
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", "charge_already_refunded"
        )
    amount = call.params.get("amount", left)
    check_positive(amount, charge["currency"])
    if amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            None,
            "amount",
        )
    refund = call.add(_refund(call, charge, amount))
    entry = balances.book(call, "refund", refund, -amount)
    refund["balance_transaction"] = entry["id"]
    call.save(refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.save(charge)
    call.emit("refund.created", refund)
    call.emit("charge.refunded", charge)
    _order_failure(call, refund)
    return refund


def _charge(call: Call) -> Json:
    params = call.params
    if params.get("charge"):
        return call.get("charge", params["charge"], "charge", in_path=False)
    if not params.get("payment_intent"):
        raise missing("payment_intent")
    intent = call.get("payment_intent", params["payment_intent"], "payment_intent", in_path=False)
    charge = call.find(intent["latest_charge"])
    if charge is None or intent["status"] != "succeeded":
        raise refused(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            "payment_intent_unexpected_state",
        )
    return charge


def _refund(call: Call, charge: Json, amount: int) -> Json:
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "destination_details": {"card": {**card, "type": "refund"}, "type": "card"},
        "metadata": merged(None, call.params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "reason": call.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _order_failure(call: Call, refund: Json) -> None:
    names = (refund["id"], refund["charge"], refund["currency"])
    fault = faults.take_for_object(call.store, call.tenant.key, "refund", names)
    if fault is not None:
        refund["_failure"] = fault.get("failure_code", "lost_or_stolen_card")
        call.later(call.tenant.now() + fault.get("delay", 0), "refund", refund["id"])


def fail(call: Call, name: str) -> None:
    """The bank sends a refund back: the money returns to the balance."""
    refund = call.find(name)
    charge = call.find(refund["charge"]) if refund else None
    if refund is None or charge is None or refund["status"] != "succeeded":
        return
    entry = balances.book(call, "refund_failure", refund, refund["amount"])
    refund.update(
        status="failed",
        failure_reason=refund["_failure"],
        failure_balance_transaction=entry["id"],
    )
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    call.save(refund)
    call.save(charge)
    call.emit("refund.failed", refund)
    call.emit("charge.refund.updated", refund)


def retrieve(call: Call, name: str) -> Json:
    """One refund."""
    return call.get("refund", name, "refund")


def update(call: Call, name: str) -> Json:
    """Change a refund's metadata."""
    refund = retrieve(call, name)
    refund["metadata"] = merged(refund["metadata"], call.params.get("metadata", {}))
    call.save(refund)
    call.emit("refund.updated", refund)
    call.emit("charge.refund.updated", refund)
    return refund


def list_refunds(call: Call) -> Json:
    """Refunds, newest first."""
    params = call.params
    return call.page(
        "refund",
        "/v1/refunds",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )
