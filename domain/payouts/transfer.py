"""The records of transfers to contractors' Stripe accounts and of their reversals."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.state_machine import Steps


class TransferStatus(StrEnum):
    """`parked`: waits for an admin. `sending`: the request may have reached Stripe. `made`: created
    at Stripe. `available`: may be withdrawn. `reversed`: reversed in full."""

    WAITING = "waiting"
    PARKED = "parked"
    SENDING = "sending"
    MADE = "made"
    AVAILABLE = "available"
    REVERSED = "reversed"
    CANCELLED = "cancelled"


class ParkedFor(StrEnum):
    """`bank`: the contractor's banks take other currencies. `settlement`: Stripe has converted the
    payment."""

    BANK = "bank"
    SETTLEMENT = "settlement"


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
    TransferStatus.REVERSED: (TransferStatus.AVAILABLE,),  # a reversal was given up
}
UNSENT = (TransferStatus.WAITING, TransferStatus.PARKED)
UNDER_WAY = (*UNSENT, TransferStatus.SENDING, TransferStatus.MADE)


class Transfer(Record, frozen=True):
    """`amount` minor units for a contractor, of which `reversed_amount` was reversed.

    With an offer it is funded by that offer's charge, without one by the platform's balance.
    A `refill` restores the contractor's balance at Stripe after an external reversal; their wallet
    here still includes that amount. `key` is the number of the idempotency key, and `account_id`
    the account at Stripe that received it.
    """

    COLLECTION = "transfers"
    PREFIX = "trf"
    INDEXES = (
        Index((("user_id", 1), ("currency", 1), ("status", 1), ("_id", -1))),
        Index((("status", 1), ("_id", 1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("user_id", 1), ("status", 1))),
        Index((("user_id", 1), ("_id", -1))),
        Index((("offer_id", 1), ("status", 1), ("_id", -1)), where={"offer_id": {"$gt": ""}}),
        Index((("stripe_id", 1),), unique=True, where={"stripe_id": {"$gt": ""}}),
        # Not partial: a query for a list of ids would not use a partial index.
        Index((("stripe_id", 1), ("_id", 1))),
        Index((("available_at", 1),), where={"available_at": ANY_TIME}),
    )
    PRIVATE = frozenset({"account_id"})

    user_id: Annotated[str, about("The id of the contractor.")]
    amount: MinorUnits
    currency: Currency
    offer_id: Annotated[
        str | None,
        about("The id of the offer whose payment funds it; null if the platform's balance does."),
    ] = None
    status: Annotated[TransferStatus, about("Its state.")] = TransferStatus.WAITING
    stripe_id: Annotated[
        str | None, about("The id of the transfer at Stripe; null until it is made.")
    ] = None
    made_at: Annotated[
        datetime | None, about("When it was made at Stripe; null if it was not.")
    ] = None
    available_at: Annotated[
        datetime | None, about("When its money could be withdrawn; null if it could not yet.")
    ] = None
    reversed_amount: Annotated[int, about("What was taken back, in minor units.")] = 0
    refill: Annotated[
        bool, about("Whether it restores a balance at Stripe, which the wallet counts already.")
    ] = False
    key: Annotated[int, about("The number of its idempotency key.")] = 0
    refusal: Annotated[
        str | None,
        about("Why Stripe refused it, or it cannot be sent, in words; null if neither."),
    ] = None
    parked_for: Annotated[
        ParkedFor | None, about("The currency that does not fit; null if that is not why.")
    ] = None
    currency_accepted: Annotated[
        bool, about("Whether an administrator sends it whatever the banks take.")
    ] = False
    account_id: str | None = None

    @property
    def net(self) -> int:
        return self.amount - self.reversed_amount


class Reversal(Record, frozen=True):
    """`amount` minor units of a transfer that return to the platform; `done` once Stripe has it.

    One with a `refusal` is a dead letter, which an administrator retries or discards.
    """

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
    refusal: str | None = None


RECHECK_AFTER = timedelta(minutes=10)
