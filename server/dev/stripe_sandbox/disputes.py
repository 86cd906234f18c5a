"""Disputes: a cardholder takes the money back, and evidence decides who keeps it."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances

from .call import Call
from .customers import card_of
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
ANSWER_SECONDS = 9 * 86_400
# https://docs.stripe.com/testing#disputes: these texts decide a test dispute.
VERDICTS = {"winning_evidence": "won", "losing_evidence": "lost"}
OF_INQUIRY = {"winning_evidence": "warning_closed", "escalate_inquiry_evidence": "needs_response"}
ANSWERED = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}
TAKEN = ("needs_response", "under_review", "lost")
CLOSED = ("won", "lost", "warning_closed", "prevented")
STATES = (*ANSWERED, *ANSWERED.values(), *CLOSED)


def by_card(call: Call, name: str) -> None:
    """The timer of a charge whose card announces a dispute."""
    charge = call.find(name)
    method = call.find(charge["payment_method"]) if charge else None
    if charge is None or method is None or disputable(call, charge) < 1:
        return
    kind = card_of(method).disputed
    inquiry = kind == "inquiry"
    open_on(call, charge, reason="fraudulent" if inquiry else kind, inquiry=inquiry)


def disputable(call: Call, charge: Json) -> int:
    """What was captured, is not refunded, and is not disputed yet."""
    let_go = charge["amount"] - charge["amount_captured"]
    refunded = charge["amount_refunded"] - let_go
    return int(charge["amount_captured"] - refunded - _disputed(call, charge))


def _disputed(call: Call, charge: Json) -> int:
    others = call.of("dispute", "charge", charge["id"])
    ended = ("won", "warning_closed", "prevented")
    return sum(other["amount"] for other in others if other["status"] not in ended)


def open_on(
    call: Call,
    charge: Json,
    *,
    amount: int | None = None,
    reason: str = "fraudulent",
    inquiry: bool = False,
) -> Json:
    """The bank takes a captured charge back, with a fee, or only inquires. It may take what was
    refunded, too."""
    wanted = disputable(call, charge) if amount is None else amount
    if charge["payment_method_details"]["type"] != "card" or not charge["captured"]:
        raise refused("Only captured charges of cards are disputed.")
    if not 1 <= wanted <= charge["amount_captured"] - _disputed(call, charge):
        raise refused(f"The charge cannot be disputed for {wanted}.", None, "amount")
    dispute = call.add(_dispute(call, charge, wanted, reason))
    charge["disputed"] = True
    call.save(charge)
    call.later(dispute["evidence_details"]["due_by"], "overdue", dispute["id"])
    events = _enter(call, dispute, "warning_needs_response" if inquiry else "needs_response")
    for kind in ("charge.dispute.created", *events):
        call.emit(kind, dispute)
    return dispute


def _dispute(call: Call, charge: Json, amount: int, reason: str) -> Json:
    return {
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
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "chargeback",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def _enter(call: Call, dispute: Json, status: str, *, fee_back: bool = False) -> list[str]:
    """Take a state, and take or return the money that goes with it; the events of the money."""
    inquiry = status.startswith("warning")
    dispute.update(status=status, is_charge_refundable=inquiry or status in ("won", "prevented"))
    dispute["payment_method_details"]["card"]["case_type"] = "inquiry" if inquiry else "chargeback"
    call.save(dispute)
    entries = dispute["balance_transactions"]
    taken = -sum(entry["amount"] for entry in entries)
    more = (dispute["amount"] if status in TAKEN else 0) - taken
    if not more:
        return []
    first = 0 if entries else int(call.tenant.setting("dispute_fee"))
    fee = first if more > 0 else -fee_back * sum(entry["fee"] for entry in entries)
    entry = balances.book(call, "adjustment", dispute, -more, fee=fee)
    entries.append(call.shown(entry))
    return [f"charge.dispute.funds_{'withdrawn' if more > 0 else 'reinstated'}"]


def move(call: Call, dispute: Json, status: str, *, fee_back: bool = False) -> Json:
    """The bank's next word, whatever it said before: banks do change their minds."""
    events = _enter(call, dispute, status, fee_back=fee_back)
    last = "closed" if status in CLOSED else "updated"
    for kind in (*events, f"charge.dispute.{last}"):
        call.emit(kind, dispute)
    return dispute


def retrieve(call: Call, name: str) -> Json:
    """One dispute."""
    return call.get("dispute", name, "dispute")


def update(call: Call, name: str) -> Json:
    """Give evidence; a test text decides the dispute at once."""
    dispute, params = retrieve(call, name), call.params
    dispute["metadata"] = merged(dispute["metadata"], params.get("metadata", {}))
    call.save(dispute)
    if "evidence" in params:
        if dispute["status"] not in ANSWERED:
            raise refused(f"This dispute is {dispute['status']} and takes no more evidence.")
        dispute["evidence"] |= params["evidence"]
        dispute["evidence_details"]["has_evidence"] = True
        if params.get("submit", True):
            dispute["status"] = ANSWERED[dispute["status"]]
            dispute["evidence_details"]["submission_count"] += 1
    call.emit("charge.dispute.updated", dispute)
    verdicts = {"under_review": VERDICTS, "warning_under_review": OF_INQUIRY}
    told = verdicts.get(dispute["status"], {})
    verdict = told.get(dispute["evidence"]["uncategorized_text"] or "")
    return move(call, dispute, verdict) if verdict else dispute


def close(call: Call, name: str) -> Json:
    """Accept that the dispute is lost."""
    dispute = retrieve(call, name)
    if dispute["status"] != "needs_response":
        raise refused(f"This dispute is {dispute['status']} and cannot be closed.")
    return move(call, dispute, "lost")


def overdue(call: Call, name: str) -> None:
    """The timer of a dispute: who has not answered by now has lost it."""
    dispute = call.find(name)
    if dispute is not None and dispute["status"] in ANSWERED:
        dispute["evidence_details"]["past_due"] = True
        inquiry = dispute["status"].startswith("warning")
        move(call, dispute, "warning_closed" if inquiry else "lost")


def after_refund(call: Call, charge: Json) -> None:
    """Inquiries end with the full refund of what they are about."""
    for dispute in call.of("dispute", "charge", charge["id"]):
        if charge["refunded"] and dispute["status"] in (
            "warning_needs_response",
            "warning_under_review",
        ):
            move(call, dispute, "warning_closed")


def check_refundable(call: Call, charge: Json) -> None:
    """Raises charge_disputed."""
    disputes = call.of("dispute", "charge", charge["id"])
    if not all(dispute["is_charge_refundable"] for dispute in disputes):
        raise refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            "charge_disputed",
        )


def list_disputes(call: Call) -> Json:
    """Disputes, newest first."""
    params = call.params
    return call.page(
        "dispute",
        "/v1/disputes",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )
