"""Has each file looked at by a process of its own, which may be killed without harm.

What decodes a hostile file may crash, hang or take all memory. A process made for one file costs a
tenth of a second; it has its limits from the kernel and no way to anything but that file. A pool of
lasting processes was rejected: it cannot end one call, and what one file breaks stays broken.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog

from domain.files.file import MAX_FILE
from domain.files.file_names import ENDINGS
from domain.kernel.errors import RateLimited, TooLarge, UnsupportedType
from domain.ports.blob_storage import InspectedFile
from server.runtime.spool import Spool

log = structlog.get_logger()

SCRIPT = Path(__file__).with_name("file_inspector_process.py")
MOST_SECONDS = 60.0  # by the clock; the process ends itself after less time of a CPU
WAIT_SECONDS = 60.0  # for others to be done
MOST_SAID = 4096  # bytes of its answer that are read


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
    async def examine(self, spool: Any, whose: str) -> AsyncIterator[InspectedFile]:
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
            yield InspectedFile(
                finding.type,
                content,
                finding.width,
                finding.height,
                small if picture else None,
            )

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
        """It answers into a file too: a pipe would be read as long as there is something in it."""
        outputs = (drawn.fileno(), small.fileno())
        with Spool() as answer:
            exit_code = await self._run(spool, answer, outputs)
            said = os.pread(answer.fileno(), MOST_SAID, 0)
        with contextlib.suppress(msgspec.DecodeError):
            finding = msgspec.json.decode(said, type=Finding)
            if finding.type in ENDINGS or finding.refused:
                return finding
        log.warning("a file was too much", exit=exit_code, said=said[:500])
        return Finding(refused="effort")

    async def _run(self, spool: Spool, answer: Spool, outputs: tuple[int, ...]) -> int | None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(SCRIPT),
            *map(str, outputs),
            pass_fds=outputs,
            stdin=spool.fileno(),
            stdout=answer.fileno(),
            stderr=DEVNULL,
            env={},
        )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode


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
