"""Reads records in lists of a bounded size."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, TypeVar

from domain.kernel.documents import Where
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork

R = TypeVar("R", bound=Record)
T = TypeVar("T")


async def batches(items: AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    """Lists of `size` items; the last one may be shorter, and none is empty."""
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def stretch(
    uow: UnitOfWork, kind: type[R], where: Where, after: str, limit: int
) -> tuple[list[R], str]:
    """The records among the next `limit` rows after an id, without damaged ones, which are
    reported; and the id of the last row, which is empty when no more follow."""
    last, count = "", 0

    async def rows() -> AsyncIterator[dict[str, Any]]:
        nonlocal last, count
        following = {**where, "_id": {"$gt": after}}
        async for row in uow.documents(kind, following, (("_id", 1),), limit):
            last, count = row["_id"], count + 1
            yield row

    found = [record async for record in uow.readable(kind, rows())]
    return found, last if count == limit else ""
