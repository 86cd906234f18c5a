"""Heartbeats of processes, and the end of the database sessions of dead processes.

Open transactions of a killed process keep their rows locked until the database aborts them, by
default after 60 seconds (`transactionLifetimeLimitSeconds`). So each process stores the sessions
that it uses, and another process ends them when the heartbeat expires. A process that was only
suspended loses nothing: its transactions are retried. A process ends by itself the sessions of its
transactions that got no answer. A process that has ended is remembered for a while, with the last
figures that it has sent.
Source: MongoDB manual, `killSessions`.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

from domain.kernel.bounds import Bounded
from domain.kernel.independent import first_readable
from domain.kernel.mongo_client import end_sessions
from domain.kernel.process_figures import ProcessFigures
from domain.kernel.record import Index, Record
from domain.kernel.store import Store, UnitOfWork

HEARTBEAT_TTL = timedelta(seconds=15)  # after that a process counts as dead
REMEMBERED = timedelta(minutes=10)  # after the end
MAX_SESSIONS = 500  # of one process, the last ones; the pool has fewer connections
MAX_PROCESSES = 100  # ended in one run
UNTOLD = ProcessFigures()


class ProcessHeartbeat(Record, frozen=True):
    """A process that runs, or has ended. `id` is the `worker` of its store. It was `lost` if it did
    not say that it ends."""

    COLLECTION = "processes"
    PREFIX = "worker"
    INDEXES = (
        Index((("ended_at", 1), ("alive_until", 1))),
        Index((("ended_at", 1),), ttl_seconds=int(REMEMBERED.total_seconds())),
    )
    LOGGED = False

    alive_until: datetime
    sessions: Annotated[tuple[str, ...], Bounded(MAX_SESSIONS)]  # hexadecimal
    ended_at: datetime | None = None
    lost: bool = False
    figures: ProcessFigures = UNTOLD


async def send_heartbeat(store: Store, figures: ProcessFigures = UNTOLD) -> None:
    """Store that this process is alive, how it is, and the sessions that it uses."""
    uow = store.single()
    for unused in [*store.sessions][:-MAX_SESSIONS]:
        del store.sessions[unused]
    state: dict[str, Any] = {
        "alive_until": uow.now + HEARTBEAT_TTL,
        "sessions": tuple(id.hex() for id in store.sessions),
        "figures": figures,
        "ended_at": None,
        "lost": False,
    }
    beat = uow.new(ProcessHeartbeat, id=store.worker, **state)
    await uow.upsert(beat, {}, **state)


async def end_abandoned_sessions(store: Store) -> None:
    """Abort the transactions of this process that got no answer. Raises DatabaseError."""
    if abandoned := list(store.abandoned):
        await end_sessions(store.client, abandoned)
        for _ in abandoned:
            store.abandoned.popleft()


async def end_heartbeat(store: Store, figures: ProcessFigures = UNTOLD) -> None:
    """Store that this process ends. It has no open sessions any more."""
    uow = store.single()
    await uow.change(ProcessHeartbeat, store.worker, ended_at=uow.now, sessions=(), figures=figures)


async def end_dead_sessions(store: Store) -> None:
    """Abort the transactions of processes whose heartbeat has expired; damaged records are
    reported and left out. Raises DatabaseError."""
    uow = store.single()
    over = {"ended_at": None, "alive_until": {"$lte": uow.now}}
    by_end = (("alive_until", 1),)
    dead = await first_readable(store, ProcessHeartbeat, over, by_end, MAX_PROCESSES)
    sessions = [bytes.fromhex(id) for process in dead for id in process.sessions]
    if sessions:
        await end_sessions(store.client, sessions)
    if dead:
        gone = {"_id": tuple(process.id for process in dead), **over}
        await uow.change_all(ProcessHeartbeat, gone, ended_at=uow.now, lost=True, sessions=())


async def known_processes(uow: UnitOfWork) -> list[ProcessHeartbeat]:
    """The processes that run or have ended lately, the running ones first."""
    by_end = (("ended_at", 1), ("alive_until", 1))
    rows = uow.documents(ProcessHeartbeat, {}, by_end, MAX_PROCESSES)
    found = [each async for each in uow.readable(ProcessHeartbeat, rows)]
    return sorted(found, key=lambda each: (each.ended_at is not None, each.created_at))
