"""Early fraud warnings of card networks, and reviews of payments."""

from __future__ import annotations

from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import PAGE, Spec, text
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

WARNINGS: Spec = {**PAGE, "charge": text, "payment_intent": text}
FRAUD_TYPES = (
    "card_never_received",
    "fraudulent_card_application",
    "made_with_counterfeit_card",
    "made_with_lost_card",
    "made_with_stolen_card",
    "misc",
    "unauthorized_use_of_card",
)
CLOSED_REASONS = ("approved", "canceled", "disputed", "refunded", "refunded_as_fraud")


def warn(context: RequestContext, charge: Json, fraud_type: str) -> Json:
    """A card network reports a charge as probable fraud."""
    warning = context.add(
        {
            "id": new_id("issfr_1"),
            "object": "radar.early_fraud_warning",
            "actionable": not (charge["refunded"] or charge["disputed"]),
            "charge": charge["id"],
            "created": context.now,
            "fraud_type": fraud_type,
            "livemode": False,
            "payment_intent": charge["payment_intent"],
        }
    )
    context.emit("radar.early_fraud_warning.created", warning)
    return warning


def open_review(context: RequestContext, charge: Json) -> Json:
    """A rule puts a payment under review."""
    review = context.add(
        {
            "id": new_id("prv_1"),
            "object": "review",
            "billing_zip": None,
            "charge": charge["id"],
            "closed_reason": None,
            "created": context.now,
            "ip_address": None,
            "ip_address_location": None,
            "livemode": False,
            "open": True,
            "opened_reason": "rule",
            "payment_intent": charge["payment_intent"],
            "reason": "rule",
            "session": None,
        }
    )
    charge["review"] = review["id"]
    context.save(charge)
    context.emit("review.opened", review)
    return review


def close_review(context: RequestContext, review: Json, reason: str) -> Json:
    """End an open review. Raises refused for one that has ended."""
    if not review["open"]:
        raise refused("This review is already closed.")
    review.update(open=False, closed_reason=reason, reason=reason)
    charge = context.find(review["charge"])
    if charge:
        charge["review"] = None
        context.save(charge)
    context.emit("review.closed", context.save(review))
    return review


def retrieve_warning(context: RequestContext, warning_id: str) -> Json:
    """One early fraud warning."""
    return context.get("radar.early_fraud_warning", warning_id)


def list_warnings(context: RequestContext) -> Json:
    """Early fraud warnings, newest first."""
    params = context.params
    return context.page(
        "radar.early_fraud_warning",
        "/v1/radar/early_fraud_warnings",
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )


def retrieve_review(context: RequestContext, review_id: str) -> Json:
    """One review."""
    return context.get("review", review_id, "review")


def list_reviews(context: RequestContext) -> Json:
    """Open reviews, newest first."""
    return context.page("review", "/v1/reviews", open=str(True))


def approve_review(context: RequestContext, review_id: str) -> Json:
    """Approve a payment that is under review."""
    return close_review(context, retrieve_review(context, review_id), "approved")
