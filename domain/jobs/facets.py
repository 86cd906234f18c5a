"""Facets of a job search: which categories, skills and budgets the jobs that it finds have."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from domain.jobs.job import Job, JobStatus
from domain.jobs.search import SearchCriteria, SearchFilters
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.documents import filtered
from domain.kernel.fields import Currency, about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Style
from domain.operations.limits import Limit
from domain.operations.operation import operation

COUNTED = 2000  # jobs
MOST = 20  # values of one facet
MOST_FREQUENT = {"$sort": {"count": -1, "_id": 1}}


class FacetValue(msgspec.Struct, frozen=True):
    """A value, and how many of the jobs have it."""

    value: Annotated[str, about("The value, to be given as a filter.")]
    count: Annotated[int, about("How many of the counted jobs have it.")]


class BudgetFacet(msgspec.Struct, frozen=True):
    """The budgets of the jobs in one currency."""

    currency: Currency
    min_amount: Annotated[int, about("The lowest budget, in minor units.")]
    max_amount: Annotated[int, about("The highest budget, in minor units.")]
    count: Annotated[int, about("How many of the counted jobs are in this currency.")]


class JobFacets(msgspec.Struct, frozen=True):
    """What the found jobs have, the most frequent first."""

    categories: Annotated[list[FacetValue], about("Kinds of work, up to 20.")]
    skills: Annotated[list[FacetValue], about("Skills, up to 20, in lower case.")]
    budgets: Annotated[list[BudgetFacet], about("Budgets, by currency.")]
    counted: Annotated[int, about("How many jobs were counted, up to 2,000.")]
    complete: Annotated[bool, about("Whether these are all jobs that the search finds.")]


class Facets(SearchFilters, frozen=True):
    """The filters of `job.list`, for open jobs."""


@operation("job.facets", roles=EVERYONE, style=Style.READ, limits=(Limit(60, 120),))
async def facets(cmd: Facets, actor: Actor, uow: UnitOfWork) -> JobFacets:
    """Count the categories, skills and budgets of the open jobs that `job.list` would find."""
    cmd.check()
    where = filtered({"status": JobStatus.OPEN} | SearchCriteria.of(cmd).query())
    [found] = await uow.aggregate(
        Job,
        [
            {"$match": where},
            {"$limit": COUNTED + 1},
            {"$facet": _counts()},
        ],
    )
    counted = found["all"][0]["count"] if found["all"] else 0
    return JobFacets(
        [FacetValue(each["value"], each["count"]) for each in found["categories"]],
        [FacetValue(each["_id"], each["count"]) for each in found["skills"]],
        [
            BudgetFacet(each["_id"], each["min"], each["max"], each["count"])
            for each in found["budgets"]
        ],
        min(counted, COUNTED),
        counted <= COUNTED,
    )


def _counts() -> Mapping[str, Any]:
    one = {"$sum": 1}
    # Spelled as in one of the jobs, as categories are free text.
    category = {"_id": "$category_key", "value": {"$first": "$category"}, "count": one}
    budget = {
        "_id": "$currency",
        "min": {"$min": "$budget_min_amount"},
        "max": {"$max": "$budget_max_amount"},
        "count": one,
    }
    return {
        "categories": [{"$group": category}, MOST_FREQUENT, {"$limit": MOST}],
        "skills": [
            {"$unwind": "$skill_keys"},
            {"$group": {"_id": "$skill_keys", "count": one}},
            MOST_FREQUENT,
            {"$limit": MOST},
        ],
        "budgets": [{"$group": budget}, MOST_FREQUENT, {"$limit": MOST}],
        "all": [{"$count": "count"}],
    }
