"""Blobs in a bucket of S3, or of whatever speaks its protocol."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from domain.kernel.errors import Unavailable

PART = 5 * 2**20  # bytes; S3 takes no smaller ones but the last
PIECE = 256 * 1024
PATIENCE: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def bucket(name: str, endpoint: str | None, prefix: str) -> Any:
    """The keys (`AWS_ACCESS_KEY_ID`, ...) and the region are taken from the environment."""
    where: Any = {"endpoint": endpoint} if endpoint else {}
    plain = bool(endpoint and endpoint.startswith("http://"))
    options: Any = {"allow_http": plain, "connect_timeout": "3s"}
    return S3Store(name, prefix=prefix, client_options=options, retry_config=PATIENCE, **where)


class S3Blobs:
    """`store` is any of obstore's; what was not finished S3 forgets by a rule of the bucket."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        with _answering():
            await obstore.put_async(self._store, key, pieces, chunk_size=PART, max_concurrency=1)

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        with _answering():
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    async def remove(self, keys: Sequence[str]) -> None:
        with _answering():
            await obstore.delete_async(self._store, list(keys))


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except BaseError as away:
        raise Unavailable from away
