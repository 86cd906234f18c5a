"""Saved searches, matched by percolation: a new job looks up the searches that it may fit.

Decision: saved searches do not run periodically. Each search is indexed by the most selective of
its conditions, its `anchor`: the word, skills, place, category or currency that the fewest open
jobs have. A job that matches a search also has its anchor, so one query with all anchors of the
job finds every candidate, and `SearchCriteria.fits` checks the other conditions. A search without
conditions has the anchor `*`.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.jobs.geo import cells_of_circle, cells_of_point
from domain.jobs.job import Job, JobStatus
from domain.jobs.search import Filters, SearchCriteria
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.batches import batches
from domain.kernel.errors import NotFound, TooMany
from domain.kernel.outbox import Event, Lane
from domain.kernel.record import Index, Page, Record
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, NoFields, Style
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports

MATCHED = Event("/job", "job.matched")

MAX_SEARCHES = 20  # for each user
COUNT_LIMIT = 200  # jobs counted for one anchor; above that it is common
CHUNK = 100  # matches published in one transaction
HITS_KEPT = timedelta(days=90)
ANYTHING = "*"


class SavedSearch(Record, frozen=True):
    """`slot` is from 0 to MAX_SEARCHES - 1. A unique index on it limits a user's searches."""

    COLLECTION = "searches"
    PREFIX = "sch"
    INDEXES = (
        Index((("user_id", 1), ("slot", 1)), unique=True, where={"slot": {"$gte": 0}}),
        Index((("anchors", 1), ("_id", 1))),
    )
    PRIVATE = frozenset({"slot", "anchors"})
    PERSONAL = frozenset({"name"})

    user_id: str
    name: str
    filters: Filters
    slot: int
    anchors: tuple[str, ...]


class SearchHit(Record, frozen=True):
    """Records that a job was pushed for a search, so it is pushed once.

    Its id consists of both ids.
    """

    COLLECTION = "searches"
    PREFIX = "hit"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    expires_at: datetime


class Matched(msgspec.Struct, frozen=True):
    search_id: str
    name: str
    job: Job


class Save(Filters, frozen=True, kw_only=True):
    PERSONAL = frozenset({"q", "name"})

    name: Annotated[str, Limits(min_length=1, max_length=80, pattern=r"\S")]


class Unsave(Command, frozen=True):
    search_id: Id


@operation("job.search_save", roles=EVERYONE)
async def save(cmd: Save, actor: Actor, uow: UnitOfWork) -> SavedSearch:
    """Save a search: new jobs that `job.list` would find with the same fields are pushed.

    Raises Invalid, TooMany.
    """
    cmd.check()
    taken = {search.slot for search in await _searches(uow, actor)}
    free = next((slot for slot in range(MAX_SEARCHES) if slot not in taken), None)
    if free is None:
        raise TooMany(limit=MAX_SEARCHES)
    fields = {name: getattr(cmd, name) for name in Filters.__struct_fields__}
    filters = Filters(**fields)
    saved = uow.new(
        SavedSearch,
        user_id=actor.id,
        name=cmd.name,
        filters=filters,
        slot=free,
        anchors=await _choose_anchors(uow, filters),
    )
    await uow.add(saved)
    return saved


@operation("job.search_unsave", roles=EVERYONE)
async def unsave(cmd: Unsave, actor: Actor, uow: UnitOfWork) -> dict[str, str]:
    """Delete a saved search. Raises NotFound."""
    if not await uow.remove(SavedSearch, {"_id": cmd.search_id, "user_id": actor.id}):
        raise NotFound
    return {"id": cmd.search_id}


@operation("job.searches", roles=EVERYONE, style=Style.READ)
async def searches(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> Page:
    """List the actor's own saved searches, newest first."""
    return Page(sorted(await _searches(uow, actor), key=lambda search: search.id, reverse=True))


async def _searches(uow: UnitOfWork, actor: Actor) -> list[SavedSearch]:
    where = {"user_id": actor.id, "slot": {"$gte": 0}}
    return await uow.all(SavedSearch, where, limit=MAX_SEARCHES)


# -- anchors ---------------------------------------------------------------------------------


async def _choose_anchors(uow: UnitOfWork, filters: Filters) -> tuple[str, ...]:
    """The anchors of the most selective condition: the one that the fewest open jobs have."""
    best: tuple[str, ...] = (ANYTHING,)
    least = COUNT_LIMIT + 1
    for anchors, where in _anchor_candidates(SearchCriteria.of(filters)):
        count = await uow.count(Job, {**where, "status": JobStatus.OPEN}, limit=COUNT_LIMIT)
        if count < least:
            best, least = anchors, count
    return best


def _anchor_candidates(
    criteria: SearchCriteria,
) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    """The anchors of each condition, with the query that counts its jobs.

    Conditions that tend to be selective come first: they win a tie.
    """
    query = criteria.query()
    for word in criteria.words:
        yield (f"word:{word}",), {"terms": word}
    if criteria.skills:
        anchors = tuple(f"skill:{skill}" for skill in criteria.skills)
        yield anchors, {"skill_keys": query["skill_keys"]}
    if criteria.near:
        cells = cells_of_circle((criteria.near.lon, criteria.near.lat), criteria.radius_km)
        yield tuple(f"cell:{cell}" for cell in cells), {"point": query["point"]}
    if criteria.category:
        yield (f"category:{criteria.category}",), {"category_key": criteria.category}
    if criteria.budget.currency:
        yield (f"currency:{criteria.budget.currency}",), {"currency": criteria.budget.currency}


def anchors_of(job: Job) -> tuple[str, ...]:
    """Every anchor that a search matching this job may have."""
    cells = cells_of_point(job.point["coordinates"]) if job.point else ()
    return (
        *(f"word:{term}" for term in job.terms),
        *(f"skill:{skill}" for skill in job.skill_keys),
        *(f"cell:{cell}" for cell in cells),
        f"category:{job.category_key}",
        f"currency:{job.currency}",
        ANYTHING,
    )


# -- matching --------------------------------------------------------------------------------


class MatchSavedSearches(Task, frozen=True, tag="match_saved_searches"):
    """Push a job to the owners of the searches that it matches.

    Each push leaves a SearchHit, so another run pushes nothing twice.
    """

    lane = Lane.SEARCH

    job_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        job = await uow.find(Job, {"_id": self.job_id})
        if job is None or job.status is not JobStatus.OPEN:
            return
        async for matching in batches(_matching(uow, job), CHUNK):
            await ports.store.transact(partial(_publish_new_hits, job=job, matching=matching))


async def _matching(uow: UnitOfWork, job: Job) -> AsyncIterator[SavedSearch]:
    """The saved searches of other users that match the job."""
    async for saved in uow.each(SavedSearch, {"anchors": anchors_of(job)}, (("_id", 1),)):
        if saved.user_id != job.customer_id and SearchCriteria.of(saved.filters).fits(job):
            yield saved


async def _publish_new_hits(uow: UnitOfWork, job: Job, matching: Sequence[SavedSearch]) -> None:
    matches = {f"{saved.id}:{job.id}": saved for saved in matching}
    hits = await uow.all(SearchHit, {"_id": tuple(matches)}, limit=len(matches))
    known = {hit.id for hit in hits}
    new = {id: saved for id, saved in matches.items() if id not in known}
    expires_at = uow.now + HITS_KEPT
    await uow.add_all([uow.new(SearchHit, id=id, expires_at=expires_at) for id in new])
    for saved in new.values():
        uow.publish(MATCHED, Matched(saved.id, saved.name, job), to=[saved.user_id])
