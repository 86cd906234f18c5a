"""Refunds before any work: Stripe keeps its fee of the charge, and the platform bears it.

They come from methods that are captured at once, when the offer comes to no acceptance, and from
jobs that are cancelled after one. Each is recorded with its customer, for administrators, and a
customer causes `Rates.caused_refunds` within a day at most.
"""

import math
from collections import defaultdict
from datetime import timedelta
from enum import StrEnum

from domain.deals.offer import Offer, OfferStatus
from domain.deals.payment import Payment
from domain.kernel.errors import RateLimited
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction

COUNTED = timedelta(days=1)
SHOWN = timedelta(days=30)
MAX_SHOWN = 200
NEWEST = (("created_at", -1),)


class RefundCause(StrEnum):
    """Why an offer was refunded before any work. `offer_ended`: the contractor did not take it."""

    WITHDRAWN = "withdrawn"
    JOB_TAKEN = "job_taken"
    JOB_CANCELLED = "job_cancelled"
    OFFER_ENDED = "offer_ended"


BY_CUSTOMER = (RefundCause.WITHDRAWN, RefundCause.JOB_TAKEN, RefundCause.JOB_CANCELLED)
CAUSES = {
    OfferStatus.WITHDRAWN: RefundCause.WITHDRAWN,
    OfferStatus.BLOCKED: RefundCause.JOB_TAKEN,
}


class CausedRefund(Record, frozen=True):
    """A refund whose charge cost a fee for nothing. The journal knows the fee."""

    COLLECTION = "caused_refunds"
    PREFIX = "crf"
    INDEXES = (Index((("customer_id", 1), *NEWEST)), Index((("offer_id", 1),), unique=True))

    customer_id: str
    offer_id: str
    payment_id: str
    cause: RefundCause


async def require_refund(uow: UnitOfWork, customer_id: str) -> None:
    """Refuse a step that causes one refund too many. Raises RateLimited with `retry_after`."""
    await _require(uow, customer_id, BY_CUSTOMER)


async def require_new_offer(uow: UnitOfWork, customer_id: str) -> None:
    """Refuse an offer while too many have ended without work. Raises RateLimited."""
    await _require(uow, customer_id, tuple(RefundCause))


async def _require(uow: UnitOfWork, customer_id: str, causes: tuple[RefundCause, ...]) -> None:
    most = uow.rates.caused_refunds
    if not most:
        return
    recent = {"customer_id": customer_id, "created_at": {"$gte": uow.now - COUNTED}}
    rows = await uow.all(CausedRefund, {**recent, "cause": causes}, NEWEST, most)
    if len(rows) >= most:
        wait = rows[-1].created_at + COUNTED - uow.now
        raise RateLimited(retry_after=max(1, math.ceil(wait.total_seconds())))


async def record_refund(uow: UnitOfWork, offer: Offer, cause: RefundCause | None = None) -> None:
    """Record that an offer is refunded before any work; by default for the state that it has."""
    if await uow.find(CausedRefund, {"offer_id": offer.id}):
        return
    await uow.add(
        uow.new(
            CausedRefund,
            customer_id=offer.customer_id,
            offer_id=offer.id,
            payment_id=offer.payment_id,
            cause=cause or CAUSES.get(offer.status, RefundCause.OFFER_ENDED),
        )
    )


async def caused_in_a_day(uow: UnitOfWork, customer_id: str) -> int:
    recent = {"customer_id": customer_id, "created_at": {"$gte": uow.now - COUNTED}}
    return await uow.count(CausedRefund, {**recent, "cause": BY_CUSTOMER}, MAX_SHOWN)


async def fees_of(uow: UnitOfWork, customer_id: str) -> dict[str, int]:
    """Stripe's fees for what was refunded to a customer within SHOWN, by currency."""
    recent = {"customer_id": customer_id, "created_at": {"$gte": uow.now - SHOWN}}
    rows = await uow.all(CausedRefund, recent, NEWEST, MAX_SHOWN)
    ids = tuple(row.payment_id for row in rows)
    payments = await uow.all(Payment, {"_id": ids}) if ids else []
    facts = tuple(f"fee:{payment.charge_id}" for payment in payments if payment.charge_id)
    fees: dict[str, int] = defaultdict(int)
    for booked in await uow.all(Transaction, {"fact": facts}) if facts else []:
        fees[booked.currency] += sum(posting.amount for posting in booked.postings)
    return dict(fees)
