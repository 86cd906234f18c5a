"""Two long lists in nearly one order, ours and Stripe's, as pairs, without keeping either.

What waits for its other half is all that is in memory: little, since both are read side by side.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from domain.kernel.record import Record

CHUNK = 200  # of each, in turn


class Named(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Named)
T = TypeVar("T")


async def pairs(
    ours: AsyncIterator[R], theirs: AsyncIterator[S], stripe_id: Callable[[R], str | None]
) -> AsyncIterator[tuple[R | None, S | None]]:
    """Each of ours with the one of theirs that it names; at last those that have no other half."""
    awaited: dict[str, R] = {}
    unnamed: dict[str, S] = {}
    more = True
    while more:
        more = False
        async for record in _some(ours):
            more, id = True, stripe_id(record)
            if id is None or id in unnamed:
                yield record, unnamed.pop(id) if id else None
            else:
                awaited[id] = record
        async for there in _some(theirs):
            more = True
            if there.id in awaited:
                yield awaited.pop(there.id), there
            else:
                unnamed[there.id] = there
    for record in awaited.values():
        yield record, None
    for there in unnamed.values():
        yield None, there


async def _some(things: AsyncIterator[T]) -> AsyncIterator[T]:
    for _ in range(CHUNK):
        try:
            yield await anext(things)
        except StopAsyncIteration:
            return
