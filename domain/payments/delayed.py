"""Delayed payment methods: the customer has paid, and a bank works on it, for days with some.

Such a payment can neither be stopped nor hurried. Its offer waits for it: it does not expire
meanwhile, and the contractor has the full time to answer once the money has arrived. If the offer
ends before that, the money is refunded when it arrives.
"""

from datetime import datetime, timedelta

from domain.deals.offer import UPDATED, Offer, OfferStatus
from domain.deals.payment import PAYMENT_UPDATED, Payment, PaymentStatus
from domain.kernel.errors import OfferExists
from domain.kernel.record import ANY_TIME
from domain.kernel.store import UnitOfWork
from domain.ports.payment_gateway import Intent

# Source: Stripe, "Delayed notification payment methods": the slowest need 14 business days.
LONGEST = timedelta(days=30)


async def settle_processing(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """The customer's bank works on the payment: nothing is left to confirm."""
    changed = await uow.change(
        Payment,
        payment.id,
        only_if={"status": PaymentStatus.REQUIRES_PAYMENT, "processing_since": None},
        intent_id=intent.id,
        client_secret=None,
        redirect_url=None,
        failure=None,
        processing_since=uow.now,
    )
    if changed is None:
        return
    uow.publish(PAYMENT_UPDATED, changed, to=changed.audience)
    offer = await uow.get(Offer, payment.offer_id)
    waiting = await uow.change(
        Offer,
        offer.id,
        only_if={"status": OfferStatus.AWAITING_PAYMENT},
        processing_since=uow.now,
        expires_at=max(offer.expires_at, uow.now + LONGEST),
    )
    if waiting:
        uow.publish(UPDATED, waiting, to=waiting.audience)


def answer_until(uow: UnitOfWork, payment: Payment, offer: Offer) -> datetime:
    """Until when the contractor can answer an offer whose money has arrived now."""
    if payment.processing_since is None:
        return offer.expires_at
    return uow.now + timedelta(hours=offer.answer_hours)


async def end_processing(uow: UnitOfWork, payment: Payment) -> None:
    """The bank has decided."""
    if payment.processing_since:
        await uow.change(Offer, payment.offer_id, processing_since=None)


async def refuse_second_payment(uow: UnitOfWork, job_id: str) -> None:
    """Raises OfferExists while a bank works on the payment of another offer on the job: both would
    be paid."""
    where = {
        "job_id": job_id,
        "status": OfferStatus.AWAITING_PAYMENT,
        "processing_since": ANY_TIME,
    }
    if await uow.find(Offer, where):
        raise OfferExists(
            "Your bank is still working on the payment of another offer for this job: wait for it, "
            "or withdraw that offer first. You get its money back in full if it arrives."
        )
