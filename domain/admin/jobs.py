"""Jobs as administrators list them: all of them, also those that are closed."""

from typing import Annotated

from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


class Jobs(Command, frozen=True):
    customer_id: Annotated[Id | None, about("Only jobs of this customer.")] = None
    contractor_id: Annotated[Id | None, about("Only jobs assigned to this contractor.")] = None
    status: Annotated[JobStatus | None, about("Only jobs in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.jobs", roles=ADMINS, style=Style.READ)
async def jobs(cmd: Jobs, actor: Actor, uow: UnitOfWork) -> Page[Job]:
    """List all jobs, newest first."""
    where = given(customer_id=cmd.customer_id, contractor_id=cmd.contractor_id, status=cmd.status)
    return await uow.page(Job, where, cursor=cmd.cursor, limit=cmd.limit)
