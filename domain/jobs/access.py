"""The read permission for one job."""

from typing import Annotated

from domain.jobs.applications import Application
from domain.jobs.job import Job, JobStatus
from domain.jobs.views import seen_by
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation


class ReadJob(Command, frozen=True):
    job_id: Annotated[Id, about("The id of the job.")]


@operation("job.get", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def read_job(cmd: ReadJob, actor: Actor, uow: UnitOfWork) -> Job:
    """Everyone reads an open job; later only its two sides, its applicants and administrators.

    Applicants who did not get it read its public part. Raises NotFound.
    """
    job = await uow.get(Job, cmd.job_id)
    seen = seen_by(actor, job)
    if seen is job or job.status is JobStatus.OPEN:
        return seen
    if await uow.find(Application, {"contractor_id": actor.id, "job_id": job.id}) is None:
        raise NotFound
    return seen
