"""Applications: a contractor asks for a job, its owner shortlists or declines.

Applying never writes the job's row: a popular job would make its applicants wait for each other.
So one that comes in the very moment the job is given away may stand on a taken job; nothing can
be done with it but to withdraw or reject it.
"""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.chat import conversation
from domain.jobs.job import Amount, Job, JobStatus, own
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import AlreadyApplied, ApplicationNotPending, JobNotOpen
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Page, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation

CREATED = Event("/job-request", "application.created")
UPDATED = Event("/job-request", "application.updated")


Days = Annotated[int, Limits(ge=1, le=365)]


class ApplicationStatus(StrEnum):
    """`accepted` means shortlisted: the chat is open and an offer may follow."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


APPLICATION_STEPS: Steps = {
    ApplicationStatus.PENDING: (
        ApplicationStatus.ACCEPTED,
        ApplicationStatus.REJECTED,
        ApplicationStatus.WITHDRAWN,
    ),
    ApplicationStatus.ACCEPTED: (ApplicationStatus.WITHDRAWN,),
}
LIVE = frozenset({ApplicationStatus.PENDING, ApplicationStatus.ACCEPTED})


class Application(Record, frozen=True):
    """`proposed_amount` is in minor units of `currency`, the job's at the time.

    `live` is true while it stands, so that a contractor has one standing application per job.
    """

    COLLECTION = "jobapplicationrequests"
    PREFIX = "app"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True, where={"live": True}),
        Index((("job_id", 1), ("_id", -1))),
        Index((("job_id", 1), ("status", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("status", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("job_id", 1))),
    )
    PRIVATE = frozenset({"live"})

    job_id: str
    customer_id: str
    contractor_id: str
    contractor_name: str
    job_title: str
    cover_letter: str
    proposed_amount: int
    currency: str
    timeline_days: int
    status: ApplicationStatus = ApplicationStatus.PENDING
    live: bool = True


class Apply(Command, frozen=True):
    job_id: Id
    cover_letter: Annotated[str, Limits(min_length=1, max_length=4000, pattern=r"\S")]
    proposed_amount: Amount
    timeline_days: Days


class One(Command, frozen=True):
    application_id: Id


class List(Command, frozen=True):
    job_id: Id
    status: ApplicationStatus | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Mine(Command, frozen=True):
    status: ApplicationStatus | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


async def standing(uow: UnitOfWork, job_id: str, contractor_id: str) -> Application | None:
    """The contractor's application to the job that is pending or accepted."""
    return await uow.find(
        Application, {"job_id": job_id, "contractor_id": contractor_id, "live": True}
    )


async def take(
    uow: UnitOfWork, application_id: str, to: ApplicationStatus, **only_if: Any
) -> Application | None:
    """Take a step and tell the applicant; None (and no effect) if it is not possible."""
    changed = await move(
        uow,
        Application,
        application_id,
        to,
        steps=APPLICATION_STEPS,
        only_if=only_if,
        live=to in LIVE,
    )
    if changed:
        both = to is ApplicationStatus.WITHDRAWN
        owner = [changed.customer_id] if both else []
        uow.publish(UPDATED, changed, to=[changed.contractor_id, *owner])
    return changed


# -- the contractor --------------------------------------------------------------------------


@operation("job-request.apply", roles={Role.CONTRACTOR})
async def apply(cmd: Apply, actor: Actor, uow: UnitOfWork) -> Application:
    """Ask for an open job. Raises NotFound, JobNotOpen, AlreadyApplied."""
    job = await uow.get(Job, cmd.job_id)
    if job.status is not JobStatus.OPEN:
        raise JobNotOpen
    contractor = await uow.get(User, actor.id)
    application = uow.new(
        Application,
        job_id=job.id,
        customer_id=job.customer_id,
        contractor_id=contractor.id,
        contractor_name=contractor.name,
        job_title=job.title,
        cover_letter=cmd.cover_letter,
        proposed_amount=cmd.proposed_amount,
        currency=job.currency,
        timeline_days=cmd.timeline_days,
    )
    try:
        await uow.add(application)
    except Duplicate as standing_one:
        raise AlreadyApplied from standing_one
    uow.publish(CREATED, application, to=[job.customer_id])
    return application


@operation("job-request.withdraw", roles={Role.CONTRACTOR})
async def withdraw(cmd: One, actor: Actor, uow: UnitOfWork) -> Application:
    """Take a standing application back, until one has the job. Raises ApplicationNotPending."""
    application = await uow.get(Application, cmd.application_id, contractor_id=actor.id)
    if await uow.find(Job, {"_id": application.job_id, "contractor_id": actor.id}):
        raise ApplicationNotPending
    return _done(await take(uow, application.id, ApplicationStatus.WITHDRAWN))


@operation("job-request.mine", roles={Role.CONTRACTOR}, style=Style.READ)
async def mine(cmd: Mine, actor: Actor, uow: UnitOfWork) -> Page:
    """One's own applications, newest first."""
    where = {"contractor_id": actor.id, **({"status": cmd.status} if cmd.status else {})}
    return await uow.page(Application, where, cursor=cmd.cursor, limit=cmd.limit)


# -- the owner of the job --------------------------------------------------------------------


@operation("job-request.list", roles={Role.CUSTOMER}, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """The applications to one's own job, newest first. Raises NotFound."""
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    where = {"job_id": job.id, **({"status": cmd.status} if cmd.status else {})}
    return await uow.page(Application, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("job-request.accept", roles={Role.CUSTOMER})
async def accept(cmd: One, actor: Actor, uow: UnitOfWork) -> Application:
    """Shortlist the applicant and open the chat. Raises JobNotOpen, ApplicationNotPending."""
    application = await uow.get(Application, cmd.application_id, customer_id=actor.id)
    job = await uow.get(Job, application.job_id)
    if job.status is not JobStatus.OPEN:
        raise JobNotOpen
    accepted = _done(await take(uow, application.id, ApplicationStatus.ACCEPTED))
    await conversation.open_between(
        uow,
        job_id=job.id,
        job_title=job.title,
        customer_id=job.customer_id,
        contractor_id=accepted.contractor_id,
    )
    return accepted


@operation("job-request.reject", roles={Role.CUSTOMER})
async def reject(cmd: One, actor: Actor, uow: UnitOfWork) -> Application:
    """Decline a pending application. Raises ApplicationNotPending."""
    application = await uow.get(Application, cmd.application_id, customer_id=actor.id)
    return _done(await take(uow, application.id, ApplicationStatus.REJECTED))


# -- both sides ------------------------------------------------------------------------------


@operation("job-request.get", roles=PARTIES, style=Style.READ)
async def get(cmd: One, actor: Actor, uow: UnitOfWork) -> Application:
    """For the applicant and the owner of the job. Raises NotFound."""
    return await uow.get(Application, cmd.application_id, **own(actor))


def _done(changed: Application | None) -> Application:
    if changed is None:
        raise ApplicationNotPending
    return changed
