"""Jobs: what a customer wants done, how it is found, and its way until the work begins.

Reading one job is `applications.read_job`: who may do that depends on who applied. Delivering,
completing and cancelling concern its money and live in `completion.py`.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec import Meta as Limits

from domain import search
from domain.accounts import Skill, User
from domain.documents import Sort
from domain.errors import (
    CurrencyNotSupported,
    Invalid,
    JobNotAssigned,
    JobNotOpen,
    JobTaken,
)
from domain.money import CURRENCIES, MAX_AMOUNT
from domain.operation import (
    EVERYONE,
    Actor,
    Command,
    CurrencyCode,
    Cursor,
    Id,
    PageSize,
    Role,
    Style,
    operation,
)
from domain.outbox import Event
from domain.record import Index, Page, Record
from domain.states import Steps, move
from domain.store import NEWEST, UnitOfWork, new_id

UPDATED = Event("/job", "job.updated")

EARTH_RADIUS_KM = 6378.1  # MongoDB manual, "Calculate distances using spherical geometry"
DEFAULT_RADIUS_KM = 50.0

Title = Annotated[str, Limits(min_length=1, max_length=120, pattern=r"\S")]
Description = Annotated[str, Limits(min_length=1, max_length=8000, pattern=r"\S")]
Category = Annotated[str, Limits(min_length=1, max_length=60, pattern=r"\S")]
Skills = Annotated[tuple[Skill, ...], Limits(max_length=20)]
Amount = Annotated[int, Limits(ge=1, le=MAX_AMOUNT)]
Longitude = Annotated[float, Limits(ge=-180, le=180)]
Latitude = Annotated[float, Limits(ge=-90, le=90)]


class JobStatus(StrEnum):
    OPEN = "open"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


JOB_STEPS: Steps = {
    JobStatus.OPEN: (JobStatus.ASSIGNED, JobStatus.CANCELLED),
    JobStatus.ASSIGNED: (JobStatus.IN_PROGRESS, JobStatus.COMPLETED, JobStatus.CANCELLED),
    JobStatus.IN_PROGRESS: (JobStatus.COMPLETED, JobStatus.CANCELLED),
}


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lon: Longitude
    lat: Latitude
    label: Annotated[str, Limits(max_length=120)] = ""


# Behind the order of a list: filters on these are answered from the index, so that documents
# are fetched only if they fit.
_DETAILS = (("currency", 1), ("budget_max_amount", 1), ("budget_min_amount", 1))


class Job(Record, frozen=True):
    """Budgets are minor units of `currency`. Public while open.

    `accepting_offer_id` is set while an acceptance is under way. `category_key` and `skill_keys`
    are folded for comparison, `terms` are the words it is found by, `point` is GeoJSON.
    """

    COLLECTION = "jobs"
    PREFIX = "job"
    INDEXES = (
        Index((("status", 1), ("_id", -1), *_DETAILS)),
        Index((("status", 1), ("category_key", 1), ("_id", -1), *_DETAILS)),
        Index((("status", 1), ("skill_keys", 1), ("_id", -1), ("category_key", 1), *_DETAILS)),
        Index((("terms", 1), ("status", 1), ("_id", -1), ("category_key", 1), *_DETAILS)),
        Index((("point", "2dsphere"), ("status", 1))),
        Index((("status", 1), ("currency", 1), ("budget_max_amount", -1), ("_id", -1))),
        Index((("status", 1), ("budget_max_amount", -1), ("_id", -1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("customer_id", 1), ("status", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"accepting_offer_id", "category_key", "skill_keys", "terms", "point"})

    customer_id: str
    customer_name: str
    title: str
    description: str
    category: str
    skills: tuple[str, ...]
    budget_min_amount: int
    budget_max_amount: int
    currency: str
    location: Location | None
    status: JobStatus = JobStatus.OPEN
    contractor_id: str | None = None
    offer_id: str | None = None
    delivered_at: datetime | None = None
    delivery_note: str = ""
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    dispute_id: str | None = None
    accepting_offer_id: str | None = None
    category_key: str = ""
    skill_keys: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    point: dict[str, Any] | None = None


def announce(uow: UnitOfWork, job: Job, *, market: bool = False) -> None:
    """Tell both sides; `market` also tells every contractor: the job is, or just was, open."""
    parties = [job.customer_id, *([job.contractor_id] if job.contractor_id else [])]
    room = f"role:{Role.CONTRACTOR}" if market else None
    uow.publish(UPDATED, job, to=parties, room=room)


# -- posting ---------------------------------------------------------------------------------


class Create(Command, frozen=True):
    title: Title
    description: Description
    category: Category
    budget_min_amount: Amount
    budget_max_amount: Amount
    currency: CurrencyCode
    skills: Skills = ()
    location: Location | None = None


class Update(Command, frozen=True):
    """The fields that change; `location: null` takes the location away."""

    job_id: Id
    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    budget_min_amount: Amount | UnsetType = UNSET
    budget_max_amount: Amount | UnsetType = UNSET
    currency: CurrencyCode | UnsetType = UNSET
    skills: Skills | UnsetType = UNSET
    location: Location | UnsetType | None = UNSET


@operation("job.create", roles={Role.CUSTOMER})
async def create(cmd: Create, actor: Actor, uow: UnitOfWork) -> Job:
    """Post a job. Raises CurrencyNotSupported, Invalid for a budget that is upside down."""
    customer = await uow.get(User, actor.id)
    job = Job(
        id=new_id(Job.PREFIX), created_at=uow.now, updated_at=uow.now, customer_id=customer.id,
        customer_name=customer.name, **msgspec.structs.asdict(cmd),
    )  # fmt: skip
    job = msgspec.structs.replace(job, **_checked(job))
    await uow.add(job)
    announce(uow, job, market=True)
    return job


@operation("job.update", roles={Role.CUSTOMER})
async def update(cmd: Update, actor: Actor, uow: UnitOfWork) -> Job:
    """Change an open job. Raises JobNotOpen, JobTaken, CurrencyNotSupported, Invalid."""
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    given = msgspec.structs.asdict(cmd).items()
    fields = {name: v for name, v in given if v is not UNSET and name != "job_id"}
    derived = _checked(msgspec.structs.replace(job, **fields))
    changed = await uow.change(
        Job, job.id, only_if={"status": JobStatus.OPEN, "accepting_offer_id": None},
        **fields, **derived,
    )  # fmt: skip
    if changed is None:
        raise JobNotOpen if job.status is not JobStatus.OPEN else JobTaken
    announce(uow, changed, market=True)
    return changed


def _checked(job: Job) -> dict[str, Any]:
    """The fields that follow from the others. Raises CurrencyNotSupported, Invalid."""
    if job.currency not in CURRENCIES:
        raise CurrencyNotSupported(f"currency: {job.currency} is not known.", field="currency")
    if job.budget_min_amount > job.budget_max_amount:
        raise Invalid(
            "budget_max_amount: it is lower than budget_min_amount.", field="budget_max_amount"
        )
    place = job.location
    return {
        "category_key": search.fold(job.category),
        "skill_keys": tuple(dict.fromkeys(search.fold(skill) for skill in job.skills)),
        "terms": search.terms((job.title, job.category, *job.skills, job.description)),
        "point": {"type": "Point", "coordinates": [place.lon, place.lat]} if place else None,
    }


# -- finding ---------------------------------------------------------------------------------


class JobSort(StrEnum):
    NEWEST = "newest"
    BUDGET = "budget"


SORTS: Mapping[JobSort, Sort] = {
    JobSort.NEWEST: NEWEST,
    JobSort.BUDGET: (("budget_max_amount", -1), *NEWEST),
}


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lon: Longitude
    lat: Latitude


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fits jobs whose own range overlaps this one."""

    min_amount: Annotated[int, Limits(ge=0, le=MAX_AMOUNT)] | None = None
    max_amount: Annotated[int, Limits(ge=0, le=MAX_AMOUNT)] | None = None
    currency: CurrencyCode | None = None


class List(Command, frozen=True):
    """All the words of `q`, any of the `skills`. `budget` sorts the highest first."""

    q: Annotated[str, Limits(max_length=200)] | None = None
    category: Category | None = None
    skills: Skills | None = None
    near: Near | None = None
    radius_km: Annotated[float, Limits(gt=0, le=1000)] | None = None
    budget: Budget | None = None
    status: JobStatus = JobStatus.OPEN
    sort: JobSort = JobSort.NEWEST
    cursor: Cursor | None = None
    limit: PageSize = 20


class Mine(Command, frozen=True):
    status: JobStatus | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("job.list", roles=EVERYONE, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """Search open jobs, or one's own in another state.

    One filter at a time (a word, a category, skills, a place, a budget) is answered from its
    index; category, currency and budget may be added to any of them at no cost. Several words, or
    words together with skills or a place, look at every job that has the rarer one of them.
    """
    if cmd.near is None and cmd.radius_km is not None:
        raise Invalid("near: say around which place `radius_km` is meant.", field="near")
    return await uow.page(
        Job, selection(cmd, actor), sort=SORTS[cmd.sort], cursor=cmd.cursor, limit=cmd.limit
    )


@operation("job.mine", roles=EVERYONE, style=Style.READ)
async def mine(cmd: Mine, actor: Actor, uow: UnitOfWork) -> Page:
    """A customer's own jobs; the jobs that a contractor was given."""
    where: dict[str, Any] = own(actor)
    if cmd.status:
        where["status"] = cmd.status
    return await uow.page(Job, where, cursor=cmd.cursor, limit=cmd.limit)


def own(actor: Actor) -> dict[str, Any]:
    """The filter for what is the actor's own, on either side of a job."""
    return {"contractor_id" if actor.role is Role.CONTRACTOR else "customer_id": actor.id}


def selection(cmd: List, actor: Actor) -> dict[str, Any]:
    """What `cmd` asks for, as far as the actor may see it; the most selective filter first."""
    where: dict[str, Any] = {}
    if words := search.asked(cmd.q or ""):
        where["terms"] = words[0] if len(words) == 1 else {"$all": list(words)}
    where["status"] = cmd.status
    if cmd.status is not JobStatus.OPEN and actor.role is not Role.ADMIN:
        where |= own(actor)
    if cmd.category:
        where["category_key"] = search.fold(cmd.category)
    if cmd.skills:
        keys = tuple(dict.fromkeys(search.fold(skill) for skill in cmd.skills))
        where["skill_keys"] = keys if len(keys) > 1 else keys[0]
    if cmd.near:
        radius = (cmd.radius_km or DEFAULT_RADIUS_KM) / EARTH_RADIUS_KM
        circle = [[cmd.near.lon, cmd.near.lat], radius]
        where["point"] = {"$geoWithin": {"$centerSphere": circle}}
    return where | (_overlapping(cmd.budget) if cmd.budget else {})


def _overlapping(budget: Budget) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if budget.currency:
        where["currency"] = budget.currency
    if budget.min_amount is not None:
        where["budget_max_amount"] = {"$gte": budget.min_amount}
    if budget.max_amount is not None:
        where["budget_min_amount"] = {"$lte": budget.max_amount}
    return where


# -- the work --------------------------------------------------------------------------------


class Start(Command, frozen=True):
    job_id: Id


@operation("job.start", roles={Role.CONTRACTOR})
async def start(cmd: Start, actor: Actor, uow: UnitOfWork) -> Job:
    """Begin the work. Raises JobNotAssigned."""
    job = await uow.get(Job, cmd.job_id, contractor_id=actor.id)
    started = await move(uow, Job, job.id, JobStatus.IN_PROGRESS, steps=JOB_STEPS)
    if started is None:
        raise JobNotAssigned
    announce(uow, started)
    return started
