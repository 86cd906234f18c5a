"""Saved searches: a new job looks up who is waiting for it.

Decision: the searches are not run again and again. Each is found by one of its own demands, an
`anchor`: the word, the skills, the place, the category or the currency that the fewest jobs have.
A job that fits has that too, so one query with the keys of the job finds all that may fit, and the
rest is compared here. Whoever searches for anything at all is found by `*`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.jobs.geo import cells_around, cells_at
from domain.jobs.job import Job, JobStatus
from domain.jobs.search import Filters, Wanted
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound, TooMany
from domain.kernel.outbox import Event, Lane
from domain.kernel.record import Index, Page, Record
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Nothing, Style
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports

MATCHED = Event("/job", "job.matched")

MOST = 20  # of one user
COUNTED = 200  # what more jobs have than that is common
CHUNK = 100  # matches told in one transaction
KEPT = timedelta(days=90)  # that somebody was told
ANYTHING = "*"


class SavedSearch(Record, frozen=True):
    """`place` is a free one of the user's few, so that there are never more."""

    COLLECTION = "searches"
    PREFIX = "sch"
    INDEXES = (
        Index((("user_id", 1), ("place", 1)), unique=True, where={"place": {"$gte": 0}}),
        Index((("anchors", 1), ("_id", 1))),
    )
    PRIVATE = frozenset({"place", "anchors"})

    user_id: str
    name: str
    filters: Filters
    place: int
    anchors: tuple[str, ...]


class Told(Record, frozen=True):
    """That a search has matched a job; its id says both."""

    COLLECTION = "searches"
    PREFIX = "told"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    expires_at: datetime


class Matched(msgspec.Struct, frozen=True):
    search_id: str
    name: str
    job: Job


class Save(Filters, frozen=True, kw_only=True):
    name: Annotated[str, Limits(min_length=1, max_length=80, pattern=r"\S")]


class Unsave(Command, frozen=True):
    search_id: Id


@operation("job.search_save", roles=EVERYONE)
async def save(cmd: Save, actor: Actor, uow: UnitOfWork) -> SavedSearch:
    """Be told of new jobs that `job.list` would find with the same fields.

    Raises Invalid, TooMany.
    """
    cmd.check()
    taken = {each.place for each in await _searches(uow, actor)}
    free = next((place for place in range(MOST) if place not in taken), None)
    if free is None:
        raise TooMany(limit=MOST)
    fields = {name: getattr(cmd, name) for name in Filters.__struct_fields__}
    filters = Filters(**fields)
    saved = uow.new(
        SavedSearch,
        user_id=actor.id,
        name=cmd.name,
        filters=filters,
        place=free,
        anchors=await _anchors(uow, filters),
    )
    await uow.add(saved)
    return saved


@operation("job.search_unsave", roles=EVERYONE)
async def unsave(cmd: Unsave, actor: Actor, uow: UnitOfWork) -> dict[str, str]:
    """Raises NotFound."""
    if not await uow.remove(SavedSearch, {"_id": cmd.search_id, "user_id": actor.id}):
        raise NotFound
    return {"id": cmd.search_id}


@operation("job.searches", roles=EVERYONE, style=Style.READ)
async def searches(cmd: Nothing, actor: Actor, uow: UnitOfWork) -> Page:
    """One's own, the newest first."""
    return Page(sorted(await _searches(uow, actor), key=lambda each: each.id, reverse=True))


async def _searches(uow: UnitOfWork, actor: Actor) -> list[SavedSearch]:
    where = {"user_id": actor.id, "place": {"$gte": 0}}
    return await uow.all(SavedSearch, where, limit=MOST)


# -- anchors ---------------------------------------------------------------------------------


async def _anchors(uow: UnitOfWork, filters: Filters) -> tuple[str, ...]:
    """Of all that the search demands, what the fewest open jobs have."""
    best: tuple[str, ...] = (ANYTHING,)
    least = COUNTED + 1
    for anchors, where in _demands(Wanted.of(filters)):
        count = await uow.count(Job, {**where, "status": JobStatus.OPEN}, limit=COUNTED)
        if count < least:
            best, least = anchors, count
    return best


def _demands(wanted: Wanted) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    """Anchors with the query that counts their jobs; what tends to be rare comes first."""
    query = wanted.query()
    for word in wanted.words:
        yield (f"word:{word}",), {"terms": word}
    if wanted.skills:
        anchors = tuple(f"skill:{skill}" for skill in wanted.skills)
        yield anchors, {"skill_keys": query["skill_keys"]}
    if wanted.near:
        cells = cells_around((wanted.near.lon, wanted.near.lat), wanted.radius_km)
        yield tuple(f"cell:{cell}" for cell in cells), {"point": query["point"]}
    if wanted.category:
        yield (f"category:{wanted.category}",), {"category_key": wanted.category}
    if wanted.budget.currency:
        yield (f"currency:{wanted.budget.currency}",), {"currency": wanted.budget.currency}


def keys(job: Job) -> tuple[str, ...]:
    """Every anchor by which a search that fits this job may be kept."""
    cells = cells_at(job.point["coordinates"]) if job.point else ()
    return (
        *(f"word:{term}" for term in job.terms),
        *(f"skill:{skill}" for skill in job.skill_keys),
        *(f"cell:{cell}" for cell in cells),
        f"category:{job.category_key}",
        f"currency:{job.currency}",
        ANYTHING,
    )


# -- matching --------------------------------------------------------------------------------


class Match(Task, frozen=True, tag="match_saved_searches"):
    """Tell those who wait for such a job. What was told is kept, so it may run again."""

    lane = Lane.SEARCH

    job_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        job = await uow.find(Job, {"_id": self.job_id})
        if job is None or job.status is not JobStatus.OPEN:
            return
        fitting: list[SavedSearch] = []
        async for saved in uow.each(SavedSearch, {"anchors": keys(job)}, (("_id", 1),)):
            if saved.user_id != job.customer_id and Wanted.of(saved.filters).fits(job):
                fitting.append(saved)
            if len(fitting) == CHUNK:
                await ports.store.transact(partial(_tell, job=job, fitting=fitting))
                fitting = []
        if fitting:
            await ports.store.transact(partial(_tell, job=job, fitting=fitting))


async def _tell(uow: UnitOfWork, job: Job, fitting: Sequence[SavedSearch]) -> None:
    marks = {f"{saved.id}:{job.id}": saved for saved in fitting}
    there = {told.id for told in await uow.all(Told, {"_id": tuple(marks)}, limit=len(marks))}
    new = {id: saved for id, saved in marks.items() if id not in there}
    await uow.add_all([uow.new(Told, id=id, expires_at=uow.now + KEPT) for id in new])
    for saved in new.values():
        uow.publish(MATCHED, Matched(saved.id, saved.name, job), to=[saved.user_id])
