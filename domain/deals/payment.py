"""The record of an offer's payment, its state table and its event."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.fields import (
    ContractorId,
    ContractorName,
    Currency,
    CustomerId,
    CustomerName,
    JobId,
    JobTitle,
    MinorUnits,
    OfferId,
    about,
)
from domain.kernel.outbox import Event
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import UnitOfWork

MAX_SIGNALS = 20


class PaymentStatus(StrEnum):
    """`requires_payment`: waits for the customer. `authorized`: the money is held. `capturing`:
    it is being taken. `canceled`: the hold was released."""

    REQUIRES_PAYMENT = "requires_payment"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CANCELED = "canceled"
    FAILED = "failed"


PAYMENT_STEPS: Steps = {
    PaymentStatus.REQUIRES_PAYMENT: (
        PaymentStatus.AUTHORIZED,
        PaymentStatus.CAPTURED,
        PaymentStatus.CANCELED,
        PaymentStatus.FAILED,
    ),
    PaymentStatus.AUTHORIZED: (
        PaymentStatus.CAPTURING,
        PaymentStatus.CAPTURED,
        PaymentStatus.CANCELED,
    ),
    PaymentStatus.CAPTURING: (PaymentStatus.CAPTURED, PaymentStatus.FAILED, PaymentStatus.CANCELED),
    PaymentStatus.CAPTURED: (PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED),
    PaymentStatus.PARTIALLY_REFUNDED: (
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.REFUNDED,
        PaymentStatus.CAPTURED,
    ),
    # The customer's bank may return a refund.
    PaymentStatus.REFUNDED: (PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.CAPTURED),
    # A capture after the offer was closed is booked and refunded.
    PaymentStatus.FAILED: (PaymentStatus.CAPTURED,),
    PaymentStatus.CANCELED: (PaymentStatus.CAPTURED,),
}


class FraudKind(StrEnum):
    """`warning`: a card network expects a chargeback. `review`: Stripe asks people to look."""

    WARNING = "warning"
    REVIEW = "review"


class FraudSignal(msgspec.Struct, frozen=True):
    """Why a payment may be fraud. It is `cleared` when an administrator has decided."""

    id: Annotated[str, about("The early fraud warning or the review at Stripe.")]
    kind: Annotated[FraudKind, about("What it is: `warning` or `review`.")]
    reason: Annotated[str, about("Stripe's reason, such as made_with_stolen_card or rule.")]
    at: Annotated[datetime, about("When it was seen first.")]
    open: Annotated[bool, about("Whether a review is still open at Stripe.")] = True
    closed_reason: Annotated[
        str | None, about("How a review ended at Stripe; null if it has not.")
    ] = None
    cleared: Annotated[bool, about("Whether somebody decided that it is none.")] = False


class Payment(Record, frozen=True):
    """The payment of one offer, in the state that Stripe last reported. The hold expires at
    `capture_before`. Since `release_held_at`, if it is set, none of its money goes to the
    contractor."""

    COLLECTION = "payments"
    PREFIX = "pay"
    DEED = "status"
    INDEXES = (
        Index((("intent_id", 1),), unique=True, where={"intent_id": {"$gt": ""}}),
        # Not partial: a query for a list of ids would not use a partial index.
        Index((("charge_id", 1), ("_id", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("offer_id", 1), ("_id", -1))),
        Index((("job_id", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("status", 1), ("capture_before", 1), ("_id", 1))),
        Index((("currency", 1), ("_id", -1))),
        Index((("currency", 1), ("amount", 1), ("_id", 1))),
        Index((("failure", 1), ("_id", -1)), where={"failure": {"$gt": ""}}),
        Index((("captured_at", 1),), where={"captured_at": ANY_TIME}),
        Index((("failed_at", 1),), where={"failed_at": ANY_TIME}),
        Index((("release_held_at", 1),), where={"release_held_at": ANY_TIME}),
    )
    PRIVATE = frozenset(
        {
            "visible",
            "intent_id",
            "charge_id",
            "client_secret",
            "redirect_url",
            "payment_method",
            "network",
            "decline_code",
            "settled_currency",
            "settled_amount",
            "fraud_signals",
            "release_held_at",
        }
    )
    UNLOGGED = frozenset({"client_secret", "redirect_url", "network"})
    ENCRYPTED = frozenset({"client_secret", "redirect_url"})
    PERSONAL = frozenset({"customer_name", "contractor_name"})
    CONTRACTOR_SEES = {"visible": True}

    offer_id: OfferId
    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    contractor_id: ContractorId
    amount: MinorUnits
    currency: Currency
    customer_name: CustomerName = ""
    contractor_name: ContractorName = ""
    status: Annotated[PaymentStatus, about("Its state, as Stripe last reported it.")] = (
        PaymentStatus.REQUIRES_PAYMENT
    )
    captured_amount: Annotated[int, about("What was taken from the customer, in minor units.")] = 0
    refunded_amount: Annotated[int, about("What went back to the customer, in minor units.")] = 0
    disputed_amount: Annotated[int, about("What the customer's bank disputes, in minor units.")] = 0
    capture_before: Annotated[
        datetime | None, about("When the hold expires; null if nothing is held.")
    ] = None
    authorized_at: Annotated[
        datetime | None, about("When the money was held; null if it never was.")
    ] = None
    captured_at: Annotated[
        datetime | None, about("When the money was taken; null if it was not.")
    ] = None
    failed_at: Annotated[datetime | None, about("When it failed for good; null if it did not.")] = (
        None
    )
    processing_since: Annotated[
        datetime | None,
        about("Since when the customer's bank works on the payment; null if it does not."),
    ] = None
    available_on: Annotated[
        datetime | None,
        about("When Stripe makes the money available; null if it is not known yet."),
    ] = None
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as generic_decline; null if it did not."),
    ] = None
    settled_currency: str | None = None  # the one that Stripe has converted it to
    settled_amount: int | None = None
    fraud_signals: Annotated[
        tuple[FraudSignal, ...], Bounded(MAX_SIGNALS), about("Why it may be fraud, oldest first.")
    ] = ()
    release_held_at: datetime | None = None
    visible: bool = False
    payment_method: str | None = None
    network: str = ""  # a keyed digest of the network of its customer
    decline_code: str | None = None  # Stripe's, also where `failure` tells less
    intent_id: str | None = None
    charge_id: str | None = None
    client_secret: str | None = None
    redirect_url: str | None = None

    @property
    def audience(self) -> Sequence[str]:
        return (self.customer_id, self.contractor_id) if self.visible else (self.customer_id,)


PAYMENT_UPDATED = Event(
    "/payment",
    "payment.updated",
    Payment,
    about="When the state of a payment changes, or its customer has to do something, to the "
    "customer; also to the contractor, once they see the offer. It may come before the push "
    "of its offer.",
)


async def move_payment(
    uow: UnitOfWork, payment_id: str, to: PaymentStatus, **fields: Any
) -> Payment | None:
    """Move a payment to a status, with its event; None if the state table forbids it."""
    fields.setdefault("processing_since", None)  # the bank is done with it
    payment = await move(uow, Payment, payment_id, to, steps=PAYMENT_STEPS, **fields)
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
    return payment
