"""Processes say that they live; what a killed one has left open in the database is ended.

A killed process's transactions keep their rows locked until the database ends them by itself, after
a minute unless told otherwise (`transactionLifetimeLimitSeconds`). So each process writes down the
sessions it uses, and another one ends them once it has been silent for too long. A process that
was only asleep loses nothing: its transactions are run again.
Source: MongoDB manual, `killSessions`.
"""

from datetime import datetime, timedelta

from domain.kernel.record import Index, Record
from domain.kernel.store import Store

HEARTBEAT_TTL = timedelta(seconds=15)  # then it counts as dead
MAX_PROCESSES = 100


class ProcessHeartbeat(Record, frozen=True):
    """One that is under way, or was killed. `id` is its store's `worker`."""

    COLLECTION = "processes"
    PREFIX = "worker"
    INDEXES = (Index((("alive_until", 1),)),)

    alive_until: datetime
    sessions: tuple[str, ...]  # hexadecimal


async def send_heartbeat(store: Store) -> None:
    """Every few seconds."""
    uow = store.single()
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


async def remove_heartbeat(store: Store) -> None:
    """Nothing is open any more."""
    await store.single().remove(ProcessHeartbeat, {"_id": store.worker})


async def end_dead_sessions(store: Store) -> None:
    """End the transactions of the processes that were killed. Raises DatabaseError."""
    uow = store.single()
    over = {"alive_until": {"$lte": uow.now}}
    dead = await uow.all(ProcessHeartbeat, over, (("alive_until", 1),), MAX_PROCESSES)
    sessions = [bytes.fromhex(id) for process in dead for id in process.sessions]
    if sessions:
        await store.end_sessions(sessions)
    if dead:
        await uow.remove(ProcessHeartbeat, {"_id": tuple(process.id for process in dead), **over})
