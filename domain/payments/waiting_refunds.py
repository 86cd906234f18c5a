"""Refunds that Stripe keeps back: they draw on the platform's available balance.

That is usual shortly after a payment, whose money is not available for days, and no alert. The part
that the contractor had earned is taken back at once, because it is missing in that balance. Only a
refund that waits for money that is not expected any more needs an administrator.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import Offer, Refund, change_offer, with_completed_capped
from domain.deals.payment import Payment
from domain.kernel.money import Holdings, display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import WALLET, quoted_title
from domain.payouts.allocation import rebook
from domain.ports.payment_gateway import StripeMovement

# Stripe takes this long, at most, to make waiting refunds after money became available.
PATIENCE = timedelta(hours=1)
FUNDS_UNKNOWN = timedelta(days=1)  # until Stripe has said when a payment is available


def with_refund(offer: Offer, refund: Refund, **fields: Any) -> tuple[Refund, ...]:
    """The offer's refunds, with `fields` changed in one of them."""
    changed = msgspec.structs.replace(refund, **fields)
    return tuple(changed if each.id == refund.id else each for each in offer.refunds)


async def keep_waiting(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> datetime | None:
    """Store that the refund waits at Stripe, and take back what the contractor had earned of it, as
    far as a chargeback that was lost since has left it.

    Returns until when it may wait without anybody's help; None if somebody has to act now.
    """
    taken = min(refund.completed_amount, offer.completed_amount)
    if refund.again:  # parked money has no owner
        taken = 0
    left = refund.completed_amount - taken
    fields = {"stripe_id": state.id, "completed_amount": left, "taken_amount": taken}
    after = await change_offer(
        uow,
        offer,
        completed_amount=offer.completed_amount - taken,
        refunds=with_refund(offer, refund, **fields),
    )
    if taken:
        await rebook(uow, f"refund_reserved:{refund.id}", "refund_reserved", offer, after)
        await _notify_contractor(uow, offer, refund, offer.holdings, after.holdings)
    funds = (await uow.get(Payment, offer.payment_id)).available_on
    if funds is None:
        return uow.now + FUNDS_UNKNOWN
    if funds > uow.now:
        return funds + PATIENCE
    return uow.now + PATIENCE if taken else None


async def _notify_contractor(
    uow: UnitOfWork, offer: Offer, refund: Refund, before: Holdings, after: Holdings
) -> None:
    part = display(before.contractor - after.contractor, offer.currency)
    await notices.notify(
        uow,
        [offer.contractor_id],
        "refund_reserved",
        f"{part} of your earnings for {quoted_title(offer.job_title)} go back to the customer",
        "That is your part of a refund which is on its way.",
        refund.id,
        path=WALLET,
    )


async def give_back(uow: UnitOfWork, offer: Offer, refund: Refund, **fields: Any) -> None:
    """End a refund that was not made: the contractor has again what they had earned of it."""
    taken = refund.taken_amount
    after = await change_offer(
        uow,
        offer,
        completed_amount=await restore_completed(uow, offer, taken),
        refunds=with_refund(
            offer,
            refund,
            completed_amount=refund.completed_amount + taken,
            taken_amount=0,
            **fields,
        ),
    )
    if taken:
        await rebook(uow, f"refund_released:{refund.id}", "refund_released", offer, after)


async def restore_completed(uow: UnitOfWork, offer: Offer, amount: int, **fields: int) -> int:
    """The completed amount with `amount` more, which a refund had undone, as far as the money of
    the offer with `fields` reaches. Chargebacks that were lost since then undo the rest."""
    wanted = offer.completed_amount + amount
    whole = msgspec.structs.replace(offer, completed_amount=wanted)
    completed = with_completed_capped(whole, **fields).completed_amount
    await undo_by_chargebacks(uow, offer, wanted - completed)
    return completed


async def undo_by_chargebacks(uow: UnitOfWork, offer: Offer, amount: int) -> None:
    """Count `amount` of completed work as undone by the offer's lost chargebacks. It is restored
    when the bank gives their money back."""
    lost = {"offer_id": offer.id, "status": ChargebackStatus.LOST}
    for chargeback in await uow.all(Chargeback, lost, (("_id", 1),)) if amount else ():
        part = min(amount, max(0, chargeback.lost - chargeback.completed_amount))
        if part:
            await uow.change(Chargeback, chargeback.id, inc={"completed_amount": part})
            amount -= part


async def alert_waiting(uow: UnitOfWork, offer: Offer, refund: Refund) -> None:
    """The platform's balance at Stripe does not suffice, and no money is expected for it."""
    amount = display(refund.amount, offer.currency)
    await alert(
        uow,
        "refund_waits",
        offer.payment_id,
        f"The refund of {amount} for {offer.job_title} waits at Stripe until the platform's "
        "balance suffices: add funds in Stripe's dashboard.",
    )
