"""The queues of messages: each has a writer, which writes together whatever waits; one loop pushes
what is written, another one concludes it when a note's time is over.

All that is said in one conversation goes through the same queue, so it is written and pushed in the
order in which it came. Whoever waits gets an answer, at the latest when a write has taken too long.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog

from domain.chat import group_commit
from domain.chat.conversation import MESSAGE, Draft, Message
from domain.chat.group_commit import PendingMessage, WriteIntent, WrittenMessages
from domain.kernel.errors import InternalError, Unavailable
from domain.kernel.outbox import Delivery
from domain.kernel.record import wire
from domain.kernel.store import DatabaseError, Store, UnitOfWork
from domain.ports.ports import Seal
from server.runtime.background_tasks import end

log = structlog.get_logger()

WRITERS = 2  # a message waits for fewer others, and many are still written together
BATCH = 250  # messages that are written together
MOST = 1250  # that may wait for one writer
UNPUSHED = 8  # batches that may wait to be pushed, until writing waits for them
SECONDS = 12.0  # for writing a batch
NOTE_SECONDS = 0.25  # for which messages are written under the same note

Queue = asyncio.Queue[tuple[WriteIntent, WrittenMessages]]
Push = Callable[[Delivery, datetime, dict[str, int]], Awaitable[None]]


class Notes:
    """The notes under which this process writes.

    One is over some time after its first message, when all of it is pushed. One with a write or a
    push that failed is left to whoever claims it when its lease runs out.
    """

    def __init__(self) -> None:
        self.over: list[WriteIntent] = []
        self.came = asyncio.Event()
        self._alive: set[WriteIntent] = set()

    @property
    def busy(self) -> bool:
        return bool(self._alive or self.over)

    def take(self, note: WriteIntent | None, uow: UnitOfWork, messages: int) -> WriteIntent:
        """This one for so many more, or a new one."""
        if note is None or not note.open or len(note.ids) < messages:
            note = group_commit.new_intent(uow, messages)
            self._alive.add(note)
            asyncio.get_running_loop().call_later(NOTE_SECONDS, self.close, note)
        note.in_flight += 1
        return note

    def close(self, note: WriteIntent) -> None:
        """Nothing more is written under it."""
        note.open = False
        if not note.in_flight and note in self._alive:
            self._alive.remove(note)
            self.over.append(note)
            self.came.set()

    def close_all(self) -> None:
        for note in tuple(self._alive):
            self.close(note)

    def pushed(self, note: WriteIntent) -> None:
        note.in_flight -= 1
        if not note.open:
            self.close(note)

    def leave(self, note: WriteIntent) -> None:
        note.open = False
        self._alive.discard(note)


class Writer:
    """Writes the messages of some conversations."""

    def __init__(self, store: Store, notes: Notes, written: Queue) -> None:
        self._store = store
        self._notes = notes
        self._note: WriteIntent | None = None
        self._written = written
        self._waiting: deque[PendingMessage] = deque()
        self._came = asyncio.Event()
        self._at_work = False

    @property
    def busy(self) -> bool:
        return self._at_work or bool(self._waiting)

    def add(self, waiting: PendingMessage) -> None:
        """Raises Unavailable."""
        if len(self._waiting) >= MOST:
            raise Unavailable
        self._waiting.append(waiting)
        self._came.set()

    def refuse(self) -> None:
        """Nothing that waits will be written."""
        _refuse(self._waiting, Unavailable())

    async def run(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while batch := self._taken():
                self._at_work = True
                try:
                    await self._write(batch)
                finally:
                    self._at_work = False
                    _refuse(batch, Unavailable())  # nobody is left without an answer

    def _taken(self) -> list[PendingMessage]:
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        return [each for each in taken if not each.answer.done()] or (
            self._taken() if self._waiting else []
        )

    async def _write(self, batch: list[PendingMessage]) -> None:
        uow = self._store.single()
        note = self._note = self._notes.take(self._note, uow, len(batch))
        try:
            async with asyncio.timeout(SECONDS):
                written = await group_commit.write_batch(uow, batch, note)
        except (DatabaseError, TimeoutError):
            log.warning("messages not written", messages=len(batch), exc_info=True)
            _refuse((*batch, *self._waiting), Unavailable())  # they would wait in vain
            self._notes.leave(note)
        except Exception:
            log.exception("messages not written", messages=len(batch))
            _refuse(batch, InternalError())
            self._notes.leave(note)
        else:
            await self._written.put((note, written))


class Posts:
    """The messages of this process."""

    def __init__(self, store: Store, seal: Seal, push: Push) -> None:
        self._store = store
        self._seal = seal
        self._push = push
        self._notes = Notes()
        self._written: Queue = asyncio.Queue(UNPUSHED)
        self._writers = [Writer(store, self._notes, self._written) for _ in range(WRITERS)]
        self._loops: list[asyncio.Task[None]] = []
        self._open = False
        self._concluding = False

    def start(self) -> None:
        self._open = True
        self._loops = [
            asyncio.create_task(loop())
            for loop in (
                *(writer.run for writer in self._writers),
                self._push_loop,
                self._conclude_loop,
            )
        ]

    async def stop(self, seconds: float = 10) -> None:
        """Take no more, finish what waits; what is not pushed by then somebody else will."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(writer.busy for writer in self._writers):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
                self._notes.close_all()
                while self._notes.busy or self._concluding:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        await end(self._loops)
        for writer in self._writers:
            writer.refuse()

    def post(self, draft: Draft) -> Awaitable[Any]:
        if not self._open:
            raise Unavailable
        waiting = PendingMessage(draft, asyncio.get_running_loop().create_future())
        self._writers[hash(draft.conversation_id) % WRITERS].add(waiting)
        return waiting.answer

    async def push(self, message: Message, to: Sequence[str]) -> None:
        delivery = Delivery(
            MESSAGE.namespace, MESSAGE.name, wire(message), tuple(to), seq=message.seq
        )
        await self._push(delivery, message.created_at, {})

    async def _push_loop(self) -> None:
        while True:
            note, written = await self._written.get()
            try:
                for message in written.messages:
                    await self.push(message, written.members[message.conversation_id])
            except Exception:
                log.warning("messages left to others to be pushed", exc_info=True)
                self._notes.leave(note)
            else:
                self._notes.pushed(note)

    async def _conclude_loop(self) -> None:
        while True:
            await self._notes.came.wait()
            self._notes.came.clear()
            notes, self._notes.over = self._notes.over, []
            self._concluding = True
            try:
                await group_commit.finish_intents(self._store, self._seal, notes)
            except (DatabaseError, Unavailable):
                log.warning("pushed messages left to others", exc_info=True)
            finally:
                self._concluding = False


def _refuse(batch: Iterable[PendingMessage], reason: Exception) -> None:
    for waiting in batch:
        waiting.refuse(reason)
