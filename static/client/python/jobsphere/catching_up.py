"""Runs one thing at a time that may be asked for again while it runs."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from jobsphere.refusals import ENDING, Refusal, pauses

log = logging.getLogger("jobsphere")


class CatchingUp:
    """Reads what was missed. Asked for while it runs, it runs once more.

    When it is refused, it runs again after a pause.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], counts: Counter[str]) -> None:
        self._work = work
        self._counts = counts
        self._wanted = False
        self._running: asyncio.Task[None] | None = None
        self._pause = pauses()
        self._again: asyncio.TimerHandle | None = None

    @property
    def running(self) -> "asyncio.Task[None] | None":
        return None if self._running is None or self._running.done() else self._running

    def start(self) -> None:
        self._wanted = True
        if not self.running:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._work()
                self._pause = pauses()
            except Refusal as refused:
                self._counts[f"not caught up: {refused.code}"] += 1
                log.warning("pushes that were missed cannot be read now: %s", refused)
                if refused.code not in ENDING:
                    self._start_later(refused.retry_after)
            except Exception:
                log.exception("pushes that were missed cannot be delivered")

    def _start_later(self, least: float) -> None:
        if self._again:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(self._pause(least), self.start)

    async def stop(self) -> None:
        if running := self.running:
            running.cancel()
            await asyncio.wait({running})
        if self._again:
            self._again.cancel()
