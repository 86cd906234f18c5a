"""Disputes: a cardholder takes the money back, and evidence decides who keeps it."""

from __future__ import annotations

from . import balances
from .call import Call
from .errors import Json, refused
from .forms import EXPAND, PAGE, Spec, boolean, mapping, merged, shape, text
from .state import new_id

FIELDS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
FILES = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)
UPDATE: Spec = {
    "evidence": shape(**dict.fromkeys(FIELDS, text)),
    "metadata": mapping,
    "submit": boolean,
    **EXPAND,
}
LIST: Spec = {**PAGE, "charge": text, "payment_intent": text}
FEE = 1_500
ANSWER_SECONDS = 9 * 86_400
# https://docs.stripe.com/testing#disputes: these texts decide a test dispute.
VERDICTS = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_on(call: Call, name: str, reason: str = "fraudulent") -> None:
    """The bank takes a captured charge back, with its fee."""
    charge = call.find(name)
    if charge is None or charge["disputed"] or not charge["captured"]:
        return
    amount = charge["amount"] - charge["amount_refunded"]
    if amount == 0:
        return
    card = charge["payment_method_details"]["card"]
    dispute: Json = {
        "id": new_id("dp_1"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys((*FIELDS, *FILES)), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": call.now + ANSWER_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "chargeback",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }
    call.add(dispute)
    _book(call, dispute, -amount, FEE)
    charge["disputed"] = True
    call.save(charge)
    call.emit("charge.dispute.created", dispute)
    call.emit("charge.dispute.funds_withdrawn", dispute)


def _book(call: Call, dispute: Json, amount: int, fee: int = 0) -> None:
    entry = balances.book(call, "adjustment", dispute, amount, fee=fee)
    dispute["balance_transactions"].append(call.shown(entry))
    call.save(dispute)


def retrieve(call: Call, name: str) -> Json:
    """One dispute."""
    return call.get("dispute", name, "dispute")


def update(call: Call, name: str) -> Json:
    """Give evidence; a test text decides the dispute at once."""
    dispute, params = retrieve(call, name), call.params
    dispute["metadata"] = merged(dispute["metadata"], params.get("metadata", {}))
    call.save(dispute)
    if "evidence" in params:
        _need_open(dispute)
        dispute["evidence"] |= params["evidence"]
        dispute["evidence_details"]["has_evidence"] = True
        if params.get("submit", True):
            dispute["status"] = "under_review"
            dispute["evidence_details"]["submission_count"] += 1
    call.emit("charge.dispute.updated", dispute)
    verdict = VERDICTS.get(dispute["evidence"]["uncategorized_text"] or "")
    if verdict and dispute["status"] == "under_review":
        _decide(call, dispute, verdict)
    return dispute


def close(call: Call, name: str) -> Json:
    """Accept that the dispute is lost."""
    dispute = retrieve(call, name)
    _need_open(dispute)
    _decide(call, dispute, "lost")
    return dispute


def _decide(call: Call, dispute: Json, verdict: str) -> None:
    call.save(dispute)["status"] = verdict
    if verdict == "won":
        _book(call, dispute, dispute["amount"])
        call.emit("charge.dispute.funds_reinstated", dispute)
    call.emit("charge.dispute.closed", dispute)


def _need_open(dispute: Json) -> None:
    if dispute["status"] != "needs_response":
        raise refused(f"This dispute is {dispute['status']} and takes no more evidence.")


def list_disputes(call: Call) -> Json:
    """Disputes, newest first."""
    params = call.params
    return call.page(
        "dispute",
        "/v1/disputes",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )
