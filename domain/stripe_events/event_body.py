"""What an event of Stripe has that is used: the shape by which it is accepted."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.ports.payment_gateway import StripeMovement

Text = Annotated[str, Limits(min_length=1, max_length=255)]


class EventObject(msgspec.Struct, frozen=True):
    """The fields used of an event's object; `object` is its type."""

    object: Text
    id: Text | None = None
    payment_intent: Any = None
    metadata: Any = None


class RelatedObject(msgspec.Struct, frozen=True):
    id: Text
    type: Text


class ThinEvent(msgspec.Struct, frozen=True):
    """The fields used of an event of Stripe's /v2 API. It only names its object."""

    id: Text
    type: Annotated[str, Limits(min_length=1, max_length=100)]
    livemode: bool
    related_object: RelatedObject


class EventData(msgspec.Struct, frozen=True):
    object: dict[str, Any]


class EventBody(msgspec.Struct, frozen=True):
    """The fields used of an event."""

    id: Text
    type: Annotated[str, Limits(min_length=1, max_length=100)]
    livemode: bool
    data: EventData
    account: Text | None = None


class PayoutState(msgspec.Struct, frozen=True):
    """A payout of a connected account as an event says it. It is used only when the account is
    closed, because Stripe shows nothing of it any more."""

    id: Text
    status: Text
    amount: int
    currency: Text
    failure_code: Text | None = None
    withdrawal_id: Text | None = None

    @property
    def movement(self) -> StripeMovement:
        made_here = {"withdrawal_id": self.withdrawal_id} if self.withdrawal_id else {}
        currency = self.currency.upper()
        return StripeMovement(
            self.id, self.status, self.amount, currency, self.failure_code, made_here
        )


def payout_state(body: EventBody) -> PayoutState | None:
    """None for another object, for one of the platform, and for one without these fields."""
    subject, metadata = body.data.object, body.data.object.get("metadata")
    if body.account is None or subject.get("object") != "payout":
        return None
    made_for = metadata.get("withdrawal_id") if isinstance(metadata, dict) else None
    try:
        return msgspec.convert({**subject, "withdrawal_id": made_for}, PayoutState)
    except msgspec.ValidationError:
        return None
