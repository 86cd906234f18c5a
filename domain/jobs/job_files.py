"""The files that a customer adds to a job, and who reads them.

While the job is open all contractors and administrators read them, then only its two sides and
administrators. They are attached to the job, as are the files of a delivery, which the contractor
owns.
"""

from collections.abc import Sequence

from domain.files.file import Attachment, attach, change_readers, detach
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import Role
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork


async def set_files(uow: UnitOfWork, job: Job, file_ids: Sequence[str]) -> tuple[Attachment, ...]:
    """Attach these files to an open job and detach its others. Raises NotFound, Conflict."""
    files = await attach(uow, file_ids, job.customer_id, job.id, _readers(job))
    kept = {file.id for file in files}
    removed = [file.id for file in job.files if file.id not in kept]
    await detach(uow, removed, job.customer_id, job.id)
    return files


async def restrict_files(uow: UnitOfWork, job: Job) -> None:
    """Let only the two sides and administrators read the files of a job that is not open."""
    ids = [file.id for file in job.files]
    await change_readers(uow, ids, job.customer_id, job.id, _readers(job))


def _readers(job: Job) -> list[str]:
    admins = role_room(Role.ADMIN)
    if job.status is JobStatus.OPEN:
        return [role_room(Role.CONTRACTOR), admins]
    return [*([job.contractor_id] if job.contractor_id else []), admins]
