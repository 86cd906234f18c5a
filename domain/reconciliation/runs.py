"""Reconciliation runs: Stripe's balance transactions compared with our journal for a time span.

Both directions are compared: `stripe_lines` finds what our journal lacks, and `journal_lines` finds
what Stripe lacks. A run starts daily and when an administrator requests it.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.batches import batches
from domain.kernel.bounds import Bounded
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Page, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import check_span, check_year
from domain.notifications.alerts import alert
from domain.operations.command import Command, Cursor, Id, Moment, OptionalReason, PageSize, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.payment_gateway import GatewayRefused
from domain.ports.ports import Ports
from domain.reconciliation.book_difference import keep_differences
from domain.reconciliation.difference import Difference
from domain.reconciliation.fraud_signals import compare_fraud_signals
from domain.reconciliation.journal_lines import CHUNK, MAX_DELAY, compare_journal, compare_payouts
from domain.reconciliation.stripe_lines import MAX_DIFFERENCES, Comparison, compare_stripe_lines

DAY = timedelta(days=1)
DAILY_SPAN = timedelta(days=2)  # of a daily run, at least: every line is compared twice
SETTLING_TIME = timedelta(hours=1)  # newer lines may not be booked in our journal yet
SYSTEM = "system"
MAX_SPAN = timedelta(days=366)
SLICE_LENGTH = timedelta(days=7)  # lines of one slice are in memory at a time


class ReconciliationStatus(StrEnum):
    """`failed`: Stripe refused a request, or the run did not end in time; see `failure`."""

    RUNNING = "running"
    CLEAN = "clean"
    DIFFERENT = "different"
    FAILED = "failed"


class Reconciliation(Record, frozen=True):
    """The report of a run: the number of lines compared by type, and the first differences."""

    COLLECTION = "reconciliations"
    PREFIX = "rec"
    INDEXES = (Index((("by", 1), ("_id", -1))),)

    start: Annotated[datetime, about("From this time on.")]
    end: Annotated[datetime, about("Up to this time, which is not part of it.")]
    by: Annotated[str, about("The id of the administrator who started it, or `system`.")]
    status: Annotated[ReconciliationStatus, about("Its state.")] = ReconciliationStatus.RUNNING
    compared: Annotated[
        dict[str, int], Bounded(200), about("How many lines were compared, by type.")
    ] = {}
    differences: Annotated[
        tuple[Difference, ...], Bounded(MAX_DIFFERENCES), about("The first differences.")
    ] = ()
    difference_count: Annotated[int, about("How many differences there are.")] = 0
    booked_count: Annotated[int, about("How many missing lines were booked.")] = 0
    foreign_count: Annotated[
        int, about("How many lines are not ours; `admin.foreign_lines` has them.")
    ] = 0
    failure: Annotated[str | None, about("Why it failed; null if it did not.")] = None
    finished_at: Annotated[datetime | None, about("When it ended; null while it runs.")] = None


UPDATED = Event(
    "/admin",
    "reconciliation.updated",
    Reconciliation,
    Numbering.NEVER,
    about="When a reconciliation has ended, to all administrators. `admin.reconciliations` has "
    "those that were missed.",
)


class Reconcile(Command, frozen=True):
    """A time span, by default the last two days; `end` is exclusive."""

    start: Annotated[
        Moment | None, about("From this time on; by default two days before `end`.")
    ] = None
    end: Annotated[
        Moment | None, about("Up to this time, which is not part of it; by default now.")
    ] = None
    reason: OptionalReason = None


class ById(Command, frozen=True):
    reconciliation_id: Annotated[Id, about("The id of the reconciliation.")]


class List(Command, frozen=True):
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.reconcile", roles=ADMINS, limits=(Limit(10, 60),))
async def reconcile(cmd: Reconcile, actor: Actor, uow: UnitOfWork) -> Reconciliation:
    """Start a run; `reconciliation.updated` is pushed when it ends. Raises Invalid."""
    end = cmd.end or uow.now
    check_year("end", end)
    start = cmd.start or end - DAILY_SPAN
    check_span(start, end)
    return await _start_run(uow, start, end, actor.id)


@operation("admin.reconciliations", roles=ADMINS, style=Style.READ)
async def reconciliations(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Reconciliation]:
    """List the reports, newest first."""
    return await uow.page(Reconciliation, {}, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.reconciliation", roles=ADMINS, style=Style.READ, errors=(NotFound,))
async def reconciliation(cmd: ById, actor: Actor, uow: UnitOfWork) -> Reconciliation:
    """Read one report. Raises NotFound."""
    return await uow.get(Reconciliation, cmd.reconciliation_id)


async def reconcile_daily(ports: Ports) -> None:
    """Start the next daily run if the last one is a day old."""

    async def start_if_due(uow: UnitOfWork) -> None:
        last = await uow.find(Reconciliation, {"by": SYSTEM}, (("_id", -1),))
        if last and last.created_at > uow.now - DAY:
            return
        end = uow.now - SETTLING_TIME
        start = end - DAILY_SPAN
        if last:
            await _fail_run(uow, last, "The run did not end within a day.")
            last = await uow.get(Reconciliation, last.id)
            # Continue where the last run ended, however long ago; repeat a failed run.
            start = min(
                start, last.start if last.status is ReconciliationStatus.FAILED else last.end
            )
        await _start_run(uow, max(start, end - MAX_SPAN), end, SYSTEM)

    await ports.store.transact(start_if_due)


async def _start_run(uow: UnitOfWork, start: datetime, end: datetime, by: str) -> Reconciliation:
    report = uow.new(
        Reconciliation,
        start=start,
        end=end,
        by=by,
    )
    await uow.add(report)
    uow.later(RunReconciliation(report.id))
    return report


class RunReconciliation(Task, frozen=True, tag="reconcile"):
    """Run a reconciliation and store its report."""

    reconciliation_id: str

    async def run(self, ports: Ports) -> None:
        report = await ports.store.single().get(Reconciliation, self.reconciliation_id)
        if report.finished_at:
            return
        try:
            result = await compare_books(ports, report.start, report.end)
        except GatewayRefused as refused:
            why = f"Stripe refused a request: {refused}"
            return await ports.store.transact(lambda uow: _fail_run(uow, report, why))
        uow = ports.store.single()
        await keep_differences(uow, report.id, report.start, report.end, result)
        await ports.store.transact(lambda uow: _complete_run(uow, report, result))


async def _complete_run(uow: UnitOfWork, report: Reconciliation, result: Comparison) -> None:
    clean = not result.count
    done = await uow.change(
        Reconciliation,
        report.id,
        only_if={"finished_at": None},
        finished_at=uow.now,
        status=ReconciliationStatus.CLEAN if clean else ReconciliationStatus.DIFFERENT,
        compared=result.compared,
        differences=tuple(result.differences),
        difference_count=result.count,
        booked_count=result.booked,
        foreign_count=result.foreign,
    )
    if done is None:
        return
    uow.publish(UPDATED, done, room=role_room(Role.ADMIN))
    if not clean:
        first = result.differences[0]
        await alert(
            uow,
            "reconciliation_different",
            report.id,
            f"Stripe's books and ours differ in {result.count} lines, the first is {first.what} "
            f"{first.subject}: {first.expected} here, {first.found} at Stripe.",
        )


async def _fail_run(uow: UnitOfWork, report: Reconciliation, why: str) -> None:
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


async def compare_books(ports: Ports, start: datetime, end: datetime) -> Comparison:
    """Compare both directions for a time span, and repair what can be repaired."""
    result = await compare_stripe(ports, start, end)
    await compare_payouts(ports, start, end, result)
    await compare_fraud_signals(ports, start, result)
    return result


async def compare_stripe(
    ports: Ports, start: datetime, end: datetime, *, repairs: bool = True
) -> Comparison:
    """Compare the platform's balance transactions, a week at a time.

    Without `repairs` nothing is written.
    """
    result = Comparison({}, [], repairs)
    while start < end:
        until = min(start + SLICE_LENGTH, end)
        seen: set[str] = set()
        lines = ports.gateway.entries(start - MAX_DELAY, until + MAX_DELAY)
        async for entries in batches(lines, CHUNK):
            seen.update(entry.source_id for entry in entries if entry.source_id)
            inside = [entry for entry in entries if start <= entry.created_at < until]
            await compare_stripe_lines(ports, inside, result)
        await compare_journal(ports, start, until, seen, result)
        start = until
    return result
