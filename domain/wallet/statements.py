"""Statements: what happened to one's money in a span of time, as sums or one by one."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime

import msgspec

from domain.deals.offer import Offer
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.documents import Sort
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import Side, check_span, span, totals
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, CurrencyCode, Moment, Style
from domain.operations.operation import operation

TITLES_AT_ONCE = 200
OLDEST: Sort = (("created_at", 1), ("_id", 1))


class Statement(Command, frozen=True):
    """A span of time, up to 366 days; `end` is not part of it. Without `currency` the main one."""

    start: Moment
    end: Moment
    currency: CurrencyCode | None = None


class Position(msgspec.Struct, frozen=True):
    """A balance in minor units, and what it consists of."""

    amount: int
    parts: dict[str, int]


class Line(msgspec.Struct, frozen=True):
    """All transactions of one kind; `moved_amount` stayed within one's own accounts."""

    kind: str
    count: int
    in_amount: int
    out_amount: int
    moved_amount: int


class StatementOf(msgspec.Struct, frozen=True):
    """`opening` and `net_amount` make `closing`. All amounts in minor units of `currency`."""

    currency: str
    start: datetime
    end: datetime
    opening: Position
    closing: Position
    net_amount: int
    lines: list[Line]


class Entry(msgspec.Struct, frozen=True):
    """One transaction; `balance_amount` is what one has after it, all parts together."""

    at: datetime
    kind: str
    job_title: str
    offer_id: str
    withdrawal_id: str
    currency: str
    amount: int
    moved_amount: int
    balance_amount: int


@operation("wallet.statement", roles=EVERYONE, style=Style.READ)
async def statement(cmd: Statement, actor: Actor, uow: UnitOfWork) -> StatementOf:
    """What happened to one's money in a span of time; an admin's is the platform's.

    Raises Invalid.
    """
    check_span(cmd.start, cmd.end)
    currency = cmd.currency or uow.rates.currencies[0]
    side = Side.of(actor)
    opening = await side.position(uow, currency, cmd.start)
    grouped = await uow.aggregate(
        Transaction,
        [
            {"$match": side.where | span(cmd.start, cmd.end)},
            {"$match": {"currency": currency}},
            {"$project": {"kind": 1, **side.sums, **side.deltas}},
            {"$match": {"$or": [{name: {"$gt": 0}} for name in side.sums]}},
            {"$group": {"_id": "$kind", "count": {"$sum": 1}, **totals(side.sums | side.deltas)}},
            {"$sort": {"_id": 1}},
        ],
    )
    lines = [Line(row["_id"], row["count"], *(row[name] for name in side.sums)) for row in grouped]
    moved = {part: sum(row[part] for row in grouped) for part in side.parts}
    closing = {part: opening[part] + moved[part] for part in side.parts}
    return StatementOf(
        currency,
        cmd.start,
        cmd.end,
        _position(opening),
        _position(closing),
        sum(moved.values()),
        lines,
    )


async def entries(cmd: Statement, actor: Actor, uow: UnitOfWork) -> AsyncIterator[Entry]:
    """The transactions of a statement one by one, oldest first, read as they are asked for.

    Raises Invalid.
    """
    check_span(cmd.start, cmd.end)
    currency = cmd.currency or uow.rates.currencies[0]
    side = Side.of(actor)
    balance = sum((await side.position(uow, currency, cmd.start)).values())
    waiting: list[Transaction] = []
    async for transaction in uow.each(Transaction, side.where | span(cmd.start, cmd.end), OLDEST):
        if transaction.currency == currency:
            waiting.append(transaction)
        if len(waiting) == TITLES_AT_ONCE:
            for entry in await _entries(uow, side, waiting, balance):
                balance = entry.balance_amount
                yield entry
            waiting = []
    for entry in await _entries(uow, side, waiting, balance):
        yield entry


async def _entries(
    uow: UnitOfWork, side: Side, transactions: Iterable[Transaction], balance: int
) -> list[Entry]:
    ids = tuple({each.offer_id for each in transactions if each.offer_id})
    titles = {offer.id: offer.job_title for offer in await uow.all(Offer, {"_id": ids})}
    found = []
    for each in transactions:
        came, left, moved = side.effect(each)
        balance += came - left
        if came or left or moved:
            entry = Entry(
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


def _position(parts: Mapping[str, int]) -> Position:
    return Position(sum(parts.values()), dict(parts))
