"""The job index of a process that has none, such as a worker."""

from collections.abc import Sequence

from domain.kernel.errors import Unavailable
from domain.kernel.text_analysis import QueryWord
from domain.ports.job_index import Completion, FoundFacets, Hit, JobQuery, Order, Position


class NoJobIndex:
    """All methods raise Unavailable."""

    ready = False

    async def find(
        self, query: JobQuery, order: Order, after: Position | None, limit: int
    ) -> tuple[Sequence[Hit], bool]:
        raise Unavailable

    async def count(self, query: JobQuery) -> int:
        raise Unavailable

    async def facets(self, query: JobQuery, values: int) -> FoundFacets:
        raise Unavailable

    async def budget_bands(
        self, query: JobQuery, currency: str, edges: Sequence[int]
    ) -> Sequence[int]:
        raise Unavailable

    async def unknown(self, query: JobQuery) -> tuple[str, ...]:
        raise Unavailable

    async def complete(
        self, words: Sequence[QueryWord], beginning: str, whole: str, limit: int
    ) -> Sequence[Completion]:
        raise Unavailable
