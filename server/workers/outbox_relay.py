"""The outbox relay: delivers the pushes and runs the tasks that transactions leave in the outbox.

A transaction writes its rows with a lease of its own process, which takes them at once, without a
claim. After an expired lease the first process that claims the row gets it. Each claim counts as an
attempt, so a row that kills its process becomes a dead letter too. A finished row is deleted by a
guarded write: a process that has lost the lease changes nothing.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog

from domain.admin import dead_letters
from domain.kernel import process_registry
from domain.kernel.documents import Where
from domain.kernel.field_codec import UndecipherableField
from domain.kernel.outbox import LEASE, MAX_ATTEMPTS, Delivery, Lane, OutboxRow
from domain.kernel.process_figures import ProcessFigures
from domain.kernel.store import UNREACHABLE, Store, UnitOfWork
from domain.notifications import feed
from domain.operations.cause import caused_by
from domain.operations.task import NeedsPerson, Task, TryAgain
from domain.ports.payment_gateway import GatewayUnknown
from domain.ports.ports import Ports
from server.runtime.background_tasks import end

log = structlog.get_logger()

POLL_SECONDS = 1.0
RENEW_SECONDS = 4.0
LEAST_DELAY = 0.5  # seconds before another attempt
FIRST_DELAY = 1.0  # seconds: the span of the jitter on top of it, at first
# Tasks at the same time.
MAX_RUNNING = {Lane.STRIPE: 8, Lane.NOTICE: 2, Lane.MAIL: 4, Lane.SEARCH: 1, Lane.EXPORT: 1}
BATCH = 100
MAX_HEADS = 50_000  # feed heads in memory
UNREADABLE_WAIT = timedelta(minutes=5)
UNCOUNTED = timedelta(days=7)  # the age from which waiting for Stripe counts as an attempt

Push = Callable[[Delivery, datetime, dict[str, int], str], Awaitable[None]]


def backoff(attempts: int) -> timedelta:
    """Exponential with full jitter: up to 1, 2, 4 ... 600 seconds, at least half a second."""
    return timedelta(
        seconds=LEAST_DELAY + random.random() * min(600.0, FIRST_DELAY * 2.0**attempts)
    )


def unanswered_backoff(age: timedelta) -> timedelta:
    """The delay of a task that waits for Stripe: up to a quarter of its age, at most 600
    seconds."""
    longest = min(600.0, max(FIRST_DELAY, age.total_seconds() / 4))
    return timedelta(seconds=LEAST_DELAY + random.random() * longest)


class Relay:
    """Works on the rows in hand: those that this process wrote or has claimed."""

    def __init__(self, tasks: Any, push: Push) -> None:
        self._tasks = tasks
        self._push = push
        self._ports: Ports | None = None
        self._in_hand: dict[str, OutboxRow] = {}
        self._pushes: asyncio.Queue[OutboxRow] = asyncio.Queue()
        self._slots = {lane: asyncio.Semaphore(most) for lane, most in MAX_RUNNING.items()}
        self._subjects: dict[str, int] = defaultdict(int)
        self._turns: dict[str, asyncio.Lock] = {}
        self._changed = asyncio.Condition()
        self._finished: list[str] = []  # ids of rows to be deleted
        self._deleting = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []
        self._working: set[asyncio.Task[None]] = set()
        self._heads: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._heartbeat_at = time.monotonic()
        self.figures: Callable[[], ProcessFigures] = ProcessFigures

    @property
    def in_hand(self) -> int:
        """The rows that this process works on."""
        return len(self._in_hand)

    @property
    def queued_pushes(self) -> int:
        """The pushes among them that wait for those before."""
        return self._pushes.qsize()

    @property
    def seconds_since_heartbeat(self) -> float:
        """Since a write of this process last succeeded for certain."""
        return time.monotonic() - self._heartbeat_at

    def start(self, ports: Ports) -> None:
        self._ports = ports
        self._heartbeat_at = time.monotonic()
        ports.store.committed = self.take
        ports.store.delivers = True
        self._loops = [
            asyncio.create_task(self._poll_loop()),
            asyncio.create_task(self._push_loop()),
            asyncio.create_task(self._renew_loop()),
        ]

    async def stop(self, seconds: float = 10) -> None:
        """Finish the rows in hand; what takes longer than `seconds` is left to another process."""
        for polling in self._loops[:1]:
            polling.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._in_hand:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.02)
        with contextlib.suppress(Exception):
            await self._save_heads()
        self._store.committed = lambda rows: None
        self._store.delivers = False
        await end((*self._loops, *self._working))
        with contextlib.suppress(Exception):
            await process_registry.end_heartbeat(self._store, self.figures())

    async def settled(self, subject: str, seconds: float = 10) -> bool:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: not self._subjects.get(subject))
        except TimeoutError:
            return False
        return True

    # -- taking ------------------------------------------------------------------------------

    def take(self, rows: Sequence[OutboxRow]) -> None:
        """Start work on rows that are leased to this process."""
        for row in rows:
            if row.owner != self._store.worker or row.id in self._in_hand:
                continue
            self._in_hand[row.id] = row
            if row.lane is Lane.PUSH:
                self._pushes.put_nowait(row)
            else:
                self._start_task(row)

    def _start_task(self, row: OutboxRow) -> None:
        try:
            task = msgspec.convert(row.body, self._tasks)
        except msgspec.ValidationError:
            log.warning("task of another version left to other processes", row=row.id)
            self._spawn(self._return_unknown(row))
            return
        self._subjects[task.subject] += 1
        self._spawn(self._run_task(row, task))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        working = asyncio.create_task(work)
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    async def _return_unknown(self, row: OutboxRow) -> None:
        await self._retry_later(row, "unknown task", at=row.lease_until + LEASE, waiting=True)
        self._in_hand.pop(row.id, None)

    async def _poll_loop(self) -> None:
        while True:
            try:
                await self.poll()
            except Exception:
                log.warning("outbox not polled", exc_info=True)
            await asyncio.sleep(POLL_SECONDS * (0.75 + random.random() / 2))

    async def beat(self) -> None:
        """Tell that this process is alive, and how it is."""
        await process_registry.send_heartbeat(self._store, self.figures())

    async def poll(self) -> None:
        """Start work on the rows that are due and belong to no living process."""
        self.take(await self._claim())

    @property
    def busy(self) -> bool:
        """Whether it has rows in hand."""
        return bool(self._in_hand)

    async def _claim(self) -> list[OutboxRow]:
        uow = self._store.single()
        over = {"dead": False, "lease_until": {"$lte": uow.now}}
        due = await self._readable(uow, over)
        due = [row for row in due if row.id not in self._in_hand]
        if not due:
            return []
        exhausted = [row for row in due if row.attempts >= MAX_ATTEMPTS]
        if exhausted:
            log.error("rows become dead letters", rows=[row.id for row in exhausted])
            await self._move_to_dead_letters(exhausted)
        mine = {"_id": tuple(row.id for row in due if row.attempts < MAX_ATTEMPTS)}
        stamp = uow.now + LEASE
        await uow.change_all(
            OutboxRow,
            over | mine,
            inc={"attempts": 1},
            owner=self._store.worker,
            lease_until=stamp,
        )
        return await uow.all(
            OutboxRow, {**mine, "owner": self._store.worker, "lease_until": stamp}, (("_id", 1),)
        )

    async def _readable(self, uow: UnitOfWork, over: Where) -> list[OutboxRow]:
        """The rows that are due. One that cannot be read, such as under a missing key, waits for
        another time, so that it does not stop the others."""
        rows, unreadable = [], []
        async for document in uow.documents(OutboxRow, over, (("lease_until", 1),), BATCH):
            id = document["_id"]
            try:
                rows.append(uow.record(OutboxRow, document))
            except (UndecipherableField, msgspec.ValidationError) as failed:
                log.error("outbox row not readable", row=id, reason=str(failed))
                unreadable.append(id)
        if unreadable:
            until = uow.now + UNREADABLE_WAIT
            await uow.change_all(OutboxRow, {**over, "_id": tuple(unreadable)}, lease_until=until)
        return rows

    async def _move_to_dead_letters(self, exhausted: Sequence[OutboxRow]) -> None:
        """One by one, so that a failure does not stop the others."""
        for row in exhausted:
            try:
                await self._store.transact(partial(dead_letters.move_to_dead_letters, rows=[row]))
            except Exception:
                log.exception("not moved to dead letters", row=row.id)

    async def _save_heads(self) -> None:
        heads = {user: self._heads[user] for user in self._unsaved if user in self._heads}
        await feed.keep_heads(self._store.single(), heads)
        self._unsaved -= {user for user, head in heads.items() if self._heads.get(user) == head}

    async def _renew_loop(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                await self.beat()
                self._heartbeat_at = time.monotonic()
                await process_registry.end_abandoned_sessions(self._store)
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(Exception):
                await self._save_heads()
            if self._in_hand:
                uow = self._store.single()
                with contextlib.suppress(Exception):
                    await uow.change_all(
                        OutboxRow,
                        {"_id": tuple(self._in_hand), "owner": self._store.worker},
                        lease_until=uow.now + LEASE,
                    )

    # -- tasks -------------------------------------------------------------------------------

    async def _run_task(self, row: OutboxRow, task: Task) -> None:
        assert self._ports is not None
        try:
            # One at a time for each subject, so that none takes all the slots.
            async with self._turns.setdefault(task.subject, asyncio.Lock()), self._slots[row.lane]:
                with caused_by(task=task.tag(), row=row.id):
                    await task.run(self._ports)
        except TryAgain as later:
            await self._retry_later(row, str(later), body=later.task, at=later.at, waiting=True)
        except NeedsPerson as refused:
            await self._set_aside(row, str(refused))
        except GatewayUnknown as unknown:
            await self._retry_later(row, str(unknown) or type(unknown).__name__, waiting=True)
        except Exception as failed:
            log.exception("task failed", task=task.tag(), subject=task.subject)
            await self._retry_later(row, f"{type(failed).__name__}: {failed}"[:500])
        else:
            await self._delete([row])
        finally:
            self._in_hand.pop(row.id, None)
            self._subjects[task.subject] -= 1
            if not self._subjects[task.subject]:
                del self._subjects[task.subject]
                self._turns.pop(task.subject, None)
            async with self._changed:
                self._changed.notify_all()

    async def _set_aside(self, row: OutboxRow, reason: str) -> None:
        """Make a row a dead letter before its attempts are used up; its cause was alerted of."""
        with contextlib.suppress(Exception):  # then the task is run again after its lease
            await self._store.single().change(
                OutboxRow,
                row.id,
                only_if={"owner": self._store.worker},
                owner="",
                dead=True,
                last_error=reason,
            )

    async def _retry_later(
        self,
        row: OutboxRow,
        reason: str,
        *,
        body: Task | None = None,
        at: datetime | None = None,
        waiting: bool = False,
    ) -> None:
        """Return a row for a later attempt. Waiting for Stripe counts as none for up to 7 days."""
        uow = self._store.single()
        age = uow.now - row.created_at
        uncounted = waiting and age < UNCOUNTED
        delay = unanswered_backoff(age) if uncounted else backoff(row.attempts)
        fields = {"body": msgspec.to_builtins(body, builtin_types=(datetime,))} if body else {}
        with contextlib.suppress(Exception):  # then the row is retried after its lease
            await uow.change(
                OutboxRow,
                row.id,
                only_if={"owner": self._store.worker},
                owner="",
                inc={"attempts": -1} if uncounted and row.attempts else None,
                lease_until=at or uow.now + delay,
                last_error=reason,
                **fields,
            )

    # -- pushes ------------------------------------------------------------------------------

    async def _push_loop(self) -> None:
        """A single consumer, so that pushes keep the order of their commits."""
        while True:
            rows = [await self._pushes.get()]
            while len(rows) < BATCH and not self._pushes.empty():
                rows.append(self._pushes.get_nowait())
            try:
                await self._deliver_all(rows)
            except Exception:
                log.warning("batch of pushes not delivered", rows=len(rows), exc_info=True)
                await self._deliver_singly(rows)
            for row in rows:
                self._in_hand.pop(row.id, None)

    async def _deliver_all(self, rows: Sequence[OutboxRow]) -> None:
        """Deliver a batch; waits while the database is away."""
        while True:
            try:
                return await self._deliver(rows)
            except UNREACHABLE:
                await asyncio.sleep(1)

    async def _deliver_singly(self, rows: Sequence[OutboxRow]) -> None:
        """Deliver one by one, so that an undeliverable push does not stop the others."""
        for row in rows:
            try:
                await self._deliver([row])
            except Exception as failed:
                await self._retry_later(row, f"{type(failed).__name__}: {failed}"[:500])

    async def _deliver(self, rows: Sequence[OutboxRow]) -> None:
        batch = [(row, msgspec.convert(row.body, Delivery)) for row in rows]
        for_feeds: dict[str, list[feed.Entry]] = defaultdict(list)
        for row, delivery in batch:
            if delivery.seq is None:
                for user in delivery.to:
                    for_feeds[user].append(feed.Entry(row.id, row.created_at, delivery))
        if len(self._heads) > MAX_HEADS:
            await self._save_heads()
            self._heads.clear()
        numbers = await feed.append_all(self._store.single(), for_feeds, self._heads)
        self._unsaved.update(for_feeds)
        for row, delivery in batch:
            seqs = {user: numbers[user][row.id] for user in delivery.to if delivery.seq is None}
            await self._push(delivery, row.created_at, seqs, row.id)
        await self._delete(rows)

    async def _delete(self, rows: Sequence[OutboxRow]) -> None:
        """Delete finished rows. Those that finish during a request share the next one; those of a
        failed request stay for the next one."""
        self._finished += (row.id for row in rows)
        async with self._deleting:
            finished = tuple(self._finished)
            if finished:
                mine = {"_id": finished, "owner": self._store.worker}
                await self._store.single().remove(OutboxRow, mine)
            del self._finished[: len(finished)]

    @property
    def _store(self) -> Store:
        assert self._ports is not None
        return self._ports.store
