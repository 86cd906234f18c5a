"""Heartbeats of processes, and the end of the database sessions of dead processes.

Open transactions of a killed process keep their rows locked until the database aborts them, by
default after 60 seconds (`transactionLifetimeLimitSeconds`). So each process stores the sessions
that it uses, and another process ends them when the heartbeat expires. A process that was only
suspended loses nothing: its transactions are retried. A process ends by itself the sessions of its
transactions that got no answer.
Source: MongoDB manual, `killSessions`.
"""

from datetime import datetime, timedelta
from typing import Annotated

from domain.kernel.bounds import Bounded
from domain.kernel.mongo_client import end_sessions
from domain.kernel.record import Index, Record
from domain.kernel.store import Store

HEARTBEAT_TTL = timedelta(seconds=15)  # after that a process counts as dead
MAX_SESSIONS = 500  # of one process, the last ones; the pool has fewer connections
MAX_PROCESSES = 100  # ended in one run


class ProcessHeartbeat(Record, frozen=True):
    """A process that runs or was killed. `id` is the `worker` of its store."""

    COLLECTION = "processes"
    PREFIX = "worker"
    INDEXES = (Index((("alive_until", 1),)),)

    alive_until: datetime
    sessions: Annotated[tuple[str, ...], Bounded(MAX_SESSIONS)]  # hexadecimal


async def send_heartbeat(store: Store) -> None:
    """Store that this process is alive, and the sessions that it uses."""
    uow = store.single()
    for unused in [*store.sessions][:-MAX_SESSIONS]:
        del store.sessions[unused]
    until, sessions = uow.now + HEARTBEAT_TTL, tuple(id.hex() for id in store.sessions)
    known = await uow.change(ProcessHeartbeat, store.worker, alive_until=until, sessions=sessions)
    if known is None:
        await uow.add(
            uow.new(
                ProcessHeartbeat,
                id=store.worker,
                alive_until=until,
                sessions=sessions,
            )
        )


async def end_abandoned_sessions(store: Store) -> None:
    """Abort the transactions of this process that got no answer. Raises DatabaseError."""
    if abandoned := list(store.abandoned):
        await end_sessions(store.client, abandoned)
        for _ in abandoned:
            store.abandoned.popleft()


async def remove_heartbeat(store: Store) -> None:
    """Remove this process, which has no open sessions any more."""
    await store.single().remove(ProcessHeartbeat, {"_id": store.worker})


async def end_dead_sessions(store: Store) -> None:
    """Abort the transactions of processes whose heartbeat has expired. Raises DatabaseError."""
    uow = store.single()
    over = {"alive_until": {"$lte": uow.now}}
    dead = await uow.all(ProcessHeartbeat, over, (("alive_until", 1),), MAX_PROCESSES)
    sessions = [bytes.fromhex(id) for process in dead for id in process.sessions]
    if sessions:
        await end_sessions(store.client, sessions)
    if dead:
        await uow.remove(ProcessHeartbeat, {"_id": tuple(process.id for process in dead), **over})
