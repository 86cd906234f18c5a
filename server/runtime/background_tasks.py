"""Ends background tasks."""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

log = structlog.get_logger()

TRIES, TRY_SECONDS = 15, 1.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again and again, until they end: a library may swallow a cancellation."""
    running = {task for task in tasks if not task.done()}
    for _ in range(TRIES):
        if not running:
            return
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=TRY_SECONDS)
    for task in running:
        log.error("background task does not end", task=repr(task.get_coro()))
