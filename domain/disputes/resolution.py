"""What a dispute begins and ends with: money frozen, and divided by agreement or by decision.

The end is always a split: what goes back to the customer, the rest being completed work, by the
holdings. A bank may take the money of a job away, and with it all that was in dispute; money that
it gives back when the job has ended already is divided by an administrator.
"""

from datetime import timedelta
from enum import StrEnum

import msgspec

from domain.deals.offer import Milestone, MilestoneStatus, Offer, change_offer, with_milestones
from domain.disputes.dispute import STEPS, SYSTEM, Dispute, DisputeStatus, Entry, add, announce
from domain.fulfillment import work
from domain.jobs.job import Job
from domain.kernel.errors import DisputeNotOpen, PaymentDisputed
from domain.kernel.money import display
from domain.kernel.state_machine import leading_to
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.payments.refunds import promise
from domain.payouts.allocation import rebook

ANSWER_WITHIN = timedelta(days=7)


class Reason(StrEnum):
    NOT_DELIVERED = "not_delivered"
    NOT_AS_AGREED = "not_as_agreed"
    QUALITY = "quality"
    UNRESPONSIVE = "unresponsive"
    SCOPE = "scope"
    OTHER = "other"


def new(
    offer: Offer, numbers: tuple[int, ...], by: str, reason: Reason, text: str, uow: UnitOfWork
) -> Dispute:
    """A dispute about milestones of these numbers (from 1); not stored yet."""
    return uow.new(
        Dispute,
        job_id=offer.job_id,
        job_title=offer.job_title,
        offer_id=offer.id,
        payment_id=offer.payment_id,
        customer_id=offer.customer_id,
        contractor_id=offer.contractor_id,
        milestones=numbers,
        amount=offer.at_stake(numbers),
        currency=offer.currency,
        opened_by=by,
        reason=reason,
        answer_by=uow.now + ANSWER_WITHIN,
        timeline=(Entry(uow.now, by, "open", text),),
    )


async def start(uow: UnitOfWork, offer: Offer, dispute: Dispute) -> None:
    """Freeze the money of its milestones, and tell both sides."""
    await uow.add(dispute)
    milestones = with_milestones(offer, dispute.milestones, dispute_id=dispute.id)
    await change_offer(uow, offer, milestones=milestones)
    await work.set_dispute(uow, await uow.get(Job, offer.job_id), dispute.id)
    announce(uow, dispute)


async def call_admins(uow: UnitOfWork, dispute: Dispute) -> None:
    """Somebody has to decide."""
    amount = display(dispute.amount, dispute.currency)
    await alert(
        uow,
        "dispute_escalated",
        dispute.id,
        f"Decide about {amount} for {dispute.job_title}: the two sides do not agree.",
    )


async def resolve(uow: UnitOfWork, dispute: Dispute, refund_amount: int, by: str) -> Dispute:
    """End it: the rest is completed work, and the refund goes back to the customer.

    Raises DisputeNotOpen, PaymentDisputed.
    """
    offer = await uow.get(Offer, dispute.offer_id)
    if offer.contested_amount:
        raise PaymentDisputed
    at_stake = offer.at_stake(dispute.milestones)
    refund_amount = min(refund_amount, at_stake)  # refunds at Stripe may have left less
    earned = at_stake - refund_amount
    after = await change_offer(
        uow,
        offer,
        completed_amount=offer.completed_amount + earned,
        milestones=_ended(
            offer, dispute, MilestoneStatus.COMPLETED if earned else MilestoneStatus.CANCELLED, uow
        ),
    )
    await rebook(uow, f"resolve:{dispute.id}", "resolved", offer, after)
    if refund_amount:
        reason = "The dispute was resolved."
        after = await promise(uow, after, refund_amount, reason, by)
    resolved = await _close(uow, dispute, refund_amount)
    job = await uow.get(Job, dispute.job_id)
    await work.end_if_finished(uow, job, after)
    return resolved


def _ended(
    offer: Offer, dispute: Dispute, status: MilestoneStatus, uow: UnitOfWork
) -> tuple[Milestone, ...]:
    """What was cancelled stays so; of that only the money is divided."""
    free = with_milestones(offer, dispute.milestones, due_at=None, dispute_id=None)
    standing = [number for number in dispute.milestones if free[number - 1].standing]
    return with_milestones(
        msgspec.structs.replace(offer, milestones=free),
        standing,
        status=status,
        completed_at=uow.now if status is MilestoneStatus.COMPLETED else None,
    )


async def _close(uow: UnitOfWork, dispute: Dispute, refund_amount: int) -> Dispute:
    await work.set_dispute(uow, await uow.get(Job, dispute.job_id), None)
    resolved = await uow.change(
        Dispute,
        dispute.id,
        only_if={"status": leading_to(STEPS, DisputeStatus.RESOLVED)},
        status=DisputeStatus.RESOLVED,
        refund_amount=refund_amount,
        resolved_at=uow.now,
    )
    if resolved is None:
        raise DisputeNotOpen(status=dispute.status)
    announce(uow, resolved)
    return resolved


# -- decided elsewhere -----------------------------------------------------------------------


async def end_without_money(uow: UnitOfWork, offer: Offer) -> None:
    """A bank took all of it: the job ends, and there is nothing left to disagree about."""
    job = await uow.get(Job, offer.job_id)
    if job.dispute_id:
        dispute = await uow.get(Dispute, job.dispute_id)
        text = "The customer's bank took all of the money back."
        dispute = await add(uow, dispute, None, "resolve", text, dispute.amount)
        await _close(uow, dispute, dispute.amount)
    job = await uow.get(Job, offer.job_id)
    await work.end_if_finished(uow, job, await work.cancel_open_milestones(uow, offer))


async def divide_late_money(uow: UnitOfWork, offer: Offer) -> None:
    """A bank gave it back after the job had ended without it: an admin says whose it is."""
    job = await uow.get(Job, offer.job_id)
    numbers = tuple(
        number
        for number, each in enumerate(offer.milestones, 1)
        if each.status is MilestoneStatus.CANCELLED
    )
    ended = not any(each.standing for each in offer.milestones)
    if not (numbers and ended and offer.uncompleted > 0) or job.dispute_id:
        return
    text = "The bank gave the money back after the job had ended without it."
    fresh = new(offer, numbers, SYSTEM, Reason.OTHER, text, uow)
    dispute = msgspec.structs.replace(fresh, status=DisputeStatus.ESCALATED, called_at=uow.now)
    await start(uow, offer, dispute)
    await call_admins(uow, dispute)
