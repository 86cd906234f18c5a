"""Runs a process until it is asked to end: signals, the port, and what may not be served."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from server.config import Settings
from server.container import Core, refuse_demo_accounts

log = structlog.get_logger()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or cancel it at SIGTERM or Ctrl-C and let it clean up.

    A second signal finds the usual handlers again, so that it ends a clean-up that hangs.
    """
    uvloop.run(_until_signalled(work))


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    signals = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        for sign in signals:
            loop.remove_signal_handler(sign)
        task.cancel()

    for sign in signals:
        loop.add_signal_handler(sign, end)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def web(settings: Settings) -> None:
    """Serve clients. Raises CannotServe."""
    from server.app import listening  # not loaded by a worker

    async with listening(settings):
        _set_aside()
        log.info("web ready", host=settings.host, port=settings.port)
        await asyncio.Event().wait()


async def worker(settings: Settings) -> None:
    """Work on the outbox without sockets. Raises CannotServe."""
    core = Core(settings)
    try:
        await refuse_demo_accounts(core.store)
        await core.start()
        _set_aside()
        log.info("worker ready")
        await asyncio.Event().wait()
    finally:
        await core.stop()


def _set_aside() -> None:
    """What is loaded by now stays: no garbage collection need look at it again."""
    gc.collect()
    gc.freeze()
