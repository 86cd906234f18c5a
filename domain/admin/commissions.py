"""Commissions: the platform's fees, refunds and costs by period and currency."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from domain.kernel.actor import Actor, Role
from domain.kernel.fields import Currency, about
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import PLATFORM_ACCOUNTS, check_span, platform_before, totals, within
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, CurrencyCode, Moment, Style
from domain.operations.limits import STATEMENTS
from domain.operations.operation import operation


class Bucket(StrEnum):
    """The length of a period, in UTC."""

    DAY = "day"
    MONTH = "month"


GROUP_KEYS = ("period", "currency", "kind")
PERIODS = {Bucket.DAY: "%Y-%m-%d", Bucket.MONTH: "%Y-%m"}


class Commissions(Command, frozen=True):
    """A time span of at most 366 days, in days or months of UTC; `currency` defaults to all."""

    start: Annotated[Moment, about("From this time on.")]
    end: Annotated[
        Moment, about("Up to this time, which is not part of it; at most 366 days later.")
    ]
    bucket: Annotated[Bucket, about("The length of a period.")] = Bucket.DAY
    currency: Annotated[CurrencyCode | None, about("Only this currency.")] = None


class Commission(msgspec.Struct, frozen=True):
    """The changes of the platform's balance in one period; negative amounts reduce it."""

    period: Annotated[str, about("A day (2026-01-31) or a month (2026-01) of UTC.")]
    currency: Currency
    platform_fee_amount: Annotated[int, about("Fees on accepted offers, in minor units.")] = 0
    service_fee_amount: Annotated[int, about("Fees on completed work, in minor units.")] = 0
    refunded_amount: Annotated[int, about("The platform's part of refunds, in minor units.")] = 0
    stripe_fee_amount: Annotated[int, about("What Stripe took for payments, in minor units.")] = 0
    chargeback_amount: Annotated[
        int, about("The platform's part of lost chargebacks, in minor units.")
    ] = 0
    chargeback_fee_amount: Annotated[
        int, about("What Stripe took for chargebacks, in minor units.")
    ] = 0
    other_amount: Annotated[int, about("Everything else, in minor units.")] = 0
    net_amount: Annotated[int, about("The sum, in minor units.")] = 0


class CommissionTotal(msgspec.Struct, frozen=True):
    """`closing_amount` is the platform's balance: `opening_amount` plus `net_amount`."""

    currency: Currency
    opening_amount: Annotated[int, about("The platform's balance at the start, in minor units.")]
    net_amount: Annotated[int, about("Its change, in minor units.")]
    closing_amount: Annotated[int, about("The platform's balance at the end, in minor units.")]


class CommissionReport(msgspec.Struct, frozen=True):
    """The platform's fees, refunds and costs in a span of time."""

    start: Annotated[datetime, about("From this time on.")]
    end: Annotated[datetime, about("Up to this time, which is not part of it.")]
    bucket: Annotated[Bucket, about("The length of a period.")]
    lines: Annotated[
        list[Commission], about("The periods and currencies in which something was booked.")
    ]
    totals: Annotated[list[CommissionTotal], about("One for each currency.")]


# The field of `Commission` for each kind of transaction; other kinds count as `other_amount`.
FIELD_OF_KIND = {
    "accepted": "platform_fee_amount",
    "completed": "service_fee_amount",
    "resolved": "service_fee_amount",
    "refunded": "refunded_amount",
    "refund_failed": "refunded_amount",
    "refund_reserved": "refunded_amount",
    "refund_released": "refunded_amount",
    "refund_undone": "refunded_amount",
    "stripe_fee": "stripe_fee_amount",
    "chargeback_fee": "chargeback_fee_amount",
    "chargeback_lost": "chargeback_amount",
    "chargeback_undone": "chargeback_amount",
}


@operation("admin.commissions", roles={Role.ADMIN}, style=Style.READ, limits=(STATEMENTS,))
async def commissions(cmd: Commissions, actor: Actor, uow: UnitOfWork) -> CommissionReport:
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
    return CommissionReport(cmd.start, cmd.end, cmd.bucket, lines, ends)


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
) -> CommissionTotal:
    opening = await platform_before(uow, currency, start)
    net = sum(line.net_amount for line in lines if line.currency == currency)
    return CommissionTotal(currency, opening, net, opening + net)
