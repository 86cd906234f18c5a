"""Wakes the loops of the process when there may be work for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Wake:
    """One event for each loop, which clears its own. Both are set after each request, and when
    timers have run."""

    timers: asyncio.Event = field(default_factory=asyncio.Event)
    webhooks: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self) -> None:
        self.timers.set()
        self.webhooks.set()


async def wait_until(event: asyncio.Event, at: float | None, now: float) -> bool:
    """Wait for an event, until the time `at` if there is one. Returns whether it came."""
    try:
        async with asyncio.timeout(None if at is None else max(0.0, at - now)):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
