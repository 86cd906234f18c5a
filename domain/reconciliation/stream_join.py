"""A full outer join of two streams in nearly the same order: our records and Stripe's objects.

Both are read alternately, a chunk at a time. Only items that wait for their counterpart are in
memory, which are few because the orders are similar.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from domain.kernel.record import Record

CHUNK = 200  # items of one stream before it is the turn of the other


class StripeItem(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=StripeItem)
T = TypeVar("T")


async def join_streams(
    ours: AsyncIterator[R], theirs: AsyncIterator[S], stripe_id: Callable[[R], str | None]
) -> AsyncIterator[tuple[R | None, S | None]]:
    """Pair each record with the Stripe object of its id.

    Records and objects without a counterpart come last, paired with None.
    """
    unmatched_records: dict[str, R] = {}
    unmatched_objects: dict[str, S] = {}
    more = True
    while more:
        more = False
        async for record in _take(ours):
            more, id = True, stripe_id(record)
            if id is None or id in unmatched_objects:
                yield record, unmatched_objects.pop(id) if id else None
            else:
                unmatched_records[id] = record
        async for stripe_object in _take(theirs):
            more = True
            if stripe_object.id in unmatched_records:
                yield unmatched_records.pop(stripe_object.id), stripe_object
            else:
                unmatched_objects[stripe_object.id] = stripe_object
    for record in unmatched_records.values():
        yield record, None
    for stripe_object in unmatched_objects.values():
        yield None, stripe_object


async def _take(items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The next CHUNK items, or fewer at the end."""
    for _ in range(CHUNK):
        try:
            yield await anext(items)
        except StopAsyncIteration:
            return
