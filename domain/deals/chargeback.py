"""The record of a chargeback, its states at Stripe, and its event.

Stripe's lines say what a dispute moved: the amount, conversions, and parts that came back. What a
dispute costs is the sum of its lines, which may differ from the disputed amount.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from domain.kernel.fields import (
    ContractorId,
    Currency,
    CustomerId,
    JobId,
    JobTitle,
    OfferId,
    PaymentId,
    about,
)
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record


class ChargebackStatus(StrEnum):
    """An `inquiry` has moved no money; it becomes `closed` if it ends without moving any."""

    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"


STATUS_OF_STRIPE = {
    "warning_needs_response": ChargebackStatus.INQUIRY,
    "warning_under_review": ChargebackStatus.INQUIRY,
    "warning_closed": ChargebackStatus.CLOSED,
    "prevented": ChargebackStatus.CLOSED,
    "needs_response": ChargebackStatus.OPEN,
    "under_review": ChargebackStatus.OPEN,
    "won": ChargebackStatus.WON,
    "lost": ChargebackStatus.LOST,
}


class Chargeback(Record, frozen=True):
    """A card dispute. Amounts are in minor units; `fee_amount` is Stripe's fee for it.

    `amount` is what the bank disputes and `withdrawn_amount` the sum of its lines at Stripe: what
    was taken and not given back, None in records that are older than the field. `contested_amount`
    is frozen, and set while the bank decides. `steps` numbers the bookings. `completed_amount` is
    the completed work that the loss undid, and `held_amount` the part of the contractor's money
    that is held. `warned_at` is when administrators were reminded of evidence.
    """

    COLLECTION = "chargebacks"
    PREFIX = "cbk"
    DEED = "status"
    INDEXES = (
        Index((("stripe_id", 1),), unique=True),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("status", 1), ("due_by", 1), ("warned_at", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("offer_id", 1),)),
        Index((("contractor_id", 1), ("_id", 1)), where={"contested_amount": {"$gt": 0}}),
    )
    PRIVATE = frozenset(
        {
            "steps",
            "stripe_id",
            "held_amount",
            "completed_amount",
            "contested_amount",
            "warned_at",
        }
    )

    stripe_id: str
    payment_id: PaymentId
    offer_id: OfferId
    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    contractor_id: ContractorId
    amount: Annotated[int, about("What the bank disputes, in minor units.")]
    currency: Currency
    reason: Annotated[str, about("The reason that the bank gives.")]
    status: Annotated[ChargebackStatus, about("Its state.")]
    due_by: Annotated[
        datetime | None, about("Until when evidence counts; null if none is awaited.")
    ] = None
    warned_at: datetime | None = None
    submissions: Annotated[int, about("How often evidence was submitted.")] = 0
    fee_amount: Annotated[int, about("Stripe's fee for it, in minor units.")] = 0
    fee_currency: Annotated[
        str | None,
        about("The currency of Stripe's fee; null if there is none."),
    ] = None
    withdrawn_amount: Annotated[
        int | None,
        about("What the bank took and has not given back, in minor units; null if not known."),
    ] = None
    contested_amount: Annotated[
        int, about("What is frozen while the bank decides, in minor units.")
    ] = 0
    held_amount: Annotated[
        int, about("How much of the contractor's money is held for it, in minor units.")
    ] = 0
    completed_amount: Annotated[
        int, about("How much completed work the loss undid, in minor units.")
    ] = 0
    steps: int = 0

    @property
    def withdrawn(self) -> int:
        if self.withdrawn_amount is None:
            taken = self.status in (ChargebackStatus.OPEN, ChargebackStatus.LOST)
            return self.amount if taken else 0
        return self.withdrawn_amount

    @property
    def contested(self) -> int:
        """What is frozen: the sum of the lines, or what is disputed until Stripe has lines. After
        a decision for us it stays frozen until Stripe gives it back."""
        if self.status is ChargebackStatus.LOST:
            return 0
        if self.status is ChargebackStatus.OPEN and not self.withdrawn:
            return self.amount
        return max(0, self.withdrawn)

    @property
    def lost(self) -> int:
        return max(0, self.withdrawn) if self.status is ChargebackStatus.LOST else 0


UPDATED = Event(
    "/payment",
    "chargeback.updated",
    Chargeback,
    Numbering.PARTIES,
    about="When the state of a chargeback at the customer's bank changes: numbered to both sides, "
    "not numbered to all administrators.",
)
