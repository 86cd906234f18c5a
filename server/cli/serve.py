"""Runs a web or worker process until a signal ends it."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from server.config import Settings
from server.container import Container, refuse_demo_accounts
from server.runtime.exit_limit import exit_within
from server.runtime.loading import loading
from server.runtime.loop_monitor import LoopMonitor

log = structlog.get_logger()

END_SECONDS = 5.0


def run(work: Coroutine[Any, Any, None], drain_seconds: float = 0) -> None:
    """Run `work` to its end, or cancel it at SIGTERM or Ctrl-C and let it clean up.

    The first signal restores the default handlers, so that a second one ends a clean-up that hangs.
    After `drain_seconds` and END_SECONDS more the process is ended.
    """
    uvloop.run(_until_signalled(work, drain_seconds + END_SECONDS))


async def _until_signalled(work: Coroutine[Any, Any, None], seconds: float) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    signals = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        exit_within(seconds, loop)
        for sign in signals:
            loop.remove_signal_handler(sign)
        task.cancel()

    for sign in signals:
        loop.add_signal_handler(sign, end)
    with contextlib.suppress(asyncio.CancelledError), LoopMonitor():
        await task


async def web(settings: Settings) -> None:
    """Serve clients. Raises CannotServe."""
    with loading():
        from server.app import listening  # not loaded by a worker

    async with listening(settings):
        _freeze_loaded_objects()
        log.info("web ready", host=settings.host, port=settings.port)
        await asyncio.Event().wait()


async def worker(settings: Settings) -> None:
    """Work on the outbox without sockets. Raises CannotServe."""
    container = Container(settings)
    try:
        await refuse_demo_accounts(container.store)
        await container.start()
        _freeze_loaded_objects()
        log.info("worker ready")
        await asyncio.Event().wait()
    finally:
        await container.stop()


def _freeze_loaded_objects() -> None:
    """Exclude the objects loaded so far from garbage collection; they live until the end."""
    gc.collect()
    gc.freeze()
