"""Counts of all records by state, kept in one document, so that to look costs one read.

Decision: counters changed together with their records were rejected, because all commands would
conflict on them. To count reads an index on all records of a kind, so it is done by one process at
a time, only while somebody looks, and at most for 1 % of the time.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from domain import ledger
from domain.accounts.user import User
from domain.admin.approval import Approval, ApprovalStatus
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.jobs.job import Job
from domain.kernel.bounds import Bounded
from domain.kernel.documents import Where
from domain.kernel.outbox import OutboxRow
from domain.kernel.record import Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.notifications.alerts import AlertRecord
from domain.stripe_events.inbox import EventStatus, WebhookEvent

ID = "tally"
MAX_STATES = 50
LEAST_AGE = timedelta(seconds=5)  # before it is counted again
SHARE = 100  # a count that took a second is good for so many
CLAIMED = timedelta(seconds=30)  # a process that counts for longer has died
MAX_WAITING = 1000

WAITING: Sequence[tuple[str, type[Record], Where]] = (
    ("alerts", AlertRecord, {"open": True}),
    ("approvals", Approval, {"status": ApprovalStatus.PENDING.value}),
    ("disputes", Dispute, {"status": DisputeStatus.ESCALATED.value}),
    ("dead_letters", OutboxRow, {"dead": True}),
    ("events", WebhookEvent, {"status": (EventStatus.DEAD, EventStatus.QUARANTINED)}),
)

Counts = Annotated[dict[str, int], Bounded(MAX_STATES)]


class Tally(Record, frozen=True):
    """The counts at `counted_at`. Who wants newer ones counts again, from `due_at` on."""

    COLLECTION = "leases"
    PREFIX = "lease"
    LOGGED = False

    counted_at: datetime
    due_at: datetime
    users: Counts = {}
    jobs: Counts = {}
    offers: Counts = {}
    payments: Counts = {}
    commission: Counts = {}
    escrow: Counts = {}
    waiting: Counts = {}


async def current(uow: UnitOfWork) -> Tally:
    """The kept counts; counted again if they are old and no other process counts."""
    kept = await uow.find(Tally, {"_id": ID})
    if kept is None:
        kept = uow.new(Tally, id=ID, counted_at=uow.now, due_at=uow.now)
        try:
            await uow.add(kept)
        except Duplicate:
            return await current(uow)
    if kept.due_at > uow.now and kept.version > 1:
        return kept
    claimed = await uow.change(
        Tally, ID, only_if={"version": kept.version}, due_at=uow.now + CLAIMED
    )
    return await _count(uow) if claimed else kept


async def _count(uow: UnitOfWork) -> Tally:
    began = time.monotonic()
    counts = {
        "users": await _by(uow, User, "role"),
        "jobs": await _by(uow, Job, "status"),
        "offers": await _by(uow, Offer, "status"),
        "payments": await _by(uow, Payment, "status"),
        "commission": await ledger.balance_of(uow, ledger.PLATFORM),
        "escrow": await ledger.total_of(uow, "escrow"),
        "waiting": await _waiting(uow),
    }
    took = timedelta(seconds=time.monotonic() - began)
    due_at = uow.now + max(LEAST_AGE, SHARE * took)
    counted = await uow.change(Tally, ID, counted_at=uow.now, due_at=due_at, **counts)
    assert counted is not None, "it is never removed"
    return counted


async def _by(uow: UnitOfWork, kind: type[Record], field: str) -> dict[str, int]:
    """The number of records by value of `field`.

    The sort lets MongoDB read the index on `field` only.
    """
    rows = await uow.aggregate(
        kind, [{"$sort": {field: 1}}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]
    )
    return {row["_id"]: row["count"] for row in rows}


async def _waiting(uow: UnitOfWork) -> dict[str, int]:
    """How much waits for an administrator, each up to MAX_WAITING."""
    return {name: await uow.count(kind, where, MAX_WAITING) for name, kind, where in WAITING}
