"""Refunds: money that goes back to the card, never more than was taken."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, disputes, faults

from .call import Call
from .customers import card_of
from .errors import Json, missing, refused
from .forms import EXPAND, PAGE, Spec, boolean, integer, mapping, merged, one_of, text
from .money import check_positive
from .state import new_digits, new_id

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
# What Stripe's test cards announce of their refunds.
BY_CARD: dict[str, Json] = {"failed": {}, "pending": {"pending_reason": "processing"}}


def create(call: Call) -> Json:
    """Give money back. Raises charge_already_refunded and other refusals."""
    charge = _charge(call)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(f"Charge {charge['id']} has not been captured.", "charge_not_refundable")
    disputes.check_refundable(call, charge)
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
    _plan(call, refund, charge)
    if refund.get("pending_reason") != "insufficient_funds":
        _book(call, refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.save(charge)
    call.emit("refund.created", refund)
    call.emit("charge.refunded", charge)
    if refund["status"] == "succeeded":
        _give_reference(call, refund)
    disputes.after_refund(call, charge)
    return refund


def _book(call: Call, refund: Json) -> None:
    kind = "refund" if refund["destination_details"]["type"] == "card" else "payment_refund"
    entry = balances.book(call, kind, refund, -refund["amount"])
    call.save(refund)["balance_transaction"] = entry["id"]


def _give_reference(call: Call, refund: Json) -> None:
    """The bank tells by what it can be asked about a refund of a card."""
    if "card" in refund["destination_details"]:
        refund["destination_details"]["card"] |= {
            "reference": new_digits(23),
            "reference_status": "available",
        }
    _announce(call, call.save(refund))


def _announce(call: Call, refund: Json) -> None:
    call.emit("refund.updated", refund)
    call.emit("charge.refund.updated", refund)


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
    kind = charge["payment_method_details"]["type"]
    told: dict[str, Json] = {
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
        "created": call.now,
        "currency": charge["currency"],
        "destination_details": {"type": kind, **({kind: told[kind]} if kind in told else {})},
        "metadata": merged(None, call.params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "reason": call.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _plan(call: Call, refund: Json, charge: Json) -> None:
    """What becomes of a refund, by order or by its card: it may be pending at first, or fail."""
    names = (refund["id"], refund["charge"], refund["currency"])
    plan = faults.take_for_object(call.store, call.tenant.key, "refund", names)
    method = call.find(charge["payment_method"])
    if plan is None and method is not None:
        plan = BY_CARD.get(card_of(method).refund)
    if plan is None:
        return
    if "pending_reason" in plan:
        refund.update(status="pending", pending_reason=plan["pending_reason"])
    if "failure_code" in plan or "pending_reason" not in plan:
        refund["_failure"] = plan.get("failure_code", "lost_or_stolen_card")
    due = call.tenant.now() + plan.get("delay", 0)
    call.later(due, "refund", call.save(refund)["id"])


def proceed(call: Call, name: str) -> None:
    """The timer of a refund: what was planned for it happens."""
    refund = call.find(name)
    if refund is None:
        return
    if "_failure" in refund:
        fail(call, refund, refund["_failure"])
    else:
        succeed(call, refund)


def succeed(call: Call, refund: Json) -> Json:
    """A pending refund gets through."""
    if refund["status"] == "pending":
        refund.update(status="succeeded")
        refund.pop("pending_reason", None)
        if refund["balance_transaction"] is None:
            _book(call, refund)
        _give_reference(call, refund)
    return refund


def fail(call: Call, refund: Json, reason: str) -> Json:
    """The bank sends a refund back: the money returns to the balance."""
    charge = call.find(refund["charge"])
    if charge is None or refund["status"] not in ("pending", "succeeded"):
        return refund
    if refund["balance_transaction"]:
        entry = balances.book(call, "refund_failure", refund, refund["amount"])
        refund["failure_balance_transaction"] = entry["id"]
    refund.update(status="failed", failure_reason=reason)
    refund.pop("pending_reason", None)
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    call.save(refund)
    call.save(charge)
    call.emit("refund.failed", refund)
    _announce(call, refund)
    return refund


def retrieve(call: Call, name: str) -> Json:
    """One refund."""
    return call.get("refund", name, "refund")


def update(call: Call, name: str) -> Json:
    """Change a refund's metadata."""
    refund = retrieve(call, name)
    refund["metadata"] = merged(refund["metadata"], call.params.get("metadata", {}))
    _announce(call, call.save(refund))
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
