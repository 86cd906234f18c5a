"""Opens the conversation of a customer and an applicant."""

from typing import Annotated

from domain.chat.conversation import Conversation, SeenConversation, open_between
from domain.chat.member_view import seen_by
from domain.chat.reach import require_reach
from domain.jobs.applications import Application, ApplicationStatus
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.operation import operation

NOT_WITHDRAWN = tuple(
    status for status in ApplicationStatus if status is not ApplicationStatus.WITHDRAWN
)


class Open(Command, frozen=True):
    """`user_id` is the other member."""

    job_id: Annotated[Id, about("The id of the job.")]
    user_id: Annotated[Id, about("The id of the other one.")]


@operation("chat.open", roles=PARTIES, errors=(NotFound,))
async def open_(cmd: Open, actor: Actor, uow: UnitOfWork) -> SeenConversation:
    """Open or find the conversation of a job's customer and one of its applicants.

    Raises NotFound if the contractor has no application to the job, or has withdrawn it, and
    instead of opening a new one for two who may not reach each other.
    """
    customer, contractor = actor.id, cmd.user_id
    if actor.role is Role.CONTRACTOR:
        customer, contractor = contractor, customer
    application = await uow.find(
        Application,
        {
            "job_id": cmd.job_id,
            "customer_id": customer,
            "contractor_id": contractor,
            "status": NOT_WITHDRAWN,
        },
    )
    if application is None:
        raise NotFound
    about_job = {"job_id": cmd.job_id, "contractor_id": contractor}
    if await uow.find(Conversation, about_job) is None:
        await require_reach(uow, customer, contractor)
    conversation = await open_between(
        uow,
        job_id=application.job_id,
        job_title=application.job_title,
        customer_id=customer,
        contractor_id=contractor,
    )
    (seen,) = await seen_by(uow, actor.id, [conversation])
    return seen
