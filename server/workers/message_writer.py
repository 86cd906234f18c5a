"""Group commit of chat messages: queues that are written in batches, pushed, and concluded.

All messages of a conversation pass through the same queue, so they are written and pushed in the
order in which they arrive. Every waiting sender gets an answer, at the latest when a write times
out. An intent (`group_commit.WriteIntent`) is an outbox row with which another process finishes the
messages of a process that dies; it is concluded, that is removed, after its messages are pushed.
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
from domain.kernel.mongo_client import command_limit
from domain.kernel.outbox import Delivery
from domain.kernel.record import wire
from domain.kernel.store import DatabaseError, Store, UnitOfWork
from domain.ports.ports import Seal
from server.runtime.background_tasks import end

log = structlog.get_logger()

WRITERS = 2  # so that a message waits for fewer others; batches stay large
BATCH = 250  # messages of one write
MAX_WAITING = 1250  # messages for one writer
MAX_UNPUSHED = 8  # batches; then writing pauses
WRITE_SECONDS = 12.0  # for a batch
INTENT_SECONDS = 0.25  # during which messages share an intent

Queue = asyncio.Queue[tuple[WriteIntent, WrittenMessages]]
Push = Callable[[Delivery, datetime, dict[str, int]], Awaitable[None]]


class PendingIntents:
    """The intents of this process whose messages are not concluded yet.

    An intent is complete INTENT_SECONDS after its first message, once all its messages are pushed.
    An intent with a failed write or push is abandoned: the process that claims it after its lease
    finishes it."""

    def __init__(self) -> None:
        self.complete: list[WriteIntent] = []
        self.completed = asyncio.Event()
        self._open: set[WriteIntent] = set()

    @property
    def busy(self) -> bool:
        return bool(self._open or self.complete)

    def take(self, intent: WriteIntent | None, uow: UnitOfWork, messages: int) -> WriteIntent:
        """Returns `intent` if it has room for so many more messages, or a new one."""
        if intent is None or not intent.open or len(intent.ids) < messages:
            intent = group_commit.new_intent(uow, messages)
            self._open.add(intent)
            asyncio.get_running_loop().call_later(INTENT_SECONDS, self.close, intent)
        intent.in_flight += 1
        return intent

    def close(self, intent: WriteIntent) -> None:
        """Add no more messages to an intent; it is complete once all are pushed."""
        intent.open = False
        if not intent.in_flight and intent in self._open:
            self._open.remove(intent)
            self.complete.append(intent)
            self.completed.set()

    def close_all(self) -> None:
        for intent in tuple(self._open):
            self.close(intent)

    def pushed(self, intent: WriteIntent) -> None:
        intent.in_flight -= 1
        if not intent.open:
            self.close(intent)

    def abandon(self, intent: WriteIntent) -> None:
        intent.open = False
        self._open.discard(intent)


class Writer:
    """Writes the messages of a part of the conversations."""

    def __init__(self, store: Store, intents: PendingIntents, written: Queue) -> None:
        self._store = store
        self._intents = intents
        self._intent: WriteIntent | None = None
        self._written = written
        self._waiting: deque[PendingMessage] = deque()
        self._batch: list[PendingMessage] = []
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._writing = False

    @property
    def busy(self) -> bool:
        return self._writing or bool(self._waiting)

    def add(self, waiting: PendingMessage) -> None:
        """Raises Unavailable when too many messages wait."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable
        self._waiting.append(waiting)
        self._arrived.set()
        if self._timer is None:
            self._timer = waiting.answer.get_loop().call_at(waiting.answer_by, self._refuse_late)

    def _refuse_late(self) -> None:
        """Refuse the messages that have waited too long. The write of a batch goes on, and its
        messages are found when they are sent again."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        open_ = [each for each in (*self._batch, *self._waiting) if not each.answer.done()]
        _refuse((each for each in open_ if each.answer_by <= now), Unavailable())
        if left := [each.answer_by for each in open_ if each.answer_by > now]:
            self._timer = asyncio.get_running_loop().call_at(min(left), self._refuse_late)

    def refuse(self) -> None:
        """Refuse all waiting messages."""
        _refuse(self._waiting, Unavailable())

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._take_batch():
                self._batch = batch
                self._writing = True
                try:
                    await self._write(batch)
                finally:
                    self._writing = False
                    self._batch = []
                    _refuse(batch, Unavailable())  # those without an answer

    def _take_batch(self) -> list[PendingMessage]:
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        return [each for each in taken if not each.answer.done()] or (
            self._take_batch() if self._waiting else []
        )

    async def _write(self, batch: list[PendingMessage]) -> None:
        uow = self._store.single()
        intent = self._intent = self._intents.take(self._intent, uow, len(batch))
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                written = await group_commit.write_batch(uow, batch, intent)
        except (DatabaseError, TimeoutError):
            log.warning("messages not written", messages=len(batch), exc_info=True)
            _refuse((*batch, *self._waiting), Unavailable())  # the next write would fail too
            self._intents.abandon(intent)
        except Exception:
            log.exception("messages not written", messages=len(batch))
            _refuse(batch, InternalError())
            self._intents.abandon(intent)
        else:
            await self._written.put((intent, written))


class MessageWriter:
    """The message queue of this process."""

    def __init__(self, store: Store, seal: Seal, push: Push) -> None:
        self._store = store
        self._seal = seal
        self._push = push
        self._intents = PendingIntents()
        self._written: Queue = asyncio.Queue(MAX_UNPUSHED)
        self._writers = [Writer(store, self._intents, self._written) for _ in range(WRITERS)]
        self._loops: list[asyncio.Task[None]] = []
        self._accepting = False
        self._concluding = False
        self.stored = 0  # messages, since the start

    def start(self) -> None:
        self._accepting = True
        self._loops = [
            asyncio.create_task(loop())
            for loop in (
                *(writer.run for writer in self._writers),
                self._push_loop,
                self._conclude_loop,
            )
        ]

    async def stop(self, seconds: float = 10) -> None:
        """Accept no more and finish the waiting messages; other processes push what is left."""
        self._accepting = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(writer.busy for writer in self._writers):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.02)
                await self.conclude()
        await end(self._loops)
        for writer in self._writers:
            writer.refuse()

    async def conclude(self) -> None:
        """Wait until all that was written is pushed and finished."""
        self._intents.close_all()
        while self._intents.busy or self._concluding:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)

    def post(self, draft: Draft) -> Awaitable[Any]:
        if not self._accepting:
            raise Unavailable
        loop = asyncio.get_running_loop()
        waiting = PendingMessage(draft, loop.create_future(), loop.time() + command_limit().left)
        self._writers[hash(draft.conversation_id) % WRITERS].add(waiting)
        return waiting.answer

    async def push(self, message: Message, to: Sequence[str]) -> None:
        delivery = Delivery(
            MESSAGE.namespace, MESSAGE.name, wire(message), tuple(to), seq=message.seq
        )
        await self._push(delivery, message.created_at, {})

    async def _push_loop(self) -> None:
        while True:
            intent, written = await self._written.get()
            self.stored += len(written.messages)
            try:
                for message in written.messages:
                    await self.push(message, written.members[message.conversation_id])
            except Exception:
                log.warning("messages not pushed: another process will", exc_info=True)
                self._intents.abandon(intent)
            else:
                self._intents.pushed(intent)

    async def _conclude_loop(self) -> None:
        while True:
            await self._intents.completed.wait()
            self._intents.completed.clear()
            intents, self._intents.complete = self._intents.complete, []
            self._concluding = True
            try:
                await group_commit.finish_intents(self._store, self._seal, intents)
            except (DatabaseError, Unavailable):
                log.warning("pushed messages not concluded: another process will", exc_info=True)
            except Exception:
                log.exception("pushed messages not concluded: another process will")
            finally:
                self._concluding = False


def _refuse(batch: Iterable[PendingMessage], reason: Exception) -> None:
    for waiting in batch:
        waiting.refuse(reason)
