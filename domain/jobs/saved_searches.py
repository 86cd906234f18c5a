"""Saved searches, matched by percolation: a new job looks up the searches that it may fit.

Decision: saved searches do not run periodically. Each search is indexed by the most selective of
its conditions, its `anchor`: the word in all its forms, the skills, place, category or currency
that the fewest open jobs have. A job that matches a search also has its anchor, so one query with
all anchors of the job finds every candidate, and `SearchCriteria.fits` checks the other conditions.
A search without selective conditions, such as a budget alone, has the anchor `*`; one without any
condition is not saved.

A task reads a limited number of searches and continues by a task of its own, so that a job with
many matches delays neither other jobs nor other work. A user gets one push for each job, however
many of their searches match.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from domain.chat.reach import blocked_with
from domain.jobs.geo import cells_of_circle, cells_of_point
from domain.jobs.job import Job, JobStatus
from domain.jobs.job_words import MAX_QUERY_WORDS, job_words
from domain.jobs.search import SearchCriteria, SearchFilters
from domain.jobs.views import public_part
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.batches import stretch
from domain.kernel.bounds import Bounded
from domain.kernel.documents import any_of, given
from domain.kernel.errors import Conflict, Invalid, NotFound, Rule, TooMany
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Lane
from domain.kernel.record import Index, Page, Record, wire
from domain.kernel.settings import Rates
from domain.kernel.store import UnitOfWork
from domain.kernel.text_analysis import ANALYSIS
from domain.kernel.text_types import line
from domain.operations.command import Command, Id, NoFields, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.job_index import Amounts, JobIndex, JobQuery
from domain.ports.ports import Ports

MAX_SEARCHES = 20  # for each user
MAX_COUNTED = 2000  # new jobs of all searches of a user
COUNT_LIMIT = 200  # jobs counted for one anchor; above that it is common
SCANNED = 500  # searches read by one task
CHUNK = 50  # users to whom one task pushes a job
MAX_PUSHED_BYTES = 16 * 2**20  # of one revision of a job to all users; their feeds store each push
HITS_KEPT = timedelta(days=90)
ANYTHING = "*"
MAX_ANCHORS = 40  # of one search
RENEWED = 100  # searches


class SavedSearch(Record, frozen=True):
    """A search whose new jobs are pushed to its user.

    `slot` is from 0 to MAX_SEARCHES - 1. A unique index on it limits a user's searches. `unknown`
    are the words that no job had when the search was saved: of these one letter may differ, as in
    the list that the user saw. `analysis` is the version of the text analysis of the anchors.
    """

    COLLECTION = "searches"
    PREFIX = "sch"
    INDEXES = (
        Index((("user_id", 1), ("slot", 1)), unique=True, where={"slot": {"$gte": 0}}),
        Index((("anchors", 1), ("_id", 1))),
        Index((("analysis", 1), ("_id", 1)), where={"slot": {"$gte": 0}}),
    )
    PRIVATE = frozenset({"slot", "anchors", "unknown", "analysis"})
    PERSONAL = frozenset({"name"})

    user_id: Annotated[str, about("The id of the user who saved it.")]
    name: Annotated[str, about("What they call it.")]
    filters: Annotated[SearchFilters, about("What it looks for.")]
    slot: int
    anchors: Annotated[tuple[str, ...], Bounded(MAX_ANCHORS)]
    unknown: Annotated[tuple[str, ...], Bounded(MAX_QUERY_WORDS)] = ()
    analysis: int = 0
    seen_at: Annotated[
        datetime | None, about("When the user last looked at its jobs; null if never.")
    ] = None


class SeenSearch(SavedSearch, frozen=True, kw_only=True):
    """A saved search, with the number of jobs that were pushed since the user looked."""

    new_count: Annotated[
        int,
        about(
            "How many jobs were pushed for it since `seen_at`, or since it was saved. A job that "
            "fits several searches counts for one of them."
        ),
    ]


class SearchHit(Record, frozen=True):
    """Records that a job was pushed to a user, so it is pushed once.

    Its id is the job's and the user's: `job_...:usr_...`.
    """

    COLLECTION = "searches"
    PREFIX = "hit"
    INDEXES = (
        Index((("expires_at", 1),), ttl_seconds=0),
        Index((("search_id", 1), ("created_at", 1)), where={"search_id": {"$gt": ""}}),
    )

    expires_at: datetime
    search_id: str = ""


class MatchedJob(msgspec.Struct, frozen=True):
    """A job that fits a saved search."""

    search_id: Annotated[str, about("The id of the saved search.")]
    name: Annotated[str, about("The name of the saved search.")]
    job: Annotated[Job, about("The public part of the job.")]


MATCHED = Event(
    "/job",
    "job.matched",
    MatchedJob,
    about="When a job is posted or changed and fits a saved search, to the user who saved it; "
    "once for each job.",
)


class Save(SearchFilters, frozen=True, kw_only=True):
    PERSONAL = frozenset({"q", "name"})

    name: Annotated[str, line(80), about("What the user calls it.")]


class Update(SearchFilters, frozen=True, kw_only=True):
    """Conditions replace all of the earlier ones; without any, those stay."""

    PERSONAL = frozenset({"q", "name"})

    search_id: Annotated[Id, about("The id of the saved search.")]
    name: Annotated[
        Annotated[str, line(80)] | None, about("What the user calls it from now on.")
    ] = None


class BySearch(Command, frozen=True):
    search_id: Annotated[Id, about("The id of the saved search.")]


class UnsavedSearch(msgspec.Struct, frozen=True):
    """The search that was deleted."""

    id: Annotated[str, about("The id of the deleted search.")]


@operation(
    "job.search_save", roles=EVERYONE, limits=(Limit(30, 60),), errors=(TooMany,), searches=True
)
async def save(cmd: Save, actor: Actor, uow: UnitOfWork, index: JobIndex) -> SavedSearch:
    """Save a search: new jobs that `job.list` would find with the same fields are pushed.

    A search with the conditions of an earlier one is that one, with the new name. Raises Invalid
    without conditions or for a `q` without a word, TooMany.
    """
    filters = _filters_of(cmd)
    criteria = _checked_criteria(filters, uow.rates)
    existing = await _searches(uow, actor)
    for saved in existing:
        if SearchCriteria.of(saved.filters, uow.rates).identity == criteria.identity:
            return await _renamed(uow, saved, cmd.name)
    taken = {search.slot for search in existing}
    free = next((slot for slot in range(MAX_SEARCHES) if slot not in taken), None)
    if free is None:
        raise TooMany(limit=MAX_SEARCHES)
    saved = uow.new(
        SavedSearch,
        user_id=actor.id,
        name=cmd.name,
        filters=filters,
        slot=free,
        **await _derived(criteria, index),
    )
    await uow.add(saved)
    return saved


@operation(
    "job.search_update",
    roles=EVERYONE,
    limits=(Limit(30, 60),),
    errors=(NotFound,),
    searches=True,
)
async def update(cmd: Update, actor: Actor, uow: UnitOfWork, index: JobIndex) -> SavedSearch:
    """Change the name or the conditions of a saved search.

    Raises NotFound, Conflict if another search of the user has these conditions, Invalid for a `q`
    without a word.
    """
    saved = await uow.get(SavedSearch, cmd.search_id, user_id=actor.id)
    fields: dict[str, Any] = given(name=cmd.name)
    filters = _filters_of(cmd)
    filters.check()
    wanted = SearchCriteria.of(filters, uow.rates)
    if not wanted.is_empty:
        _require_words(wanted)
        for other in await _searches(uow, actor):
            same = SearchCriteria.of(other.filters, uow.rates).identity == wanted.identity
            if same and other.id != saved.id:
                raise Conflict("Another saved search has these conditions.")
        fields |= {"filters": filters, **await _derived(wanted, index)}
    if not fields:
        return saved
    changed = await uow.change(SavedSearch, saved.id, **fields)
    assert changed is not None, "the search was just read in this transaction"
    return changed


@operation("job.search_seen", roles=EVERYONE, errors=(NotFound,))
async def seen(cmd: BySearch, actor: Actor, uow: UnitOfWork) -> SavedSearch:
    """Count the new jobs of a saved search from now on. Raises NotFound."""
    own = {"user_id": actor.id}
    changed = await uow.change(SavedSearch, cmd.search_id, only_if=own, seen_at=uow.now)
    if changed is None:
        raise NotFound
    return changed


def _filters_of(cmd: SearchFilters) -> SearchFilters:
    return SearchFilters(**{name: getattr(cmd, name) for name in SearchFilters.__struct_fields__})


def _checked_criteria(filters: SearchFilters, rates: Rates) -> SearchCriteria:
    """Raises Invalid."""
    filters.check()
    criteria = SearchCriteria.of(filters, rates)
    _require_words(criteria)
    if criteria.is_empty:
        raise Invalid(
            "give words, a category, skills, a place or a budget.", field="q", rule=Rule.REQUIRED
        )
    return criteria


def _require_words(criteria: SearchCriteria) -> None:
    """Raises Invalid."""
    if criteria.nothing:
        raise Invalid("this needs a word: signs alone find nothing.", field="q", rule=Rule.VALUE)


async def _renamed(uow: UnitOfWork, saved: SavedSearch, name: str) -> SavedSearch:
    if saved.name == name:
        return saved
    renamed = await uow.change(SavedSearch, saved.id, name=name)
    assert renamed is not None, "the search was just read in this transaction"
    return renamed


@operation("job.search_unsave", roles=EVERYONE, errors=(NotFound,))
async def unsave(cmd: BySearch, actor: Actor, uow: UnitOfWork) -> UnsavedSearch:
    """Delete a saved search. Raises NotFound."""
    if not await uow.remove(SavedSearch, {"_id": cmd.search_id, "user_id": actor.id}):
        raise NotFound
    return UnsavedSearch(cmd.search_id)


@operation("job.searches", roles=EVERYONE, style=Style.READ)
async def searches(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> Page[SeenSearch]:
    """List the actor's own saved searches, newest first."""
    found = sorted(await _searches(uow, actor), key=lambda search: search.id, reverse=True)
    counts = await _count_new(uow, found)
    return Page(
        [SeenSearch(**msgspec.structs.asdict(each), new_count=counts[each.id]) for each in found]
    )


async def _count_new(uow: UnitOfWork, found: Sequence[SavedSearch]) -> Counter[str]:
    """The jobs that were pushed for each search since it was seen, MAX_COUNTED in all."""
    since = {each.id: each.seen_at or each.created_at for each in found}
    if not since:
        return Counter()
    hits = await uow.aggregate(
        SearchHit,
        [
            {
                "$match": {
                    "search_id": {"$in": list(since)},
                    "created_at": {"$gt": min(since.values())},
                }
            },
            {"$limit": MAX_COUNTED},
            {"$project": {"search_id": 1, "created_at": 1}},
        ],
    )
    return Counter(hit["search_id"] for hit in hits if hit["created_at"] > since[hit["search_id"]])


async def _searches(uow: UnitOfWork, actor: Actor) -> list[SavedSearch]:
    where = {"user_id": actor.id, "slot": {"$gte": 0}}
    return await uow.all(SavedSearch, where, limit=MAX_SEARCHES)


# -- anchors ---------------------------------------------------------------------------------


async def _derived(criteria: SearchCriteria, index: JobIndex) -> dict[str, Any]:
    """The private fields that follow from the conditions."""
    unknown = await index.unknown(criteria.query())
    anchors = await _choose_anchors(criteria, unknown, index)
    return {"anchors": anchors, "unknown": unknown, "analysis": ANALYSIS}


async def _choose_anchors(
    criteria: SearchCriteria, unknown: Sequence[str], index: JobIndex
) -> tuple[str, ...]:
    """The anchors of the most selective condition: the one that the fewest open jobs have."""
    best: tuple[str, ...] = (ANYTHING,)
    least = COUNT_LIMIT + 1
    for anchors, query in _anchor_candidates(criteria, unknown):
        count = await index.count(query)
        if count < least:
            best, least = anchors, count
    return best


def _anchor_candidates(
    criteria: SearchCriteria, unknown: Sequence[str]
) -> Iterable[tuple[tuple[str, ...], JobQuery]]:
    """The anchors of each condition, with the query that counts its jobs.

    Conditions that tend to be selective come first: they win a tie. A word that may have a wrong
    letter has no anchor.
    """
    query = criteria.query()
    alone = JobQuery(status=query.status)
    for word in sorted(criteria.words, key=lambda word: -len(word.text)):
        if not word.frequent and word.text not in unknown:
            anchors = tuple(f"word:{token}" for token in sorted(word.tokens))
            yield anchors, msgspec.structs.replace(alone, words=(word,))
    if criteria.skills:
        anchors = tuple(f"skill:{skill}" for skill in criteria.skills)
        yield anchors, msgspec.structs.replace(alone, skills=query.skills)
    if criteria.near:
        cells = cells_of_circle((criteria.near.lon, criteria.near.lat), criteria.radius_km)
        anchors = tuple(f"cell:{cell}" for cell in cells)
        yield anchors, msgspec.structs.replace(alone, near=query.near)
    if criteria.category:
        anchors = (f"category:{criteria.category}",)
        yield anchors, msgspec.structs.replace(alone, category=query.category)
    if code := criteria.budget.currency:
        yield (f"currency:{code}",), msgspec.structs.replace(alone, budgets=(Amounts(code),))


def anchors_of(job: Job) -> tuple[str, ...]:
    """Every anchor that a search matching this job may have."""
    cells = cells_of_point(job.point["coordinates"]) if job.point else ()
    words = job_words(job)
    return (
        *(f"word:{token}" for token in sorted(words.all)),
        *(f"skill:{skill}" for skill in words.skill_names),
        *(f"cell:{cell}" for cell in cells),
        f"category:{words.category_key}",
        f"currency:{job.currency}",
        ANYTHING,
    )


async def renew_anchors(ports: Ports) -> int:
    """Choose the anchors again of searches that an older text analysis chose. Returns how many."""
    uow, total, last = ports.store.single(), 0, ""
    old = {"analysis": (None, *range(ANALYSIS)), "slot": {"$gte": 0}}
    while True:
        found, last = await stretch(uow, SavedSearch, old, last, RENEWED)
        for saved in found:
            criteria = SearchCriteria.of(saved.filters, uow.rates)
            same = {"_id": saved.id, "version": saved.version}
            await uow.set_private(SavedSearch, same, **await _derived(criteria, ports.job_index))
        total += len(found)
        if not last:
            return total


# -- matching --------------------------------------------------------------------------------


class MatchSavedSearches(Task, frozen=True, tag="match_saved_searches"):
    """Push a job to the users with searches that it matches, from the search `after` on.

    Each push leaves a SearchHit, so another run pushes nothing twice. A run for an older revision
    of the job does nothing, because the change of the job has queued a run of its own.
    """

    lane = Lane.SEARCH

    job_id: str
    revision: int = 0
    after: str = ""
    pushed: int = 0  # bytes

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        job = await uow.find(Job, {"_id": self.job_id})
        if job is None or job.status is not JobStatus.OPEN:
            return
        if self.revision < job.search_revision:
            return
        found, last = await _next_matches(uow, job, self.after)
        blocked = await blocked_with(uow, job.customer_id, [saved.user_id for saved in found])
        matching = [saved for saved in found if saved.user_id not in blocked]

        async def work(uow: UnitOfWork) -> None:
            new = await _publish_new_hits(uow, job=job, matching=matching)
            pushed = self.pushed + new * len(msgspec.json.encode(wire(job)))
            if last and pushed < MAX_PUSHED_BYTES:
                uow.later(MatchSavedSearches(job.id, self.revision, last, pushed))

        if matching or last:
            await ports.store.transact(work)


async def _next_matches(uow: UnitOfWork, job: Job, after: str) -> tuple[list[SavedSearch], str]:
    """Matching searches of other users, one of each, and the id of the last search that was read.

    The id is empty when there are no more searches.
    """
    anchors = {"anchors": anchors_of(job)}
    found, last = await stretch(uow, SavedSearch, anchors, after, SCANNED)
    matching: dict[str, SavedSearch] = {}
    for saved in found:
        if saved.user_id == job.customer_id or saved.user_id in matching:
            continue
        if SearchCriteria.of(saved.filters, uow.rates).fits(job, saved.unknown):
            matching[saved.user_id] = saved
        if len(matching) == CHUNK:
            return list(matching.values()), saved.id
    return list(matching.values()), last


async def _publish_new_hits(uow: UnitOfWork, job: Job, matching: Sequence[SavedSearch]) -> int:
    """Push the job to the owners of these searches who did not get it before: their number."""
    matches = {f"{job.id}:{saved.user_id}": saved for saved in matching}
    hits = await uow.all(SearchHit, {"_id": tuple(matches)}, limit=len(matches) or 1)
    known = {hit.id for hit in hits}
    new = {id: saved for id, saved in matches.items() if id not in known}
    expires_at = uow.now + HITS_KEPT
    await uow.add_all(
        [
            uow.new(SearchHit, id=id, expires_at=expires_at, search_id=saved.id)
            for id, saved in new.items()
        ]
    )
    public = public_part(job)
    for saved in new.values():
        uow.publish(MATCHED, MatchedJob(saved.id, saved.name, public), to=[saved.user_id])
    return len(new)


async def users_notified(uow: UnitOfWork, job_ids: Sequence[str]) -> set[str]:
    """The users to whom one of these jobs was pushed for a saved search."""
    found: set[str] = set()
    for start in range(0, len(job_ids), CHUNK):
        ranges = [
            {"_id": {"$gte": f"{id}:", "$lt": f"{id};"}} for id in job_ids[start : start + CHUNK]
        ]
        hits = await uow.distinct(SearchHit, "_id", any_of(ranges))
        found |= {str(id).partition(":")[2] for id in hits}
    return found
