"""Writes the activity of the market in batches, and pushes it to the open monitors.

It runs beside the deliveries, so that they do not wait for it. While the database is away the rows
wait; of more than MAX_WAITING the oldest are dropped.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from domain.admin import activity
from domain.admin.activity import Activity, ActivityRow
from domain.kernel.outbox import Delivery
from domain.kernel.store import Store
from server.runtime.background_tasks import end

log = structlog.get_logger()

GATHER_SECONDS = 0.1  # during which rows share a write
RETRY_SECONDS = 1.0
BATCH, MAX_WAITING = 200, 2000


class ActivityWriter:
    """The rows of this process that are not written yet. `push` sends one to the monitors."""

    def __init__(self, store: Store, push: Callable[[Activity], None]) -> None:
        self._store = store
        self._push = push
        self._waiting: deque[tuple[ActivityRow, Any]] = deque(maxlen=MAX_WAITING)
        self._added = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._write_loop())

    async def stop(self, seconds: float) -> None:
        """Write what waits, for at most so many seconds."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._write()
        if self._loop:
            await end([self._loop])

    def add(self, outbox_id: str, at: datetime, delivery: Delivery) -> None:
        row = activity.row_of(outbox_id, at, delivery)
        if row:
            self._waiting.append((row, delivery.data))
            self._added.set()

    async def _write_loop(self) -> None:
        while True:
            await self._added.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._added.clear()
            try:
                while self._waiting:
                    await self._write()
            except Exception:
                log.warning("activity not written", rows=len(self._waiting), exc_info=True)
                self._added.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _write(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            items = await activity.keep(self._store.single(), batch)
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            raise
        for item in items:
            self._push(item)
