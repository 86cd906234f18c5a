"""The end of background work."""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

log = structlog.get_logger()

TRIES = 15  # seconds


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: a cancellation can get lost in a library."""
    running = {task for task in tasks if not task.done()}
    for _ in range(TRIES):
        if not running:
            return
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=1)
    for task in running:
        log.error("background work does not end", work=repr(task.get_coro()))
