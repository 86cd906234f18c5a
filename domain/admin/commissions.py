"""Commissions: the platform's fees, refunds and costs by period and currency."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from domain.kernel.actor import Actor, Role
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import PLATFORM_ACCOUNTS, check_span, platform_before, totals, within
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, CurrencyCode, Moment, Style
from domain.operations.limits import STATEMENTS
from domain.operations.operation import operation


class Bucket(StrEnum):
    DAY = "day"
    MONTH = "month"


GROUP_KEYS = ("period", "currency", "kind")
PERIODS = {Bucket.DAY: "%Y-%m-%d", Bucket.MONTH: "%Y-%m"}


class Commissions(Command, frozen=True):
    """A time span of at most 366 days, in days or months of UTC; `currency` defaults to all."""

    start: Moment
    end: Moment
    bucket: Bucket = Bucket.DAY
    currency: CurrencyCode | None = None


class Commission(msgspec.Struct, frozen=True):
    """The changes of the platform's balance in one period; negative amounts reduce it."""

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
    """`closing_amount` is the platform's balance: `opening_amount` plus `net_amount`."""

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


# The field of `Commission` for each kind of transaction; other kinds count as `other_amount`.
FIELD_OF_KIND = {
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


@operation("admin.commissions", roles={Role.ADMIN}, style=Style.READ, limits=(STATEMENTS,))
async def commissions(cmd: Commissions, actor: Actor, uow: UnitOfWork) -> Report:
    """List the platform's fees, refunds and costs by period and currency. Raises Invalid."""
    check_span(cmd.start, cmd.end)
    only = {"currency": cmd.currency} if cmd.currency else {}
    period = {"$dateToString": {"date": "$created_at", "format": PERIODS[cmd.bucket]}}
    deltas = PLATFORM_ACCOUNTS.deltas
    grouped = await uow.aggregate(
        Transaction,
        [
            {"$match": PLATFORM_ACCOUNTS.where | within(cmd.start, cmd.end)},
            {"$match": only},
            {"$project": {"kind": 1, "currency": 1, "period": period, **deltas}},
            {"$group": {"_id": {key: f"${key}" for key in GROUP_KEYS}, **totals(deltas)}},
        ],
    )
    lines = _sum_by_period((*map(row["_id"].get, GROUP_KEYS), row["platform"]) for row in grouped)
    known = {cmd.currency} if cmd.currency else {*uow.rates.currencies}
    known |= {line.currency for line in lines}
    ends = [await _currency_total(uow, currency, cmd.start, lines) for currency in sorted(known)]
    return Report(cmd.start, cmd.end, cmd.bucket, lines, ends)


def _sum_by_period(grouped: Iterable[tuple[str, str, str, int]]) -> list[Commission]:
    """One line for each period and currency, from sums by period, currency and kind."""
    found: dict[tuple[str, str], Commission] = {}
    for period, currency, kind, amount in grouped:
        line = found.get((period, currency), Commission(period, currency))
        column = FIELD_OF_KIND.get(kind, "other_amount")
        more = {column: getattr(line, column) + amount, "net_amount": line.net_amount + amount}
        found[period, currency] = msgspec.structs.replace(line, **more)
    return [found[key] for key in sorted(found)]


async def _currency_total(
    uow: UnitOfWork, currency: str, start: datetime, lines: Iterable[Commission]
) -> Total:
    opening = await platform_before(uow, currency, start)
    net = sum(line.net_amount for line in lines if line.currency == currency)
    return Total(currency, opening, net, opening + net)
