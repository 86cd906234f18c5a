"""Account statements for a period: totals by kind, or single transactions."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Annotated

import msgspec

from domain.deals.offer import Offer
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.documents import Sort
from domain.kernel.fields import Currency, about
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import OwnedAccounts, check_span, totals, within
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, CurrencyCode, Moment, Style
from domain.operations.limits import STATEMENTS
from domain.operations.operation import operation

BATCH = 200
OLDEST: Sort = (("created_at", 1), ("_id", 1))


class GetStatement(Command, frozen=True):
    """A period of up to 366 days, without `end`. `currency` defaults to the main currency."""

    start: Annotated[Moment, about("From this time on.")]
    end: Annotated[Moment, about("Up to this time, which is not part of it.")]
    currency: Annotated[
        CurrencyCode | None, about("A code of three letters; by default the main currency.")
    ] = None


class BalanceParts(msgspec.Struct, frozen=True):
    """A balance in minor units, and its parts."""

    amount: Annotated[int, about("The sum, in minor units.")]
    parts: Annotated[dict[str, int], about("Its parts by name, in minor units.")]


class KindTotals(msgspec.Struct, frozen=True):
    """The transactions of one kind; `moved_amount` moved between the owner's accounts."""

    kind: Annotated[str, about("What kind of movements these are.")]
    count: Annotated[int, about("How many there were.")]
    in_amount: Annotated[int, about("What came in, in minor units.")]
    out_amount: Annotated[int, about("What went out, in minor units.")]
    moved_amount: Annotated[int, about("What moved between the owner's accounts, in minor units.")]


class AccountStatement(msgspec.Struct, frozen=True):
    """`opening` plus `net_amount` is `closing`. Amounts are minor units of `currency`."""

    currency: Currency
    start: Annotated[datetime, about("From this time on.")]
    end: Annotated[datetime, about("Up to this time, which is not part of it.")]
    opening: Annotated[BalanceParts, about("The balance at the start.")]
    closing: Annotated[BalanceParts, about("The balance at the end.")]
    net_amount: Annotated[int, about("The change, in minor units.")]
    lines: Annotated[list[KindTotals], about("The movements by kind.")]


class StatementEntry(msgspec.Struct, frozen=True):
    """One transaction; `balance_amount` is the sum of all parts after it."""

    at: datetime
    kind: str
    job_title: str
    offer_id: str
    withdrawal_id: str
    currency: str
    amount: int
    moved_amount: int
    balance_amount: int


@operation("wallet.statement", roles=EVERYONE, style=Style.READ, limits=(STATEMENTS,))
async def statement(cmd: GetStatement, actor: Actor, uow: UnitOfWork) -> AccountStatement:
    """The totals of a period for the actor's money; for an admin the platform's.

    Raises Invalid.
    """
    check_span(cmd.start, cmd.end)
    currency = cmd.currency or uow.rates.currencies[0]
    side = OwnedAccounts.of(actor)
    opening = await side.position(uow, currency, cmd.start)
    grouped = await uow.aggregate(
        Transaction,
        [
            {"$match": side.where | within(cmd.start, cmd.end)},
            {"$match": {"currency": currency}},
            {"$project": {"kind": 1, **side.sums, **side.deltas}},
            {"$match": {"$or": [{name: {"$gt": 0}} for name in side.sums]}},
            {"$group": {"_id": "$kind", "count": {"$sum": 1}, **totals(side.sums | side.deltas)}},
            {"$sort": {"_id": 1}},
        ],
    )
    lines = [
        KindTotals(row["_id"], row["count"], *(row[name] for name in side.sums)) for row in grouped
    ]
    moved = {part: sum(row[part] for row in grouped) for part in side.parts}
    closing = {part: opening[part] + moved[part] for part in side.parts}
    return AccountStatement(
        currency,
        cmd.start,
        cmd.end,
        _balance_parts(opening),
        _balance_parts(closing),
        sum(moved.values()),
        lines,
    )


async def entries(
    cmd: GetStatement, actor: Actor, uow: UnitOfWork
) -> AsyncIterator[StatementEntry]:
    """The transactions of a statement, oldest first. They are read while the caller iterates.

    Raises Invalid.
    """
    check_span(cmd.start, cmd.end)
    currency = cmd.currency or uow.rates.currencies[0]
    side = OwnedAccounts.of(actor)
    balance = sum((await side.position(uow, currency, cmd.start)).values())
    waiting: list[Transaction] = []
    async for transaction in uow.each(Transaction, side.where | within(cmd.start, cmd.end), OLDEST):
        if transaction.currency == currency:
            waiting.append(transaction)
        if len(waiting) == BATCH:
            for entry in await _to_entries(uow, side, waiting, balance):
                balance = entry.balance_amount
                yield entry
            waiting = []
    for entry in await _to_entries(uow, side, waiting, balance):
        yield entry


async def _to_entries(
    uow: UnitOfWork, side: OwnedAccounts, transactions: Iterable[Transaction], balance: int
) -> list[StatementEntry]:
    ids = tuple({each.offer_id for each in transactions if each.offer_id})
    titles = {offer.id: offer.job_title for offer in await uow.all(Offer, {"_id": ids})}
    found = []
    for each in transactions:
        came, left, moved = side.effect(each)
        balance += came - left
        if came or left or moved:
            entry = StatementEntry(
                each.created_at,
                each.kind,
                titles.get(each.offer_id or "", ""),
                each.offer_id or "",
                each.withdrawal_id or "",
                each.currency,
                came - left,
                moved,
                balance,
            )
            found.append(entry)
    return found


def _balance_parts(parts: Mapping[str, int]) -> BalanceParts:
    return BalanceParts(sum(parts.values()), dict(parts))
