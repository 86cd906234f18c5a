"""Commissions: what the platform has earned, given back and paid, by period and currency."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from domain.kernel.actor import Actor, Role
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import PLATFORM_SIDE, check_span, platform_before, span, totals
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, CurrencyCode, Moment, Style
from domain.operations.operation import operation


class Bucket(StrEnum):
    DAY = "day"
    MONTH = "month"


KEYS = ("period", "currency", "kind")
PERIODS = {Bucket.DAY: "%Y-%m-%d", Bucket.MONTH: "%Y-%m"}


class Commissions(Command, frozen=True):
    """A span of time, up to 366 days, in days or months of UTC. Without `currency` all of them."""

    start: Moment
    end: Moment
    bucket: Bucket = Bucket.DAY
    currency: CurrencyCode | None = None


class Commission(msgspec.Struct, frozen=True):
    """What changed the platform's balance in one period; what it lost is below zero."""

    period: str
    currency: str
    platform_fee_amount: int = 0
    service_fee_amount: int = 0
    refunded_amount: int = 0
    stripe_fee_amount: int = 0
    chargeback_amount: int = 0
    chargeback_fee_amount: int = 0
    other_amount: int = 0
    net_amount: int = 0


class Total(msgspec.Struct, frozen=True):
    """`opening_amount` and `net_amount` make `closing_amount`, the platform's own balance."""

    currency: str
    opening_amount: int
    net_amount: int
    closing_amount: int


class Report(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime
    bucket: Bucket
    lines: list[Commission]
    totals: list[Total]


# Kinds of transactions by what they mean to the platform; all that is not named is `other`.
COLUMNS = {
    "accepted": "platform_fee_amount",
    "completed": "service_fee_amount",
    "resolved": "service_fee_amount",
    "refunded": "refunded_amount",
    "refund_failed": "refunded_amount",
    "stripe_fee": "stripe_fee_amount",
    "chargeback_fee": "chargeback_fee_amount",
    "chargeback_lost": "chargeback_amount",
    "chargeback_undone": "chargeback_amount",
}


@operation("admin.commissions", roles={Role.ADMIN}, style=Style.READ)
async def commissions(cmd: Commissions, actor: Actor, uow: UnitOfWork) -> Report:
    """The platform's fees, refunds and costs by period and currency. Raises Invalid."""
    check_span(cmd.start, cmd.end)
    only = {"currency": cmd.currency} if cmd.currency else {}
    period = {"$dateToString": {"date": "$created_at", "format": PERIODS[cmd.bucket]}}
    deltas = PLATFORM_SIDE.deltas
    grouped = await uow.aggregate(
        Transaction,
        [
            {"$match": PLATFORM_SIDE.where | span(cmd.start, cmd.end)},
            {"$match": only},
            {"$project": {"kind": 1, "currency": 1, "period": period, **deltas}},
            {"$group": {"_id": {key: f"${key}" for key in KEYS}, **totals(deltas)}},
        ],
    )
    lines = _columns((*map(row["_id"].get, KEYS), row["platform"]) for row in grouped)
    known = {cmd.currency} if cmd.currency else {*uow.rates.currencies}
    known |= {line.currency for line in lines}
    ends = [await _total(uow, currency, cmd.start, lines) for currency in sorted(known)]
    return Report(cmd.start, cmd.end, cmd.bucket, lines, ends)


def _columns(grouped: Iterable[tuple[str, str, str, int]]) -> list[Commission]:
    """One line for each period and currency, from the sums of (period, currency, kind)."""
    found: dict[tuple[str, str], Commission] = {}
    for period, currency, kind, amount in grouped:
        line = found.get((period, currency), Commission(period, currency))
        column = COLUMNS.get(kind, "other_amount")
        more = {column: getattr(line, column) + amount, "net_amount": line.net_amount + amount}
        found[period, currency] = msgspec.structs.replace(line, **more)
    return [found[key] for key in sorted(found)]


async def _total(
    uow: UnitOfWork, currency: str, start: datetime, lines: Iterable[Commission]
) -> Total:
    opening = await platform_before(uow, currency, start)
    net = sum(line.net_amount for line in lines if line.currency == currency)
    return Total(currency, opening, net, opening + net)
