"""Reminds both sides of offers that expire soon."""

from datetime import timedelta

from domain.accounts.user import User
from domain.deals.offer import Offer, OfferStatus
from domain.kernel.independent import transact_due
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.text import date_text
from domain.ports.ports import Ports

CHUNK = 200
REMIND_BEFORE = timedelta(hours=24)


async def remind_of_expiry(ports: Ports) -> int:
    """Notify both sides a day before an offer and its hold expire; returns the number of offers."""
    uow = ports.store.single()
    expiring = {
        "status": OfferStatus.PENDING,
        "reminded_at": None,
        "expires_at": {"$gt": uow.now, "$lte": uow.now + REMIND_BEFORE},
    }
    by_time = (("expires_at", 1),)
    return await transact_due(ports.store, Offer, expiring, by_time, CHUNK, _remind)


async def _remind(uow: UnitOfWork, found: Offer) -> None:
    offer = await uow.change(
        Offer,
        found.id,
        only_if={"status": OfferStatus.PENDING, "reminded_at": None},
        reminded_at=uow.now,
    )
    if offer is None or offer.expires_at - offer.created_at <= REMIND_BEFORE:
        return  # it was created to expire within a day
    contractor = await uow.get(User, offer.contractor_id)
    ends = date_text(offer.expires_at)
    await notices.notify(
        uow,
        [offer.contractor_id],
        "offer_ends_soon",
        f"{offer.job_title}: the offer ends soon",
        f"Accept or decline it until {ends}; then the money goes back.",
        offer.job_id,
    )
    await notices.notify(
        uow,
        [offer.customer_id],
        "hold_ends_soon",
        f"{offer.job_title}: your offer ends soon",
        f"{contractor.name} has not answered. On {ends} the hold on your card ends.",
        offer.job_id,
    )
