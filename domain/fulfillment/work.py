"""The work and its end: delivered, approved and paid by milestones, or cancelled and refunded."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.deals.offer import MilestoneStatus, Offer, change_offer, with_milestones
from domain.files.file import FileIds, attach
from domain.jobs.job import JOB_STEPS, Job, JobStatus, publish_job
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import (
    DisputeOpen,
    DisputeRequired,
    JobNotAssigned,
    JobNotInProgress,
    JobNotOpen,
    JobTaken,
    MilestoneNotStanding,
    NotFound,
    PaymentDisputed,
)
from domain.kernel.state_machine import move
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.operation import operation
from domain.payments.processing import BlockRivals
from domain.payments.refunds import promise
from domain.payouts.allocation import rebook

MilestoneNumber = Annotated[int, Limits(ge=1, le=20)]
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
    file_ids: FileIds = ()
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

    Raises NotFound, JobNotInProgress, MilestoneNotStanding, Conflict for files used elsewhere.
    """
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    offer = await _offer_in_progress(uow, job)
    chosen = standing(offer, cmd.milestone)
    files = await attach(uow, cmd.file_ids, actor.id, job.id, [job.customer_id])
    days = uow.rates.auto_complete_days
    milestones = with_milestones(
        offer,
        chosen,
        status=MilestoneStatus.DELIVERED,
        note=cmd.note,
        files=files,
        delivered_at=uow.now,
        due_at=uow.now + timedelta(days=days) if days else None,
        announced_at=None,
    )
    await change_offer(uow, offer, milestones=milestones)
    delivered = await uow.change(
        Job, job.id, delivered_at=uow.now, delivery_note=cmd.note, delivery_files=files
    )
    assert delivered is not None, "the job was just read in this transaction"
    publish_job(uow, delivered)
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
        before = offer
        offer = await change_offer(
            uow,
            before,
            completed_amount=before.completed_amount + before.at_stake([number]),
            milestones=with_milestones(
                before,
                [number],
                status=MilestoneStatus.COMPLETED,
                completed_at=uow.now,
                due_at=None,
            ),
        )
        await rebook(uow, f"complete:{offer.id}#{number}", "completed", before, offer)
    return offer


async def finish(uow: UnitOfWork, job: Job, offer: Offer) -> Job:
    """The job ends with its last milestone."""
    states = {milestone.status for milestone in offer.milestones}
    if states & {MilestoneStatus.PENDING, MilestoneStatus.DELIVERED}:
        publish_job(uow, job)
        return job
    if MilestoneStatus.COMPLETED in states:
        status, at = JobStatus.COMPLETED, "completed_at"
    else:
        status, at = JobStatus.CANCELLED, "cancelled_at"
    ended = await uow.change(
        Job,
        job.id,
        only_if={"status": (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS)},
        status=status,
        **_at(at, uow),
    )
    if ended is None:
        return job
    publish_job(uow, ended)
    return ended


async def mark_disputed(uow: UnitOfWork, job: Job, dispute_id: str | None) -> Job:
    """The job says whether a dispute about it stands."""
    changed = await uow.change(Job, job.id, dispute_id=dispute_id)
    assert changed is not None, "the job was just read in this transaction"
    publish_job(uow, changed)
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
        Job,
        before.id,
        only_if={"status": (JobStatus.OPEN, JobStatus.ASSIGNED), "accepting_offer_id": None},
        status=JobStatus.CANCELLED,
        cancelled_at=uow.now,
    )
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
    publish_job(uow, job, market=before.status is JobStatus.OPEN)
    return job


async def drop_rest(uow: UnitOfWork, offer: Offer) -> Offer:
    """Nobody will do or pay what is left of the work."""
    left = [n for n, milestone in enumerate(offer.milestones, 1) if milestone.standing]
    return await change_offer(
        uow,
        offer,
        milestones=with_milestones(
            offer, left, status=MilestoneStatus.CANCELLED, due_at=None, dispute_id=None
        ),
    )


# -- the work --------------------------------------------------------------------------------


class Start(Command, frozen=True):
    job_id: Id


@operation("job.start", roles={Role.CONTRACTOR})
async def start(cmd: Start, actor: Actor, uow: UnitOfWork) -> Job:
    """Begin the work. Raises JobNotAssigned."""
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    started = await move(uow, Job, job.id, JobStatus.IN_PROGRESS, steps=JOB_STEPS)
    if started is None:
        raise JobNotAssigned
    publish_job(uow, started)
    return started
