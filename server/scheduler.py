"""Work that comes due by time, each piece of it in one process at a time.

Intervals are measured on a clock that never jumps. Every step is guarded, so that work which
happens to run twice has one effect.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from domain import (
    chain,
    completion,
    disputes,
    feed,
    janitor,
    leases,
    ledger,
    offers,
    reconciliation,
)
from domain.ports import Ports
from domain.store import UnitOfWork
from server.ending import end

log = structlog.get_logger()

RENEW_SECONDS = 5.0
LEAST = 0.5  # of its interval has passed before a job runs again, in whatever process


class Job(msgspec.Struct, frozen=True):
    """`run` about every `seconds`."""

    name: str
    seconds: float
    run: Callable[[Ports], Awaitable[object]]


async def snapshot(ports: Ports) -> None:
    async def work(uow: UnitOfWork) -> None:
        for account in (ledger.PLATFORM, ledger.STRIPE_FEES):
            await ledger.take_snapshot(uow, account)

    await ports.store.transact(work)


async def keep_heads(ports: Ports) -> None:
    await feed.keep_heads_of_expiring(ports.store.single())


JOBS = (
    Job("expire offers", 2, offers.expire_due),
    Job("chain the trail", 2, chain.extend),
    Job("complete delivered work", 30, completion.complete_due),
    Job("remind of completion", 300, completion.remind_due),
    Job("escalate disputes", 60, disputes.escalate_due),
    Job("snapshot accounts", 60, snapshot),
    Job("ask Stripe again", 30, janitor.ask_again),
    Job("warn of ends", 600, janitor.warn_of_ends),
    Job("reconcile", 3600, reconciliation.reconcile_daily),
    Job("keep feed heads", 3600, keep_heads),
)


class Scheduler:
    """One loop for each job; a failure is logged and the next round tries again."""

    def __init__(self, ports: Ports, jobs: Sequence[Job] = JOBS) -> None:
        self._ports = ports
        self._jobs = jobs
        self._loops: list[asyncio.Task[None]] = []
        self._held: set[str] = set()

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._repeat(job)) for job in self._jobs]

    async def stop(self) -> None:
        await end(self._loops)
        held, self._held = self._held, set()
        gone = (leases.release(self._ports.store, name) for name in held)
        await asyncio.gather(*gone, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(job.seconds * (0.75 + random.random() / 2))
            try:
                if await self._is_ours(job):
                    await self._run(job)
                    await leases.finished(self._ports.store, job.name)
            except Exception:
                log.warning("scheduled work failed", work=job.name, exc_info=True)

    async def _is_ours(self, job: Job) -> bool:
        """No one else is at it, or was a moment ago."""
        lease = await leases.hold(self._ports.store, job.name)
        if lease is None:
            return False
        self._held.add(job.name)
        recently = timedelta(seconds=job.seconds * LEAST)
        return not lease.ran_within(recently, self._ports.clock.now())

    async def _run(self, job: Job) -> None:
        """Hold the lease for as long as it takes."""
        renewing = asyncio.create_task(self._renew(job.name))
        try:
            await job.run(self._ports)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, name: str) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await leases.hold(self._ports.store, name)
