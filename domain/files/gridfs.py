"""GridFS: the bytes of files in two collections of MongoDB.

Written by its specification, because the driver's writer buffers up to 48 MB of a file in memory
before it sends the first chunk.
Source: MongoDB, "GridFS Spec".
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from domain.kernel.errors import Unavailable
from domain.kernel.record import Index, Record
from domain.kernel.store import UNREACHABLE, Store

CHUNK = 255 * 1024  # bytes; the default of GridFS
CHUNKS_PER_REQUEST = 2  # of one file; bounds the memory of an upload or download


class GridChunk(Record, frozen=True):
    COLLECTION = "fs.chunks"
    PREFIX = "chunk"
    INDEXES = (Index((("files_id", 1), ("n", 1)), unique=True),)
    ENCRYPTED = frozenset({"data"})

    files_id: str
    n: int
    data: bytes


class GridFile(Record, frozen=True, rename={"chunk_size": "chunkSize", "uploaded": "uploadDate"}):
    """Written last: without this row a file is incomplete."""

    COLLECTION = "fs.files"
    PREFIX = "file"

    length: int
    uploaded: datetime
    chunk_size: int = CHUNK


class GridFs:
    """Blobs in the same database as everything else."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        length = 0
        async for block in blocks(pieces, CHUNKS_PER_REQUEST * CHUNK):
            await self._add(key, length // CHUNK, block)
            length += len(block)
        uow = self._store.single()
        with _raise_unavailable():
            await uow.add(uow.new(GridFile, id=key, uploaded=uow.now, length=length))

    async def _add(self, key: str, first: int, block: bytes) -> None:
        uow = self._store.single()
        rows = [
            uow.new(
                GridChunk,
                files_id=key,
                n=first + place,
                data=block[start : start + CHUNK],
            )
            for place, start in enumerate(range(0, len(block), CHUNK))
        ]
        with _raise_unavailable():
            await uow.add_all(rows)

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Read a few chunks at a time, so that a slow client holds no cursor open."""
        while start < end:
            number = start // CHUNK
            few = {"files_id": key, "n": {"$gte": number, "$lt": number + CHUNKS_PER_REQUEST}}
            with _raise_unavailable():
                rows = await self._store.single().all(
                    GridChunk, few, (("n", 1),), CHUNKS_PER_REQUEST
                )
            if not rows or rows[0].n != number:
                raise LookupError(f"chunk {number} of {key} is missing")
            for row in rows:
                skip = start - row.n * CHUNK
                yield row.data[skip : skip + end - start]
                start = min(end, (row.n + 1) * CHUNK)

    async def remove(self, keys: Sequence[str]) -> None:
        uow = self._store.single()
        with _raise_unavailable():
            await uow.remove(GridFile, {"_id": tuple(keys)})
            await uow.remove(GridChunk, {"files_id": tuple(keys)})


@contextmanager
def _raise_unavailable() -> Iterator[None]:
    try:
        yield
    except UNREACHABLE as away:
        raise Unavailable from away


async def blocks(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in blocks of `size`; the last may be shorter."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= size:
            yield bytes(gathered[:size])
            del gathered[:size]
    if gathered:
        yield bytes(gathered)
