"""Threads that make blocking calls for event loops.

Decision: not a `ThreadPoolExecutor`, because each database statement is such a call. An executor
gives each one a future with a lock, a second future of the event loop, and callbacks between them;
this takes more time than the driver's own part of a short statement. Here a thread hands its result
to the loop directly.
"""

import asyncio
import contextlib
import math
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Call:
    """A call and the future of its result. Who takes the ticket first runs or refuses it."""

    __slots__ = ("answer", "loop", "ticket", "work")

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Any]) -> None:
        self.loop = loop
        self.work = work
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.ticket: list[None] = [None]

    def take(self) -> bool:
        try:
            self.ticket.pop()  # atomic
        except IndexError:
            return False
        return not self.answer.cancelled()

    def settle(self, value: Any, failed: BaseException | None) -> None:
        """Pass on the result, in the loop's thread, unless the caller was cancelled."""
        if self.answer.done():
            return
        if failed is None:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(failed)


class CallThreads:
    """At most `size` threads, which are started when calls need them. They end with the process,
    and do not delay its end."""

    def __init__(self, size: int, name: str, refusal: Callable[[], Exception]) -> None:
        self.size = size
        self._name = name
        self._refusal = refusal
        self._start()
        os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._unfinished: list[None] = []  # one item for each call; its methods are atomic
        self._threads = 0

    def run(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[], T], patience: float
    ) -> asyncio.Future[T]:
        """Call in a thread. Raises what `work` raises, or the refusal when no thread was free for
        `patience` seconds, or RuntimeError, at once, when the system starts no further thread."""
        call = Call(loop, work)
        if len(self._unfinished) >= self.size:
            if patience < math.inf:
                timer = loop.call_later(patience, self._refuse, call)
                call.answer.add_done_callback(lambda _: timer.cancel())
        elif self._threads <= len(self._unfinished):
            threading.Thread(
                target=self._serve,
                args=[self._calls, self._unfinished],
                name=f"{self._name}_{self._threads + 1}",
                daemon=True,
            ).start()
            self._threads += 1
        self._unfinished.append(None)
        self._calls.put(call)
        return call.answer

    def _refuse(self, call: Call) -> None:
        if call.take():
            call.answer.set_exception(self._refusal())

    @staticmethod
    def _serve(calls: "SimpleQueue[Call]", unfinished: list[None]) -> None:
        while True:
            call = calls.get()
            value: Any = None
            failed: BaseException | None = None
            taken = call.take()
            if taken:
                try:
                    value = call.work()
                except BaseException as raised:
                    failed = raised
            unfinished.pop()
            if taken:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    call.loop.call_soon_threadsafe(call.settle, value, failed)
            del call, value, failed  # which may be large, and wait long for the next call
