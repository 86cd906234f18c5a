"""Inspects each uploaded file in a process of its own, which can be killed without harm.

Decision: a decoder of a hostile file may crash, hang or exhaust the memory. A process for each file
costs 0.1 s; the kernel limits it, and it has access to nothing but the file. A pool of long-lived
processes was rejected: it cannot end a single call, and damage by one file would persist.
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
from domain.files.file_names import ENDINGS, TAKEN
from domain.kernel.errors import RateLimited, TooLarge, UnsupportedType
from domain.ports.blob_storage import InspectedFile
from server.runtime.spool import Spool

log = structlog.get_logger()

SCRIPT = Path(__file__).with_name("file_inspector_process.py")
MAX_SECONDS = 60.0  # of real time; the process limits its own CPU time to less
WAIT_SECONDS = 60.0  # for a free slot
MAX_ANSWER = 4096  # bytes


class Finding(msgspec.Struct, frozen=True):
    """The answer of the process: the type, or the reason of a refusal."""

    type: str = ""
    refused: str = ""
    found: str = ""
    width: int | None = None
    height: int | None = None
    animated: bool = False
    limit_pixels: int | None = None


class FileInspector:
    """At most one process per core (two on one core) and one per user at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def examine(self, spool: Any, user_id: str) -> AsyncIterator[InspectedFile]:
        """Raises UnsupportedType, TooLarge, RateLimited."""
        with Spool() as drawn, Spool() as small:
            async with self._slot(user_id):
                finding = await self._inspect(spool, drawn, small)
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
                finding.animated,
            )

    @contextlib.asynccontextmanager
    async def _slot(self, user_id: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await held.enter_async_context(turn)
                    await held.enter_async_context(self._slots)
            except TimeoutError as late:
                raise RateLimited(retry_after=WAIT_SECONDS / 4) from late
            yield

    async def _inspect(self, spool: Spool, drawn: Spool, small: Spool) -> Finding:
        """The process answers into a file: a hostile one could fill a pipe without end."""
        outputs = (drawn.fileno(), small.fileno())
        with Spool() as answer:
            exit_code = await self._run(spool, answer, outputs)
            answered = os.pread(answer.fileno(), MAX_ANSWER, 0)
        with contextlib.suppress(msgspec.DecodeError):
            finding = msgspec.json.decode(answered, type=Finding)
            if finding.type in ENDINGS or finding.refused:
                return finding
        log.warning("file inspection failed", exit=exit_code, answer=answered[:500])
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
            async with asyncio.timeout(MAX_SECONDS):
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
            return UnsupportedType("It takes too much to read this file.", allowed=sorted(TAKEN))
        case "damaged":
            message = f"The file is damaged, or more than {finding.found}."
            return UnsupportedType(message, found=finding.found, allowed=sorted(TAKEN))
    return UnsupportedType(found=finding.found, allowed=sorted(TAKEN))
