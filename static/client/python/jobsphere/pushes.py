"""Pushes, and bounded subscriptions to them."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from jobsphere.refusals import Missed, Refusal

T = TypeVar("T")
log = logging.getLogger("jobsphere")

QUEUE = 1000  # pushes that a subscription holds for its reader
READER_SECONDS = 10.0
Key = tuple[str, str]  # a namespace and the name of a push


@dataclass(frozen=True, slots=True)
class Push(Generic[T]):
    """One push. `seq` is its number in the user's feed, that of its conversation for a chat
    message, and None for one that may be missed. `way` is "push", or "sync" if it was missed
    before."""

    namespace: str
    name: str
    seq: int | None
    at: str
    data: T
    way: str = "push"


class Subscription(Generic[T]):
    """The pushes since it was opened, in order, each once: `async for push in subscription`.

    It has one reader, and holds `size` pushes for it. While it is full, numbered events and
    messages wait on the server, for READER_SECONDS. Then it is emptied and its reader gets
    `Missed`; iterating again goes on with what came after that. It ends when the client is closed,
    and raises the Refusal that ended the session.
    """

    def __init__(
        self, keys: Collection[Key] | None, size: int, on_close: Callable[[Any], None]
    ) -> None:
        self._keys = keys
        self._size = size
        self._on_close = on_close
        self._waiting: deque[Push[T] | Missed] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._refusal: Refusal | None = None

    def __aiter__(self) -> "Subscription[T]":
        return self

    async def __anext__(self) -> Push[T]:
        while not self._waiting:
            if self._refusal:
                raise self._refusal
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item = self._waiting.popleft()
        self._room.set()
        if isinstance(item, Missed):
            raise item
        return item

    @property
    def waiting(self) -> int:
        """How many pushes wait for the reader."""
        return len(self._waiting)

    async def first(
        self, fits: Callable[[T], object] = lambda data: True, timeout: float = 30.0
    ) -> T:
        """The data of the first push that fits; earlier ones are dropped.

        Raises TimeoutError, Missed, EOFError when the client is closed, and the Refusal that ended
        the session."""
        async with asyncio.timeout(timeout):
            async for push in self:
                if fits(push.data):
                    return push.data
        raise EOFError("the client is closed")

    def close(self) -> None:
        """End the iteration after the pushes that wait."""
        self._on_close(self)
        self.end(None)

    def __enter__(self) -> "Subscription[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- called by the client ----------------------------------------------------------------

    def wants(self, push: Push[Any]) -> bool:
        return self._keys is None or (push.namespace, push.name) in self._keys

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._size

    def holds_up(self, push: Push[Any]) -> bool:
        """Whether a push waits for the reader: not again before that one knows what it missed."""
        missed = self._waiting and isinstance(self._waiting[0], Missed)
        return self.full and self.wants(push) and not missed

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.full and not self._ended:
            self._room.clear()
            await self._room.wait()

    def offer(self, push: Push[Any]) -> None:
        if self.full and push.seq is None:
            return  # it may be missed
        if self.full:
            self._waiting.clear()
            self._waiting.append(Missed("overflow"))
        self._waiting.append(push)
        self._news.set()

    def miss(self, reason: str) -> None:
        if not (self._waiting and isinstance(self._waiting[-1], Missed)):
            self._waiting.append(Missed(reason))
        self._news.set()

    def end(self, refusal: Refusal | None) -> None:
        self._ended, self._refusal = True, refusal
        self._news.set()
        self._room.set()


async def handle(
    pushes: Subscription[T],
    handler: Callable[[Push[T]], Awaitable[None]],
    missed: Callable[[Missed], Awaitable[None]] | None,
) -> None:
    """Call a handler for each push until the subscription ends."""
    item: Push[T] | Missed
    with pushes:
        while True:
            try:
                item = await anext(pushes)
            except (StopAsyncIteration, Refusal):
                return
            except Missed as gap:
                item = gap
            try:
                if not isinstance(item, Missed):
                    await handler(item)
                elif missed is not None:
                    await missed(item)
                else:
                    log.warning("pushes are missing (%s), and no handler is told", item.reason)
            except (Exception, asyncio.CancelledError):  # also of a task that it waited for
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise
                log.exception("a handler of pushes failed")


class Subscriptions:
    """All open subscriptions of a client."""

    def __init__(self) -> None:
        self._open: list[Subscription[Any]] = []
        self._refusal: Refusal | None = None
        self._ended = False

    def open(self, keys: Collection[Key] | None, size: int) -> Subscription[Any]:
        """Subscribe to these pushes, or to all."""
        opened = Subscription[Any](keys, size, self._close)
        if self._ended:
            opened.end(self._refusal)
        else:
            self._open.append(opened)
        return opened

    def _close(self, closed: Subscription[Any]) -> None:
        if closed in self._open:
            self._open.remove(closed)

    def full_for(self, push: Push[Any]) -> bool:
        return any(each.holds_up(push) for each in self._open)

    async def room_for(self, push: Push[Any]) -> None:
        """Wait for readers that are behind, for READER_SECONDS at most."""
        if full := [each for each in self._open if each.holds_up(push)]:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READER_SECONDS):
                    await asyncio.gather(*(each.room() for each in full))

    def offer(self, push: Push[Any]) -> None:
        for each in self._open:
            if each.wants(push):
                each.offer(push)

    def miss(self, reason: str) -> None:
        for each in self._open:
            each.miss(reason)

    def end(self, refusal: Refusal | None) -> None:
        if not self._ended:
            self._ended, self._refusal = True, refusal
            for each in self._open:
                each.end(refusal)
            self._open.clear()
