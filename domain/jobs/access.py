"""The read permission for one job."""

from domain.jobs.applications import Application
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation


class ReadJob(Command, frozen=True):
    job_id: Id


@operation("job.get", roles=EVERYONE, style=Style.READ)
async def read_job(cmd: ReadJob, actor: Actor, uow: UnitOfWork) -> Job:
    """Everyone reads an open job; later only its two sides, its applicants and administrators.

    Raises NotFound.
    """
    job = await uow.get(Job, cmd.job_id)
    public = job.status is JobStatus.OPEN or actor.role is Role.ADMIN
    if public or actor.id in (job.customer_id, job.contractor_id):
        return job
    if await uow.find(Application, {"contractor_id": actor.id, "job_id": job.id}) is None:
        raise NotFound
    return job
