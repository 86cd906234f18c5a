"""The records of a contractor's money on its way to their Stripe account, and back from there."""

from datetime import timedelta
from enum import StrEnum

from domain.kernel.record import Index, Record
from domain.kernel.state_machine import Steps


class TransferStatus(StrEnum):
    """`parked` waits for an admin; `made` is at Stripe, `available` may be withdrawn,
    `reversed` was taken back as a whole."""

    WAITING = "waiting"
    PARKED = "parked"
    SENDING = "sending"
    MADE = "made"
    AVAILABLE = "available"
    REVERSED = "reversed"
    CANCELLED = "cancelled"


STEPS: Steps = {
    TransferStatus.WAITING: (
        TransferStatus.SENDING,
        TransferStatus.CANCELLED,
        TransferStatus.PARKED,
    ),
    TransferStatus.PARKED: (TransferStatus.WAITING, TransferStatus.CANCELLED),
    TransferStatus.SENDING: (TransferStatus.MADE, TransferStatus.WAITING),
    TransferStatus.MADE: (TransferStatus.AVAILABLE, TransferStatus.REVERSED),
    TransferStatus.AVAILABLE: (TransferStatus.REVERSED,),
}
UNSENT = (TransferStatus.WAITING, TransferStatus.PARKED)


class Transfer(Record, frozen=True):
    """`amount` minor units for a contractor, of which `reversed_amount` was taken back.

    With an offer it is paid from that offer's charge, without one from the platform's balance.
    A `refill` gives back at Stripe what the wallet never stopped having. `key` numbers the
    attempts at Stripe.
    """

    COLLECTION = "transfers"
    PREFIX = "trf"
    INDEXES = (
        Index((("user_id", 1), ("currency", 1), ("status", 1), ("_id", -1))),
        Index((("status", 1), ("_id", 1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("user_id", 1), ("status", 1))),
        Index((("offer_id", 1), ("status", 1), ("_id", -1)), where={"offer_id": {"$gt": ""}}),
        Index((("stripe_id", 1),), unique=True, where={"stripe_id": {"$gt": ""}}),
        Index((("stripe_id", 1), ("_id", 1))),  # of all: a list of ids does not imply a part
    )

    user_id: str
    amount: int
    currency: str
    offer_id: str | None = None
    status: TransferStatus = TransferStatus.WAITING
    stripe_id: str | None = None
    reversed_amount: int = 0
    refill: bool = False
    key: int = 0

    @property
    def net(self) -> int:
        return self.amount - self.reversed_amount


class Reversal(Record, frozen=True):
    """`amount` minor units of a transfer on their way back to the platform."""

    COLLECTION = "reversals"
    PREFIX = "rev"
    INDEXES = (
        Index((("transfer_id", 1), ("done", 1))),
        Index((("stripe_id", 1),), where={"stripe_id": {"$gt": ""}}),
        Index((("done", 1), ("_id", 1))),
        Index((("done", 1), ("updated_at", 1))),
    )

    transfer_id: str
    user_id: str
    amount: int
    currency: str
    stripe_id: str | None = None
    done: bool = False
    key: int = 0


RECHECK_AFTER = timedelta(minutes=10)
