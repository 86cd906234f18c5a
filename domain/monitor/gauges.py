"""What is measured now: balances in all, the outbox, and the processes.

Balances of zero are not read, and what is not due only as far as it is counted.
"""

from datetime import timedelta

from domain import ledger
from domain.kernel.outbox import LEASE, OutboxRow
from domain.kernel.process_registry import ProcessHeartbeat
from domain.kernel.store import UnitOfWork
from domain.monitor.catalog import SeriesName

MAX_COUNTED = 100_000  # rows of the outbox
BALANCES = (
    (SeriesName.WALLETS, "wallet"),
    (SeriesName.ESCROW, "escrow"),
    (SeriesName.DEBT, "debt"),
)


async def totals(uow: UnitOfWork) -> dict[str, float]:
    """The balances of all wallets, debts and escrows, by currency."""
    return {
        f"{name}:{currency}": total
        for name, kind in BALANCES
        for currency, total in (await ledger.total_of(uow, kind)).items()
    }


async def outbox(uow: UnitOfWork) -> dict[str, float]:
    """How many rows wait, how many of them are due, and for how long the oldest has been."""
    due = {"dead": False, "lease_until": {"$lte": uow.now + LEASE}}
    late = {"dead": False, "lease_until": {"$lte": uow.now}}
    oldest = [row async for row in uow.documents(OutboxRow, late, (("lease_until", 1),), 1)]
    age = (uow.now - oldest[0]["lease_until"]) if oldest else timedelta()
    return {
        SeriesName.OUTBOX: await uow.count(OutboxRow, {"dead": False}, MAX_COUNTED),
        SeriesName.QUEUE: await uow.count(OutboxRow, due, MAX_COUNTED),
        SeriesName.QUEUE_AGE: age.total_seconds(),
        SeriesName.DEAD_LETTERS: await uow.count(OutboxRow, {"dead": True}, MAX_COUNTED),
    }


def of_processes(processes: list[ProcessHeartbeat], sockets: int) -> dict[str, float]:
    """How many processes run, their connections, and the slowest one's speed of Stripe."""
    running = [each.figures for each in processes if each.ended_at is None]
    slow = [each.stripe_p95 for each in running if each.stripe_p95 is not None]
    found: dict[str, float] = {SeriesName.PROCESSES: len(running), SeriesName.SOCKETS: sockets}
    return found | ({SeriesName.STRIPE_P95: max(slow)} if slow else {})
