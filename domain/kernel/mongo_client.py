"""The driver's client of MongoDB, and the time limits of every call to it.

A store that hangs must not hang its callers. The driver ends a statement without an answer after
STATEMENT_SECONDS. Its monitor notices after CONNECT_SECONDS that the server itself does not answer,
and then interrupts all statements at once. Calls wait for a free thread for at most QUEUE_SECONDS,
so that those that come while all threads wait for a hanging store are refused and do not pile up.

Decision: a command makes many calls, and their limits add up. So its calls together get
COMMAND_SECONDS, which a `WaitLimit` in its context counts down. Each call passes what is left to
the driver (`pymongo.timeout`), which also limits its retries. Only the time in calls counts: Stripe
may be slow while the database is not. While no call is answered, a command gets PROBE_SECONDS, so
that the commands of one connection, which follow each other, do not add up either. A limit on the
answer alone, with the work going on behind it, was rejected: callers who come back would meet their
own first attempt.
"""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import pymongo
from bson import ObjectId, binary
from motor.frameworks import asyncio as framework
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from domain.kernel.call_threads import CallThreads
from domain.kernel.errors import Unavailable
from domain.kernel.record import Record

T = TypeVar("T")

ids_ahead = [0]  # seconds, see `move_ids`

STATEMENT_SECONDS = 10.0
CONNECT_SECONDS = 3.0
SELECTION_SECONDS = 5.0  # for finding a server that answers
HEARTBEAT_SECONDS = 1.5  # between two looks at the server
QUEUE_SECONDS = 5.0
COMMAND_SECONDS = 8.0  # the clean-up after a failure may take 2 s more
PROBE_SECONDS = 1.0  # for a command while no call is answered
ABORT_SECONDS = 2.0
INDEX_SECONDS = 3600.0  # for building one index
LEAST_SECONDS = 0.01  # for a call that only has to set the state of the driver
CLEANERS = 4  # threads
# The server answers, but its engine cannot: InternalError (such as an engine that has stopped),
# UnknownError, LockTimeout, MaxTimeMSExpired, ExceededTimeLimit, OutOfDiskSpace.
ENGINE_FAILURES = frozenset({1, 8, 24, 50, 262, 14031})
EXISTS = 48  # of a collection: NamespaceExists
RETRIED = ("TransientTransactionError", "UnknownTransactionCommitResult")


class EngineFailure(ConnectionFailure):
    """The database answers that its engine cannot do its work; to a caller it is away."""


class NotSent(ConnectionFailure):
    """A call was not sent to the database."""


class Overloaded(NotSent):
    """It has waited too long for a thread."""


class OutOfTime(NotSent):
    """The calls before it have used up the time of their command."""


class WaitLimit:
    """Limits the time that all calls within it take together; `left` is in seconds.

    Its end is not a reset of the context: a coroutine may end in another context than it began in,
    and tasks that outlive it have a copy. For both the limit is over. Calls with `cleanup` always
    reach the driver, so that its state is right afterwards.
    """

    __slots__ = ("_before", "cleanup", "left")

    def __init__(self, seconds: float, cleanup: bool = False) -> None:
        self.left = seconds
        self.cleanup = cleanup

    def begin(self) -> "WaitLimit":
        self._before = WAIT_LIMIT.get()
        WAIT_LIMIT.set(self)
        return self

    def end(self) -> None:
        self.left = math.inf
        WAIT_LIMIT.set(self._before)

    __enter__ = begin

    def __exit__(self, *_: object) -> None:
        self.end()


UNLIMITED = WaitLimit(math.inf)
WAIT_LIMIT: ContextVar[WaitLimit] = ContextVar("WAIT_LIMIT", default=UNLIMITED)


def seconds_left() -> float:
    """The time that the present command may still wait for the database."""
    return WAIT_LIMIT.get().left


def command_limit() -> WaitLimit:
    """The limit for a command, or a part of one."""
    return WaitLimit(min(PROBE_SECONDS if THREADS.silent else COMMAND_SECONDS, seconds_left()))


class Threads:
    """The threads in which all calls of the driver run. `silent` after a call without an answer,
    until another one is answered."""

    def __init__(self) -> None:
        self.silent = False
        refusal = functools.partial(Overloaded, "the database does not keep up")
        self._pool = CallThreads(framework.max_workers, "mongo", refusal)
        self._cleaners = CallThreads(CLEANERS, "mongo-cleanup", refusal)

    def run(
        self, loop: asyncio.AbstractEventLoop, call: Callable[..., T], *args: Any, **kwargs: Any
    ) -> asyncio.Future[T]:
        """Call in a thread, in a copy of the context. Raises what it raises, or NotSent."""
        limit = WAIT_LIMIT.get()
        work = functools.partial(
            copy_context().run, self._call, limit, time.monotonic(), call, args, kwargs
        )
        threads = self._cleaners if limit.cleanup else self._pool
        patience = math.inf if limit.cleanup else min(QUEUE_SECONDS, limit.left)
        return threads.run(loop, work, patience)

    def _call(
        self, limit: WaitLimit, asked: float, call: Callable[..., T], args: Any, kwargs: Any
    ) -> T:
        try:
            left = limit.left - (time.monotonic() - asked)
            if left == math.inf:
                value = call(*args, **kwargs)
            elif left > 0 or limit.cleanup:
                with pymongo.timeout(max(left, LEAST_SECONDS)):
                    value = call(*args, **kwargs)
            else:
                raise OutOfTime("the calls of this command have taken too long")
            if self.silent and not limit.cleanup:
                self.silent = False
            return value
        except (NetworkTimeout, ServerSelectionTimeoutError):
            self.silent = self.silent or not limit.cleanup
            raise
        except OperationFailure as failed:
            if _is_engine_failure(failed):
                raise EngineFailure(f"the database's engine fails: {failed.code}") from failed
            raise
        finally:
            limit.left -= time.monotonic() - asked


def _is_engine_failure(failed: OperationFailure) -> bool:
    if any(map(failed.has_error_label, RETRIED)):
        return False
    codes = {failed.code}
    if isinstance(failed, BulkWriteError):
        errors = (failed.details or {}).get("writeErrors", [])
        codes |= {error.get("code") for error in errors}
    return bool(codes & ENGINE_FAILURES)


THREADS = Threads()
# The library has no option for it.
framework.run_on_executor = THREADS.run  # type: ignore[assignment]  # it is untyped


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
    if isinstance(failed, (EngineFailure, NetworkTimeout, OutOfTime)):
        return False
    return failed.has_error_label("TransientTransactionError") or isinstance(
        failed, ConnectionFailure
    )


async def commit(session: AsyncIOMotorClientSession, deadline: float) -> None:
    """Repeats a commit of which the outcome is unknown. Raises Unavailable, PyMongoError."""
    unknown = False
    while True:
        try:
            return await session.commit_transaction()
        except PyMongoError as failed:
            if unknown and isinstance(failed, NotSent):
                raise Unavailable from failed  # an attempt before it may have succeeded
            unknown = failed.has_error_label("UnknownTransactionCommitResult")
            if not unknown or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def abort(session: AsyncIOMotorClientSession) -> None:
    # Without an answer the server rolls back later. The end of the session would abort again, in
    # the thread of the event loop.
    topology: Any = session.client.topology_description
    reachable = topology.has_writable_server()
    with contextlib.suppress(PyMongoError):
        with WaitLimit(ABORT_SECONDS if reachable else LEAST_SECONDS, cleanup=True):
            await session.abort_transaction()


def lost_answer(session: AsyncIOMotorClientSession) -> bool:
    """Whether a statement of this session got no answer. Then the driver does not use it again, and
    the database may keep its transaction open."""
    return bool(session.delegate._server_session.dirty)


async def end_sessions(client: AsyncIOMotorClient[dict[str, Any]], ids: Iterable[bytes]) -> None:
    """Abort the open transactions of these sessions. Raises PyMongoError."""
    sessions = [{"id": binary.Binary(id, binary.UUID_SUBTYPE)} for id in ids]
    await client.admin.command("killSessions", sessions)


async def create_collections(database: Any, kinds: Iterable[type[Record]]) -> None:
    """Create collections and indexes. Idempotent, also for several processes at once."""
    kinds = tuple(kinds)
    unindexed = any(not kind.INDEXES for kind in kinds)
    existing = set(await database.list_collection_names()) if unindexed else set()
    for kind in kinds:
        if kind.INDEXES:  # also creates the collection
            indexes = [index.definition for index in kind.INDEXES]
            with pymongo.timeout(INDEX_SECONDS):
                await database.command("createIndexes", kind.COLLECTION, indexes=indexes)
        elif kind.COLLECTION not in existing:
            try:
                # The driver's own check beforehand raises a different error.
                await database.create_collection(kind.COLLECTION, check_exists=False)
            except OperationFailure as refused:
                if refused.code != EXISTS:  # another process created it
                    raise


def object_id() -> ObjectId:
    """A fresh id, which begins with the second of its creation."""
    fresh = ObjectId()
    if not ids_ahead[0]:
        return fresh
    second = int.from_bytes(fresh.binary[:4], "big") + ids_ahead[0]
    return ObjectId(second.to_bytes(4, "big") + fresh.binary[4:])


def move_ids(seconds: float) -> None:
    """Let new ids of this process begin so many seconds later than now, or earlier: for a process
    whose clock is moved, because lists find records of a time by their ids."""
    ids_ahead[0] = int(seconds)
