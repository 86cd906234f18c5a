"""Job search. The same criteria run as a MongoDB query and as a test of one job.

`job.list` uses the query and saved searches use the test, so both find the same jobs.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.jobs.geo import EARTH_RADIUS_KM, distance_km
from domain.jobs.job import Category, Job, JobStatus, Latitude, Longitude, Skills
from domain.jobs.nearest import page_of_nearest
from domain.jobs.views import page_seen_by
from domain.kernel import text_search
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.documents import Sort, given
from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import about
from domain.kernel.money import MAX_AMOUNT
from domain.kernel.record import Page
from domain.kernel.store import NEWEST, UnitOfWork
from domain.kernel.visibility import owned_by
from domain.operations.command import Command, CurrencyCode, Cursor, PageSize, Style
from domain.operations.operation import operation

DEFAULT_RADIUS_KM = 50.0


class JobSort(StrEnum):
    """`budget`: the highest budget first. `distance`: the nearest to `near` first."""

    NEWEST = "newest"
    BUDGET = "budget"
    DISTANCE = "distance"


SORTS: Mapping[JobSort, Sort] = {
    JobSort.NEWEST: NEWEST,
    JobSort.BUDGET: (("budget_max_amount", -1), *NEWEST),
}


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The place that a search is about."""

    lon: Annotated[Longitude, about("The longitude, in degrees.")]
    lat: Annotated[Latitude, about("The latitude, in degrees.")]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Matches jobs whose budget overlaps this range."""

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
        Annotated[str, Limits(max_length=200)] | None, about("Words that all must occur.")
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
    """The sort `budget` puts the highest budget first, `distance` the nearest, of which it lists
    200; it needs `near`."""

    status: Annotated[JobStatus, about("Others than `open` only of one's own jobs.")] = (
        JobStatus.OPEN
    )
    sort: Annotated[
        JobSort,
        about("`budget` puts the highest budget first, `distance` the 200 nearest to `near`."),
    ] = JobSort.NEWEST
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("job.list", roles=EVERYONE, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Job]:
    """Search open jobs, or the actor's own jobs in another state. Places are rounded to about 1 km.

    Cost: a single filter (a word, a category, skills, a place, a budget) is answered from its
    index, and category, currency and budget may be added to any of them at no cost. Several words,
    or words together with skills or a place, read every job that matches the rarer one of them.
    """
    cmd.check()
    where = list_query(cmd, actor)
    if cmd.sort is JobSort.DISTANCE:
        page = await _nearest(cmd, where, uow)
    else:
        page = await uow.page(Job, where, sort=SORTS[cmd.sort], cursor=cmd.cursor, limit=cmd.limit)
    return page_seen_by(actor, page)


async def _nearest(cmd: List, where: dict[str, Any], uow: UnitOfWork) -> Page[Job]:
    """Raises Invalid without a place."""
    if cmd.near is None:
        raise Invalid("this is required to sort by distance.", field="near", rule=Rule.REQUIRED)
    others = {field: value for field, value in where.items() if field != "point"}
    place, radius = (cmd.near.lon, cmd.near.lat), cmd.radius_km or DEFAULT_RADIUS_KM
    return await page_of_nearest(uow, place, radius, others, cmd.cursor, cmd.limit)


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
    """Filters, normalized for comparison with jobs."""

    words: tuple[str, ...]
    category: str | None
    skills: tuple[str, ...]
    near: Near | None
    radius_km: float
    budget: Budget

    @classmethod
    def of(cls, filters: SearchFilters) -> "SearchCriteria":
        return cls(
            words=text_search.query_terms(filters.q or ""),
            category=text_search.fold(filters.category) if filters.category else None,
            skills=tuple(dict.fromkeys(text_search.fold(skill) for skill in filters.skills or ())),
            near=filters.near,
            radius_km=filters.radius_km or DEFAULT_RADIUS_KM,
            budget=filters.budget or Budget(),
        )

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for criteria that match the same jobs, in any order."""
        near = (self.near, self.radius_km) if self.near else None
        return frozenset(self.words), self.category, frozenset(self.skills), near, self.budget

    @property
    def is_empty(self) -> bool:
        """Whether it matches every job."""
        budget = self.budget
        amounts = budget.min_amount or budget.max_amount is not None
        return not (
            self.words or self.category or self.skills or self.near or amounts or budget.currency
        )

    def query(self) -> dict[str, Any]:
        """The MongoDB filter; the most selective field comes first."""
        where: dict[str, Any] = {}
        if self.words:
            all_words = {"$all": list(self.words)}
            where["terms"] = self.words[0] if len(self.words) == 1 else all_words
        if self.category:
            where["category_key"] = self.category
        if self.skills:
            where["skill_keys"] = self.skills if len(self.skills) > 1 else self.skills[0]
        if self.near:
            circle = [[self.near.lon, self.near.lat], self.radius_km / EARTH_RADIUS_KM]
            where["point"] = {"$geoWithin": {"$centerSphere": circle}}
        return where | _budget_query(self.budget)

    def fits(self, job: Job) -> bool:
        """Whether `query` would match the job."""
        budget = self.budget
        return (
            set(self.words) <= set(job.terms)
            and self.category in (None, job.category_key)
            and (not self.skills or not set(self.skills).isdisjoint(job.skill_keys))
            and (self.near is None or self._is_near(self.near, job))
            and budget.currency in (None, job.currency)
            and (budget.min_amount is None or job.budget_max_amount >= budget.min_amount)
            and (budget.max_amount is None or job.budget_min_amount <= budget.max_amount)
        )

    def _is_near(self, near: Near, job: Job) -> bool:
        if job.point is None:
            return False
        return distance_km((near.lon, near.lat), job.point["coordinates"]) <= self.radius_km


def list_query(cmd: List, actor: Actor) -> dict[str, Any]:
    """The MongoDB filter of a list, limited to what the actor may see."""
    where: dict[str, Any] = {"status": cmd.status}
    if cmd.status is not JobStatus.OPEN and actor.role is not Role.ADMIN:
        where |= owned_by(actor, Job)
    return where | SearchCriteria.of(cmd).query()


def _budget_query(budget: Budget) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if budget.currency:
        where["currency"] = budget.currency
    if budget.min_amount is not None:
        where["budget_max_amount"] = {"$gte": budget.min_amount}
    if budget.max_amount is not None:
        where["budget_min_amount"] = {"$lte": budget.max_amount}
    return where
