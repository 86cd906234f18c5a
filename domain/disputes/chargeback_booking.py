"""Books what a dispute moved at Stripe: the difference between two states of a chargeback.

A state is a status and the sum of the dispute's lines. The sum that is out is contested while the
bank decides, and lost after a decision against us. Any state may follow any other: each change
books the difference, so lines and statuses may come in any order.
"""

import msgspec

from domain import ledger
from domain.deals.chargeback import STATUS_OF_STRIPE, Chargeback
from domain.deals.offer import (
    Offer,
    OfferStatus,
    change_offer,
    with_completed_capped,
    with_milestones,
)
from domain.deals.payment import PAYMENT_UPDATED, Payment
from domain.disputes import resolution
from domain.kernel.store import UnitOfWork
from domain.payments.deal_steps import fail_offer
from domain.payments.processing import refund_unaccepted
from domain.payouts.allocation import rebook
from domain.payouts.holds import change_of_hold, settle_available
from domain.payouts.refills import refill_later
from domain.payouts.stranded import arrival_of_offer
from domain.payouts.transfer import Transfer, TransferStatus
from domain.payouts.transfer_tasks import send_transfers
from domain.ports.payment_gateway import CardDispute


async def book_change(uow: UnitOfWork, before: Chargeback, dispute: CardDispute) -> Chargeback:
    """Book the step to the state of Stripe's dispute. Returns the chargeback with it, which the
    caller stores."""
    after = msgspec.structs.replace(
        before,
        status=STATUS_OF_STRIPE[dispute.status],
        amount=dispute.amount,
        withdrawn_amount=dispute.withdrawn_amount,
        steps=before.steps + 1,
    )
    after = msgspec.structs.replace(after, contested_amount=after.contested)
    moved = (after.withdrawn - before.withdrawn, after.lost - before.lost)
    frozen = after.contested - before.contested
    if not any((*moved, frozen)):
        return msgspec.structs.replace(after, steps=before.steps)
    fact = f"{after.id}#{after.steps}"
    if after.lost < before.lost:
        after = await _book_recovered(uow, before, after, fact)
    await _change_contested_amount(uow, after, frozen)
    after = await _book_withdrawn(uow, after, moved[0], fact)
    if after.lost > before.lost:
        after = await _book_lost(uow, before, after, fact)
    if (before.contested or after.lost < before.lost) and not after.contested:
        await _continue(uow, after)
    return after


async def _book_withdrawn(
    uow: UnitOfWork, chargeback: Chargeback, amount: int, fact: str
) -> Chargeback:
    """Book what Stripe took, or gave back below zero, with the change of the contractor's hold."""
    user = chargeback.contractor_id
    more = await change_of_hold(uow, chargeback)
    free = ledger.available(user)
    if more < 0:
        free = await arrival_of_offer(uow, user, chargeback.offer_id)
    deltas = {ledger.chargeback(chargeback.id): -amount, ledger.STRIPE: amount}
    postings = [
        *ledger.postings_for(deltas),
        *ledger.postings_for({free: -more, ledger.held(user): more}),
    ]
    if chargeback.lost and not amount:
        await _book_lines(uow, chargeback, f"chargeback_freed:{fact}", "chargeback_freed", postings)
    elif amount < 0 or more < 0:
        await _book_lines(uow, chargeback, f"chargeback_won:{fact}", "chargeback_won", postings)
    else:
        await _book_lines(uow, chargeback, f"chargeback:{fact}", "chargeback_opened", postings)
    held = msgspec.structs.replace(chargeback, held_amount=chargeback.held_amount + more)
    if more < 0:
        await _store_hold(uow, held)
        await settle_available(uow, user, chargeback.currency, fact)
        await refill_later(uow, user, chargeback.currency)
    return held


async def _store_hold(uow: UnitOfWork, chargeback: Chargeback) -> None:
    """Store what is held, which `settle_available` reads."""
    await uow.change(
        Chargeback,
        chargeback.id,
        status=chargeback.status,
        withdrawn_amount=chargeback.withdrawn_amount,
        contested_amount=chargeback.contested_amount,
        held_amount=chargeback.held_amount,
    )


async def _book_lines(
    uow: UnitOfWork, chargeback: Chargeback, fact: str, kind: str, postings: list[ledger.Posting]
) -> None:
    await ledger.book(
        uow,
        fact,
        kind,
        chargeback.currency,
        postings,
        users=[chargeback.contractor_id],
        offer_id=chargeback.offer_id,
    )


async def _book_lost(
    uow: UnitOfWork, before: Chargeback, after: Chargeback, fact: str
) -> Chargeback:
    """The customer keeps the money: divide the loss between platform, escrow and contractor."""
    old, new = await _change_loss(uow, before, after)
    outside = {ledger.chargeback(after.id): after.lost - before.lost}
    await rebook(uow, f"chargeback_lost:{fact}", "chargeback_lost", old, new, outside)
    if new.accepted_at is None:
        await fail_offer(uow, new, OfferStatus.EXPIRED)
    elif new.net_amount == 0:
        await resolution.end_after_full_loss(uow, new)
    undone = before.completed_amount + old.completed_amount - new.completed_amount
    return msgspec.structs.replace(after, completed_amount=undone)


async def _book_recovered(
    uow: UnitOfWork, before: Chargeback, after: Chargeback, fact: str
) -> Chargeback:
    """The bank gave a loss back, or a part of it: undo the loss, and divide what is left of it."""
    old, new = await _change_loss(uow, before, after)
    outside = {ledger.chargeback(after.id): after.lost - before.lost}
    await rebook(uow, f"chargeback_undone:{fact}", "chargeback_undone", old, new, outside)
    undone = before.completed_amount + old.completed_amount - new.completed_amount
    return msgspec.structs.replace(after, completed_amount=undone)


async def _change_loss(
    uow: UnitOfWork, before: Chargeback, after: Chargeback
) -> tuple[Offer, Offer]:
    """The offer before and after. The completed work is that without the loss, as far as the rest
    of the money reaches."""
    old = await uow.get(Offer, after.offer_id)
    lost = old.charged_back_amount + after.lost - before.lost
    whole = msgspec.structs.replace(
        old, completed_amount=old.completed_amount + before.completed_amount
    )
    completed = with_completed_capped(whole, charged_back_amount=lost).completed_amount
    new = await change_offer(uow, old, charged_back_amount=lost, completed_amount=completed)
    return old, new


async def _continue(uow: UnitOfWork, chargeback: Chargeback) -> None:
    """Nothing is contested any more: continue what waited for the decision."""
    waiting = {"offer_id": chargeback.offer_id, "status": TransferStatus.WAITING}
    send_transfers(uow, await uow.all(Transfer, waiting))
    offer = await uow.get(Offer, chargeback.offer_id)
    if offer.accepted_at is None:
        await refund_unaccepted(uow, offer.id)
    else:
        await resolution.dispute_recovered_money(uow, offer)


async def _change_contested_amount(uow: UnitOfWork, chargeback: Chargeback, amount: int) -> None:
    """Add `amount` to what is contested, on the offer and on its payment.

    While the money is contested the customer cannot object to an automatic completion. So
    announcements that were made are reset, and are made again later.
    """
    if not amount:
        return
    offer = await uow.get(Offer, chargeback.offer_id)
    everything = range(1, len(offer.milestones) + 1)
    changed = await change_offer(
        uow,
        offer,
        contested_amount=offer.contested_amount + amount,
        milestones=with_milestones(offer, everything, announced_at=None),
    )
    payment = await uow.change(
        Payment, chargeback.payment_id, disputed_amount=changed.contested_amount
    )
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
