"""The records of a deal: the offer and the payment behind it, their state tables and events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from domain.files.file import Attachment
from domain.kernel.errors import Conflict
from domain.kernel.money import Holdings, Schedule, holdings
from domain.kernel.outbox import Event
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import UnitOfWork

CREATED = Event("/bidding", "offer.created")
UPDATED = Event("/bidding", "offer.updated")
COUNTERED = Event("/bidding", "offer.countered")
ACCEPTED = Event("/bidding", "offer.accepted")
REJECTED = Event("/bidding", "offer.rejected")
WITHDRAWN = Event("/bidding", "offer.withdrawn")
EXPIRED = Event("/bidding", "offer.expired")
BLOCKED = Event("/bidding", "offer.blocked")
FAILED = Event("/bidding", "offer.failed")


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
    COUNTERED = "countered"


class MilestoneStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RefundStatus(StrEnum):
    """`made` is Stripe's word given; banks may still return it: then it has failed."""

    REQUESTED = "requested"
    MADE = "made"
    FAILED = "failed"


OFFER_STEPS: Steps = {
    OfferStatus.AWAITING_PAYMENT: (
        OfferStatus.PENDING,
        OfferStatus.FAILED,
        OfferStatus.EXPIRED,
        OfferStatus.WITHDRAWN,
        OfferStatus.BLOCKED,
    ),
    OfferStatus.PENDING: (
        OfferStatus.ACCEPTING,
        OfferStatus.REJECTED,
        OfferStatus.WITHDRAWN,
        OfferStatus.EXPIRED,
        OfferStatus.BLOCKED,
        OfferStatus.COUNTERED,
    ),
    OfferStatus.ACCEPTING: (OfferStatus.ACCEPTED, OfferStatus.FAILED),
}
OPEN_OFFERS = (OfferStatus.AWAITING_PAYMENT, OfferStatus.PENDING)
CLOSED_EVENTS = {
    OfferStatus.ACCEPTED: ACCEPTED,
    OfferStatus.REJECTED: REJECTED,
    OfferStatus.WITHDRAWN: WITHDRAWN,
    OfferStatus.EXPIRED: EXPIRED,
    OfferStatus.BLOCKED: BLOCKED,
    OfferStatus.FAILED: FAILED,
    OfferStatus.COUNTERED: COUNTERED,
}


class Step(msgspec.Struct, frozen=True):
    """One entry of an offer's history. `by` is a user, `stripe` or `system`."""

    at: datetime
    status: OfferStatus
    by: str


class Milestone(msgspec.Struct, frozen=True):
    """A part of the work with its part of the money; an offer without milestones has one.

    Delivered work is completed by itself at `due_at`, unless it is in dispute; `announced_at`
    says that the customer was told of that time.
    """

    PRIVATE: ClassVar[frozenset[str]] = frozenset({"announced_at"})

    title: str
    amount: int
    status: MilestoneStatus = MilestoneStatus.PENDING
    note: str = ""
    files: tuple[Attachment, ...] = ()
    delivered_at: datetime | None = None
    due_at: datetime | None = None
    announced_at: datetime | None = None
    completed_at: datetime | None = None
    dispute_id: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in (MilestoneStatus.PENDING, MilestoneStatus.DELIVERED)


class Refund(msgspec.Struct, frozen=True):
    """Money on its way back to the customer; `completed_amount` of it had been earned already.

    `by` is a user, `system` or `stripe`; `key` numbers the attempts at Stripe since `asked_at`.
    One that is `requested` and has a `stripe_id` waits at Stripe for the platform's money.
    """

    PRIVATE: ClassVar[frozenset[str]] = frozenset({"stripe_id", "key"})

    id: str
    amount: int
    completed_amount: int
    reason: str
    by: str
    asked_at: datetime
    status: RefundStatus = RefundStatus.REQUESTED
    stripe_id: str | None = None
    failure: str | None = None
    key: int = 0


class Counter(msgspec.Struct, frozen=True):
    """What the contractor would do it for, in minor units of the offer's currency."""

    amount: int
    note: str
    at: datetime


class Offer(Record, frozen=True):
    """A customer's offer to one contractor. Amounts are minor units of `currency`.

    `visible` is true from the moment the money is held: before that the contractor sees nothing.
    `live` is true while it is open: a unique index on it allows one open offer for each contractor
    and job. `contested_amount` is in open chargebacks, `charged_back_amount` was lost in them. All
    that divides the money is in this one document, so that whatever changes it at once conflicts.
    Offers between the same two on one job form a thread, named by its first. `due_at` is when some
    delivered work completes by itself, `announce_at` when some does that was not announced yet."""

    COLLECTION = "offers"
    PREFIX = "ofr"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True, where={"live": True}),
        Index((("job_id", 1), ("status", 1))),
        Index((("job_id", 1), ("contractor_id", 1), ("_id", -1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("status", 1), ("expires_at", 1), ("reminded_at", 1))),
        Index((("due_at", 1),), where={"due_at": ANY_TIME}),
        Index((("announce_at", 1),), where={"announce_at": ANY_TIME}),
        Index((("thread_id", 1), ("_id", -1))),
        Index((("refunds.status", 1), ("updated_at", 1))),
    )
    PRIVATE = frozenset({"visible", "live", "reminded_at", "announce_at"})
    CONTRACTOR_SEES = {"visible": True}

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
    status: OfferStatus = OfferStatus.AWAITING_PAYMENT
    captured_amount: int = 0
    refunded_amount: int = 0
    completed_amount: int = 0
    charged_back_amount: int = 0
    contested_amount: int = 0
    milestones: tuple[Milestone, ...] = ()
    refunds: tuple[Refund, ...] = ()
    due_at: datetime | None = None
    announce_at: datetime | None = None
    thread_id: str = ""
    previous_id: str | None = None
    counter: Counter | None = None
    accepted_at: datetime | None = None
    history: tuple[Step, ...] = ()
    visible: bool = False
    live: bool = True
    reminded_at: datetime | None = None

    @property
    def audience(self) -> Sequence[str]:
        return (self.customer_id, self.contractor_id) if self.visible else (self.customer_id,)

    @property
    def holdings(self) -> Holdings:
        """Who holds what; the fees are due from the acceptance on."""
        if self.accepted_at is None:
            return Holdings(escrow=self.kept)
        gone = self.captured_amount - self.kept
        return holdings(self.captured_amount, gone, self.completed_amount, self.schedule)

    @property
    def kept(self) -> int:
        """A payment that is refunded and charged back too is the platform's loss, not less."""
        return max(0, self.captured_amount - self.refunded_amount - self.charged_back_amount)

    @property
    def refundable(self) -> int:
        """What may still be promised back: neither on its way already nor in a chargeback."""
        return self.kept - sum(r.amount for r in self._requested) - self.contested_amount

    @property
    def uncompleted(self) -> int:
        """What may still be earned: in escrow, and not promised back to the customer."""
        promised = sum(r.amount - r.completed_amount for r in self._requested)
        return self.kept - self.completed_amount - promised

    @property
    def _requested(self) -> list[Refund]:
        return [r for r in self.refunds if r.status is RefundStatus.REQUESTED]

    @property
    def waiting_refunds(self) -> int:
        """What of it Stripe counts as refunded already, before any money has moved."""
        return sum(r.amount for r in self._requested if r.stripe_id)

    @property
    def completing(self) -> dict[int, datetime]:
        """Which milestones (from 1) complete by themselves, and when; none in a chargeback."""
        return {
            number: milestone.due_at
            for number, milestone in enumerate(self.milestones, 1)
            if milestone.due_at
            and milestone.is_open
            and not milestone.dispute_id
            and not self.contested_amount
        }

    def unannounced(self, numbers: Iterable[int]) -> list[int]:
        return [number for number in numbers if not self.milestones[number - 1].announced_at]

    def at_stake(self, numbers: Iterable[int]) -> int:
        """What these milestones (from 1) may still move; the last of all take what is left."""
        chosen = frozenset(numbers)
        agreed = sum(self.milestones[number - 1].amount for number in chosen)
        open_numbers = {n for n, milestone in enumerate(self.milestones, 1) if milestone.is_open}
        return min(agreed, self.uncompleted) if open_numbers - chosen else self.uncompleted


async def move_offer(
    uow: UnitOfWork,
    offer_id: str,
    to: OfferStatus,
    *,
    by: str,
    only_if: dict[str, Any] | None = None,
    **fields: Any,
) -> Offer | None:
    """One step of an offer with its history and its event; None if it may not be taken."""
    if to in CLOSED_EVENTS and to is not OfferStatus.ACCEPTED:
        fields["live"] = False
    offer = await move(
        uow, Offer, offer_id, to, steps=OFFER_STEPS, only_if=only_if, by=by, **fields
    )
    if offer and to in CLOSED_EVENTS:
        uow.publish(CLOSED_EVENTS[to], offer, to=offer.audience)
    return offer


async def change_offer(uow: UnitOfWork, offer: Offer, **fields: Any) -> Offer:
    """Change an offer as it was read in this transaction, and tell its parties.

    What completes by itself next follows from the rest. Raises Conflict if it has changed.
    """
    wanted = msgspec.structs.replace(offer, **fields)
    due = wanted.completing
    changed = await uow.change(
        Offer,
        offer.id,
        only_if={"version": offer.version},
        **fields,
        due_at=min(due.values(), default=None),
        announce_at=min((due[number] for number in wanted.unannounced(due)), default=None),
    )
    if changed is None:
        raise Conflict
    uow.publish(UPDATED, changed, to=changed.audience)
    return changed


def with_completed_capped(offer: Offer, **fields: int) -> Offer:
    """The offer with changed amounts, and no more completed work than there is money kept."""
    wanted = msgspec.structs.replace(offer, **fields)
    completed = max(0, min(wanted.completed_amount, wanted.kept))
    return msgspec.structs.replace(wanted, completed_amount=completed)


def with_milestones(offer: Offer, numbers: Iterable[int], **fields: Any) -> tuple[Milestone, ...]:
    """The offer's milestones, with `fields` changed in those of these numbers (from 1)."""
    chosen = frozenset(numbers)
    return tuple(
        msgspec.structs.replace(milestone, **fields) if number in chosen else milestone
        for number, milestone in enumerate(offer.milestones, 1)
    )
