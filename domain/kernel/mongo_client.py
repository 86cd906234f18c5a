"""The driver's client of MongoDB, and the time limits of every call to it.

A store that hangs must not hang its callers. The driver ends a statement without an answer after
STATEMENT_SECONDS. Its monitor notices after CONNECT_SECONDS that the server itself does not answer,
and then interrupts all statements at once. Calls wait for a free thread for at most QUEUE_SECONDS,
so that those that come while all threads wait for a hanging store are refused and do not pile up.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, TypeVar

import pymongo
from motor.frameworks import asyncio as framework
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

T = TypeVar("T")

STATEMENT_SECONDS = 10.0
CONNECT_SECONDS = 3.0
SELECTION_SECONDS = 5.0  # for finding a server that answers
HEARTBEAT_SECONDS = 1.5  # between two looks at the server
QUEUE_SECONDS = 5.0
ABORT_SECONDS = 2.0
# The server answers, but its engine cannot: InternalError (such as an engine that has stopped),
# UnknownError, LockTimeout, MaxTimeMSExpired, ExceededTimeLimit, OutOfDiskSpace.
ENGINE_FAILURES = frozenset({1, 8, 24, 50, 262, 14031})
RETRIED = ("TransientTransactionError", "UnknownTransactionCommitResult")


CLEANING_UP: ContextVar[bool] = ContextVar("CLEANING_UP", default=False)


class EngineFailure(ConnectionFailure):
    """The database answers that its engine cannot do its work; to a caller it is away."""


class Overloaded(ConnectionFailure):
    """A call has waited too long for a thread; it was not sent to the database."""


class LimitedExecutor(ThreadPoolExecutor):
    """The threads in which all calls of the driver run."""

    def submit(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        latest = math.inf if CLEANING_UP.get() else time.monotonic() + QUEUE_SECONDS
        return super().submit(_run, latest, call, args, kwargs)


@contextlib.contextmanager
def cleaning_up(seconds: float) -> Iterator[None]:
    """Calls within it always reach the driver, so that its state is right afterwards. The database
    gets `seconds` for them."""
    token = CLEANING_UP.set(True)
    try:
        with pymongo.timeout(seconds):
            yield
    finally:
        CLEANING_UP.reset(token)


def _run(latest: float, call: Callable[..., T], args: Any, kwargs: Any) -> T:
    if time.monotonic() > latest:
        raise Overloaded("the database does not keep up: the call was not sent")
    try:
        return call(*args, **kwargs)
    except OperationFailure as failed:
        if _is_engine_failure(failed):
            raise EngineFailure(f"the database's engine fails: {failed.code}") from failed
        raise


def _is_engine_failure(failed: OperationFailure) -> bool:
    if any(map(failed.has_error_label, RETRIED)):
        return False
    codes = {failed.code}
    if isinstance(failed, BulkWriteError):
        errors = (failed.details or {}).get("writeErrors", [])
        codes |= {error.get("code") for error in errors}
    return bool(codes & ENGINE_FAILURES)


# The library has no option for it.
framework._EXECUTOR = LimitedExecutor(framework.max_workers, "mongo")


def connect(url: str, statement_seconds: float) -> AsyncIOMotorClient[dict[str, Any]]:
    """A client that connects in the background."""
    # After "no primary" the driver waits for the next heartbeat, so it comes before the time for
    # finding a server is over.
    return AsyncIOMotorClient(
        url,
        tz_aware=True,
        connectTimeoutMS=int(CONNECT_SECONDS * 1000),
        socketTimeoutMS=int(statement_seconds * 1000),
        serverSelectionTimeoutMS=int(SELECTION_SECONDS * 1000),
        heartbeatFrequencyMS=int(HEARTBEAT_SECONDS * 1000),
        maxPoolSize=50,
    )


def is_transient(failed: PyMongoError) -> bool:
    """Whether another attempt may succeed soon. A statement that got no answer in its time would
    get none again."""
    if isinstance(failed, (EngineFailure, NetworkTimeout)):
        return False
    return failed.has_error_label("TransientTransactionError") or isinstance(
        failed, ConnectionFailure
    )


async def abort(session: AsyncIOMotorClientSession) -> None:
    # Without an answer the server rolls back later. The end of the session would abort again, in
    # the thread of the event loop.
    with contextlib.suppress(PyMongoError), cleaning_up(ABORT_SECONDS):
        await session.abort_transaction()
