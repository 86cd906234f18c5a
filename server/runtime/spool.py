"""Spools: temporary files on disk, without a name, that vanish with the process."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator

from domain.kernel.shield import run_to_completion

PIECE = 256 * 1024  # bytes in memory


class Spool:
    """Written once from beginning to end, then read any number of times.

    A thread that uses the file descriptor is always awaited, also when cancelled: after a close the
    descriptor may belong to another file, which the thread would then read or write.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._buffer = bytearray()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def size(self) -> int:
        return os.fstat(self.fileno()).st_size + len(self._buffer)

    async def write(self, piece: bytes) -> None:
        self._buffer += piece
        if len(self._buffer) >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Make everything written so far visible to other processes."""
        await run_to_completion(asyncio.to_thread(_write_all, self.fileno(), bytes(self._buffer)))
        self._buffer.clear()

    async def pieces(self) -> AsyncIterator[bytes]:
        place = 0
        while piece := await run_to_completion(
            asyncio.to_thread(os.pread, self.fileno(), PIECE, place)
        ):
            place += len(piece)
            yield piece


def _write_all(file: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(file, piece) :]
