"""Protocol: the index that finds jobs by their words, places and budgets.

It answers with ids only. The caller reads the records by id with its own guards, so the index
decides what is found and in which order, and never what is shown.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta as Limits

from domain.kernel.text_analysis import QueryWord


class Order(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    BUDGET = "budget"
    DISTANCE = "distance"


class Circle(msgspec.Struct, frozen=True):
    """All points within `radius_km` of a place, in degrees."""

    lon: float
    lat: float
    radius_km: float


class Amounts(msgspec.Struct, frozen=True):
    """Budgets in one currency, in minor units, that overlap a range. `rate` is the value of one
    minor unit in the unit that all amounts of one `rank` are compared in; of two ranks the lower
    one comes first."""

    currency: str
    lowest: int | None = None
    highest: int | None = None
    rate: float = 1.0
    rank: int = 0


class JobQuery(msgspec.Struct, frozen=True):
    """The conditions of a search; a job must meet all of them, of `skills` and `budgets` any one.

    `words` must all occur, but frequent ones beside others. Without `budgets` any budget fits.
    """

    status: str | None = None
    customer_id: str | None = None
    contractor_id: str | None = None
    words: tuple[QueryWord, ...] = ()
    category: str | None = None
    skills: tuple[str, ...] = ()
    near: Circle | None = None
    budgets: tuple[Amounts, ...] = ()


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a job stands in an order: higher values first. It depends on nothing but the job and
    the query, so it is the same in every process and stays when other jobs come and go.

    `unknown` are the words of `JobIndex.unknown` when the first page was read; they stay tolerant
    of one letter until the last page.
    """

    key: Annotated[float, Limits(ge=-(2**62), le=2**62)]
    created: Annotated[int, Limits(ge=-(2**62), le=2**62)]
    id: str
    unknown: tuple[str, ...] = ()


class Hit(msgspec.Struct, frozen=True):
    """A job that was found. `distance_km` is from the center of the circle, if there is one."""

    position: Position
    distance_km: float | None = None

    @property
    def id(self) -> str:
        return self.position.id


class Count(msgspec.Struct, frozen=True):
    value: str
    count: int


class BudgetSpan(msgspec.Struct, frozen=True):
    """The budgets of the jobs in one currency, in minor units."""

    currency: str
    lowest: int
    highest: int
    count: int


class FoundFacets(msgspec.Struct, frozen=True):
    """What the found jobs have, the most frequent first."""

    total: int
    categories: Sequence[Count]
    skills: Sequence[Count]
    budgets: Sequence[BudgetSpan]


class Suggested(StrEnum):
    """What a completion is taken from."""

    TITLE = "title"
    SKILL = "skill"
    CATEGORY = "category"


class Completion(msgspec.Struct, frozen=True):
    """A text that begins, or has a word that begins, as typed."""

    text: str
    kind: Suggested
    count: int


class JobIndex(Protocol):
    """All methods raise Unavailable while there is no index yet. What this process wrote before
    the call is found; what another one wrote, within a second."""

    @property
    def ready(self) -> bool:
        """Whether there is an index. A process without one is never ready."""
        ...

    async def find(
        self, query: JobQuery, order: Order, after: Position | None, limit: int
    ) -> tuple[Sequence[Hit], bool]:
        """The hits after a position, at most `limit`, and whether more follow."""
        ...

    async def count(self, query: JobQuery) -> int:
        """How many jobs match."""
        ...

    async def facets(self, query: JobQuery, values: int) -> FoundFacets:
        """Count what the matching jobs have, at most so many values of each kind."""
        ...

    async def budget_bands(
        self, query: JobQuery, currency: str, edges: Sequence[int]
    ) -> Sequence[int]:
        """How many jobs have their highest budget below the first edge, between two, above the
        last one."""
        ...

    async def unknown(self, query: JobQuery) -> tuple[str, ...]:
        """The texts of those words of the query that may have a wrong letter, because no job has
        them in the state, and of the people, that the query is about."""
        ...

    async def complete(
        self, words: Sequence[QueryWord], beginning: str, whole: str, limit: int
    ) -> Sequence[Completion]:
        """Skills and categories whose name has `whole` from the beginning of a word on, and titles
        that have all `words` and a word with this `beginning`; of open jobs. About `limit` of each,
        the most frequent and the newest first."""
        ...
