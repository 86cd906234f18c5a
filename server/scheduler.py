"""Work that comes due by time: offers that end, snapshots of accounts, feed heads to keep.

Every step is guarded, so that any number of processes may run it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from domain import feed, ledger, offers
from domain.ports import Ports
from domain.store import UnitOfWork

log = structlog.get_logger()

EXPIRY_SECONDS = 2.0
SNAPSHOT_SECONDS = 60.0
HEADS_SECONDS = 3600.0


class Scheduler:
    """One loop for each; a failure is logged and the next round tries again."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [
            asyncio.create_task(self._every(EXPIRY_SECONDS, self._expire)),
            asyncio.create_task(self._every(SNAPSHOT_SECONDS, self._snapshot)),
            asyncio.create_task(self._every(HEADS_SECONDS, self._keep_heads)),
        ]

    async def stop(self) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds * (0.75 + random.random() / 2))
            try:
                await work()
            except Exception:
                log.warning("scheduled work failed", work=work.__name__, exc_info=True)

    async def _expire(self) -> None:
        await offers.expire_due(self._ports)

    async def _keep_heads(self) -> None:
        await feed.keep_heads_of_expiring(self._ports.store.single())

    async def _snapshot(self) -> None:
        async def work(uow: UnitOfWork) -> None:
            for account in (ledger.PLATFORM, ledger.STRIPE_FEES):
                await ledger.take_snapshot(uow, account)

        await self._ports.store.transact(work)
