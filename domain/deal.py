"""The records of a deal: the offer and the payment behind it, their state tables and events."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from domain.money import Holdings, Schedule, holdings
from domain.outbox import Event
from domain.record import Index, Record
from domain.states import Steps, move
from domain.store import UnitOfWork

CREATED = Event("/bidding", "offer.created")
ACCEPTED = Event("/bidding", "offer.accepted")
REJECTED = Event("/bidding", "offer.rejected")
WITHDRAWN = Event("/bidding", "offer.withdrawn")
EXPIRED = Event("/bidding", "offer.expired")
BLOCKED = Event("/bidding", "offer.blocked")
FAILED = Event("/bidding", "offer.failed")
PAYMENT_UPDATED = Event("/payment", "payment.updated")


class OfferStatus(StrEnum):
    AWAITING_PAYMENT = "awaiting_payment"
    PENDING = "pending"
    ACCEPTING = "accepting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    REQUIRES_PAYMENT = "requires_payment"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CANCELED = "canceled"
    FAILED = "failed"


class TransferStatus(StrEnum):
    WAITING = "waiting"
    MADE = "made"
    AVAILABLE = "available"


S, P, T = OfferStatus, PaymentStatus, TransferStatus

OFFER_STEPS: Steps = {
    S.AWAITING_PAYMENT: (S.PENDING, S.FAILED, S.EXPIRED, S.WITHDRAWN, S.BLOCKED),
    S.PENDING: (S.ACCEPTING, S.REJECTED, S.WITHDRAWN, S.EXPIRED, S.BLOCKED),
    S.ACCEPTING: (S.ACCEPTED, S.FAILED),
}
PAYMENT_STEPS: Steps = {
    P.REQUIRES_PAYMENT: (P.AUTHORIZED, P.CAPTURED, P.CANCELED, P.FAILED),
    P.AUTHORIZED: (P.CAPTURING, P.CAPTURED, P.CANCELED),
    P.CAPTURING: (P.CAPTURED, P.FAILED, P.CANCELED),
    P.CAPTURED: (P.PARTIALLY_REFUNDED, P.REFUNDED),
    P.PARTIALLY_REFUNDED: (P.PARTIALLY_REFUNDED, P.REFUNDED),
    # Money that arrives although nobody waits for it any more is booked, and sent back.
    P.FAILED: (P.CAPTURED,),
    P.CANCELED: (P.CAPTURED,),
}
OPEN_OFFERS = (S.AWAITING_PAYMENT, S.PENDING)
ENDINGS = {
    S.ACCEPTED: ACCEPTED, S.REJECTED: REJECTED, S.WITHDRAWN: WITHDRAWN, S.EXPIRED: EXPIRED,
    S.BLOCKED: BLOCKED, S.FAILED: FAILED,
}  # fmt: skip


class Step(msgspec.Struct, frozen=True):
    """One entry of an offer's history. `by` is a user, `stripe` or `system`."""

    at: datetime
    status: OfferStatus
    by: str


class Transfer(msgspec.Struct, frozen=True):
    """The contractor's part of one completion on its way to their Stripe account.

    `key` numbers the attempts at Stripe, for all tasks that try, since `asked_at`.
    """

    amount: int
    asked_at: datetime
    status: TransferStatus = T.WAITING
    stripe_id: str | None = None
    key: int = 0


class Offer(Record, frozen=True):
    """A customer's offer to one contractor. Amounts are minor units of `currency`.

    `visible` is true from the moment the money is held: before that the contractor sees nothing.
    `live` is true while it stands, so that a contractor has one standing offer per job.
    """

    COLLECTION = "offers"
    PREFIX = "ofr"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True, where={"live": True}),
        Index((("job_id", 1), ("status", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("status", 1), ("expires_at", 1))),
        Index((("contractor_id", 1), ("transfers.status", 1))),
    )
    PRIVATE = frozenset({"visible", "live", "transfers"})

    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    payment_id: str
    amount: int
    currency: str
    description: str
    timeline_days: int
    schedule: Schedule
    expires_at: datetime
    status: OfferStatus = S.AWAITING_PAYMENT
    captured_amount: int = 0
    refunded_amount: int = 0
    completed_amount: int = 0
    accepted_at: datetime | None = None
    history: tuple[Step, ...] = ()
    visible: bool = False
    live: bool = True
    transfers: tuple[Transfer, ...] = ()

    @property
    def audience(self) -> Sequence[str]:
        return (self.customer_id, self.contractor_id) if self.visible else (self.customer_id,)

    @property
    def holdings(self) -> Holdings:
        """Who holds what; the fees are due from the acceptance on."""
        if self.accepted_at is None:
            return Holdings(escrow=self.captured_amount - self.refunded_amount)
        return holdings(
            self.captured_amount, self.refunded_amount, self.completed_amount, self.schedule
        )


class Payment(Record, frozen=True):
    """The money behind one offer, as Stripe last told it. `capture_before` ends the hold."""

    COLLECTION = "payments"
    PREFIX = "pay"
    INDEXES = (
        Index((("intent_id", 1),), unique=True, where={"intent_id": {"$gt": ""}}),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset(
        {"visible", "intent_id", "charge_id", "client_secret", "redirect_url", "payment_method"}
    )

    offer_id: str
    job_id: str
    customer_id: str
    contractor_id: str
    amount: int
    currency: str
    status: PaymentStatus = P.REQUIRES_PAYMENT
    captured_amount: int = 0
    refunded_amount: int = 0
    capture_before: datetime | None = None
    available_on: datetime | None = None
    failure: str | None = None
    visible: bool = False
    payment_method: str | None = None
    intent_id: str | None = None
    charge_id: str | None = None
    client_secret: str | None = None
    redirect_url: str | None = None

    @property
    def audience(self) -> Sequence[str]:
        return (self.customer_id, self.contractor_id) if self.visible else (self.customer_id,)


async def move_offer(
    uow: UnitOfWork, offer_id: str, to: OfferStatus, *, by: str,
    only_if: dict[str, Any] | None = None, **fields: Any,
) -> Offer | None:  # fmt: skip
    """One step of an offer with its history and its event; None if it may not be taken."""
    if to in ENDINGS and to is not S.ACCEPTED:
        fields["live"] = False
    offer = await move(
        uow, Offer, offer_id, to, steps=OFFER_STEPS, only_if=only_if, by=by, **fields
    )
    if offer and to in ENDINGS:
        uow.publish(ENDINGS[to], offer, to=offer.audience)
    return offer


async def move_payment(
    uow: UnitOfWork, payment_id: str, to: PaymentStatus, **fields: Any
) -> Payment | None:
    """One step of a payment with its event; None if it may not be taken."""
    payment = await move(uow, Payment, payment_id, to, steps=PAYMENT_STEPS, **fields)
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
    return payment
