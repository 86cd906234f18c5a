"""Runs a process until it is asked to end: signals, the port, and what may not be served."""

import asyncio
import contextlib
import errno
import gc
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any

import structlog
import uvloop
from aiohttp import web as http

from domain.accounts.user import User
from domain.kernel.store import Store
from server.config import Settings
from server.container import Core
from server.demo_accounts import DEMO_EMAILS

if TYPE_CHECKING:
    from server.app import Web


log = structlog.get_logger()


class CannotServe(Exception):
    """This process must not or cannot run; the message says what to do."""


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


@contextlib.asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator["Web"]:
    """A web server that accepts connections. Raises CannotServe."""
    from server.app import Web  # a worker has no use for it

    served = Web(settings)
    if not settings.demo:
        await refuse_demo_accounts(served.store)
    runner = http.AppRunner(
        served.application(), access_log=None, shutdown_timeout=settings.drain_seconds
    )
    try:
        await runner.setup()
        try:
            await http.TCPSite(runner, settings.host, settings.port).start()
        except OSError as refused:
            raise CannotServe(_why(refused, settings)) from refused
        try:
            yield served
        finally:
            await served.drain()
    finally:
        await runner.cleanup()


def _set_aside() -> None:
    """What is loaded by now stays: no garbage collection need look at it again."""
    gc.collect()
    gc.freeze()


async def refuse_demo_accounts(store: Store) -> None:
    """Everybody knows their password. Raises CannotServe."""
    if await store.single().find(User, {"email": DEMO_EMAILS}):
        raise CannotServe(
            "This database has demo accounts, whose password is public. Use another database "
            "(MONGO_URL), or delete the users whose e-mail ends with @demo.test."
        )


def _why(refused: OSError, settings: Settings) -> str:
    if refused.errno == errno.EADDRINUSE:
        return f"Port {settings.port} is in use: end what listens there, or set PORT."
    return (
        f"Cannot listen on {settings.host}:{settings.port}: {refused.strerror}. Set HOST or PORT."
    )
