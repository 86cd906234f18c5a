"""Disputes between the two sides of a job: said, proposed, agreed, or decided by an admin.

While one stands its part of the money is frozen: nobody completes or refunds it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.deals.offer import Offer
from domain.disputes import resolution
from domain.disputes.dispute import Dispute, DisputeStatus, Proposal, add
from domain.disputes.resolution import ANSWER_WITHIN, Reason, call_admins
from domain.files.file import FileIds, attach
from domain.fulfillment import work
from domain.fulfillment.work import MilestoneNumber, require_not_frozen
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import EVERYONE, PARTIES, Actor, Role
from domain.kernel.errors import (
    AmountNotPayable,
    Conflict,
    DisputeNotOpen,
    DisputeOpen,
    JobNotInProgress,
)
from domain.kernel.money import CURRENCIES, MAX_AMOUNT, display
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports

CHUNK = 100


Text = Annotated[str, Limits(min_length=1, max_length=8000, pattern=r"\S")]
RefundAmount = Annotated[int, Limits(ge=0, le=MAX_AMOUNT)]


class Open(Command, frozen=True):
    """About one milestone, counted from 1, or about all that are left."""

    job_id: Id
    reason: Reason
    text: Text
    milestone: MilestoneNumber | None = None


class Say(Command, frozen=True):
    dispute_id: Id
    text: Text


class Evidence(Say, frozen=True):
    file_ids: FileIds = ()


class Propose(Command, frozen=True):
    """`refund_amount` minor units go back to the customer; 0 means that all of it was earned."""

    dispute_id: Id
    refund_amount: RefundAmount
    text: Annotated[str, Limits(max_length=8000)] = ""


class Agree(Command, frozen=True):
    """`refund_amount` is what one agrees to, so that it cannot change on the way."""

    dispute_id: Id
    refund_amount: RefundAmount


class ById(Command, frozen=True):
    dispute_id: Id


class Resolve(Command, frozen=True):
    dispute_id: Id
    refund_amount: RefundAmount
    reason: Text


class List(Command, frozen=True):
    job_id: Id | None = None
    status: DisputeStatus | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


# -- the two sides ---------------------------------------------------------------------------


@operation("payment.dispute_open", roles=PARTIES)
async def dispute_open(cmd: Open, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Freeze the money of a job in progress until both agree or an admin decides.

    Raises NotFound, JobNotInProgress, DisputeOpen, MilestoneNotStanding, PaymentDisputed.
    """
    job = await uow.get(Job, cmd.job_id, **_own(actor))
    if job.status is not JobStatus.IN_PROGRESS or job.offer_id is None:
        raise JobNotInProgress(status=job.status)
    if job.dispute_id:
        raise DisputeOpen(dispute_id=job.dispute_id)
    offer = await uow.get(Offer, job.offer_id)
    numbers = work.open_milestones(offer, cmd.milestone)
    require_not_frozen(offer, numbers)
    dispute = resolution.new(offer, tuple(numbers), actor.id, cmd.reason, cmd.text, uow)
    await resolution.start(uow, offer, dispute)
    return dispute


@operation("payment.dispute_say", roles=PARTIES)
async def dispute_say(cmd: Say, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Add to the timeline. Raises NotFound, DisputeNotOpen."""
    return await add(uow, await _mine(cmd.dispute_id, actor, uow), actor, "say", cmd.text)


@operation("payment.dispute_evidence", roles=PARTIES)
async def dispute_evidence(cmd: Evidence, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Add evidence to the timeline, which administrators see too.

    Raises NotFound, DisputeNotOpen, Conflict for files used elsewhere.
    """
    dispute = await _mine(cmd.dispute_id, actor, uow)
    readers = [*dispute.parties, role_room(Role.ADMIN)]
    files = await attach(uow, cmd.file_ids, actor.id, dispute.id, readers)
    return await add(uow, dispute, actor, "evidence", cmd.text, attachments=files)


@operation("payment.dispute_propose", roles=PARTIES)
async def dispute_propose(cmd: Propose, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Say how one would end it; a newer proposal replaces the standing one.

    Whose turn it is gives the other side the whole time to answer. Another word by the one who
    waits for an answer moves no deadline, so that nobody can put it off alone.
    Raises NotFound, DisputeNotOpen, AmountNotPayable.
    """
    dispute = await _mine(cmd.dispute_id, actor, uow)
    _check_split(dispute, cmd.refund_amount)
    status = (
        DisputeStatus.ESCALATED
        if dispute.status is DisputeStatus.ESCALATED
        else DisputeStatus.PROPOSED
    )
    later: dict[str, Any] = {}
    if dispute.waits_for == actor.id:
        later = {"answer_by": uow.now + ANSWER_WITHIN, "warned_at": None}
    return await add(
        uow,
        dispute,
        actor,
        "propose",
        cmd.text,
        cmd.refund_amount,
        status=status,
        proposal=Proposal(actor.id, cmd.refund_amount, uow.now),
        **later,
    )


@operation("payment.dispute_agree", roles=PARTIES)
async def dispute_agree(cmd: Agree, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Take the other side's proposal: the money moves accordingly.

    Raises NotFound, DisputeNotOpen, Conflict for another proposal than the standing one.
    """
    dispute = await _mine(cmd.dispute_id, actor, uow)
    proposal = dispute.proposal
    if proposal is None or proposal.by == actor.id or proposal.refund_amount != cmd.refund_amount:
        raise Conflict("There is no such proposal by the other side: read the dispute again.")
    dispute = await add(uow, dispute, actor, "agree", refund_amount=cmd.refund_amount)
    return await resolution.resolve(uow, dispute, cmd.refund_amount, actor.id)


@operation("payment.dispute_escalate", roles=PARTIES)
async def dispute_escalate(cmd: ById, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Ask an admin to decide. Raises NotFound, DisputeNotOpen."""
    dispute = await _mine(cmd.dispute_id, actor, uow)
    if dispute.status is DisputeStatus.ESCALATED:
        raise DisputeNotOpen(status=dispute.status)
    escalated = await add(
        uow, dispute, actor, "escalate", status=DisputeStatus.ESCALATED, called_at=uow.now
    )
    await call_admins(uow, escalated)
    return escalated


@operation("payment.disputes", roles=EVERYONE, style=Style.READ)
async def disputes(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """One's own disputes with their timelines, newest first; an admin sees all."""
    given = {"job_id": cmd.job_id, "status": cmd.status}
    where = _own(actor) | {name: value for name, value in given.items() if value}
    return await uow.page(Dispute, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("payment.dispute", roles=EVERYONE, style=Style.READ)
async def get(cmd: ById, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Raises NotFound."""
    return await uow.get(Dispute, cmd.dispute_id, **_own(actor))


# -- the admin -------------------------------------------------------------------------------


@operation("admin.resolve", roles={Role.ADMIN})
async def resolve(cmd: Resolve, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Decide with any split. Raises NotFound, DisputeNotOpen, AmountNotPayable, PaymentDisputed."""
    dispute = await uow.get(Dispute, cmd.dispute_id)
    _check_split(dispute, cmd.refund_amount)
    dispute = await add(uow, dispute, actor, "resolve", cmd.reason, cmd.refund_amount)
    return await resolution.resolve(uow, dispute, cmd.refund_amount, actor.id)


@operation("admin.disputes", roles={Role.ADMIN}, style=Style.READ)
async def all_disputes(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """All disputes with their timelines, newest first."""
    return await disputes(cmd, actor, uow)


# -- rules -----------------------------------------------------------------------------------


def _own(actor: Actor) -> dict[str, Any]:
    fields: Mapping[Role, dict[str, Any]] = {
        Role.CUSTOMER: {"customer_id": actor.id},
        Role.CONTRACTOR: {"contractor_id": actor.id},
        Role.ADMIN: {},
    }
    return dict(fields[actor.role])


async def _mine(dispute_id: str, actor: Actor, uow: UnitOfWork) -> Dispute:
    return await uow.get(Dispute, dispute_id, **_own(actor))


def _check_split(dispute: Dispute, refund_amount: int) -> None:
    step = CURRENCIES[dispute.currency].step
    if refund_amount > dispute.amount or refund_amount % step:
        raise AmountNotPayable(
            f"refund_amount: from 0 to {dispute.amount} minor units of {dispute.currency}"
            + (f", in steps of {step}." if step > 1 else "."),
            field="refund_amount",
            maximum=dispute.amount,
            step=step,
        )


# -- by itself -------------------------------------------------------------------------------


async def escalate_due(ports: Ports) -> int:
    """Hand disputes that nobody answered in time to an admin; returns how many."""
    uow = ports.store.single()
    late = {"status": (DisputeStatus.OPEN, DisputeStatus.PROPOSED), "answer_by": {"$lte": uow.now}}
    due = await uow.all(Dispute, late, (("answer_by", 1),), CHUNK)
    return await ports.store.transact_each(due, _escalate)


async def _escalate(uow: UnitOfWork, found: Dispute) -> None:
    dispute = await uow.get(Dispute, found.id)
    if (
        dispute.status in (DisputeStatus.OPEN, DisputeStatus.PROPOSED)
        and dispute.answer_by <= uow.now
    ):
        text = "Nobody answered in time."
        await add(
            uow, dispute, None, "escalate", text, status=DisputeStatus.ESCALATED, called_at=uow.now
        )
        await call_admins(uow, dispute)
        amount = display(dispute.amount, dispute.currency)
        await notices.tell(
            uow,
            list(dispute.parties),
            "dispute_escalated",
            f"{dispute.job_title}: escalated",
            f"Nobody answered in time: an administrator decides about {amount}.",
            dispute.id,
        )
