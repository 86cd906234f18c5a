"""Has each file looked at by a process of its own, which may be killed without harm.

What decodes a hostile file may crash, hang or take all memory. A process made for one file costs a
tenth of a second; it has its limits from the kernel and no way to anything but that file. A pool of
lasting processes was rejected: it cannot end one call, and what one file breaks stays broken.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog

from domain.blobs import Examined
from domain.errors import RateLimited, TooLarge, UnsupportedType
from domain.filenames import ENDINGS
from domain.files import MAX_FILE
from server.spool import Spool

log = structlog.get_logger()

SCRIPT = Path(__file__).with_name("examine.py")
MOST_SECONDS = 60.0  # by the clock; the process ends itself after less time of a CPU
WAIT_SECONDS = 60.0  # for others to be done
MOST_SAID = 4096  # bytes, which a pipe takes in one piece


class Finding(msgspec.Struct, frozen=True):
    """What the process says: the type, or why it is refused."""

    type: str = ""
    refused: str = ""
    found: str = ""
    width: int | None = None
    height: int | None = None
    limit_pixels: int | None = None


class Examiner:
    """At most one process per core at a time, and one of each user."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def examine(self, spool: Any, whose: str) -> AsyncIterator[Examined]:
        """Raises UnsupportedType, TooLarge, RateLimited."""
        with Spool() as drawn, Spool() as small:
            async with self._place(whose):
                finding = await self._ask(spool, drawn, small)
            if finding.refused:
                raise _refusal(finding)
            picture = finding.type.startswith("image/")
            content = drawn if picture else spool
            if content.size > MAX_FILE:
                raise TooLarge("The file is too large.", limit_bytes=MAX_FILE)
            yield Examined(
                finding.type, content, finding.width, finding.height,
                small if picture else None,
            )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _place(self, whose: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(whose, asyncio.Lock())
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await held.enter_async_context(turn)
                    await held.enter_async_context(self._slots)
            except TimeoutError as late:
                raise RateLimited(retry_after=WAIT_SECONDS / 4) from late
            yield

    async def _ask(self, spool: Spool, drawn: Spool, small: Spool) -> Finding:
        outputs = (drawn.fileno(), small.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(SCRIPT), *map(str, outputs), pass_fds=outputs,
            stdin=spool.fileno(), stdout=PIPE, stderr=DEVNULL, env={},
        )  # fmt: skip
        assert process.stdout
        said = b""
        try:
            async with asyncio.timeout(MOST_SECONDS):
                said = await process.stdout.read(MOST_SAID)
            finding = msgspec.json.decode(said, type=Finding)
            if finding.type in ENDINGS or finding.refused:
                return finding
        except (TimeoutError, msgspec.DecodeError):
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        log.warning("a file was too much", exit=process.returncode, said=said[:500])
        return Finding(refused="effort")


def _refusal(finding: Finding) -> UnsupportedType | TooLarge:
    match finding.refused:
        case "pixels":
            return TooLarge("The picture has too many pixels.", limit_pixels=finding.limit_pixels)
        case "effort":
            return UnsupportedType("It takes too much to read this file.", allowed=sorted(ENDINGS))
        case "damaged":
            message = f"The file is damaged, or more than {finding.found}."
            return UnsupportedType(message, found=finding.found, allowed=sorted(ENDINGS))
    return UnsupportedType(found=finding.found, allowed=sorted(ENDINGS))
