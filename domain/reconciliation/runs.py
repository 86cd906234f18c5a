"""Reconciliation: every line of Stripe's own books against our journal, for a span of time.

Both ways: what Stripe has and we have not (lines.py), and what we booked and Stripe does not know
(counterproof.py). Done once a day, and whenever an administrator asks for it.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.batches import batches
from domain.kernel.errors import Invalid
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Page, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.command import Command, Cursor, PageSize, Style
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.payment_gateway import GatewayRefused
from domain.ports.ports import Ports
from domain.reconciliation.difference import Difference
from domain.reconciliation.journal_lines import CHUNK, LATE, check_journal, check_payouts
from domain.reconciliation.stripe_lines import Found, check_lines

UPDATED = Event("/admin", "reconciliation.updated")

DAY = timedelta(days=1)
SPAN = timedelta(days=2)  # of the daily one at least: each line is looked at twice
UNSETTLED = timedelta(hours=1)  # what is that young may still be on its way to our journal
SYSTEM = "system"
LONGEST = timedelta(days=366)
SLICE = timedelta(days=7)  # only the lines of so much time are kept in memory


class ReconciliationStatus(StrEnum):
    """`failed`: Stripe refused to be read, or it did not come to an end; `failure` says why."""

    RUNNING = "running"
    CLEAN = "clean"
    DIFFERENT = "different"
    FAILED = "failed"


class Reconciliation(Record, frozen=True):
    """A report: how many lines of each type were compared, and the first differences."""

    COLLECTION = "reconciliations"
    PREFIX = "rec"
    INDEXES = (Index((("by", 1), ("_id", -1))),)

    start: datetime
    end: datetime
    by: str
    status: ReconciliationStatus = ReconciliationStatus.RUNNING
    compared: dict[str, int] = {}
    differences: tuple[Difference, ...] = ()
    difference_count: int = 0
    booked_count: int = 0
    failure: str | None = None
    finished_at: datetime | None = None


class Reconcile(Command, frozen=True):
    """A span of time, by default the last two days; `end` is not part of it."""

    start: datetime | None = None
    end: datetime | None = None


class List(Command, frozen=True):
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.reconcile", roles=ADMINS)
async def reconcile(cmd: Reconcile, actor: Actor, uow: UnitOfWork) -> Reconciliation:
    """Begin one; `reconciliation.updated` follows when it is done. Raises Invalid."""
    end = cmd.end or uow.now
    start = cmd.start or end - SPAN
    if start.tzinfo is None or end.tzinfo is None:
        raise Invalid("start, end: give the time zone, as in 2026-01-31T00:00:00Z.", field="start")
    if not start < end <= start + LONGEST:
        raise Invalid("end: after start, and at most 366 days later.", field="end")
    return await _begin(uow, start, end, actor.id)


@operation("admin.reconciliations", roles=ADMINS, style=Style.READ)
async def reconciliations(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """The reports, newest first."""
    return await uow.page(Reconciliation, {}, cursor=cmd.cursor, limit=cmd.limit)


async def reconcile_daily(ports: Ports) -> None:
    """Begin the next one, if the last one is a day old."""

    async def begin(uow: UnitOfWork) -> None:
        last = await uow.find(Reconciliation, {"by": SYSTEM}, (("_id", -1),))
        if last and last.created_at > uow.now - DAY:
            return
        end = uow.now - UNSETTLED
        start = end - SPAN
        if last:
            await _fail(uow, last, "It did not come to an end within a day.")
            last = await uow.get(Reconciliation, last.id)
            # From where the last one ended on, however long ago; one that failed is done again.
            start = min(
                start, last.start if last.status is ReconciliationStatus.FAILED else last.end
            )
        await _begin(uow, max(start, end - LONGEST), end, SYSTEM)

    await ports.store.transact(begin)


async def _begin(uow: UnitOfWork, start: datetime, end: datetime, by: str) -> Reconciliation:
    report = uow.new(
        Reconciliation,
        start=start,
        end=end,
        by=by,
    )
    await uow.add(report)
    uow.later(Compare(report.id))
    return report


class Compare(Task, frozen=True, tag="reconcile"):
    """Compare all lines of a span and keep the report."""

    reconciliation_id: str

    async def run(self, ports: Ports) -> None:
        report = await ports.store.single().get(Reconciliation, self.reconciliation_id)
        if report.finished_at:
            return
        try:
            found = await compare(ports, report.start, report.end)
        except GatewayRefused as refused:
            why = f"Stripe refused to be read: {refused}"
            return await ports.store.transact(lambda uow: _fail(uow, report, why))
        await ports.store.transact(lambda uow: _finish(uow, report, found))


async def _finish(uow: UnitOfWork, report: Reconciliation, found: Found) -> None:
    clean = not found.count
    done = await uow.change(
        Reconciliation,
        report.id,
        only_if={"finished_at": None},
        finished_at=uow.now,
        status=ReconciliationStatus.CLEAN if clean else ReconciliationStatus.DIFFERENT,
        compared=found.compared,
        differences=tuple(found.differences),
        difference_count=found.count,
        booked_count=found.booked,
    )
    if done is None:
        return
    uow.publish(UPDATED, done, room=role_room(Role.ADMIN))
    if not clean:
        first = found.differences[0]
        await alert(
            uow,
            "reconciliation_different",
            report.id,
            f"Stripe's books and ours differ in {found.count} lines, the first is {first.what} "
            f"{first.subject}: {first.expected} here, {first.found} at Stripe.",
        )


async def _fail(uow: UnitOfWork, report: Reconciliation, why: str) -> None:
    failed = await uow.change(
        Reconciliation,
        report.id,
        only_if={"finished_at": None},
        finished_at=uow.now,
        status=ReconciliationStatus.FAILED,
        failure=why,
    )
    if failed:
        uow.publish(UPDATED, failed, room=role_room(Role.ADMIN))
        await alert(uow, "reconciliation_failed", report.id, why)


# -- comparing -------------------------------------------------------------------------------


async def compare(ports: Ports, start: datetime, end: datetime) -> Found:
    """Compare a span of time, and mend what can be mended."""
    found = await compare_lines(ports, start, end)
    await check_payouts(ports, start, end, found)
    return found


async def compare_lines(
    ports: Ports, start: datetime, end: datetime, *, mends: bool = True
) -> Found:
    """The platform's balance, a week at a time; unless it `mends` nothing is written."""
    found = Found({}, [], mends)
    while start < end:
        until = min(start + SLICE, end)
        seen: set[str] = set()
        lines = ports.gateway.entries(start - LATE, until + LATE)
        async for entries in batches(lines, CHUNK):
            seen.update(entry.source_id for entry in entries if entry.source_id)
            inside = [entry for entry in entries if start <= entry.created_at < until]
            await check_lines(ports, inside, found)
        await check_journal(ports, start, until, seen, found)
        start = until
    return found
