"""Opening a dispute, which freezes money, and resolving it, which divides the money.

A resolution is a split: a refund to the customer, and the rest is booked as completed work. A
chargeback that takes all money of a job also ends its dispute. If a bank returns money after the
job has ended, a new dispute is escalated to an administrator, who divides it.
"""

from datetime import timedelta
from enum import StrEnum

import msgspec

from domain.chat.conversation import Conversation
from domain.deals.offer import Milestone, MilestoneStatus, Offer, change_offer, with_milestones
from domain.disputes.dispute import (
    STEPS,
    Dispute,
    DisputeStatus,
    add_entry,
    entry_fields,
    publish_dispute,
    store_entry,
)
from domain.disputes.timeline import SYSTEM, TimelineEntry
from domain.files.review import begin_review, end_review
from domain.fulfillment import work
from domain.jobs.job import Job
from domain.kernel.errors import AmountNotPayable, DisputeNotOpen, PaymentDisputed
from domain.kernel.money import CURRENCIES, display
from domain.kernel.state_machine import states_before
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.expected_amount import check_expected
from domain.payments.refunds import request_refund
from domain.payouts.allocation import rebook

ANSWER_WITHIN = timedelta(days=7)


class DisputeReason(StrEnum):
    """`scope`: more or something else is demanded than was agreed. `unresponsive`: no answers."""

    NOT_DELIVERED = "not_delivered"
    NOT_AS_AGREED = "not_as_agreed"
    QUALITY = "quality"
    UNRESPONSIVE = "unresponsive"
    SCOPE = "scope"
    OTHER = "other"


def new_dispute(
    offer: Offer,
    numbers: tuple[int, ...],
    by: str,
    reason: DisputeReason,
    text: str,
    uow: UnitOfWork,
) -> Dispute:
    """Build a dispute about the milestones with these numbers, from 1; it is not stored."""
    dispute = uow.new(
        Dispute,
        job_id=offer.job_id,
        job_title=offer.job_title,
        offer_id=offer.id,
        payment_id=offer.payment_id,
        customer_id=offer.customer_id,
        contractor_id=offer.contractor_id,
        customer_name=offer.customer_name,
        contractor_name=offer.contractor_name,
        milestones=numbers,
        amount=offer.open_amount(numbers),
        currency=offer.currency,
        opened_by=by,
        reason=reason,
        answer_by=uow.now + ANSWER_WITHIN,
    )
    entry = TimelineEntry(uow.now, by, "open", text, seq=1)
    fields = entry_fields(dispute, entry)
    return msgspec.structs.replace(dispute, waits_for=dispute.awaited, **fields)


async def open_dispute(uow: UnitOfWork, offer: Offer, dispute: Dispute) -> None:
    """Store a dispute, freeze the money of its milestones, and push it to both sides."""
    await uow.add(dispute)
    await store_entry(uow, dispute, dispute.timeline[0])
    milestones = with_milestones(offer, dispute.milestones, dispute_id=dispute.id)
    await change_offer(uow, offer, milestones=milestones)
    await work.set_dispute(uow, await uow.get(Job, offer.job_id), dispute.id)
    sides = {"job_id": offer.job_id, "contractor_id": offer.contractor_id}
    talk = await uow.find(Conversation, sides)
    await begin_review(uow, [offer.job_id, *([talk.id] if talk else [])], dispute.id)
    publish_dispute(uow, dispute)


async def alert_admins(uow: UnitOfWork, dispute: Dispute) -> None:
    """Alert administrators that one of them has to decide."""
    amount = display(dispute.amount, dispute.currency)
    await alert(
        uow,
        "dispute_escalated",
        dispute.id,
        f"Decide about {amount} for {dispute.job_title}: the two sides do not agree.",
    )


def check_split(dispute: Dispute, refund_amount: int) -> None:
    """Raises AmountNotPayable if the money in dispute cannot be divided so."""
    step = CURRENCIES[dispute.currency].step
    if refund_amount > dispute.amount or refund_amount % step:
        raise AmountNotPayable(
            f"refund_amount: from 0 to {dispute.amount} minor units of {dispute.currency}"
            + (f", in steps of {step}." if step > 1 else "."),
            field="refund_amount",
            maximum=dispute.amount,
            step=step,
        )


async def check_at_stake(uow: UnitOfWork, dispute: Dispute, expected: int | None) -> None:
    """Raises Conflict if a caller expects that another amount is divided."""
    if expected is not None:
        offer = await uow.get(Offer, dispute.offer_id)
        check_expected(expected, offer.open_amount(dispute.milestones), offer.currency)


async def resolve(uow: UnitOfWork, dispute: Dispute, refund_amount: int, by: str) -> Dispute:
    """Resolve it: refund the customer, and book the rest as completed work.

    Raises DisputeNotOpen, PaymentDisputed.
    """
    offer = await uow.get(Offer, dispute.offer_id)
    if offer.contested_amount:
        raise PaymentDisputed
    at_stake = offer.open_amount(dispute.milestones)
    refund_amount = min(refund_amount, at_stake)  # refunds at Stripe may have left less
    earned = at_stake - refund_amount
    status = MilestoneStatus.COMPLETED if earned else MilestoneStatus.CANCELLED
    after = await change_offer(
        uow,
        offer,
        completed_amount=offer.completed_amount + earned,
        milestones=_end_milestones(offer, dispute, status, uow),
    )
    await rebook(uow, f"resolve:{dispute.id}", "resolved", offer, after)
    if refund_amount:
        reason = "The dispute was resolved."
        after = await request_refund(uow, after, refund_amount, reason, by)
    resolved = await _close_dispute(uow, dispute, refund_amount)
    job = await uow.get(Job, dispute.job_id)
    await work.end_if_finished(uow, job, after)
    return resolved


def _end_milestones(
    offer: Offer, dispute: Dispute, status: MilestoneStatus, uow: UnitOfWork
) -> tuple[Milestone, ...]:
    """Free the milestones, and give those that are open `status`.

    Milestones that were cancelled stay cancelled: only their money is divided.
    """
    free = with_milestones(offer, dispute.milestones, due_at=None, dispute_id=None)
    open_numbers = [number for number in dispute.milestones if free[number - 1].is_open]
    return with_milestones(
        msgspec.structs.replace(offer, milestones=free),
        open_numbers,
        status=status,
        completed_at=uow.now if status is MilestoneStatus.COMPLETED else None,
    )


async def _close_dispute(uow: UnitOfWork, dispute: Dispute, refund_amount: int) -> Dispute:
    """Set the dispute to resolved and clear it on the job. Raises DisputeNotOpen."""
    await work.set_dispute(uow, await uow.get(Job, dispute.job_id), None)
    resolved = await uow.change(
        Dispute,
        dispute.id,
        only_if={"status": states_before(STEPS, DisputeStatus.RESOLVED)},
        status=DisputeStatus.RESOLVED,
        refund_amount=refund_amount,
        resolved_at=uow.now,
        waits_for=None,
    )
    if resolved is None:
        raise DisputeNotOpen(status=dispute.status)
    await end_review(uow, dispute.id)
    publish_dispute(uow, resolved)
    return resolved


# -- after a chargeback ----------------------------------------------------------------------


async def end_after_full_loss(uow: UnitOfWork, offer: Offer) -> None:
    """End the job and its dispute after a bank took all of the money."""
    job = await uow.get(Job, offer.job_id)
    if job.dispute_id:
        dispute = await uow.get(Dispute, job.dispute_id)
        text = "The customer's bank took all of the money back."
        dispute = await add_entry(uow, dispute, SYSTEM, "resolve", text, dispute.amount)
        await _close_dispute(uow, dispute, dispute.amount)
    job = await uow.get(Job, offer.job_id)
    await work.end_if_finished(uow, job, await work.cancel_open_milestones(uow, offer))


async def dispute_recovered_money(uow: UnitOfWork, offer: Offer) -> None:
    """Escalate a dispute about money that a bank returned after the job had ended without it."""
    job = await uow.get(Job, offer.job_id)
    cancelled = tuple(
        number
        for number, milestone in enumerate(offer.milestones, 1)
        if milestone.status is MilestoneStatus.CANCELLED
    )
    ended = not any(milestone.is_open for milestone in offer.milestones)
    if not (cancelled and ended and offer.earnable > 0) or job.dispute_id:
        return
    text = "The bank gave the money back after the job had ended without it."
    opened = new_dispute(offer, cancelled, SYSTEM, DisputeReason.OTHER, text, uow)
    dispute = msgspec.structs.replace(
        opened, status=DisputeStatus.ESCALATED, called_at=uow.now, waits_for=None
    )
    await open_dispute(uow, offer, dispute)
    await alert_admins(uow, dispute)
