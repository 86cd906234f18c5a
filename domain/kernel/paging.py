"""Pages are bounded by bytes as well as by number.

A page of a hundred records of 64 KiB would be an answer of 6 MiB. It ends earlier instead, and
`next_cursor`, or the `head` of a numbered list, says that there is more. One record always fits.
"""

from collections.abc import AsyncIterable, Callable, Sequence
from typing import TypeVar

import msgspec

S = TypeVar("S")
T = TypeVar("T")

# Below the 1 MiB that a connection may leave unread, so that one answer never closes it.
PAGE_BYTES = 512 * 1024
ENCODER = msgspec.json.Encoder()


async def read_within(
    found: AsyncIterable[S],
    read: Callable[[S], T],
    limit: int,
    share: int = 1,
) -> tuple[list[T], bool]:
    """The first of what is found, as `read` returns it, and whether more follow. They end at
    `limit`, or when they fill their share of PAGE_BYTES as JSON.

    Reading stops there: what follows stays in the database.
    """
    items: list[T] = []
    left, buffer = PAGE_BYTES // share, bytearray()
    async for each in found:
        if len(items) == limit:
            return items, True
        item = read(each)
        ENCODER.encode_into(item, buffer)
        left -= len(buffer)
        if items and left < 0:
            return items, True
        items.append(item)
    return items, False


def lowest_complete(pages: Sequence[tuple[Sequence[str], bool]]) -> str:
    """Down to which id pages of several collections, newest first, may be shown as one list.

    Below the last id of a page that ends early, rows of its collection are missing.
    """
    return max((ids[-1] for ids, more in pages if more), default="")
