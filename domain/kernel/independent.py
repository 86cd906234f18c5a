"""Work on many records, of which one that fails does not stop the others.

A damaged record, or one whose work fails, would otherwise stop all that are sorted after it, in
each run of a periodic job. Damaged records are reported and left out. The first failure is raised
at the end, for the log, or for another try of a task. While the database does not answer, the rest
is not tried.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Self, TypeVar

from domain.kernel.documents import Sort, Where
from domain.kernel.errors import Unavailable
from domain.kernel.record import Record
from domain.kernel.store import UNREACHABLE, Store, UnitOfWork

Item = TypeVar("Item")
R = TypeVar("R", bound=Record)


class Attempts:
    """Steps that do not depend on each other: `with Attempts() as attempts`, and each step in
    `with attempts.next()`. At the end the first failure is raised."""

    def __init__(self) -> None:
        self._first: Exception | None = None
        self._failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        if self._first and raised is None:
            if self._failed > 1:
                self._first.add_note(f"{self._failed} steps have failed; this is the first one.")
            raise self._first

    @contextlib.contextmanager
    def next(self) -> Iterator[None]:
        """One step. Raises Unavailable and UNREACHABLE at once."""
        try:
            yield
        except (Unavailable, *UNREACHABLE):
            raise
        except Exception as failed:
            self._first = self._first or failed
            self._failed += 1


async def transact_each(
    store: Store,
    items: Iterable[Item],
    work: Callable[[UnitOfWork, Item], Awaitable[object]],
) -> int:
    """Run `work` for each item in a transaction of its own; returns the number of items.

    Raises the first failure of an item after the last item, and Unavailable at once. The
    transactions that did not fail stay committed.
    """
    count = 0
    with Attempts() as attempts:
        for item in items:
            with attempts.next():
                await store.transact(partial(_on_item, work=work, item=item))
            count += 1
    return count


async def _on_item(
    uow: UnitOfWork, work: Callable[[UnitOfWork, Item], Awaitable[object]], item: Item
) -> object:
    return await work(uow, item)


async def transact_due(
    store: Store,
    kind: type[R],
    where: Where,
    sort: Sort,
    limit: int,
    work: Callable[[UnitOfWork, R], Awaitable[object]],
) -> int:
    """The same for the first matching records, at most `limit`."""
    return await transact_each(store, await first_readable(store, kind, where, sort, limit), work)


async def first_readable(
    store: Store, kind: type[R], where: Where, sort: Sort, limit: int
) -> list[R]:
    """The first matching records, at most `limit`, without damaged ones."""
    uow = store.single()
    found = uow.documents(kind, where, sort, limit)
    return [record async for record in uow.readable(kind, found)]
