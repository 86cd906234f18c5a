"""Blobs in a bucket of S3, or of a server with the same protocol."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from domain.kernel.errors import Unavailable

PART = 5 * 2**20  # bytes; the smallest part that S3 takes, except the last
PIECE = 256 * 1024
RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def bucket(name: str, endpoint: str | None, prefix: str) -> Any:
    """Credentials (`AWS_ACCESS_KEY_ID`, ...) and the region come from the environment."""
    where: Any = {"endpoint": endpoint} if endpoint else {}
    plain = bool(endpoint and endpoint.startswith("http://"))
    options: Any = {"allow_http": plain, "connect_timeout": "3s"}
    return S3Store(name, prefix=prefix, client_options=options, retry_config=RETRIES, **where)


class S3Blobs:
    """`store` is an obstore store. A lifecycle rule of the bucket removes unfinished uploads."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        with _as_unavailable():
            await obstore.put_async(self._store, key, pieces, chunk_size=PART, max_concurrency=1)

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        with _as_unavailable():
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    async def remove(self, keys: Sequence[str]) -> None:
        with _as_unavailable():
            await obstore.delete_async(self._store, list(keys))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except BaseError as away:
        raise Unavailable from away
