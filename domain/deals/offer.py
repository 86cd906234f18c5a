"""The record of an offer with its milestones and refunds, its state table and its events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from domain.files.file import MAX_ATTACHED, Attachment
from domain.kernel.bounds import Bounded
from domain.kernel.errors import Conflict
from domain.kernel.fields import (
    ContractorId,
    ContractorName,
    Currency,
    CustomerId,
    CustomerName,
    JobId,
    JobTitle,
    PaymentId,
    about,
)
from domain.kernel.money import Holdings, Schedule, holdings
from domain.kernel.outbox import Event
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import UnitOfWork

MAX_MILESTONES, MAX_MILESTONES_BYTES = 20, 256 * 1024  # of one offer, as JSON


class OfferStatus(StrEnum):
    """`awaiting_payment`: the money is not held yet. `pending`: waits for the contractor.
    `accepting`: the money is being captured. `blocked`: the job went to another offer, or was
    cancelled."""

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
    """`delivered`: waits for the customer. `cancelled`: ended without being completed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RefundStatus(StrEnum):
    """`made`: confirmed by Stripe. It becomes `failed` when the customer's bank returns it."""

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


class OfferStep(msgspec.Struct, frozen=True):
    """One entry of an offer's history. `by` is a user, `stripe` or `system`."""

    at: Annotated[datetime, about("When it happened.")]
    status: Annotated[OfferStatus, about("The state from then on.")]
    by: Annotated[str, about("The id of the user who did it, `stripe` or `system`.")]


class Milestone(msgspec.Struct, frozen=True):
    """A part of the work with its part of the money. Every offer has at least one.

    Delivered work is completed automatically at `due_at`, unless it is in dispute. `announced_at`
    is when the customer was notified of that time.
    """

    PRIVATE: ClassVar[frozenset[str]] = frozenset({"announced_at"})

    title: Annotated[str, about("What it is.")]
    amount: Annotated[int, about("Its part of the offer, in minor units.")]
    status: Annotated[MilestoneStatus, about("Its state.")] = MilestoneStatus.PENDING
    note: Annotated[str, about("What the contractor wrote with the delivery.")] = ""
    files: Annotated[
        tuple[Attachment, ...], Bounded(MAX_ATTACHED), about("The files of the delivery.")
    ] = ()
    delivered_at: Annotated[
        datetime | None, about("When it was last delivered; null if never.")
    ] = None
    due_at: Annotated[
        datetime | None, about("When delivered work is completed automatically; null if it is not.")
    ] = None
    announced_at: datetime | None = None
    completed_at: Annotated[datetime | None, about("When it was completed; null if it is not.")] = (
        None
    )
    dispute_id: Annotated[
        str | None, about("The id of the dispute about it; null if there is none.")
    ] = None

    @property
    def is_open(self) -> bool:
        return self.status in (MilestoneStatus.PENDING, MilestoneStatus.DELIVERED)


class Refund(msgspec.Struct, frozen=True):
    """A refund to the customer. `completed_amount` is the part that had been earned already.

    `parked` is set while the money of a refund that the bank returned waits for an administrator.
    `again` marks a refund that is made again, with such money.

    `by` is a user, `system` or `stripe`. `key` is the number of the idempotency key, first used at
    `asked_at`. A refund that is `requested` and has a `stripe_id` waits at Stripe until the
    platform's balance suffices; `taken_amount` was taken back from the contractor for it.
    """

    PRIVATE: ClassVar[frozenset[str]] = frozenset(
        {"stripe_id", "key", "taken_amount", "parked", "again"}
    )

    id: Annotated[str, about("The id of the refund.")]
    amount: Annotated[
        int, about("What goes back to the customer, in minor units of the offer's currency.")
    ]
    completed_amount: Annotated[
        int, about("The part of it that the contractor had earned, in minor units.")
    ]
    reason: Annotated[str, about("Why it is refunded.")]
    by: Annotated[str, about("The id of the user who decided it, `system` or `stripe`.")]
    asked_at: Annotated[datetime, about("When it was decided.")]
    status: Annotated[RefundStatus, about("Its state.")] = RefundStatus.REQUESTED
    stripe_id: str | None = None
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as lost_or_stolen_card; null if it did not."),
    ] = None
    key: int = 0
    taken_amount: int = 0
    parked: bool = False
    again: bool = False


class CounterOffer(msgspec.Struct, frozen=True):
    """The contractor's counter-offer; `amount` is minor units of the offer's currency."""

    amount: Annotated[int, about("In minor units of the offer's currency.")]
    note: Annotated[str, about("What the contractor wrote.")]
    at: Annotated[datetime, about("When it was made.")]


class Offer(Record, frozen=True):
    """A customer's offer to one contractor. Amounts are minor units of `currency`.

    `visible` is true once the money is held; before that the contractor does not see the offer.
    `live` is true until the offer is closed; a unique index allows one live offer per contractor
    and job. `contested_amount` is in open chargebacks, `charged_back_amount` was lost in them. All
    amounts are in this one document, so that concurrent changes of them conflict. The offers
    between the same two users on one job form a thread with the id of its first offer. `due_at` is
    the next automatic completion, `announce_at` the next one that is not announced yet.
    """

    COLLECTION = "offers"
    PREFIX = "ofr"
    DEED = "status"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True, where={"live": True}),
        Index((("job_id", 1), ("status", 1))),
        Index((("job_id", 1), ("contractor_id", 1), ("_id", -1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("customer_id", 1), ("status", 1), ("_id", -1))),
        Index((("customer_id", 1), ("milestones.status", 1), ("due_at", 1))),
        Index((("contractor_id", 1), ("status", 1), ("expires_at", 1))),
        Index((("contractor_id", 1), ("status", 1), ("milestones.status", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("expires_at", 1), ("reminded_at", 1))),
        Index((("due_at", 1),), where={"due_at": ANY_TIME}),
        Index((("announce_at", 1),), where={"announce_at": ANY_TIME}),
        Index((("thread_id", 1), ("_id", -1))),
        Index((("refunds.status", 1), ("updated_at", 1))),
    )
    PRIVATE = frozenset({"visible", "live", "reminded_at", "announce_at", "answer_hours"})
    PERSONAL = frozenset({"customer_name", "contractor_name"})
    CONTRACTOR_SEES = {"visible": True}

    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    contractor_id: ContractorId
    payment_id: PaymentId
    amount: Annotated[int, about("What the customer pays, in minor units.")]
    currency: Currency
    description: Annotated[str, about("What is agreed.")]
    timeline_days: Annotated[int, about("How many days the work takes.")]
    schedule: Annotated[Schedule, about("The fees.")]
    expires_at: Annotated[datetime, about("When it expires if the contractor does not answer.")]
    customer_name: CustomerName = ""
    contractor_name: ContractorName = ""
    status: Annotated[OfferStatus, about("Its state.")] = OfferStatus.AWAITING_PAYMENT
    captured_amount: Annotated[int, about("What was taken from the customer, in minor units.")] = 0
    refunded_amount: Annotated[int, about("What went back to the customer, in minor units.")] = 0
    completed_amount: Annotated[int, about("What the completed work is worth, in minor units.")] = 0
    charged_back_amount: Annotated[int, about("What was lost in chargebacks, in minor units.")] = 0
    contested_amount: Annotated[int, about("What is in open chargebacks, in minor units.")] = 0
    returned_amount: Annotated[
        int, about("What the customer's bank returned of refunds and is undecided, in minor units.")
    ] = 0
    paid_otherwise_amount: Annotated[
        int, about("What the customer got back in another way than by Stripe, in minor units.")
    ] = 0
    milestones: Annotated[
        tuple[Milestone, ...],
        Bounded(MAX_MILESTONES),
        about("The parts of the work, at least one."),
    ] = ()
    refunds: Annotated[
        tuple[Refund, ...], Bounded(1000), about("All refunds, oldest first.")
    ] = ()  # most in Stripe's dashboard
    processing_since: Annotated[
        datetime | None,
        about("Since when the customer's bank works on its payment; null if it does not."),
    ] = None
    due_at: Annotated[
        datetime | None, about("The next automatic completion; null if none is due.")
    ] = None
    announce_at: datetime | None = None
    thread_id: Annotated[str, about("The id of the first offer of this negotiation.")] = ""
    previous_id: Annotated[
        str | None,
        about("The id of the offer before it in the negotiation; null if it is the first."),
    ] = None
    counter: Annotated[
        CounterOffer | None, about("The contractor's other terms; null if there are none.")
    ] = None
    accepted_at: Annotated[datetime | None, about("When it was accepted; null if it is not.")] = (
        None
    )
    history: Annotated[
        tuple[OfferStep, ...], Bounded(len(OfferStatus)), about("Its states, oldest first.")
    ] = ()
    answer_hours: int = 72  # what the contractor has to answer, of a payment that needed days
    visible: bool = False
    live: bool = True
    reminded_at: datetime | None = None

    @property
    def audience(self) -> Sequence[str]:
        return (self.customer_id, self.contractor_id) if self.visible else (self.customer_id,)

    @property
    def holdings(self) -> Holdings:
        """The allocation of the money; fees are due once the offer is accepted."""
        if self.accepted_at is None:
            return Holdings(escrow=self.net_amount)
        returned = self.captured_amount - self.net_amount
        return holdings(self.captured_amount, returned, self.completed_amount, self.schedule)

    @property
    def net_amount(self) -> int:
        """Captured minus what has gone, at least zero: what has gone beyond that, by a refund and a
        chargeback of the same money, is the platform's loss."""
        return max(0, self.captured_amount - self.gone_amount)

    @property
    def gone_amount(self) -> int:
        """What is the customer's again. What a bank returned of a refund stays theirs."""
        refunded = self.refunded_amount + self.returned_amount + self.paid_otherwise_amount
        return refunded + self.charged_back_amount

    @property
    def refundable(self) -> int:
        """The amount that can still be refunded: neither requested already nor contested."""
        requested = sum(refund.amount for refund in self._reserved_refunds)
        return max(0, self.net_amount - requested - self.contested_amount)

    @property
    def earnable(self) -> int:
        """The amount that can still be earned: in escrow, and not requested as a refund. A lost
        chargeback may leave less than was requested."""
        requested = sum(
            refund.amount - refund.completed_amount for refund in self._reserved_refunds
        )
        return max(0, self.net_amount - self.completed_amount - requested)

    @property
    def _reserved_refunds(self) -> list[Refund]:
        """Requested refunds of money that the offer still has."""
        return [refund for refund in self._requested_refunds if not refund.again]

    @property
    def _requested_refunds(self) -> list[Refund]:
        return [refund for refund in self.refunds if refund.status is RefundStatus.REQUESTED]

    @property
    def refunds_at_stripe(self) -> int:
        """The requested refunds that Stripe already counts, although no money has moved."""
        return sum(refund.amount for refund in self._requested_refunds if refund.stripe_id)

    @property
    def auto_completions(self) -> dict[int, datetime]:
        """When each milestone (from 1) is completed automatically; empty in a chargeback."""
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

    def open_amount(self, numbers: Iterable[int]) -> int:
        """The amount that these milestones (from 1) can still earn. If they are all that are open,
        it is the whole rest of the offer."""
        chosen = frozenset(numbers)
        agreed = sum(self.milestones[number - 1].amount for number in chosen)
        others_open = any(
            milestone.is_open and number not in chosen
            for number, milestone in enumerate(self.milestones, 1)
        )
        return min(agreed, self.earnable) if others_open else self.earnable


CREATED = Event(
    "/bidding",
    "offer.created",
    Offer,
    about="When the money of a new offer is held, to the customer and the contractor: the "
    "contractor sees it from now on and may answer.",
)
UPDATED = Event(
    "/bidding",
    "offer.updated",
    Offer,
    about="When the work or the money of an accepted offer changes, such as a delivered milestone "
    "or a refund, to both sides; and when the customer's bank begins to work on the payment, to "
    "the customer.",
)
COUNTERED = Event(
    "/bidding",
    "offer.countered",
    Offer,
    about="When the contractor answers an offer with other terms, to both sides. The offer has "
    "ended: the customer may make a new one from `counter`.",
)
ACCEPTED = Event(
    "/bidding",
    "offer.accepted",
    Offer,
    about="When the money of an accepted offer was captured, to both sides: the job is assigned, "
    "and work may start.",
)
REJECTED = Event(
    "/bidding",
    "offer.rejected",
    Offer,
    about="When the contractor rejects an offer, to both sides. The money is released.",
)
WITHDRAWN = Event(
    "/bidding",
    "offer.withdrawn",
    Offer,
    about="When the customer withdraws an offer, to the customer, and to the contractor if they "
    "saw it. The money is released.",
)
EXPIRED = Event(
    "/bidding",
    "offer.expired",
    Offer,
    about="When an offer was not paid or not answered in time, to the customer, and to the "
    "contractor if they saw it. The money is released.",
)
BLOCKED = Event(
    "/bidding",
    "offer.blocked",
    Offer,
    about="When the job of an open offer went to another one or was cancelled, to the customer, "
    "and to the contractor if they saw it. The money is released.",
)
FAILED = Event(
    "/bidding",
    "offer.failed",
    Offer,
    about="When the payment of an offer fails, to the customer, and to the contractor if they saw "
    "it. `failure` of the payment says why: the customer may make a new offer with another "
    "method.",
)
CLOSED_EVENTS = {
    OfferStatus.ACCEPTED: ACCEPTED,
    OfferStatus.REJECTED: REJECTED,
    OfferStatus.WITHDRAWN: WITHDRAWN,
    OfferStatus.EXPIRED: EXPIRED,
    OfferStatus.BLOCKED: BLOCKED,
    OfferStatus.FAILED: FAILED,
    OfferStatus.COUNTERED: COUNTERED,
}


async def move_offer(
    uow: UnitOfWork,
    offer_id: str,
    to: OfferStatus,
    *,
    by: str,
    only_if: dict[str, Any] | None = None,
    **fields: Any,
) -> Offer | None:
    """Move an offer to a status, with history and event; None if the state table forbids it."""
    if to in CLOSED_EVENTS and to is not OfferStatus.ACCEPTED:
        fields["live"] = False
    if to is OfferStatus.PENDING:
        fields["processing_since"] = None
    offer = await move(
        uow, Offer, offer_id, to, steps=OFFER_STEPS, only_if=only_if, by=by, **fields
    )
    if offer and to in CLOSED_EVENTS:
        uow.publish(CLOSED_EVENTS[to], offer, to=offer.audience)
    return offer


async def change_offer(uow: UnitOfWork, offer: Offer, **fields: Any) -> Offer:
    """Change an offer that was read in this transaction, and push it to its parties.

    Recomputes the next automatic completion. Raises Conflict if the offer has changed since.
    """
    wanted = msgspec.structs.replace(offer, **fields)
    due = wanted.auto_completions
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
    """The offer with changed amounts, its completed amount capped at its net amount."""
    wanted = msgspec.structs.replace(offer, **fields)
    completed = max(0, min(wanted.completed_amount, wanted.net_amount))
    return msgspec.structs.replace(wanted, completed_amount=completed)


def with_milestones(offer: Offer, numbers: Iterable[int], **fields: Any) -> tuple[Milestone, ...]:
    """The offer's milestones, with `fields` changed in those of these numbers (from 1)."""
    chosen = frozenset(numbers)
    return tuple(
        msgspec.structs.replace(milestone, **fields) if number in chosen else milestone
        for number, milestone in enumerate(offer.milestones, 1)
    )
