"""Ends a process that does not end by itself in time after SIGTERM.

A store that hangs, a client that does not read or a task that swallows its cancellation must not
keep a process. What it leaves is safe: rows of the outbox stay under a lease, and other processes
finish them.
"""

import asyncio
import os
import sys
import threading

import structlog

log = structlog.get_logger()

UNFINISHED = 3  # the exit code
MOST_NAMED = 20  # tasks and threads in the log


def exit_within(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    """Exit with UNFINISHED in `seconds`, unless the process has ended by then."""
    timer = threading.Timer(seconds, _exit, [seconds, loop])
    timer.daemon = True
    timer.start()


def _exit(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    try:
        log.error(
            "the process did not end in time and is ended",
            seconds=seconds,
            tasks=_tasks(loop),
            threads=[each.name for each in threading.enumerate()][:MOST_NAMED],
        )
        sys.stderr.flush()
    finally:
        os._exit(UNFINISHED)


def _tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """The unfinished tasks, by the name of their coroutine; empty if they cannot be listed."""
    try:
        tasks = asyncio.all_tasks(loop)
    except RuntimeError:  # they change too quickly
        return []
    names = [getattr(task.get_coro(), "__qualname__", "task") for task in tasks]
    return sorted(names)[:MOST_NAMED]
