"""Job search: what a search asks for, the list of what it finds, and the test of one job.

`job.list` asks the job index and saved searches test single jobs, with the same criteria. The index
decides what is found and in which order; the records are then read by id with their guards, so
nothing that a caller may not read is ever shown.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from math import ceil, floor
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.jobs.geo import distance_km
from domain.jobs.job import Category, Job, JobStatus, Latitude, Longitude, Skills
from domain.jobs.job_words import job_words, words_of_query
from domain.jobs.views import page_seen_by
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.documents import given, pack_cursor, unpack_cursor
from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import about
from domain.kernel.money import CURRENCIES, MAX_AMOUNT
from domain.kernel.paging import read_within
from domain.kernel.record import Page
from domain.kernel.settings import Rates
from domain.kernel.store import UnitOfWork
from domain.kernel.text_analysis import QueryWord, name_key
from domain.kernel.text_types import line
from domain.kernel.visibility import owned_by
from domain.operations.command import Command, CurrencyCode, Cursor, PageSize, Style
from domain.operations.operation import operation
from domain.ports.job_index import Amounts, Circle, Hit, JobIndex, JobQuery, Order, Position

DEFAULT_RADIUS_KM = 50.0


class JobSort(StrEnum):
    """`relevance`: jobs with the words in their title first, then in their skills, then in their
    text, and newer ones before older ones. `budget`: the highest budget first. `distance`: the
    nearest to `near` first."""

    NEWEST = "newest"
    BUDGET = "budget"
    DISTANCE = "distance"
    RELEVANCE = "relevance"


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The place that a search is about."""

    lon: Annotated[Longitude, about("The longitude, in degrees.")]
    lat: Annotated[Latitude, about("The latitude, in degrees.")]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Matches jobs whose budget overlaps this range. Without `currency` the amounts are in the
    platform's main currency, and budgets in others are compared by its exchange rates; without
    rates they do not match."""

    min_amount: Annotated[
        Annotated[int, Limits(ge=0, le=MAX_AMOUNT)] | None,
        about("The budget reaches at least this, in minor units."),
    ] = None
    max_amount: Annotated[
        Annotated[int, Limits(ge=0, le=MAX_AMOUNT)] | None,
        about("The budget begins at most here, in minor units."),
    ] = None
    currency: Annotated[CurrencyCode | None, about("A code of three letters, such as USD.")] = None


class SearchFilters(Command, frozen=True):
    """A job matches if it has all words of `q`, any of the `skills`, and every other value."""

    PERSONAL = frozenset({"q"})

    q: Annotated[
        Annotated[str, line(200, least=0)] | None,
        about(
            "Words that all must occur, in any form, or with one wrong letter if no job has them. "
            "Frequent ones such as `the` count only without others; signs alone find nothing."
        ),
    ] = None
    category: Annotated[Category | None, about("The kind of work, compared without case.")] = None
    skills: Annotated[Skills | None, about("Skills, of which one must be asked for.")] = None
    near: Annotated[Near | None, about("The middle of a circle.")] = None
    radius_km: Annotated[
        Annotated[float, Limits(gt=0, le=1000)] | None,
        about("The radius of the circle, in km; 50 if it is not given."),
    ] = None
    budget: Annotated[Budget | None, about("The range of the budget.")] = None

    def check(self) -> None:
        """Raises Invalid."""
        if self.near is None and self.radius_km is not None:
            raise Invalid("this is required with `radius_km`.", field="near", rule=Rule.REQUIRED)


class List(SearchFilters, frozen=True):
    """The sort `relevance` puts the best matches first, `budget` the highest budget, `distance`
    the nearest; that one needs `near`."""

    status: Annotated[JobStatus, about("Others than `open` only of one's own jobs.")] = (
        JobStatus.OPEN
    )
    sort: Annotated[
        JobSort,
        about(
            "`relevance` puts the best matches first, `budget` the highest budget, `distance` the "
            "nearest to `near`."
        ),
    ] = JobSort.NEWEST
    cursor: Cursor | None = None
    limit: PageSize = 20


class FoundJob(Job, frozen=True, kw_only=True):
    """A job that a search found."""

    distance_km: Annotated[
        float | None,
        about("How far it is from `near`, in km, to about 1 km; null without that."),
    ] = None


@operation("job.list", roles=EVERYONE, style=Style.READ, searches=True)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork, index: JobIndex) -> Page[FoundJob]:
    """Search open jobs, or the actor's own jobs in another state. Places are rounded to about 1 km.

    A new or changed job is found within a second.
    """
    cmd.check()
    if cmd.sort is JobSort.DISTANCE and cmd.near is None:
        raise Invalid("this is required to sort by distance.", field="near", rule=Rule.REQUIRED)
    criteria = SearchCriteria.of(cmd, uow.rates)
    guard: dict[str, Any] = {"status": cmd.status}
    if cmd.status is not JobStatus.OPEN and actor.role is not Role.ADMIN:
        guard |= owned_by(actor, Job)
    page = await found_jobs(uow, index, criteria, guard, cmd.sort, cmd.cursor, cmd.limit)
    return page_seen_by(actor, page)


async def found_jobs(
    uow: UnitOfWork,
    index: JobIndex,
    criteria: "SearchCriteria",
    guard: Mapping[str, Any],
    sort: JobSort,
    cursor: str | None,
    limit: int,
) -> Page[FoundJob]:
    """A page of the jobs that match the criteria and the guard, a filter of `status`,
    `customer_id` and `contractor_id`. Raises Invalid for a cursor, Unavailable."""
    after = unpack_cursor(cursor, Position) if cursor else None
    if criteria.nothing:
        return Page([])
    budgets = criteria.budgets
    if sort is JobSort.BUDGET and not budgets:
        budgets = all_budgets(uow.rates)
    query = msgspec.structs.replace(
        criteria.query(),
        status=guard.get("status"),
        customer_id=guard.get("customer_id"),
        contractor_id=guard.get("contractor_id"),
        budgets=budgets,
    )
    last: dict[str, Position] = {}

    async def found() -> AsyncIterator[FoundJob]:
        position, more = after, True
        while more:
            hits, more = await index.find(query, Order(sort), position, limit + 1)
            for hit, job in await _read(uow, hits, guard):
                last[job.id] = hit.position
                away = None if hit.distance_km is None else round(hit.distance_km, 1)
                yield FoundJob(**msgspec.structs.asdict(job), distance_km=away)
            if hits:
                position = hits[-1].position

    items, more = await read_within(found(), limit)
    if not more:
        return Page(items)
    return Page(items, pack_cursor(msgspec.structs.astuple(last[items[-1].id])))


async def _read(
    uow: UnitOfWork, hits: Sequence[Hit], guard: Mapping[str, Any]
) -> list[tuple[Hit, Job]]:
    """The records of the hits that still meet the guard, in the order of the hits."""
    if not hits:
        return []
    where = {**guard, "_id": tuple(hit.id for hit in hits)}
    records = uow.readable(Job, uow.documents(Job, where, (("_id", 1),)))
    jobs = {job.id: job async for job in records}
    return [(hit, jobs[hit.id]) for hit in hits if hit.id in jobs]


class Mine(Command, frozen=True):
    status: Annotated[JobStatus | None, about("Only jobs in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("job.mine", roles=EVERYONE, style=Style.READ)
async def mine(cmd: Mine, actor: Actor, uow: UnitOfWork) -> Page[Job]:
    """List a customer's own jobs, or the jobs assigned to a contractor; newest first."""
    where = owned_by(actor, Job) | given(status=cmd.status)
    return page_seen_by(actor, await uow.page(Job, where, cursor=cmd.cursor, limit=cmd.limit))


class SearchCriteria(msgspec.Struct, frozen=True):
    """Filters, normalized for comparison with jobs. `nothing` matches no job: a query without a
    word or number."""

    words: tuple[QueryWord, ...]
    category: str | None
    skills: tuple[str, ...]
    near: Near | None
    radius_km: float
    budget: Budget
    budgets: tuple[Amounts, ...]
    nothing: bool

    @classmethod
    def of(cls, filters: SearchFilters, rates: Rates) -> "SearchCriteria":
        words = words_of_query(filters.q)
        budget = filters.budget or Budget()
        return cls(
            words=words,
            category=name_key(filters.category) if filters.category else None,
            skills=tuple(dict.fromkeys(map(name_key, filters.skills or ()))),
            near=filters.near,
            radius_km=filters.radius_km or DEFAULT_RADIUS_KM,
            budget=budget,
            budgets=_budgets(budget, rates),
            nothing=bool(filters.q and filters.q.strip()) and not words,
        )

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for criteria that match the same jobs, in any order."""
        near = (self.near, self.radius_km) if self.near else None
        words = frozenset(word.key for word in self.words if not word.frequent)
        return words, self.category, frozenset(self.skills), near, self.budget, self.nothing

    @property
    def is_empty(self) -> bool:
        """Whether it matches every job."""
        return not (
            self.words or self.category or self.skills or self.near or self.budgets or self.nothing
        )

    def query(self) -> JobQuery:
        """What the index is asked for."""
        near = self.near
        return JobQuery(
            status=JobStatus.OPEN,
            words=self.words,
            category=self.category,
            skills=self.skills,
            near=Circle(near.lon, near.lat, self.radius_km) if near else None,
            budgets=self.budgets,
        )

    def fits(self, job: Job, unknown: tuple[str, ...] = ()) -> bool:
        """Whether a search with these criteria finds the job. Of the words in `unknown` one letter
        may differ."""
        words = job_words(job)
        return (
            not self.nothing
            and self.category in (None, words.category_key)
            and (not self.skills or not words.skill_names.keys().isdisjoint(self.skills))
            and (self.near is None or self._is_near(self.near, job))
            and (not self.budgets or any(_overlaps(each, job) for each in self.budgets))
            and all(word.frequent or words.have(word, unknown) for word in self.words)
        )

    def _is_near(self, near: Near, job: Job) -> bool:
        if job.point is None:
            return False
        return distance_km((near.lon, near.lat), job.point["coordinates"]) <= self.radius_km


# -- budgets ---------------------------------------------------------------------------------


def _budgets(budget: Budget, rates: Rates) -> tuple[Amounts, ...]:
    """The amounts of each currency that overlap a budget; none if any budget does."""
    lowest, highest = budget.min_amount or None, budget.max_amount
    if budget.currency:
        return (Amounts(budget.currency, lowest, highest),)
    if lowest is None and highest is None:
        return ()
    return tuple(
        Amounts(
            code,
            None if lowest is None else ceil(round(lowest / rate, 6)),
            None if highest is None else floor(round(highest / rate, 6)),
            rate,
        )
        for code, rate in _comparable(rates).items()
    )


def all_budgets(rates: Rates) -> tuple[Amounts, ...]:
    """Every budget in an order of comparison: those with an exchange rate by their value, then
    the other currencies, each for itself."""
    comparable = _comparable(rates)
    others = sorted(code for code in CURRENCIES if code not in comparable)
    return (
        *(Amounts(code, rate=rate) for code, rate in comparable.items()),
        *(Amounts(code, rank=rank) for rank, code in enumerate(others, 1)),
    )


def _comparable(rates: Rates) -> dict[str, float]:
    """The value of one minor unit in minor units of the main currency, by currency."""
    main = rates.currencies[0]
    shift = CURRENCIES[main].exponent
    found = {main: 1.0}
    for code, rate in rates.exchange.items():
        if code in CURRENCIES and code != main:
            found[code] = rate * 10.0 ** (shift - CURRENCIES[code].exponent)
    return found


def _overlaps(amounts: Amounts, job: Job) -> bool:
    return (
        amounts.currency == job.currency
        and (amounts.lowest is None or job.budget_max_amount >= amounts.lowest)
        and (amounts.highest is None or job.budget_min_amount <= amounts.highest)
    )
