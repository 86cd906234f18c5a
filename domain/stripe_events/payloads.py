"""What Stripe sent with an event, for administrators who look into one. Kept for 30 days.

No code depends on a payload: an event is processed, retried and replayed by reading its object from
Stripe again. It is a record of its own, because an index can expire records and not fields. What
identifies a person is left out, so that the deletion of an account need not look for it here.
"""

from datetime import timedelta
from typing import Any

import msgspec

from domain.kernel.record import Index, Record

KEPT = timedelta(days=30)
LEFT_OUT = "[left out]"
# Fields of Stripe's objects that are secret or personal, at any depth.
PERSONAL = frozenset(
    [
        "address",
        "billing_details",
        "business_profile",
        "cardholder",
        "client_secret",
        "company",
        "contact_email",
        "customer",
        "customer_account",
        "customer_details",
        "display_name",
        "email",
        "evidence",
        "external_accounts",
        "identity",
        "individual",
        "ip",
        "last4",
        "name",
        "owner",
        "payment_method_details",
        "person",
        "phone",
        "receipt_email",
        "receipt_url",
        "shipping",
        "source",
        "tos_acceptance",
    ]
)


class WebhookPayload(Record, frozen=True):
    """It has the id of its event. `body` is JSON."""

    COLLECTION = "webhook_payloads"
    PREFIX = "evt"
    INDEXES = (Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),)
    LOGGED = False
    ENCRYPTED = frozenset({"body"})

    body: str

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.body)


def without_personal(value: Any) -> Any:
    """A copy of an event, without what PERSONAL names."""
    if isinstance(value, dict):
        return {
            name: LEFT_OUT if name in PERSONAL and item is not None else without_personal(item)
            for name, item in value.items()
        }
    return [without_personal(item) for item in value] if isinstance(value, list) else value


def packed(event: object) -> str:
    return msgspec.json.encode(without_personal(event)).decode()
