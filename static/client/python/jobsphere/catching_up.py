"""Runs one thing at a time that may be asked for again while it runs."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from jobsphere.refusals import Refusal

log = logging.getLogger("jobsphere")


class CatchingUp:
    """Reads what was missed. Asked for while it runs, it runs once more.

    When it is refused, the next push, `head` or connection asks again.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], counts: Counter[str]) -> None:
        self._work = work
        self._counts = counts
        self._wanted = False
        self._running: asyncio.Task[None] | None = None

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
            except Refusal as refused:
                self._counts[f"not caught up: {refused.code}"] += 1
                log.warning("pushes that were missed cannot be read now: %s", refused)

    async def stop(self) -> None:
        if running := self.running:
            running.cancel()
            await asyncio.wait({running})
