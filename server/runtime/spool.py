"""Files on their way through this process: on disk, without a name, gone with the process."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator

from domain.kernel.shield import run_to_completion

PIECE = 256 * 1024  # bytes that are in memory at once


class Spool:
    """Written once from its beginning to its end, then read as often as needed.

    What a thread does with it is waited for, whatever happens: the number of a file that is closed
    meanwhile may be another's, which that thread would write to or read.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._gathered = bytearray()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def size(self) -> int:
        return os.fstat(self.fileno()).st_size + len(self._gathered)

    async def write(self, piece: bytes) -> None:
        self._gathered += piece
        if len(self._gathered) >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        """All that was written is there for other processes."""
        await run_to_completion(asyncio.to_thread(_write_all, self.fileno(), bytes(self._gathered)))
        self._gathered.clear()

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
