"""Applications: a contractor applies for a job, and its customer shortlists or rejects them.

Applying does not write the job's row, because the applicants of a popular job would conflict with
each other. So an application may be created at the moment when its job is assigned to another
contractor. Such an application can only be withdrawn or rejected.
"""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.accounts.email_verification import verified_user
from domain.chat import conversation
from domain.chat.reach import require_reach
from domain.jobs.job import Amount, Job, JobStatus
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import (
    AlreadyApplied,
    ApplicationNotPending,
    EmailUnverified,
    JobNotOpen,
    NotFound,
)
from domain.kernel.fields import ContractorId, Currency, CustomerId, JobId, JobTitle, about
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Page, Record
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import Duplicate, UnitOfWork
from domain.kernel.text_types import prose
from domain.kernel.visibility import owned_by
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation

MAX_APPLICATIONS = 3  # of one contractor to one job: the first, and two more after it ended
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
ACTIVE = frozenset({ApplicationStatus.PENDING, ApplicationStatus.ACCEPTED})


class Application(Record, frozen=True):
    """A contractor's application to a job, in the job's currency at the time.

    `live` is true while it is pending or accepted. A unique index on it allows a contractor one
    such application for each job.
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
        Index((("customer_id", 1), ("_id", -1))),
        Index((("customer_id", 1), ("contractor_id", 1))),
        Index((("customer_id", 1), ("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"live"})
    PERSONAL = frozenset({"contractor_name"})

    job_id: JobId
    customer_id: CustomerId
    contractor_id: ContractorId
    contractor_name: Annotated[str, about("The contractor's name.")]
    job_title: JobTitle
    cover_letter: Annotated[str, about("What the contractor wrote.")]
    proposed_amount: Annotated[int, about("What the contractor asks for, in minor units.")]
    currency: Currency
    timeline_days: Annotated[int, about("How many days the work takes.")]
    status: Annotated[ApplicationStatus, about("Its state; `accepted` means shortlisted.")] = (
        ApplicationStatus.PENDING
    )
    live: bool = True


CREATED = Event(
    "/job-request",
    "application.created",
    Application,
    about="When a contractor applies, to the customer of the job.",
)


UPDATED = Event(
    "/job-request",
    "application.updated",
    Application,
    about="When an application is shortlisted or rejected, to the contractor; when it is "
    "withdrawn, or decided by an accepted offer or by the end of the job, to the customer "
    "as well.",
)


class Apply(Command, frozen=True):
    job_id: Annotated[Id, about("The id of the job.")]
    cover_letter: Annotated[str, prose(4000), about("Why this contractor.")]
    proposed_amount: Annotated[
        Amount, about("What the contractor asks for, in minor units of the job's currency.")
    ]
    timeline_days: Annotated[Days, about("How many days the work takes.")]


class ApplicationById(Command, frozen=True):
    application_id: Annotated[Id, about("The id of the application.")]


class List(Command, frozen=True):
    job_id: Annotated[Id, about("The id of the job.")]
    status: Annotated[ApplicationStatus | None, about("Only applications in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Own(Command, frozen=True):
    status: Annotated[ApplicationStatus | None, about("Only applications in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


async def active_application(
    uow: UnitOfWork, job_id: str, contractor_id: str
) -> Application | None:
    """The contractor's application to the job that is pending or accepted."""
    return await uow.find(
        Application, {"job_id": job_id, "contractor_id": contractor_id, "live": True}
    )


async def move_application(
    uow: UnitOfWork, application_id: str, to: ApplicationStatus, **only_if: Any
) -> Application | None:
    """Change its status and notify the applicant; None and no effect if its state forbids that.

    The customer is notified only when it is withdrawn.
    """
    changed = await move(
        uow,
        Application,
        application_id,
        to,
        steps=APPLICATION_STEPS,
        only_if=only_if,
        live=to in ACTIVE,
    )
    if changed:
        owner = [changed.customer_id] if to is ApplicationStatus.WITHDRAWN else []
        uow.publish(UPDATED, changed, to=[changed.contractor_id, *owner])
    return changed


# -- the contractor --------------------------------------------------------------------------


@operation(
    "job-request.apply",
    roles={Role.CONTRACTOR},
    limits=(Limit(60, 60),),
    errors=(AlreadyApplied, EmailUnverified, JobNotOpen, NotFound),
)
async def apply(cmd: Apply, actor: Actor, uow: UnitOfWork) -> Application:
    """Apply for an open job; again twice at most, after a withdrawal or a rejection.

    Raises NotFound (also when one of the two blocks the other), JobNotOpen, AlreadyApplied.
    """
    job = await uow.get(Job, cmd.job_id)
    if job.status is not JobStatus.OPEN:
        raise JobNotOpen
    contractor = await verified_user(uow, actor.id)
    await require_reach(uow, job.customer_id, contractor.id)
    earlier = {"contractor_id": contractor.id, "job_id": job.id}
    if await uow.count(Application, earlier, limit=MAX_APPLICATIONS) >= MAX_APPLICATIONS:
        raise AlreadyApplied(
            "You have applied to this job as often as you can.", limit=MAX_APPLICATIONS
        )
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
    except Duplicate as duplicate:
        raise AlreadyApplied from duplicate
    uow.publish(CREATED, application, to=[job.customer_id])
    return application


@operation(
    "job-request.withdraw", roles={Role.CONTRACTOR}, errors=(ApplicationNotPending, NotFound)
)
async def withdraw(cmd: ApplicationById, actor: Actor, uow: UnitOfWork) -> Application:
    """Withdraw a pending or accepted application, unless it has won the job.

    Raises NotFound, ApplicationNotPending.
    """
    application = await uow.get(Application, cmd.application_id, contractor_id=actor.id)
    if await uow.find(Job, {"_id": application.job_id, "contractor_id": actor.id}):
        raise ApplicationNotPending
    return _require_moved(await move_application(uow, application.id, ApplicationStatus.WITHDRAWN))


@operation("job-request.mine", roles={Role.CONTRACTOR}, style=Style.READ)
async def mine(cmd: Own, actor: Actor, uow: UnitOfWork) -> Page[Application]:
    """List the contractor's own applications, newest first."""
    where = given(contractor_id=actor.id, status=cmd.status)
    return await uow.page(Application, where, cursor=cmd.cursor, limit=cmd.limit)


# -- the customer -----------------------------------------------------------------------------


@operation("job-request.list", roles={Role.CUSTOMER}, style=Style.READ, errors=(NotFound,))
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Application]:
    """List the applications to the customer's own job, newest first. Raises NotFound."""
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    where = given(job_id=job.id, status=cmd.status)
    return await uow.page(Application, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("job-request.received", roles={Role.CUSTOMER}, style=Style.READ)
async def received(cmd: Own, actor: Actor, uow: UnitOfWork) -> Page[Application]:
    """List the applications to all of the customer's jobs, newest first."""
    where = given(customer_id=actor.id, status=cmd.status)
    return await uow.page(Application, where, cursor=cmd.cursor, limit=cmd.limit)


@operation(
    "job-request.accept",
    roles={Role.CUSTOMER},
    errors=(ApplicationNotPending, JobNotOpen, NotFound),
)
async def accept(cmd: ApplicationById, actor: Actor, uow: UnitOfWork) -> Application:
    """Shortlist the applicant and open their conversation.

    Raises NotFound, JobNotOpen, ApplicationNotPending.
    """
    application = await uow.get(Application, cmd.application_id, customer_id=actor.id)
    job = await uow.get(Job, application.job_id)
    if job.status is not JobStatus.OPEN:
        raise JobNotOpen
    await require_reach(uow, actor.id, application.contractor_id)
    accepted = _require_moved(
        await move_application(uow, application.id, ApplicationStatus.ACCEPTED)
    )
    await conversation.open_between(
        uow,
        job_id=job.id,
        job_title=job.title,
        customer_id=job.customer_id,
        contractor_id=accepted.contractor_id,
    )
    return accepted


@operation("job-request.reject", roles={Role.CUSTOMER}, errors=(ApplicationNotPending, NotFound))
async def reject(cmd: ApplicationById, actor: Actor, uow: UnitOfWork) -> Application:
    """Reject a pending application. Raises NotFound, ApplicationNotPending."""
    application = await uow.get(Application, cmd.application_id, customer_id=actor.id)
    return _require_moved(await move_application(uow, application.id, ApplicationStatus.REJECTED))


# -- both sides ------------------------------------------------------------------------------


@operation("job-request.get", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def get(cmd: ApplicationById, actor: Actor, uow: UnitOfWork) -> Application:
    """The applicant and the owner of the job may read it. Raises NotFound."""
    return await uow.get(Application, cmd.application_id, **owned_by(actor, Application))


def _require_moved(changed: Application | None) -> Application:
    if changed is None:
        raise ApplicationNotPending
    return changed
