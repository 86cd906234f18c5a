"""Refunds that the customer's bank returned: their parked money, and what is decided about it.

The money stays the customer's. An administrator lets the refund be made again, records that the
customer was paid in another way, or undoes it, so that the sides of the job have the money again.
"""

from domain import ledger
from domain.deals.offer import Offer, Refund, change_offer
from domain.kernel.errors import Conflict
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications import notices
from domain.notifications.text import job_path
from domain.payments.refunds import MAX_REFUNDS, SendRefund
from domain.payments.waiting_refunds import restore_completed, with_refund
from domain.payouts.allocation import rebook


async def refund_again(
    uow: UnitOfWork, offer: Offer, parked: Refund, reason: str, by: str
) -> Offer:
    """Make a returned refund again. Raises Conflict if the offer has too many refunds."""
    if len(offer.refunds) >= MAX_REFUNDS:
        raise Conflict(f"An offer has up to {MAX_REFUNDS} refunds: pay the customer otherwise.")
    again = Refund(
        id=new_id("rfd"),
        amount=parked.amount,
        completed_amount=parked.completed_amount,
        reason=reason,
        by=by,
        asked_at=uow.now,
        again=True,
    )
    refunds = (*with_refund(offer, parked, parked=False), again)
    changed = await change_offer(uow, offer, refunds=refunds)
    uow.later(SendRefund(offer.id, again.id))
    return changed


async def settle_otherwise(uow: UnitOfWork, offer: Offer, parked: Refund) -> Offer:
    """The platform has paid the customer in another way, so it has the parked money instead."""
    after = await change_offer(
        uow,
        offer,
        returned_amount=offer.returned_amount - parked.amount,
        paid_otherwise_amount=offer.paid_otherwise_amount + parked.amount,
        refunds=with_refund(offer, parked, parked=False),
    )
    await ledger.book(
        uow,
        f"paid_otherwise:{parked.id}",
        "refund_paid_otherwise",
        offer.currency,
        [ledger.Posting(ledger.returned(offer.id), ledger.PLATFORM, parked.amount)],
        users=[offer.customer_id],
        offer_id=offer.id,
    )
    amount = display(parked.amount, offer.currency)
    await notices.notify(
        uow,
        [offer.customer_id],
        "refund_paid_otherwise",
        f"{amount} for “{offer.job_title}” went back to you in another way",
        "Your bank had not taken the refund. Our administrators have paid it to you otherwise.",
        parked.id,
        path=job_path(offer.job_id),
    )
    return after


async def undo_refund(uow: UnitOfWork, offer: Offer, parked: Refund) -> Offer:
    """The sides of the job have the money again, as before the refund. Raises Conflict."""
    if offer.accepted_at is None:
        raise Conflict("The offer was never accepted: the money is the customer's.")
    left = offer.returned_amount - parked.amount
    completed = await restore_completed(uow, offer, parked.completed_amount, returned_amount=left)
    after = await change_offer(
        uow,
        offer,
        returned_amount=left,
        completed_amount=completed,
        refunds=with_refund(offer, parked, parked=False),
    )
    outside = {ledger.returned(offer.id): -parked.amount}
    await rebook(uow, f"refund_undone:{parked.id}", "refund_undone", offer, after, outside)
    amount = display(parked.amount, offer.currency)
    await notices.notify(
        uow,
        [offer.customer_id, offer.contractor_id],
        "refund_undone",
        f"The refund of {amount} for “{offer.job_title}” was undone",
        "The customer's bank had not taken it. An administrator has decided that it counts for the "
        "job again.",
        parked.id,
        path=job_path(offer.job_id),
    )
    return after
