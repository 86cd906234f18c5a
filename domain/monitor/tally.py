"""Counts of all records by state, kept in one document, so that to look costs one read.

Decision: counters changed together with their records were rejected, because all commands would
conflict on them. To count reads an index on all records of a kind. Of few records that costs next
to nothing, and who asks gets exact counts. Of many it is done in the background by one process,
only while somebody looks, and at most for 1 % of the time.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from domain import ledger
from domain.accounts.user import User
from domain.admin.approval import Approval, ApprovalStatus
from domain.deals.offer import Offer, OfferStatus
from domain.deals.payment import Payment, PaymentStatus
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import Role
from domain.kernel.bounds import Bounded
from domain.kernel.documents import Where
from domain.kernel.outbox import OutboxRow
from domain.kernel.record import Record
from domain.kernel.store import DatabaseError, Duplicate, UnitOfWork
from domain.notifications.alerts import AlertRecord
from domain.stripe_events.inbox import EventStatus, WebhookEvent

ID = "tally"
MAX_STATES = 50
LEAST_AGE = timedelta(seconds=1)  # before it is counted again
FEW = 10_000  # records in all: some milliseconds on a server of its own
SHARE = 100  # a count that took a second is good for so many; of FEW it is a tenth
CLAIMED = timedelta(seconds=30)  # a process that counts for longer has died
WANTED = timedelta(minutes=2)  # after somebody looked
MAX_WAITING = 1000

STATES: Sequence[tuple[str, type[Record], str, type[StrEnum]]] = (
    ("users", User, "role", Role),
    ("jobs", Job, "status", JobStatus),
    ("offers", Offer, "status", OfferStatus),
    ("payments", Payment, "status", PaymentStatus),
)
WAITING: Sequence[tuple[str, type[Record], Where]] = (
    ("alerts", AlertRecord, {"open": True}),
    ("approvals", Approval, {"status": ApprovalStatus.PENDING.value}),
    ("disputes", Dispute, {"status": DisputeStatus.ESCALATED.value}),
    ("dead_letters", OutboxRow, {"dead": True}),
    ("events", WebhookEvent, {"status": (EventStatus.DEAD, EventStatus.QUARANTINED)}),
)

Counts = Annotated[dict[str, int], Bounded(MAX_STATES)]


class Tally(Record, frozen=True):
    """The counts at `counted_at`, to be renewed from `due_at` on while somebody wants them."""

    COLLECTION = "leases"
    PREFIX = "lease"
    LOGGED = False

    counted_at: datetime
    due_at: datetime
    wanted_until: datetime
    users: Counts = {}
    jobs: Counts = {}
    offers: Counts = {}
    payments: Counts = {}
    commission: Counts = {}
    escrow: Counts = {}
    waiting: Counts = {}

    @property
    def size(self) -> int:
        """How many records were counted."""
        return sum(sum(getattr(self, name).values()) for name, *_ in STATES)


async def current(uow: UnitOfWork, exact: bool = False) -> Tally:
    """The kept counts, which are renewed while somebody asks for them; counted the first time.

    Of few records they are also renewed here, when it is due or when they are to be `exact`.
    """
    kept = await uow.find(Tally, {"_id": ID})
    if kept is None:
        first = {"counted_at": uow.now, "due_at": uow.now, "wanted_until": uow.now + WANTED}
        with suppress(Duplicate):
            await uow.add(uow.new(Tally, id=ID, **first))
        await renew(uow)
        return await uow.find(Tally, {"_id": ID}) or uow.new(Tally, id=ID, **first)
    if kept.wanted_until < uow.now + WANTED / 2:
        await uow.change(Tally, ID, wanted_until=uow.now + WANTED)
    if kept.size > FEW or not (exact or kept.due_at <= uow.now):
        return kept
    await (_count(uow) if exact else renew(uow))
    return await uow.find(Tally, {"_id": ID}) or kept


async def renew(uow: UnitOfWork) -> None:
    """Count again, if somebody has asked lately and it is due."""
    kept = await uow.find(Tally, {"_id": ID})
    if kept is None or kept.due_at > uow.now or kept.wanted_until < uow.now:
        return
    claim = {"due_at": kept.due_at}
    if await uow.change(Tally, ID, only_if=claim, due_at=uow.now + CLAIMED):
        await _count(uow)


async def _count(uow: UnitOfWork) -> None:
    """What cannot be counted in time keeps its earlier count."""
    began = time.monotonic()
    counts = {name: await _by(uow, kind, field, states) for name, kind, field, states in STATES}
    counts["commission"] = await ledger.balance_of(uow, ledger.PLATFORM)
    counts["escrow"] = await ledger.total_of(uow, "escrow")
    counts["waiting"] = await _waiting(uow)
    known: dict[str, Any] = {name: found for name, found in counts.items() if found is not None}
    took = timedelta(seconds=time.monotonic() - began)
    found = sum(sum(each.values()) for name, *_ in STATES if (each := counts[name]))
    due_at = uow.now + max(LEAST_AGE, (SHARE if found > FEW else SHARE / 10) * took)
    await uow.change(Tally, ID, counted_at=uow.now, due_at=due_at, **known)


async def _by(
    uow: UnitOfWork, kind: type[Record], field: str, states: type[StrEnum]
) -> dict[str, int] | None:
    """The number of records in each state, one state at a time: each is a range of an index. None
    if one takes too long."""
    try:
        counts = {state.value: await uow.count(kind, {field: state.value}) for state in states}
    except DatabaseError:
        return None
    return {state: count for state, count in counts.items() if count}


async def _waiting(uow: UnitOfWork) -> dict[str, int]:
    """How much waits for an administrator, each up to MAX_WAITING."""
    return {name: await uow.count(kind, where, MAX_WAITING) for name, kind, where in WAITING}
