"""The events of Stripe that the platform needs: what its endpoints are subscribed to.

An event says where to look, and the object is read again. So of several events about one change
one is enough: `charge.succeeded`, for example, comes beside `payment_intent.succeeded`.
Source: Stripe, "Types of events", "Event destinations".
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

PATH = "/webhooks/stripe"
_PAYOUTS = ("payout.canceled", "payout.created", "payout.failed", "payout.paid", "payout.updated")
# Of the platform's own account.
PLATFORM_EVENTS = (
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refunded",
    "charge.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    *_PAYOUTS,
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "review.closed",
    "review.opened",
    "setup_intent.setup_failed",
    "transfer.reversed",
)
# Of connected accounts.
CONNECTED_EVENTS = (
    "account.application.deauthorized",
    "account.external_account.created",
    "account.external_account.deleted",
    "account.external_account.updated",
    "account.updated",
    "capability.updated",
    *_PAYOUTS,
)
# Thin events about connected accounts.
THIN_EVENTS = (
    "v2.core.account.closed",
    "v2.core.account.updated",
    "v2.core.account[configuration.recipient].capability_status_updated",
    "v2.core.account[configuration.recipient].updated",
    "v2.core.account[requirements].updated",
)


def missing(needed: Iterable[str], endpoints: Iterable[Mapping[str, Any]]) -> list[str]:
    """The needed events that no enabled endpoint of this server is subscribed to.

    An event that is needed twice is needed of two endpoints: Stripe does not say which of them is
    for connected accounts.
    """
    sent = Counter(
        event
        for endpoint in endpoints
        if endpoint["status"] == "enabled" and _address(endpoint).endswith(PATH)
        for event in set(endpoint["enabled_events"])
    )
    count = Counter(needed)
    return sorted(event for event in count if sent[event] + sent["*"] < count[event])


def _address(endpoint: Mapping[str, Any]) -> str:
    """Where an endpoint of either version of the API sends to; empty if that is no server."""
    return str(endpoint.get("url") or (endpoint.get("webhook_endpoint") or {}).get("url") or "")
