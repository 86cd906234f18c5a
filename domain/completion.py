"""The work and its end: delivered, approved and paid by milestones, or cancelled and refunded."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain import notices
from domain.deal import MilestoneStatus, Offer, change_offer, with_milestones
from domain.errors import (
    DisputeOpen,
    DisputeRequired,
    JobNotInProgress,
    JobNotOpen,
    JobTaken,
    MilestoneNotStanding,
    NotFound,
    PaymentDisputed,
)
from domain.jobs import Job, JobStatus, announce
from domain.money import display
from domain.operation import Actor, Command, Id, Role, operation
from domain.ports import Ports
from domain.refunds import promise
from domain.settlement import BlockRivals
from domain.shares import rebook
from domain.store import UnitOfWork

M = MilestoneStatus

MilestoneNumber = Annotated[int, Limits(ge=1, le=20)]
REMIND_BEFORE = timedelta(hours=24)
CHUNK = 100


class ById(Command, frozen=True):
    job_id: Id


class Complete(Command, frozen=True):
    """One milestone, counted from 1, or all that are left."""

    job_id: Id
    milestone: MilestoneNumber | None = None


class Deliver(Command, frozen=True):
    """One milestone, counted from 1, or all that are left."""

    job_id: Id
    note: Annotated[str, Limits(max_length=4000)] = ""
    milestone: MilestoneNumber | None = None


class Split(msgspec.Struct, frozen=True):
    """How the `amount` of what was completed was divided, in minor units.

    The platform's part includes the fee that it took at the acceptance.
    """

    currency: str
    amount: int
    platform_amount: int
    contractor_amount: int


class Completed(msgspec.Struct, frozen=True):
    job: Job
    split: Split


@operation("job.deliver", roles={Role.CONTRACTOR})
async def deliver(cmd: Deliver, actor: Actor, uow: UnitOfWork) -> Job:
    """Hand work over, again if need be; it completes by itself some days later.

    Raises NotFound, JobNotInProgress, MilestoneNotStanding.
    """
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    offer = await _offer_in_progress(uow, job)
    chosen = standing(offer, cmd.milestone)
    days = uow.rates.auto_complete_days
    milestones = with_milestones(
        offer, chosen, status=M.DELIVERED, note=cmd.note, delivered_at=uow.now,
        due_at=uow.now + timedelta(days=days) if days else None,
    )  # fmt: skip
    await change_offer(uow, offer, milestones=milestones, reminded_at=None)
    delivered = await uow.change(Job, job.id, delivered_at=uow.now, delivery_note=cmd.note)
    assert delivered is not None, "the job was just read in this transaction"
    announce(uow, delivered)
    return delivered


@operation("job.complete", roles={Role.CUSTOMER})
async def complete(cmd: Complete, actor: Actor, uow: UnitOfWork) -> Completed:
    """Approve work: the service fee and the contractor's part leave escrow, and are sent.

    Raises NotFound, JobNotInProgress, MilestoneNotStanding, DisputeOpen, PaymentDisputed.
    """
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    offer = await _offer_in_progress(uow, job)
    chosen = standing(offer, cmd.milestone)
    must_be_free(offer, chosen)
    after = await complete_milestones(uow, offer, chosen)
    amount = after.completed_amount - offer.completed_amount
    share = after.holdings.contractor - offer.holdings.contractor
    return Completed(
        await finish(uow, job, after), Split(offer.currency, amount, amount - share, share)
    )


async def _offer_in_progress(uow: UnitOfWork, job: Job) -> Offer:
    if job.status is not JobStatus.IN_PROGRESS:
        raise JobNotInProgress(status=job.status)
    assert job.offer_id, "a job in progress has an accepted offer"
    return await uow.get(Offer, job.offer_id)


def standing(offer: Offer, number: int | None) -> list[int]:
    """The numbers of the milestones that are meant. Raises NotFound, MilestoneNotStanding."""
    left = [n for n, milestone in enumerate(offer.milestones, 1) if milestone.standing]
    if number is None:
        return left
    if number > len(offer.milestones):
        raise NotFound(f"milestone: there are {len(offer.milestones)}.", field="milestone")
    if number not in left:
        raise MilestoneNotStanding(status=offer.milestones[number - 1].status)
    return [number]


def must_be_free(offer: Offer, numbers: Iterable[int]) -> None:
    """Raises DisputeOpen or PaymentDisputed for money that is frozen."""
    if any(offer.milestones[number - 1].dispute_id for number in numbers):
        raise DisputeOpen
    if offer.contested_amount:
        raise PaymentDisputed


async def complete_milestones(uow: UnitOfWork, offer: Offer, numbers: Sequence[int]) -> Offer:
    """Book milestones as completed work, each with its own transfer.

    The last one takes what is left; refunds before may have left less than was agreed.
    """
    for number in numbers:
        before, milestone = offer, offer.milestones[number - 1]
        last = sum(each.standing for each in before.milestones) == 1
        earned = before.uncompleted if last else min(milestone.amount, before.uncompleted)
        offer = await change_offer(
            uow, before, completed_amount=before.completed_amount + earned,
            milestones=with_milestones(
                before, [number], status=M.COMPLETED, completed_at=uow.now, due_at=None
            ),
        )  # fmt: skip
        await rebook(uow, f"complete:{offer.id}#{number}", "completed", before, offer)
    return offer


async def finish(uow: UnitOfWork, job: Job, offer: Offer) -> Job:
    """The job ends with its last milestone."""
    states = {milestone.status for milestone in offer.milestones}
    if states & {M.PENDING, M.DELIVERED}:
        announce(uow, job)
        return job
    if M.COMPLETED in states:
        status, at = JobStatus.COMPLETED, "completed_at"
    else:
        status, at = JobStatus.CANCELLED, "cancelled_at"
    ended = await uow.change(
        Job, job.id, only_if={"status": (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS)},
        status=status, **_at(at, uow),
    )  # fmt: skip
    if ended is None:
        return job
    announce(uow, ended)
    return ended


async def mark_disputed(uow: UnitOfWork, job: Job, dispute_id: str | None) -> Job:
    """The job says whether a dispute about it stands."""
    changed = await uow.change(Job, job.id, dispute_id=dispute_id)
    assert changed is not None, "the job was just read in this transaction"
    announce(uow, changed)
    return changed


def _at(field: str, uow: UnitOfWork) -> dict[str, Any]:
    return {field: uow.now}


@operation("job.cancel", roles={Role.CUSTOMER})
async def cancel(cmd: ById, actor: Actor, uow: UnitOfWork) -> Job:
    """Cancel before work begins; what was paid goes back in full, the platform fee included.

    Raises NotFound, JobTaken, JobNotOpen, DisputeRequired, PaymentDisputed.
    """
    before = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    if before.status is JobStatus.IN_PROGRESS:
        raise DisputeRequired
    job = await uow.change(
        Job, before.id,
        only_if={"status": (JobStatus.OPEN, JobStatus.ASSIGNED), "accepting_offer_id": None},
        status=JobStatus.CANCELLED, cancelled_at=uow.now,
    )  # fmt: skip
    if job is None:
        raise JobTaken if before.accepting_offer_id else JobNotOpen(status=before.status)
    if job.offer_id:
        offer = await uow.get(Offer, job.offer_id)
        if offer.contested_amount:
            raise PaymentDisputed
        offer = await drop_rest(uow, offer)
        if offer.refundable:
            await promise(uow, offer, offer.refundable, "The job was cancelled.", actor.id)
    uow.later(BlockRivals(job.id))
    announce(uow, job, market=before.status is JobStatus.OPEN)
    return job


async def drop_rest(uow: UnitOfWork, offer: Offer) -> Offer:
    """Nobody will do or pay what is left of the work."""
    left = [n for n, milestone in enumerate(offer.milestones, 1) if milestone.standing]
    return await change_offer(
        uow, offer,
        milestones=with_milestones(offer, left, status=M.CANCELLED, due_at=None, dispute_id=None),
    )  # fmt: skip


# -- by itself -------------------------------------------------------------------------------


async def complete_due(ports: Ports) -> int:
    """Complete delivered work whose time for complaints is over; returns how many offers."""
    uow = ports.store.single()
    due = await uow.all(Offer, {"due_at": {"$lte": uow.now}}, (("due_at", 1),), CHUNK)
    for offer in due:
        await ports.store.transact(lambda uow, id=offer.id: _complete_due(uow, id))  # type: ignore[misc]
    return len(due)


async def _complete_due(uow: UnitOfWork, offer_id: str) -> None:
    offer = await uow.get(Offer, offer_id)
    job = await uow.get(Job, offer.job_id)
    due = [
        number
        for number, milestone in enumerate(offer.milestones, 1)
        if milestone.standing and not milestone.dispute_id
        and milestone.due_at and milestone.due_at <= uow.now
    ]  # fmt: skip
    if due and not offer.contested_amount and job.status is JobStatus.IN_PROGRESS:
        await finish(uow, job, await complete_milestones(uow, offer, due))
        await notices.tell(
            uow, [offer.customer_id], "completed_by_itself", f"{offer.job_title}: completed",
            "The delivered work was completed by itself, since you did not object.", offer.job_id,
        )  # fmt: skip


async def remind_due(ports: Ports) -> int:
    """Tell customers a day before that their job will be completed by itself."""
    uow = ports.store.single()
    soon = {"due_at": {"$lte": uow.now + REMIND_BEFORE}, "reminded_at": None}
    due = await uow.all(Offer, soon, (("due_at", 1),), CHUNK)
    for offer in due:
        await ports.store.transact(lambda uow, id=offer.id: _remind(uow, id))  # type: ignore[misc]
    return len(due)


async def _remind(uow: UnitOfWork, offer_id: str) -> None:
    offer = await uow.change(
        Offer, offer_id, only_if={"reminded_at": None, "due_at": {"$ne": None}},
        reminded_at=uow.now,
    )  # fmt: skip
    if offer and offer.due_at:
        await notices.tell(
            uow, [offer.customer_id], "completes_soon",
            f"{offer.job_title}: will be completed on {offer.due_at:%d %B %Y, %H:%M} UTC",
            f"Look at the delivered work. Without an objection "
            f"{display(offer.kept, offer.currency)} will be released to the contractor.",
            offer.job_id,
        )  # fmt: skip
