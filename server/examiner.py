"""Has each file looked at by a process of its own, which may be killed without harm.

What decodes a hostile file may crash, hang or take all memory. A process made for one file costs a
tenth of a second; it has its limits from the kernel and no way to anything but that file. A pool of
lasting processes was rejected: it cannot end one call, and what one file breaks stays broken.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from domain.blobs import Examined
from domain.errors import TooLarge, UnsupportedType
from domain.filenames import ENDINGS
from domain.files import MAX_FILE
from server.spool import Spool

log = structlog.get_logger()

SCRIPT = Path(__file__).with_name("examine.py")
MOST_SECONDS = 60.0  # by the clock; the process ends itself after less time of a CPU


class Finding(msgspec.Struct, frozen=True):
    """What the process says: the type, or why it is refused."""

    type: str = ""
    refused: str = ""
    found: str = ""
    width: int | None = None
    height: int | None = None
    limit_pixels: int | None = None


class Examiner:
    """At most one process per core at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    @contextlib.asynccontextmanager
    async def examine(self, spool: Any) -> AsyncIterator[Examined]:
        """Raises UnsupportedType, TooLarge."""
        with Spool() as drawn, Spool() as small:
            async with self._slots:
                finding = await self._ask(spool, drawn, small)
            if finding.refused:
                raise _refusal(finding)
            content = drawn if finding.width else spool
            if content.size > MAX_FILE:
                raise TooLarge("The file is too large.", limit_bytes=MAX_FILE)
            yield Examined(
                finding.type, content, finding.width, finding.height,
                small if finding.width else None,
            )  # fmt: skip

    async def _ask(self, spool: Spool, drawn: Spool, small: Spool) -> Finding:
        outputs = (drawn.fileno(), small.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(SCRIPT), *map(str, outputs), pass_fds=outputs,
            stdin=spool.fileno(), stdout=PIPE, stderr=PIPE, env={},
        )  # fmt: skip
        try:
            async with asyncio.timeout(MOST_SECONDS):
                said, complaint = await process.communicate()
            return msgspec.json.decode(said, type=Finding)
        except TimeoutError:
            return Finding(refused="effort")
        except msgspec.DecodeError:
            log.warning("a file was too much", exit=process.returncode, said=complaint[-500:])
            return Finding(refused="effort")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


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
