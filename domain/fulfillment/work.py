"""The work on a job: started, delivered, completed and paid by milestones, or cancelled."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.deals.offer import (
    MAX_MILESTONES_BYTES,
    MilestoneStatus,
    Offer,
    change_offer,
    with_milestones,
)
from domain.files.file import FileIds, attach
from domain.jobs.job import JOB_STEPS, Job, JobStatus
from domain.jobs.job_files import restrict_files
from domain.jobs.views import MARKET_PUSHES, publish_job
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import (
    AmountNotPayable,
    DisputeOpen,
    DisputeRequired,
    InsufficientFunds,
    Invalid,
    JobNotAssigned,
    JobNotInProgress,
    JobNotOpen,
    JobTaken,
    MilestoneNotStanding,
    NotFound,
    PaymentDisputed,
    Rule,
)
from domain.kernel.fields import Currency, about
from domain.kernel.state_machine import move
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import prose
from domain.operations.command import Command, Id
from domain.operations.expected_amount import ExpectedAmount, check_expected
from domain.operations.limits import MONEY_STEPS, Limit
from domain.operations.operation import operation
from domain.payments.caused_refunds import RefundCause, record_refund, require_refund
from domain.payments.processing import BlockRivalOffers
from domain.payments.refunds import request_refund
from domain.payouts.allocation import rebook

MilestoneNumber = Annotated[int, Limits(ge=1, le=20)]
CHUNK = 100


class ById(Command, frozen=True):
    job_id: Annotated[Id, about("The id of the job.")]


class Complete(Command, frozen=True):
    """`milestone` is counted from 1; without it all open milestones are completed.

    `expected_amount` is what their work is worth.
    """

    job_id: Annotated[Id, about("The id of the job.")]
    milestone: Annotated[
        MilestoneNumber | None,
        about("Its number, from 1; without it all open milestones are completed."),
    ] = None
    expected_amount: ExpectedAmount = None


class Cancel(Command, frozen=True):
    """`expected_amount` is what is refunded of a captured payment; 0 if there is none."""

    job_id: Annotated[Id, about("The id of the job.")]
    expected_amount: ExpectedAmount = None


class Deliver(Command, frozen=True):
    """`milestone` is counted from 1; without it all open milestones are delivered."""

    job_id: Annotated[Id, about("The id of the job.")]
    note: Annotated[str, prose(4000, least=0), about("What was done.")] = ""
    file_ids: Annotated[FileIds, about("The ids of uploaded files.")] = ()
    milestone: Annotated[
        MilestoneNumber | None,
        about("Its number, from 1; without it all open milestones are delivered."),
    ] = None


class JobSplit(msgspec.Struct, frozen=True):
    """The division of the completed `amount`, in minor units.

    The platform's part includes the platform fee booked when the offer was accepted.
    """

    currency: Currency
    amount: Annotated[int, about("What was completed, in minor units.")]
    platform_amount: Annotated[
        int, about("The platform's part, in minor units, with the fee that was booked before.")
    ]
    contractor_amount: Annotated[int, about("The contractor's part, in minor units.")]


class CompletedJob(msgspec.Struct, frozen=True):
    """A job whose work was approved, and how the money of that work is divided."""

    job: Annotated[Job, about("The job.")]
    split: Annotated[JobSplit, about("How the money is divided.")]


@operation("job.start", roles={Role.CONTRACTOR}, errors=(JobNotAssigned, NotFound))
async def start(cmd: ById, actor: Actor, uow: UnitOfWork) -> Job:
    """Start the work. Raises NotFound, JobNotAssigned."""
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    started = await move(uow, Job, job.id, JobStatus.IN_PROGRESS, steps=JOB_STEPS)
    if started is None:
        raise JobNotAssigned
    publish_job(uow, started)
    return started


@operation(
    "job.deliver",
    roles={Role.CONTRACTOR},
    limits=(Limit(30, 1800),),
    errors=(JobNotInProgress, MilestoneNotStanding, NotFound),
)
async def deliver(cmd: Deliver, actor: Actor, uow: UnitOfWork) -> Job:
    """Deliver work, also repeatedly; it completes automatically after `auto_complete_days`.

    Raises NotFound, JobNotInProgress, MilestoneNotStanding, Conflict for files used elsewhere,
    Invalid when the notes and files of all milestones are too much.
    """
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    offer = await _offer_in_progress(uow, job)
    chosen = chosen_milestones(offer, cmd.milestone)
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
    if len(msgspec.json.encode(milestones)) > MAX_MILESTONES_BYTES:
        raise Invalid(
            "the notes of all milestones together are too long: shorten this one.",
            field="note",
            rule=Rule.VALUE,
        )
    await change_offer(uow, offer, milestones=milestones)
    delivered = await uow.change(
        Job, job.id, delivered_at=uow.now, delivery_note=cmd.note, delivery_files=files
    )
    assert delivered is not None, "the job was just read in this transaction"
    publish_job(uow, delivered)
    return delivered


@operation(
    "job.complete",
    roles={Role.CUSTOMER},
    limits=(MONEY_STEPS,),
    errors=(
        DisputeOpen,
        InsufficientFunds,
        JobNotInProgress,
        MilestoneNotStanding,
        NotFound,
        PaymentDisputed,
    ),
)
async def complete(cmd: Complete, actor: Actor, uow: UnitOfWork) -> CompletedJob:
    """Approve work: book the service fee and the contractor's part, and transfer that part.

    Raises NotFound, JobNotInProgress, MilestoneNotStanding, DisputeOpen, PaymentDisputed, Conflict.
    """
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    offer = await _offer_in_progress(uow, job)
    chosen = chosen_milestones(offer, cmd.milestone)
    require_not_frozen(offer, chosen)
    after = await complete_milestones(uow, offer, chosen)
    amount = after.completed_amount - offer.completed_amount
    check_expected(cmd.expected_amount, amount, offer.currency)
    share = after.holdings.contractor - offer.holdings.contractor
    return CompletedJob(
        await end_if_finished(uow, job, after),
        JobSplit(offer.currency, amount, amount - share, share),
    )


async def _offer_in_progress(uow: UnitOfWork, job: Job) -> Offer:
    if job.status is not JobStatus.IN_PROGRESS:
        raise JobNotInProgress(status=job.status)
    assert job.offer_id, "a job in progress has an accepted offer"
    return await uow.get(Offer, job.offer_id)


def open_milestones(offer: Offer) -> list[int]:
    """The numbers, from 1, of all open milestones."""
    return [number for number, milestone in enumerate(offer.milestones, 1) if milestone.is_open]


def chosen_milestones(offer: Offer, number: int | None) -> list[int]:
    """The open milestone with this number, or all open ones.

    Raises NotFound, MilestoneNotStanding.
    """
    numbers = open_milestones(offer)
    if number is None:
        return numbers
    if number > len(offer.milestones):
        highest = len(offer.milestones)
        raise NotFound(f"milestone: the highest number is {highest}.", field="milestone")
    if number not in numbers:
        raise MilestoneNotStanding(status=offer.milestones[number - 1].status)
    return [number]


def require_not_frozen(offer: Offer, numbers: Iterable[int]) -> None:
    """Raises DisputeOpen or PaymentDisputed if the milestones' money is frozen."""
    if any(offer.milestones[number - 1].dispute_id for number in numbers):
        raise DisputeOpen
    if offer.contested_amount:
        raise PaymentDisputed


async def complete_milestones(uow: UnitOfWork, offer: Offer, numbers: Sequence[int]) -> Offer:
    """Complete milestones: book each, with its own transfer.

    The last milestone receives the remaining money: earlier refunds may have left less than agreed.
    """
    for number in numbers:
        before = offer
        offer = await change_offer(
            uow,
            before,
            completed_amount=before.completed_amount + before.open_amount([number]),
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


async def end_if_finished(uow: UnitOfWork, job: Job, offer: Offer) -> Job:
    """End the job if none of its milestones is open; push it either way."""
    states = {milestone.status for milestone in offer.milestones}
    if states & {MilestoneStatus.PENDING, MilestoneStatus.DELIVERED}:
        publish_job(uow, job)
        return job
    if MilestoneStatus.COMPLETED in states:
        end: dict[str, Any] = {"status": JobStatus.COMPLETED, "completed_at": uow.now}
    else:
        end = {"status": JobStatus.CANCELLED, "cancelled_at": uow.now}
    ended = await uow.change(
        Job,
        job.id,
        only_if={"status": (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS)},
        **end,
    )
    if ended is None:
        return job
    publish_job(uow, ended)
    return ended


async def set_dispute(uow: UnitOfWork, job: Job, dispute_id: str | None) -> Job:
    """Set or clear the job's open dispute, and push the job."""
    changed = await uow.change(Job, job.id, dispute_id=dispute_id)
    assert changed is not None, "the job was just read in this transaction"
    publish_job(uow, changed)
    return changed


@operation(
    "job.cancel",
    roles={Role.CUSTOMER},
    limits=(
        MONEY_STEPS,
        MARKET_PUSHES,
    ),
    errors=(
        AmountNotPayable,
        DisputeRequired,
        JobNotOpen,
        JobTaken,
        NotFound,
        PaymentDisputed,
    ),
)
async def cancel(cmd: Cancel, actor: Actor, uow: UnitOfWork) -> Job:
    """Cancel before work begins; the payment is refunded in full, with the platform fee.

    Who causes many refunds in a day has to wait: RateLimited.
    Raises NotFound, JobTaken, JobNotOpen, DisputeRequired, PaymentDisputed, Conflict.
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
        check_expected(cmd.expected_amount, offer.refundable, offer.currency)
        offer = await cancel_open_milestones(uow, offer)
        if offer.refundable:
            await require_refund(uow, actor.id)
            await record_refund(uow, offer, RefundCause.JOB_CANCELLED)
            await request_refund(uow, offer, offer.refundable, "The job was cancelled.", actor.id)
    else:
        check_expected(cmd.expected_amount, 0, job.currency)
    await restrict_files(uow, job)
    uow.later(BlockRivalOffers(job.id))
    publish_job(uow, job, market=before.status is JobStatus.OPEN)
    return job


async def cancel_open_milestones(uow: UnitOfWork, offer: Offer) -> Offer:
    """Cancel the milestones that are neither completed nor cancelled."""
    return await change_offer(
        uow,
        offer,
        milestones=with_milestones(
            offer,
            open_milestones(offer),
            status=MilestoneStatus.CANCELLED,
            due_at=None,
            dispute_id=None,
        ),
    )
