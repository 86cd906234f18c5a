"""Disputes and inquiries: money withdrawn by the bank, evidence, and the outcome."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Spec,
    boolean,
    merge_metadata,
    metadata,
    nested,
    text,
)
from server.dev.stripe_sandbox.payment_methods import behavior_of
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

TEXT_EVIDENCE = (
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
FILE_EVIDENCE = (
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
    "evidence": nested(**dict.fromkeys((*TEXT_EVIDENCE, *FILE_EVIDENCE), text)),
    "metadata": metadata,
    "submit": boolean,
    **EXPAND,
}
LIST: Spec = {**PAGE, "charge": text, "payment_intent": text}
RESPONSE_SECONDS = 9 * 86_400
# https://docs.stripe.com/testing#disputes: these texts decide a test dispute.
EVIDENCE_OUTCOMES = {"winning_evidence": "won", "losing_evidence": "lost"}
INQUIRY_EVIDENCE_OUTCOMES = {
    "winning_evidence": "warning_closed",
    "escalate_inquiry_evidence": "needs_response",
}
STATUS_AFTER_EVIDENCE = {
    "needs_response": "under_review",
    "warning_needs_response": "warning_under_review",
}
WITHDRAWN_STATUSES = ("needs_response", "under_review", "lost")
CLOSED_STATUSES = ("won", "lost", "warning_closed", "prevented")
STATUSES = (*STATUS_AFTER_EVIDENCE, *STATUS_AFTER_EVIDENCE.values(), *CLOSED_STATUSES)


def open_for_test_card(context: RequestContext, charge_id: str) -> None:
    """Timer: dispute a charge of a test card that causes disputes."""
    charge = context.find(charge_id)
    method = context.find(charge["payment_method"]) if charge else None
    if charge is None or method is None or disputable_amount(context, charge) < 1:
        return
    kind = behavior_of(method).disputed
    inquiry = kind == "inquiry"
    open_dispute(context, charge, reason="fraudulent" if inquiry else kind, inquiry=inquiry)


def disputable_amount(context: RequestContext, charge: Json) -> int:
    """The amount that is captured, not refunded and not disputed."""
    rest = charge["amount_captured"] - charge["amount_refunded"]
    return int(rest - _disputed_amount(context, charge))


def _disputed_amount(context: RequestContext, charge: Json) -> int:
    others = context.find_all("dispute", "charge", charge["id"])
    ended = ("won", "warning_closed", "prevented")
    return sum(other["amount"] for other in others if other["status"] not in ended)


def open_dispute(
    context: RequestContext,
    charge: Json,
    *,
    amount: int | None = None,
    reason: str = "fraudulent",
    inquiry: bool = False,
) -> Json:
    """Open a dispute, which withdraws the amount and a fee, or an inquiry, which withdraws
    nothing. Refunded money can be disputed too."""
    wanted = disputable_amount(context, charge) if amount is None else amount
    if charge["payment_method_details"]["type"] != "card" or not charge["captured"]:
        raise refused("Only captured charges of cards are disputed.")
    if not 1 <= wanted <= charge["amount_captured"] - _disputed_amount(context, charge):
        raise refused(f"The charge cannot be disputed for {wanted}.", None, "amount")
    dispute = context.add(_new_dispute(context, charge, wanted, reason))
    charge["disputed"] = True
    context.save(charge)
    context.set_timer(dispute["evidence_details"]["due_by"], "overdue", dispute["id"])
    events = _set_status(
        context, dispute, "warning_needs_response" if inquiry else "needs_response"
    )
    for kind in ("charge.dispute.created", *events):
        context.emit(kind, dispute)
    return dispute


def _new_dispute(context: RequestContext, charge: Json, amount: int, reason: str) -> Json:
    return {
        "id": new_id("dp_1"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": context.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys((*TEXT_EVIDENCE, *FILE_EVIDENCE)), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": _end_of_day(context.now + RESPONSE_SECONDS),
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
        "_taken": 0,
    }


def _end_of_day(moment: int) -> int:
    """The last second of a day, UTC, at which a response is due."""
    return moment // 86_400 * 86_400 + 86_399


def _set_status(
    context: RequestContext, dispute: Json, status: str, *, fee_back: bool = False
) -> list[str]:
    """Set a status and book the money it withdraws or reinstates. Returns the events of that."""
    inquiry = status.startswith("warning")
    dispute.update(status=status, is_charge_refundable=inquiry or status in ("won", "prevented"))
    dispute["payment_method_details"]["card"]["case_type"] = "inquiry" if inquiry else "chargeback"
    context.save(dispute)
    taken = dispute["_taken"]
    if status in WITHDRAWN_STATUSES:
        more = 0 if taken > 0 else dispute["amount"] - taken
    else:
        more = -taken
    if not more:
        return []
    return [_book_line(context, dispute, -more, fee_back=fee_back)]


def _book_line(
    context: RequestContext, dispute: Json, amount: int, *, fee_back: bool = False
) -> str:
    """Book a balance transaction of a dispute: below zero is withdrawn, above zero reinstated. The
    first one also takes the fee. A charge that was converted is disputed in its own currency, and
    its money is taken in that of the balance. Returns the event of it."""
    entries = dispute["balance_transactions"]
    first = 0 if entries else int(context.tenant.setting("dispute_fee"))
    fee = first if amount < 0 else -fee_back * sum(entry["fee"] for entry in entries)
    currency, rate = _converted(context, dispute)
    entry = balances.book(
        context, "adjustment", dispute, round(amount * rate), fee=fee, converted_to=currency
    )
    dispute["_taken"] -= amount
    if amount > 0:
        entry["reporting_category"] = "dispute_reversal"
        context.save(entry)
    entries.append(context.public_view(entry))
    context.save(dispute)
    return f"charge.dispute.funds_{'withdrawn' if amount < 0 else 'reinstated'}"


def _converted(context: RequestContext, dispute: Json) -> tuple[str, float]:
    """The currency of the balance in which its charge was booked, and the rate into it."""
    charge = context.find(dispute["charge"])
    booked = context.find(charge["balance_transaction"]) if charge else None
    return (
        (booked["currency"], booked["exchange_rate"] or 1) if booked else (dispute["currency"], 1)
    )


def add_line(context: RequestContext, dispute: Json, amount: int) -> Json:
    """The bank takes more, or gives a part back, in any status: conversions, fees of
    networks, money that was refunded before."""
    for kind in (_book_line(context, dispute, amount), "charge.dispute.updated"):
        context.emit(kind, dispute)
    return dispute


def change_status(
    context: RequestContext, dispute: Json, status: str, *, fee_back: bool = False
) -> Json:
    """Set any status after any other, as banks do, and emit the events."""
    events = _set_status(context, dispute, status, fee_back=fee_back)
    last = "closed" if status in CLOSED_STATUSES else "updated"
    for kind in (*events, f"charge.dispute.{last}"):
        context.emit(kind, dispute)
    return dispute


def retrieve(context: RequestContext, dispute_id: str) -> Json:
    """One dispute."""
    return context.get("dispute", dispute_id, "dispute")


def update(context: RequestContext, dispute_id: str) -> Json:
    """Submit evidence, which is under review then. Stripe's test texts decide it soon after."""
    dispute, params = retrieve(context, dispute_id), context.params
    dispute["metadata"] = merge_metadata(dispute["metadata"], params.get("metadata", {}))
    context.save(dispute)
    if "evidence" in params:
        if dispute["status"] not in STATUS_AFTER_EVIDENCE:
            raise refused(f"This dispute is {dispute['status']} and takes no more evidence.")
        for name in FILE_EVIDENCE:
            if file_id := params["evidence"].get(name):
                context.get("file", file_id, f"evidence[{name}]", in_path=False)
        dispute["evidence"] |= params["evidence"]
        dispute["evidence_details"]["has_evidence"] = True
        if params.get("submit", True):
            dispute["status"] = STATUS_AFTER_EVIDENCE[dispute["status"]]
            dispute["evidence_details"]["submission_count"] += 1
    context.emit("charge.dispute.updated", dispute)
    if _verdict(dispute):
        context.set_timer(context.now, "verdict", dispute["id"])
    return dispute


def _verdict(dispute: Json) -> str | None:
    """What Stripe's test texts decide."""
    verdicts = {
        "under_review": EVIDENCE_OUTCOMES,
        "warning_under_review": INQUIRY_EVIDENCE_OUTCOMES,
    }
    outcomes = verdicts.get(dispute["status"], {})
    return outcomes.get(dispute["evidence"]["uncategorized_text"] or "")


def decide(context: RequestContext, dispute_id: str) -> None:
    """Timer: the bank has reviewed the evidence."""
    dispute = context.find(dispute_id)
    verdict = _verdict(dispute) if dispute else None
    if dispute and verdict:
        change_status(context, dispute, verdict)


def close(context: RequestContext, dispute_id: str) -> Json:
    """Accept the dispute as lost."""
    dispute = retrieve(context, dispute_id)
    if dispute["status"] != "needs_response":
        raise refused(f"This dispute is {dispute['status']} and cannot be closed.")
    return change_status(context, dispute, "lost")


def close_overdue(context: RequestContext, dispute_id: str) -> None:
    """Timer: close a dispute without a response as lost, an inquiry as closed."""
    dispute = context.find(dispute_id)
    if dispute is not None and dispute["status"] in STATUS_AFTER_EVIDENCE:
        dispute["evidence_details"]["past_due"] = True
        inquiry = dispute["status"].startswith("warning")
        change_status(context, dispute, "warning_closed" if inquiry else "lost")


def close_refunded_inquiries(context: RequestContext, charge: Json) -> None:
    """Close the inquiries about a fully refunded charge."""
    for dispute in context.find_all("dispute", "charge", charge["id"]):
        if charge["refunded"] and dispute["status"] in (
            "warning_needs_response",
            "warning_under_review",
        ):
            change_status(context, dispute, "warning_closed")


def check_refundable(context: RequestContext, charge: Json) -> None:
    """Raises charge_disputed."""
    disputes = context.find_all("dispute", "charge", charge["id"])
    if not all(dispute["is_charge_refundable"] for dispute in disputes):
        raise refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            "charge_disputed",
        )


def list_disputes(context: RequestContext) -> Json:
    """Disputes, newest first."""
    params = context.params
    return context.page(
        "dispute",
        "/v1/disputes",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )
