"""Pages are bounded by bytes as well as by number.

A page of a hundred records of 64 KiB would be an answer of 6 MiB. It ends earlier instead, and
`next_cursor`, or the `head` of a numbered list, says that there is more. One record always fits.

A damaged record, which cannot be converted or decrypted, is left out of a list and reported. So it
does not take all others with it. Alone it is an error, as are more than MAX_DAMAGED in a list: then
a key is missing, and a list without them would look complete.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from domain.kernel.field_codec import UndecipherableField

T = TypeVar("T")

# Below the 1 MiB that a connection may leave unread, so that one answer never closes it.
PAGE_BYTES = 512 * 1024
ENCODER = msgspec.json.Encoder()
MAX_DAMAGED = 10
DAMAGED = (UndecipherableField, msgspec.ValidationError, KeyError)


async def read_within(found: AsyncIterable[T], limit: int, share: int = 1) -> tuple[list[T], bool]:
    """The first items of `found`, and whether more follow. They end at `limit`, or when they fill
    their share of PAGE_BYTES as JSON.

    Reading stops there: what follows stays in the database.
    """
    items: list[T] = []
    left, buffer = PAGE_BYTES // share, bytearray()
    async for item in found:
        if len(items) == limit:
            return items, True
        ENCODER.encode_into(item, buffer)
        left -= len(buffer)
        if items and left < 0:
            return items, True
        items.append(item)
    return items, False


async def without_damaged(
    found: AsyncIterable[dict[str, Any]],
    read: Callable[[dict[str, Any]], T],
    report: Callable[[Sequence[str]], None],
) -> AsyncGenerator[T, None]:
    """The documents as `read` returns them. At the end `report` gets the ids of damaged ones."""
    damaged: list[str] = []
    try:
        async for document in found:
            id = document["_id"]  # `read` may change the document
            try:
                record = read(document)
            except DAMAGED:
                damaged.append(id)
                if len(damaged) > MAX_DAMAGED:
                    raise
            else:
                yield record
    finally:
        if damaged:
            report(damaged)


def lowest_complete(pages: Sequence[tuple[Sequence[str], bool]]) -> str:
    """Down to which id pages of several collections, newest first, may be shown as one list.

    Below the last id of a page that ends early, rows of its collection are missing.
    """
    return max((ids[-1] for ids, more in pages if more), default="")
