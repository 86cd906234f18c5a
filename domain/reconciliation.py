"""Reconciliation: every line of Stripe's own books against our journal, for a span of time.

Both ways: what Stripe has and we have not, and what we booked and Stripe does not know. What is
the platform's own affair with Stripe (fees that come alone, payouts of what it has earned, top-ups)
has no other source, and is booked from there. For what our journal lacks the object is read again,
so that the next reconciliation finds it.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from domain import ledger
from domain.alerts import alert
from domain.chargebacks import Chargeback, ReadDispute
from domain.deal import Payment
from domain.errors import Invalid
from domain.ledger import Transaction
from domain.operation import Actor, Command, Cursor, PageSize, Role, Style, operation
from domain.outbox import Event, Task
from domain.ports import Entry, Ports
from domain.record import Index, Page, Record
from domain.refunds import reread
from domain.settlement import Inspect
from domain.store import Duplicate, UnitOfWork, new_id
from domain.transfers import Reversal, Transfer

UPDATED = Event("/admin", "reconciliation.updated")

ADMINS = {Role.ADMIN}
SPAN = timedelta(days=2)  # of the daily one: each line is looked at twice
LONGEST = timedelta(days=366)
LATE = timedelta(days=1)  # our booking and Stripe's line may lie apart
SHOWN = 200
CHUNK = 500


class ReconciliationStatus(StrEnum):
    RUNNING = "running"
    CLEAN = "clean"
    DIFFERENT = "different"


class Difference(msgspec.Struct, frozen=True):
    """`found` is what Stripe has, `expected` what our journal says."""

    what: str
    subject: str
    expected: Any
    found: Any


class Reconciliation(Record, frozen=True):
    """A report: how many lines of each type were compared, and the first differences."""

    COLLECTION = "reconciliations"
    PREFIX = "rec"
    INDEXES = (Index((("finished_at", -1),)),)

    start: datetime
    end: datetime
    by: str
    status: ReconciliationStatus = ReconciliationStatus.RUNNING
    compared: dict[str, int] = {}
    differences: tuple[Difference, ...] = ()
    difference_count: int = 0
    booked_count: int = 0
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
        last = await uow.find(Reconciliation, {}, (("_id", -1),))
        if last is None or last.created_at <= uow.now - timedelta(days=1):
            await _begin(uow, uow.now - SPAN, uow.now, "system")

    await ports.store.transact(begin)


async def _begin(uow: UnitOfWork, start: datetime, end: datetime, by: str) -> Reconciliation:
    report = Reconciliation(
        id=new_id(Reconciliation.PREFIX), created_at=uow.now, updated_at=uow.now, start=start,
        end=end, by=by,
    )  # fmt: skip
    await uow.add(report)
    uow.later(Compare(report.id))
    return report


class Compare(Task, frozen=True):
    """Compare all lines of a span and keep the report."""

    reconciliation_id: str

    async def run(self, ports: Ports) -> None:
        report = await ports.store.single().get(Reconciliation, self.reconciliation_id)
        if report.finished_at:
            return
        found = await compare(ports, report.start, report.end)
        await ports.store.transact(lambda uow: _finish(uow, report, found))


class Found(msgspec.Struct):
    """What a comparison has come upon."""

    compared: dict[str, int]
    differences: list[Difference]
    count: int = 0
    booked: int = 0

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> bool:
        """Whether they agree; only the first differences are kept."""
        if expected != found:
            self.count += 1
            if len(self.differences) < SHOWN:
                self.differences.append(Difference(what, subject, expected, found))
        return bool(expected == found)


async def _finish(uow: UnitOfWork, report: Reconciliation, found: Found) -> None:
    clean = not found.count
    done = await uow.change(
        Reconciliation, report.id, only_if={"finished_at": None}, finished_at=uow.now,
        status=ReconciliationStatus.CLEAN if clean else ReconciliationStatus.DIFFERENT,
        compared=found.compared, differences=tuple(found.differences),
        difference_count=found.count, booked_count=found.booked,
    )  # fmt: skip
    if done is None:
        return
    uow.publish(UPDATED, done, room=f"role:{Role.ADMIN}")
    if not clean:
        first = found.differences[0]
        await alert(
            uow, "reconciliation_different", report.id,
            f"Stripe's books and ours differ in {found.count} lines, the first is {first.what} "
            f"{first.subject}: {first.expected} here, {first.found} at Stripe.",
        )  # fmt: skip


# -- comparing -------------------------------------------------------------------------------


async def compare(ports: Ports, start: datetime, end: datetime) -> Found:
    """Compare Stripe's lines of a span with our journal, and the other way round."""
    found, seen = Found({}, []), set()
    async for entry in ports.gateway.entries(start - LATE, end + LATE):
        if entry.source_id:
            seen.add(entry.source_id)
        if start <= entry.created_at < end:
            found.compared[entry.type] = found.compared.get(entry.type, 0) + 1
            known = KNOWN.get(entry.type)
            if known:
                await known(ports, entry, found)
            else:
                found.compare("known type of line", entry.id, entry.type, None)
    await _check_ours(ports, start, end, seen, found)
    return found


async def _charge(ports: Ports, entry: Entry, found: Found) -> None:
    uow = ports.store.single()
    payment = await uow.find(Payment, {"charge_id": entry.source_id})
    subject = payment.id if payment else str(entry.source_id)
    captured = payment.captured_amount if payment else None
    if not found.compare("charge", subject, captured, entry.amount) and payment:
        await _look_again(ports, Inspect(payment.id))
    if payment and entry.fee:
        fee = await uow.find(Transaction, {"fact": f"fee:{entry.source_id}"})
        booked = sum(posting.amount for posting in fee.postings) if fee else 0
        if not booked:
            await _book(
                ports, found, f"fee:{entry.source_id}", "stripe_fee", entry.currency, -entry.fee,
                ledger.STRIPE_FEES, payment.offer_id,
            )  # fmt: skip
        else:
            found.compare("fee", subject, booked, entry.fee)


async def _refund(ports: Ports, entry: Entry, found: Found) -> None:
    await _fact(ports, entry, found, f"refund:{entry.source_id}", -entry.amount)


async def _refund_failure(ports: Ports, entry: Entry, found: Found) -> None:
    await _fact(ports, entry, found, f"refund_failed:{entry.source_id}", entry.amount)


async def _fact(ports: Ports, entry: Entry, found: Found, fact: str, amount: int) -> None:
    """What moved between Stripe and us by this fact."""
    booked = await ports.store.single().find(Transaction, {"fact": fact})
    moved = None
    if booked:
        moved = sum(p.amount for p in booked.postings if ledger.STRIPE in (p.source, p.destination))
    if not found.compare(entry.type, fact, moved, amount):
        await _look_again(ports, ReadRefunds(str(entry.source_id)))


async def _transfer(ports: Ports, entry: Entry, found: Found) -> None:
    ours = await ports.store.single().find(Transfer, {"stripe_id": entry.source_id})
    subject = ours.id if ours else str(entry.source_id)
    found.compare("transfer", subject, ours.amount if ours else None, -entry.amount)


async def _reversal(ports: Ports, entry: Entry, found: Found) -> None:
    ours = await ports.store.single().find(Reversal, {"stripe_id": entry.source_id})
    subject = ours.id if ours else str(entry.source_id)
    found.compare("reversal", subject, ours.amount if ours else None, entry.amount)


async def _adjustment(ports: Ports, entry: Entry, found: Found) -> None:
    """A dispute took its amount, or gave it back."""
    ours = await ports.store.single().find(Chargeback, {"stripe_id": entry.source_id})
    subject = ours.id if ours else str(entry.source_id)
    if not found.compare("dispute", subject, ours.amount if ours else None, abs(entry.amount)):
        await _look_again(ports, ReadDispute(str(entry.source_id)))


async def _payout(ports: Ports, entry: Entry, found: Found) -> None:
    """The platform takes out what it has earned; one that fails comes back."""
    await _book(
        ports, found, f"platform:{entry.id}", "platform_withdrew", entry.currency, entry.net,
        ledger.BANK,
    )  # fmt: skip


async def _fee(ports: Ports, entry: Entry, found: Found) -> None:
    """A fee that belongs to no charge."""
    await _book(
        ports, found, f"platform:{entry.id}", "stripe_other_fee", entry.currency, entry.net,
        ledger.STRIPE_FEES,
    )  # fmt: skip


KNOWN: Mapping[str, Callable[[Ports, Entry, Found], Awaitable[None]]] = {
    "charge": _charge, "payment": _charge, "refund": _refund, "payment_refund": _refund,
    "refund_failure": _refund_failure, "payment_failure_refund": _refund_failure,
    "transfer": _transfer, "transfer_refund": _reversal, "adjustment": _adjustment,
    "payout": _payout, "payout_failure": _payout, "payout_cancel": _payout, "topup": _payout,
    "topup_reversal": _payout, "stripe_fee": _fee, "tax_fee": _fee, "network_cost": _fee,
    "stripe_fx_fee": _fee,
}  # fmt: skip


async def _book(
    ports: Ports, found: Found, fact: str, kind: str, currency: str, net: int, other: str,
    offer_id: str | None = None,
) -> None:  # fmt: skip
    """Book what changed the platform's money at Stripe by `net`, against `other`; once."""

    async def work(uow: UnitOfWork) -> bool:
        if await ledger.booked(uow, fact):
            return False
        flows = ledger.flows({ledger.PLATFORM: net, other: -net})
        await ledger.book(uow, fact, kind, currency, flows, offer_id=offer_id)
        return True

    try:
        found.booked += await ports.store.transact(work)
    except Duplicate:
        return


async def _look_again(ports: Ports, task: Task) -> None:
    async def work(uow: UnitOfWork) -> None:
        uow.later(task)

    await ports.store.transact(work)


class ReadRefunds(Task, frozen=True):
    """Read the refunds again of whatever payment one of them belongs to."""

    stripe_id: str

    async def run(self, ports: Ports) -> None:
        intent_id = await ports.gateway.intent_of_refund(self.stripe_id)
        payment = await ports.store.single().find(Payment, {"intent_id": intent_id})
        if payment:
            await reread(ports, payment.id)


async def _check_ours(
    ports: Ports, start: datetime, end: datetime, seen: set[str], found: Found
) -> None:
    """What was booked as Stripe's fact in that time is one of its lines."""
    uow, last = ports.store.single(), ""
    span = {"accounts": ledger.STRIPE, "created_at": {"$gte": start, "$lt": end}}
    while True:
        rows = await uow.all(Transaction, {**span, "_id": {"$gt": last}}, (("_id", 1),), CHUNK)
        charges = await _charges(uow, [row for row in rows if row.kind == "captured"])
        for row in rows:
            subject = row.fact.partition(":")[2]
            source = charges.get(subject) if row.kind == "captured" else subject
            if row.kind in ("captured", "refunded", "refund_failed") and source not in seen:
                found.compare(f"{row.kind} at Stripe", row.fact, True, False)
        if len(rows) < CHUNK:
            return
        last = rows[-1].id


async def _charges(uow: UnitOfWork, rows: list[Transaction]) -> dict[str, str | None]:
    ids = tuple(row.fact.partition(":")[2] for row in rows)
    found = await uow.all(Payment, {"_id": ids}, limit=CHUNK) if ids else []
    return {payment.id: payment.charge_id for payment in found}
