"""The record of an offer's payment, its state table and its event."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.kernel.outbox import Event
from domain.kernel.record import Index, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import UnitOfWork

PAYMENT_UPDATED = Event("/payment", "payment.updated")


class PaymentStatus(StrEnum):
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


class Payment(Record, frozen=True):
    """The payment of one offer, in the state that Stripe last reported. The hold expires at
    `capture_before`."""

    COLLECTION = "payments"
    PREFIX = "pay"
    INDEXES = (
        Index((("intent_id", 1),), unique=True, where={"intent_id": {"$gt": ""}}),
        # Not partial: a query for a list of ids would not use a partial index.
        Index((("charge_id", 1), ("_id", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("visible", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("updated_at", 1))),
    )
    PRIVATE = frozenset(
        {"visible", "intent_id", "charge_id", "client_secret", "redirect_url", "payment_method"}
    )
    UNLOGGED = frozenset({"client_secret", "redirect_url"})
    ENCRYPTED = frozenset({"client_secret", "redirect_url"})
    CONTRACTOR_SEES = {"visible": True}

    offer_id: str
    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    amount: int
    currency: str
    status: PaymentStatus = PaymentStatus.REQUIRES_PAYMENT
    captured_amount: int = 0
    refunded_amount: int = 0
    disputed_amount: int = 0
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


async def move_payment(
    uow: UnitOfWork, payment_id: str, to: PaymentStatus, **fields: Any
) -> Payment | None:
    """Move a payment to a status, with its event; None if the state table forbids it."""
    payment = await move(uow, Payment, payment_id, to, steps=PAYMENT_STEPS, **fields)
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
    return payment
