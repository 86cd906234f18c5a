"""Operations on disputes: open, add to the timeline, propose, agree, escalate.

While a dispute is open its part of the money is frozen: it can be neither completed nor refunded.
"""

from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.deals.offer import Offer
from domain.disputes import resolution
from domain.disputes.dispute import (
    Dispute,
    DisputeStatus,
    Proposal,
    add_entry,
    add_limited_entry,
)
from domain.disputes.resolution import ANSWER_WITHIN, DisputeReason, alert_admins
from domain.disputes.timeline import SYSTEM, DisputeEntry, TimelineEntry
from domain.files.file import FileIds, attach
from domain.fulfillment import work
from domain.fulfillment.work import MilestoneNumber, require_not_frozen
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import EVERYONE, PARTIES, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import (
    AmountNotPayable,
    Conflict,
    DisputeNotOpen,
    DisputeOpen,
    InsufficientFunds,
    JobNotInProgress,
    MilestoneNotStanding,
    NotFound,
    PaymentDisputed,
    TooMany,
)
from domain.kernel.fields import about
from domain.kernel.independent import transact_due
from domain.kernel.money import MAX_AMOUNT, display
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import prose
from domain.kernel.visibility import owned_by, visible_to
from domain.notifications import notices
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.expected_amount import ExpectedAmount
from domain.operations.limits import MONEY_STEPS, Limit
from domain.operations.operation import operation
from domain.ports.ports import Ports

CHUNK = 100
WRITING = Limit(20, 60, bucket="dispute_writing")


Text = Annotated[str, prose(8000)]
RefundAmount = Annotated[int, Limits(ge=0, le=MAX_AMOUNT)]


class Open(Command, frozen=True):
    """`milestone` is counted from 1; without it the dispute is about all open milestones."""

    job_id: Annotated[Id, about("The id of the job.")]
    reason: Annotated[DisputeReason, about("Why.")]
    text: Annotated[Text, about("What is wrong.")]
    milestone: Annotated[
        MilestoneNumber | None,
        about("Its number, from 1; without it the dispute is about all open milestones."),
    ] = None


class Say(Command, frozen=True):
    dispute_id: Annotated[Id, about("The id of the dispute.")]
    text: Annotated[Text, about("What to say.")]


class Evidence(Say, frozen=True):
    file_ids: Annotated[FileIds, about("The ids of uploaded files.")] = ()


class Propose(Command, frozen=True):
    """`refund_amount` goes to the customer, in minor units; the rest is earned."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    refund_amount: Annotated[RefundAmount, about("What goes back to the customer, in minor units.")]
    text: Annotated[str, prose(8000, least=0), about("Why.")] = ""


class Agree(Command, frozen=True):
    """`refund_amount` repeats the proposal's, so that a proposal that has changed is not agreed
    to; `expected_amount` is all that is divided."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    refund_amount: Annotated[RefundAmount, about("That of the proposal, in minor units.")]
    expected_amount: ExpectedAmount = None


class ById(Command, frozen=True):
    dispute_id: Annotated[Id, about("The id of the dispute.")]


class Entries(Command, frozen=True):
    """`before_seq` selects older entries; `cursor` continues a page."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    before_seq: Annotated[
        Annotated[int, Limits(ge=1, le=2**53)] | None, about("Only entries with lower numbers.")
    ] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class List(Command, frozen=True):
    job_id: Annotated[Id | None, about("Only disputes about this job.")] = None
    status: Annotated[DisputeStatus | None, about("Only disputes in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class ListAll(Command, frozen=True):
    job_id: Annotated[Id | None, about("Only disputes about this job.")] = None
    status: Annotated[DisputeStatus | None, about("Only disputes in this state.")] = None
    customer_id: Annotated[Id | None, about("Only disputes of this customer.")] = None
    contractor_id: Annotated[Id | None, about("Only disputes of this contractor.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


# -- the two sides ---------------------------------------------------------------------------


@operation(
    "payment.dispute_open",
    roles=PARTIES,
    errors=(
        DisputeOpen,
        JobNotInProgress,
        MilestoneNotStanding,
        NotFound,
        PaymentDisputed,
    ),
)
async def dispute_open(cmd: Open, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Freeze the money of a job in progress until both sides agree or an administrator decides.

    Raises NotFound, JobNotInProgress, DisputeOpen, MilestoneNotStanding, PaymentDisputed.
    """
    job = await uow.get(Job, cmd.job_id, **owned_by(actor, Job))
    if job.status is not JobStatus.IN_PROGRESS or job.offer_id is None:
        raise JobNotInProgress(status=job.status)
    if job.dispute_id:
        raise DisputeOpen(dispute_id=job.dispute_id)
    offer = await uow.get(Offer, job.offer_id)
    numbers = work.chosen_milestones(offer, cmd.milestone)
    require_not_frozen(offer, numbers)
    dispute = resolution.new_dispute(offer, tuple(numbers), actor.id, cmd.reason, cmd.text, uow)
    await resolution.open_dispute(uow, offer, dispute)
    return dispute


@operation(
    "payment.dispute_say",
    roles=PARTIES,
    limits=(WRITING,),
    errors=(DisputeNotOpen, NotFound, TooMany),
)
async def dispute_say(cmd: Say, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Add a message to the timeline. Raises NotFound, DisputeNotOpen, TooMany."""
    return await add_limited_entry(
        uow, await _get_dispute(cmd.dispute_id, actor, uow), actor.id, "say", cmd.text
    )


@operation(
    "payment.dispute_evidence",
    roles=PARTIES,
    limits=(WRITING,),
    errors=(DisputeNotOpen, NotFound, TooMany),
)
async def dispute_evidence(cmd: Evidence, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Add evidence with files to the timeline, where administrators see it too.

    Raises NotFound, DisputeNotOpen, TooMany, Conflict for files used elsewhere.
    """
    dispute = await _get_dispute(cmd.dispute_id, actor, uow)
    readers = [*dispute.parties, role_room(Role.ADMIN)]
    files = await attach(uow, cmd.file_ids, actor.id, dispute.id, readers)
    return await add_limited_entry(uow, dispute, actor.id, "evidence", cmd.text, attachments=files)


@operation(
    "payment.dispute_propose",
    roles=PARTIES,
    limits=(WRITING,),
    errors=(AmountNotPayable, DisputeNotOpen, NotFound, TooMany),
)
async def dispute_propose(cmd: Propose, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Propose a split; it replaces the current proposal.

    A proposal by the side that has to answer starts a new deadline for the other side. A further
    proposal by the side that waits for an answer moves no deadline, so that one side alone cannot
    postpone it. Raises NotFound, DisputeNotOpen, AmountNotPayable, TooMany.
    """
    dispute = await _get_dispute(cmd.dispute_id, actor, uow)
    resolution.check_split(dispute, cmd.refund_amount)
    status = (
        DisputeStatus.ESCALATED
        if dispute.status is DisputeStatus.ESCALATED
        else DisputeStatus.PROPOSED
    )
    new_deadline: dict[str, Any] = {}
    if dispute.awaited == actor.id:
        new_deadline = {"answer_by": uow.now + ANSWER_WITHIN, "warned_at": None}
    return await add_limited_entry(
        uow,
        dispute,
        actor.id,
        "propose",
        cmd.text,
        refund_amount=cmd.refund_amount,
        status=status,
        proposal=Proposal(actor.id, cmd.refund_amount, uow.now),
        **new_deadline,
    )


@operation(
    "payment.dispute_agree",
    roles=PARTIES,
    limits=(MONEY_STEPS,),
    errors=(
        AmountNotPayable,
        DisputeNotOpen,
        InsufficientFunds,
        NotFound,
        PaymentDisputed,
    ),
)
async def dispute_agree(cmd: Agree, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Accept the other side's proposal and resolve the dispute with it.

    Raises NotFound, DisputeNotOpen, Conflict if it is not the current proposal.
    """
    dispute = await _get_dispute(cmd.dispute_id, actor, uow)
    proposal = dispute.proposal
    if proposal is None or proposal.by == actor.id or proposal.refund_amount != cmd.refund_amount:
        raise Conflict("There is no such proposal by the other side: read the dispute again.")
    await resolution.check_at_stake(uow, dispute, cmd.expected_amount)
    dispute = await add_entry(uow, dispute, actor.id, "agree", refund_amount=cmd.refund_amount)
    return await resolution.resolve(uow, dispute, cmd.refund_amount, actor.id)


@operation("payment.dispute_escalate", roles=PARTIES, errors=(DisputeNotOpen, NotFound))
async def dispute_escalate(cmd: ById, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Escalate the dispute to an administrator. Raises NotFound, DisputeNotOpen."""
    dispute = await _get_dispute(cmd.dispute_id, actor, uow)
    if dispute.status is DisputeStatus.ESCALATED:
        raise DisputeNotOpen(status=dispute.status)
    escalated = await add_entry(
        uow, dispute, actor.id, "escalate", status=DisputeStatus.ESCALATED, called_at=uow.now
    )
    await alert_admins(uow, escalated)
    return escalated


@operation("payment.disputes", roles=EVERYONE, style=Style.READ)
async def list_disputes(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Dispute]:
    """List the actor's own disputes, or all for an administrator, newest first."""
    where = visible_to(actor, Dispute) | given(job_id=cmd.job_id, status=cmd.status)
    return await uow.page(Dispute, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("payment.dispute", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def get(cmd: ById, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Read one dispute with its latest entries. Raises NotFound."""
    return await uow.get(Dispute, cmd.dispute_id, **visible_to(actor, Dispute))


@operation("payment.dispute_entries", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def entries(cmd: Entries, actor: Actor, uow: UnitOfWork) -> Page[TimelineEntry]:
    """Read the timeline of a dispute, newest first. Raises NotFound."""
    await uow.get(Dispute, cmd.dispute_id, **visible_to(actor, Dispute))
    where: dict[str, Any] = {"dispute_id": cmd.dispute_id}
    if cmd.before_seq:
        where["seq"] = {"$lt": cmd.before_seq}
    page = await uow.page(
        DisputeEntry, where, sort=(("seq", -1),), cursor=cmd.cursor, limit=cmd.limit
    )
    return Page([found.entry for found in page.items], page.next_cursor)


# -- the admin -------------------------------------------------------------------------------


@operation("admin.disputes", roles={Role.ADMIN}, style=Style.READ)
async def list_all_disputes(cmd: ListAll, actor: Actor, uow: UnitOfWork) -> Page[Dispute]:
    """List all disputes with their latest entries, newest first."""
    where = given(
        job_id=cmd.job_id,
        status=cmd.status,
        customer_id=cmd.customer_id,
        contractor_id=cmd.contractor_id,
    )
    return await uow.page(Dispute, where, cursor=cmd.cursor, limit=cmd.limit)


# -- rules -----------------------------------------------------------------------------------


async def _get_dispute(dispute_id: str, actor: Actor, uow: UnitOfWork) -> Dispute:
    return await uow.get(Dispute, dispute_id, **owned_by(actor, Dispute))


# -- deadlines -------------------------------------------------------------------------------


async def escalate_due(ports: Ports) -> int:
    """Escalate disputes after their deadline; returns the number of disputes that were due."""
    uow = ports.store.single()
    late = {"status": (DisputeStatus.OPEN, DisputeStatus.PROPOSED), "answer_by": {"$lte": uow.now}}
    return await transact_due(ports.store, Dispute, late, (("answer_by", 1),), CHUNK, _escalate)


async def _escalate(uow: UnitOfWork, found: Dispute) -> None:
    dispute = await uow.get(Dispute, found.id)
    if (
        dispute.status in (DisputeStatus.OPEN, DisputeStatus.PROPOSED)
        and dispute.answer_by <= uow.now
    ):
        text = "There was no answer in time."
        await add_entry(
            uow,
            dispute,
            SYSTEM,
            "escalate",
            text,
            status=DisputeStatus.ESCALATED,
            called_at=uow.now,
        )
        await alert_admins(uow, dispute)
        amount = display(dispute.amount, dispute.currency)
        await notices.notify(
            uow,
            list(dispute.parties),
            "dispute_escalated",
            f"{dispute.job_title}: escalated",
            f"There was no answer in time: an administrator decides about {amount}.",
            dispute.id,
        )
