"""Streams of records are split into lists of a bounded size."""

from collections.abc import AsyncIterator

import pytest

from domain.kernel.batches import batches


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
async def test_batches_keep_order_and_size(count: int, sizes: list[int]) -> None:
    """Guard: `if batch` at the end of `batches.batches`, and its comparison with `size`."""
    found = [batch async for batch in batches(numbers(count), 3)]
    assert [len(batch) for batch in found] == sizes
    assert [number for batch in found for number in batch] == list(range(count))
