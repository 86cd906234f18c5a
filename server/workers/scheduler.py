"""Work that comes due by time, each piece of it in one process at a time.

Whether it is due is kept with its lease, so that neither a restart nor a dead process puts it off;
a process by itself measures intervals on a clock that never jumps. Every step is guarded, so that
work which happens to run twice has one effect.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from domain import ledger
from domain.audit_trail import hash_chain, verification
from domain.bidding import offers
from domain.bidding import reminders as offer_reminders
from domain.chat import group_commit
from domain.disputes import operations as disputes
from domain.disputes import reminders as dispute_reminders
from domain.files import file
from domain.fulfillment import auto_completion
from domain.kernel import leases, process_registry
from domain.kernel.store import UnitOfWork
from domain.notifications import feed
from domain.ports.ports import Ports
from domain.reconciliation import follow_up, runs
from server.runtime.background_tasks import end

log = structlog.get_logger()

RENEW_SECONDS = 5.0
LOOK_SECONDS = 5.0  # at most, to see whether work is due that another process left undone
FAILED_SECONDS = 60.0  # at most, until work that failed is tried again


class Job(msgspec.Struct, frozen=True):
    """`run` about every `seconds`."""

    name: str
    seconds: float
    run: Callable[[Ports], Awaitable[object]]


async def snapshot(ports: Ports) -> None:
    async def work(uow: UnitOfWork) -> None:
        for account in ledger.SNAPSHOT_ACCOUNTS:
            await ledger.take_snapshot(uow, account)

    await ports.store.transact(work)


async def end_dead(ports: Ports) -> None:
    await process_registry.end_dead_sessions(ports.store)


async def keep_heads(ports: Ports) -> None:
    await feed.keep_heads_of_expiring(ports.store.single())


async def note_head(ports: Ports) -> None:
    """In the log, where an older state of the database that is put back does not reach."""
    log.info("end of the audit trail", head=await hash_chain.head(ports))


JOBS = (
    Job("end what the dead left", 3, end_dead),
    Job("expire offers", 2, offers.expire_due),
    Job("chain the trail", 2, hash_chain.extend),
    Job("forget request ids of messages", 3600, group_commit.forget_requests),
    Job("complete delivered work", 30, auto_completion.complete_due),
    Job("announce completions", 300, auto_completion.announce_due),
    Job("escalate disputes", 60, disputes.escalate_due),
    Job("snapshot accounts", 60, snapshot),
    Job("ask Stripe again", 30, follow_up.follow_up_recent),
    Job("ask Stripe about what is old", 3600, follow_up.follow_up_old),
    Job("warn of ends", 600, offer_reminders.remind_of_expiry),
    Job("warn of deadlines", 600, dispute_reminders.remind_of_deadlines),
    Job("sweep files", 600, file.sweep),
    Job("reconcile", 3600, runs.reconcile_daily),
    Job("note the head of the trail", 3600, note_head),
    Job("prove the trail", 86_400, verification.prove_daily),
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
        pause, ran = min(job.seconds, LOOK_SECONDS), -math.inf
        while True:
            await asyncio.sleep(pause * (0.75 + random.random() / 2))
            if time.monotonic() - ran < job.seconds - pause:
                continue
            try:
                if await self._is_ours(job):
                    await self._run(job)
                    ran = time.monotonic()
                    await leases.mark_finished(self._ports.store, job.name)
            except Exception:
                log.warning("scheduled work failed", work=job.name, exc_info=True)
                await asyncio.sleep(min(job.seconds, FAILED_SECONDS))

    async def _is_ours(self, job: Job) -> bool:
        """It is due, and no one else is at it."""
        store, now = self._ports.store, self._ports.clock.now
        recently = timedelta(seconds=job.seconds - min(job.seconds, LOOK_SECONDS) / 2)
        known = await leases.find(store, job.name)
        if known and known.ran_within(recently, now()):
            return False
        lease = await leases.hold(store, job.name)
        if lease is None:
            return False
        self._held.add(job.name)
        return not lease.ran_within(recently, now())

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
            try:
                await leases.hold(self._ports.store, name)
            except Exception:
                log.warning("lease not renewed", work=name, exc_info=True)
