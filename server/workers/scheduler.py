"""The scheduler: periodic jobs, each in one process at a time.

The time of the last run is stored with the job's lease, so that neither a restart nor a dead
process delays it. Within a process intervals are measured on the monotonic clock. Every step is
guarded, so that a job that runs twice has one effect.
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
from domain.accounts import search_backfill
from domain.admin import approvals
from domain.audit_trail import chain_state, hash_chain
from domain.bidding import offers
from domain.bidding import reminders as offer_reminders
from domain.chat import group_commit
from domain.chat import search_backfill as message_terms
from domain.disputes import operations as disputes
from domain.disputes import reminders as dispute_reminders
from domain.files import file
from domain.fulfillment import auto_completion
from domain.jobs import saved_searches
from domain.kernel import leases, process_registry
from domain.kernel.store import UnitOfWork
from domain.monitor import writer
from domain.notifications import feed
from domain.operations.cause import caused_by
from domain.payments import platform_check
from domain.payouts import account_settings
from domain.ports.ports import Ports
from domain.reconciliation import follow_up, ownerless_money, runs
from domain.wallet import platform_payouts
from server.runtime.background_tasks import end

log = structlog.get_logger()

RENEW_SECONDS = 5.0
LOOK_SECONDS = 5.0  # at most, between looks at whether a job is due
FAILED_SECONDS = 60.0  # at most, until a failed job is tried again


class Job(msgspec.Struct, frozen=True):
    """`run` is called about every `seconds`; `name` is the name of the lease. One that `searches`
    runs in processes whose job index answers."""

    name: str
    seconds: float
    run: Callable[[Ports], Awaitable[object]]
    searches: bool = False


async def snapshot(ports: Ports) -> None:
    async def work(uow: UnitOfWork) -> None:
        for account in ledger.SNAPSHOT_ACCOUNTS:
            await ledger.take_snapshot(uow, account)

    await ports.store.transact(work)


async def end_dead(ports: Ports) -> None:
    await process_registry.end_dead_sessions(ports.store)


async def keep_heads(ports: Ports) -> None:
    await feed.keep_heads_of_expiring(ports.store.single())


async def log_audit_head(ports: Ports) -> None:
    """Log the head of the audit trail: a restored older database does not change the log."""
    log.info("head of the audit trail", head=await hash_chain.head(ports))


JOBS = (
    Job("end_dead_processes", 3, end_dead),
    Job("expire_offers", 2, offers.expire_due),
    Job("chain_audit_trail", 2, hash_chain.extend),
    Job("forget_message_request_ids", 3600, group_commit.forget_requests),
    Job("complete_delivered_work", 30, auto_completion.complete_due),
    Job("announce_completions", 300, auto_completion.announce_due),
    Job("escalate_disputes", 60, disputes.escalate_due),
    Job("expire_approvals", 60, approvals.expire_due),
    Job("snapshot_accounts", 60, snapshot),
    Job("write_series", 30, writer.write_series),
    Job("follow_up_recent", 30, follow_up.follow_up_recent),
    Job("follow_up_old", 3600, follow_up.follow_up_old),
    Job("remind_of_offer_expiry", 600, offer_reminders.remind_of_expiry),
    Job("remind_of_dispute_deadlines", 600, dispute_reminders.remind_of_deadlines),
    Job("sweep_files", 600, file.sweep),
    Job("reconcile", 3600, runs.reconcile_daily),
    Job("check_account_settings", 3600, account_settings.check_account_settings),
    Job("check_platform", 3600, platform_check.check_platform),
    Job("check_payout_schedule", 3600, platform_payouts.check_schedule),
    Job("find_ownerless_money", 3600, ownerless_money.find_ownerless),
    Job("log_audit_head", 3600, log_audit_head),
    Job("verify_audit_trail", 86_400, chain_state.verify_daily),
    Job("save_feed_heads", 3600, keep_heads),
    Job("fill_search_keys", 86_400, search_backfill.fill_search_keys),
    Job("fill_message_terms", 60, message_terms.fill_message_terms),
    Job("renew_anchors", 60, saved_searches.renew_anchors, searches=True),
)


class Scheduler:
    """One loop for each job; a failure is logged and the next round tries again."""

    def __init__(self, ports: Ports, jobs: Sequence[Job] | None = None) -> None:
        self._ports = ports
        self._jobs = JOBS if jobs is None else jobs
        self._loops: list[asyncio.Task[None]] = []
        self._held: set[str] = set()

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._repeat(job)) for job in self._jobs]

    async def stop(self) -> None:
        await end(self._loops)
        held, self._held = self._held, set()
        releases = (leases.release(self._ports.store, name) for name in held)
        await asyncio.gather(*releases, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        pause, ran, kept = min(job.seconds, LOOK_SECONDS), -math.inf, -math.inf
        while True:
            await asyncio.sleep(pause * (0.75 + random.random() / 2))
            if time.monotonic() - ran < job.seconds - pause:
                continue
            if job.searches and not self._ports.job_index.ready:
                continue
            try:
                # The end of the last run has renewed the lease, for a multiple of this time.
                if time.monotonic() - kept < RENEW_SECONDS or await self._acquire(job):
                    kept = -math.inf
                    await self._run(job)
                    ran = time.monotonic()
                    if await leases.mark_finished(self._ports.store, job.name):
                        kept = ran
            except Exception:
                log.warning("job failed", job=job.name, exc_info=True)
                await asyncio.sleep(min(job.seconds, FAILED_SECONDS))

    async def _acquire(self, job: Job) -> bool:
        """Whether the job is due, and its lease is taken."""
        store, now = self._ports.store, self._ports.clock.now
        recently = timedelta(seconds=job.seconds - min(job.seconds, LOOK_SECONDS) / 2)
        lease = await leases.hold(store, job.name, rest=recently)
        if lease is None:
            return False
        self._held.add(job.name)
        return not lease.ran_within(recently, now())

    async def _run(self, job: Job) -> None:
        """Run a job; renews its lease while it runs."""
        renewing = asyncio.create_task(self._renew(job.name))
        try:
            with caused_by(job=job.name):
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
                log.warning("lease not renewed", lease=name, exc_info=True)
