"""Open jobs, for readers without an account. They see no more of a customer than the first name."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.jobs.access import ReadJob
from domain.jobs.job import Category, Job, JobStatus, Location
from domain.jobs.search import JobSort, SearchCriteria, SearchFilters, found_jobs
from domain.jobs.views import public_part
from domain.kernel.actor import ANYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import Currency, about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import line
from domain.operations.command import Command, Cursor, Style
from domain.operations.limits import Limit, Per
from domain.operations.operation import operation
from domain.ports.job_index import JobIndex

READS = Limit(120, 60, Per.ADDRESS, "public_jobs")


class PublicJob(msgspec.Struct, frozen=True):
    """An open job, as people without an account see it."""

    id: Annotated[str, about("Identifies the job.")]
    version: Annotated[int, about("Counts its changes.")]
    created_at: Annotated[datetime, about("When it was posted.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    customer_name: Annotated[str, about("The customer's first name.")]
    title: Annotated[str, about("What is to be done, in one line.")]
    description: Annotated[str, about("What is to be done.")]
    category: Annotated[str, about("The kind of work, free text.")]
    skills: Annotated[tuple[str, ...], about("What the contractor should be good at.")]
    budget_min_amount: Annotated[
        int, about("The least that the customer will pay, in minor units.")
    ]
    budget_max_amount: Annotated[int, about("The most that the customer will pay, in minor units.")]
    currency: Currency
    location: Annotated[
        Location | None, about("Where, rounded to about 1 km. Null if it is anywhere.")
    ]

    @classmethod
    def of(cls, job: Job) -> "PublicJob":
        seen = public_part(job)
        fields = {name: getattr(seen, name) for name in cls.__struct_fields__}
        return cls(**fields | {"customer_name": job.customer_name.partition(" ")[0]})


class ListPublic(Command, frozen=True):
    PERSONAL = frozenset({"q"})

    q: Annotated[Annotated[str, line(200, least=0)] | None, about("Words that all must occur.")] = (
        None
    )
    category: Annotated[Category | None, about("The kind of work, compared without case.")] = None
    cursor: Cursor | None = None
    limit: Annotated[int, Limits(ge=1, le=20), about("At most so many items.")] = 10


@operation("job.public", roles=ANYONE, style=Style.READ, limits=(READS,), searches=True)
async def public(
    cmd: ListPublic, actor: Actor | None, uow: UnitOfWork, index: JobIndex
) -> Page[PublicJob]:
    """List open jobs for people without an account, newest first; up to 30 s old."""
    wanted = SearchCriteria.of(SearchFilters(q=cmd.q, category=cmd.category), uow.rates)
    guard = {"status": JobStatus.OPEN}
    page = await found_jobs(uow, index, wanted, guard, JobSort.NEWEST, cmd.cursor, cmd.limit)
    return Page([PublicJob.of(job) for job in page.items], page.next_cursor)


@operation("job.public_one", roles=ANYONE, style=Style.READ, limits=(READS,), errors=(NotFound,))
async def public_one(cmd: ReadJob, actor: Actor | None, uow: UnitOfWork) -> PublicJob:
    """One open job, for people without an account; up to 30 s old. Raises NotFound."""
    return PublicJob.of(await uow.get(Job, cmd.job_id, status=JobStatus.OPEN))
