"""Creates and updates jobs, and matches them with saved searches."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from domain.accounts.email_verification import verified_user
from domain.files.file import FileIds
from domain.jobs.job import (
    Amount,
    Category,
    Description,
    Job,
    JobStatus,
    Location,
    Skills,
    Title,
)
from domain.jobs.job_files import set_files
from domain.jobs.saved_searches import MatchSavedSearches
from domain.jobs.views import MARKET_PUSHES, publish_job
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import (
    CurrencyNotSupported,
    EmailUnverified,
    Invalid,
    JobNotOpen,
    JobTaken,
    NotFound,
    Rule,
)
from domain.kernel.fields import about
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, CurrencyCode, Id
from domain.operations.limits import Limit, Usage
from domain.operations.operation import operation


def _posting_cost(cmd: "Create", usage: Usage) -> float:
    """The feed of every user with a matching search stores the job."""
    return 1 + usage.size // 4096


POSTING = Limit(60, 60, cost=_posting_cost)


class Create(Command, frozen=True):
    PERSONAL = frozenset({"location"})

    title: Annotated[Title, about("What is to be done, in one line.")]
    description: Annotated[Description, about("What is to be done.")]
    category: Annotated[Category, about("The kind of work, free text.")]
    budget_min_amount: Annotated[
        Amount, about("The least that the customer will pay, in minor units.")
    ]
    budget_max_amount: Annotated[
        Amount, about("The most that the customer will pay, in minor units.")
    ]
    currency: Annotated[
        CurrencyCode,
        about("Of the budget, and of all offers; a code of three letters, such as USD."),
    ]
    skills: Annotated[Skills, about("What the contractor should be good at.")] = ()
    location: Annotated[
        Location | None, about("Where; others than the two sides see it rounded to about 1 km.")
    ] = None
    file_ids: Annotated[
        FileIds, about("Own files, of `files.upload`; contractors can read them.")
    ] = ()


class Update(Command, frozen=True):
    """The fields to change; `location: null` removes the location, `file_ids: []` the files."""

    PERSONAL = frozenset({"location"})

    job_id: Annotated[Id, about("The id of the job.")]
    title: Annotated[Title | UnsetType, about("What is to be done, in one line.")] = UNSET
    description: Annotated[Description | UnsetType, about("What is to be done.")] = UNSET
    category: Annotated[Category | UnsetType, about("The kind of work, free text.")] = UNSET
    budget_min_amount: Annotated[
        Amount | UnsetType, about("The least that the customer will pay, in minor units.")
    ] = UNSET
    budget_max_amount: Annotated[
        Amount | UnsetType, about("The most that the customer will pay, in minor units.")
    ] = UNSET
    currency: Annotated[
        CurrencyCode | UnsetType,
        about("Of the budget, and of all offers; a code of three letters, such as USD."),
    ] = UNSET
    skills: Annotated[Skills | UnsetType, about("What the contractor should be good at.")] = UNSET
    location: Annotated[Location | UnsetType | None, about("Where; null removes it.")] = UNSET
    file_ids: Annotated[
        FileIds | UnsetType, about("All files that it has then; those left out are removed.")
    ] = UNSET


@operation(
    "job.create",
    roles={Role.CUSTOMER},
    limits=(POSTING, MARKET_PUSHES),
    errors=(CurrencyNotSupported, EmailUnverified, NotFound),
)
async def create(cmd: Create, actor: Actor, uow: UnitOfWork) -> Job:
    """Post a job. Raises CurrencyNotSupported, EmailUnverified, Invalid for a minimum above the
    maximum, NotFound for files of others, Conflict for files used elsewhere."""
    customer = await verified_user(uow, actor.id)
    fields = msgspec.structs.asdict(cmd)
    file_ids = fields.pop("file_ids")
    job = uow.new(Job, customer_id=customer.id, customer_name=customer.name, **fields)
    files = await set_files(uow, job, file_ids)
    job = msgspec.structs.replace(job, files=files, **_check_and_derive(job))
    await uow.add(job)
    publish_job(uow, job, market=True)
    uow.later(MatchSavedSearches(job.id))
    return job


@operation(
    "job.update",
    roles={Role.CUSTOMER},
    limits=(Limit(60, 300), MARKET_PUSHES),
    errors=(CurrencyNotSupported, JobNotOpen, JobTaken, NotFound),
)
async def update(cmd: Update, actor: Actor, uow: UnitOfWork) -> Job:
    """Change an open job. Raises NotFound, JobNotOpen, JobTaken, CurrencyNotSupported, Invalid,
    Conflict for files used elsewhere."""
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    values = msgspec.structs.asdict(cmd).items()
    fields = {name: value for name, value in values if value is not UNSET and name != "job_id"}
    if "file_ids" in fields:
        fields["files"] = await set_files(uow, job, fields.pop("file_ids"))
    derived = _check_and_derive(msgspec.structs.replace(job, **fields))
    changed = await uow.change(
        Job,
        job.id,
        only_if={"status": JobStatus.OPEN, "accepting_offer_id": None},
        inc={"search_revision": 1},
        **fields,
        **derived,
    )
    if changed is None:
        raise JobNotOpen if job.status is not JobStatus.OPEN else JobTaken
    publish_job(uow, changed, market=True)
    uow.later(MatchSavedSearches(job.id, changed.search_revision))
    return changed


def _check_and_derive(job: Job) -> dict[str, Any]:
    """Check a job and return its derived fields. Raises CurrencyNotSupported, Invalid."""
    if job.currency not in CURRENCIES:
        raise CurrencyNotSupported(f"currency: {job.currency} is not supported.", field="currency")
    if job.budget_min_amount > job.budget_max_amount:
        raise Invalid(
            "this must not be below `budget_min_amount`.",
            field="budget_max_amount",
            rule=Rule.MIN,
            limit=job.budget_min_amount,
        )
    place = job.location
    return {
        "point": {"type": "Point", "coordinates": list(place.rounded)} if place else None,
    }
