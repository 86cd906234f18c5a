"""Facets of a job search: which categories, skills and budgets the jobs that it finds have."""

from typing import Annotated

import msgspec

from domain.jobs.search import SearchCriteria, SearchFilters
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.fields import Currency, about
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.operations.command import Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.ports.job_index import JobIndex

MOST = 20  # values of one facet
BANDED = 3  # currencies with bands
EDGES = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)  # US dollars, or about as much


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


class BudgetBand(msgspec.Struct, frozen=True):
    """The jobs whose highest budget is within a band."""

    currency: Currency
    min_amount: Annotated[int, about("Where the band begins, in minor units.")]
    below_amount: Annotated[
        int | None, about("Where it ends, in minor units; null for the highest band.")
    ]
    count: Annotated[int, about("How many of the counted jobs are in it.")]


class JobFacets(msgspec.Struct, frozen=True):
    """What the found jobs have, the most frequent first."""

    categories: Annotated[
        list[FacetValue], about("Kinds of work, up to 20, as most of the jobs write them.")
    ]
    skills: Annotated[list[FacetValue], about("Skills, up to 20, as most of the jobs write them.")]
    budgets: Annotated[list[BudgetFacet], about("Budgets, by currency.")]
    counted: Annotated[int, about("How many jobs were counted: all that the search finds.")]
    complete: Annotated[bool, about("Whether these are all jobs that the search finds.")]
    bands: Annotated[
        list[BudgetBand],
        about("Bands of budgets that have jobs, ascending, of the three most frequent currencies."),
    ] = []


class Facets(SearchFilters, frozen=True):
    """The filters of `job.list`, for open jobs."""


@operation("job.facets", roles=EVERYONE, style=Style.READ, limits=(Limit(60, 120),), searches=True)
async def facets(cmd: Facets, actor: Actor, uow: UnitOfWork, index: JobIndex) -> JobFacets:
    """Count the categories, skills and budgets of the open jobs that `job.list` would find."""
    cmd.check()
    criteria = SearchCriteria.of(cmd, uow.rates)
    if criteria.nothing:
        return JobFacets([], [], [], 0, complete=True)
    query = criteria.query()
    found = await index.facets(query, MOST)
    bands: list[BudgetBand] = []
    for span in found.budgets[:BANDED]:
        edges = edges_of(span.currency)
        counts = await index.budget_bands(query, span.currency, edges)
        bands += [
            BudgetBand(span.currency, low, high, count)
            for low, high, count in zip((0, *edges), (*edges, None), counts, strict=True)
            if count
        ]
    return JobFacets(
        [FacetValue(each.value, each.count) for each in found.categories],
        [FacetValue(each.value, each.count) for each in found.skills],
        [
            BudgetFacet(each.currency, each.lowest, each.highest, each.count)
            for each in found.budgets
        ],
        found.total,
        complete=True,
        bands=bands,
    )


def edges_of(code: str) -> tuple[int, ...]:
    """The edges of the bands in minor units of a currency: round amounts near those of EDGES."""
    currency = CURRENCIES[code]
    half_dollar = currency.half_dollar or currency.minimum
    return tuple(_rounded(2 * edge * half_dollar) for edge in EDGES)


def _rounded(amount: int) -> int:
    """The first two digits."""
    unit: int = 10 ** max(0, len(str(amount)) - 2)
    return amount // unit * unit
