"""Balances: the guarded balance rows, and snapshots of the accounts that have none."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction

SETTLED_AFTER = timedelta(minutes=2)  # longer than any transaction can still be open


class Balance(Record, frozen=True):
    """The balance of a bounded account in one currency; moved with the journal, never alone."""

    COLLECTION = "wallets"
    PREFIX = "bal"
    INDEXES = (
        Index((("owner", 1), ("currency", 1))),
        Index((("owner", 1), ("_id", 1), ("kind", 1), ("currency", 1), ("balance", 1))),
        Index((("kind", 1), ("currency", 1), ("balance", 1))),
        Index((("kind", 1), ("_id", 1), ("currency", 1), ("balance", 1))),
    )
    LOGGED = False

    account: str
    kind: str
    owner: str
    currency: str
    balance: int = 0


class Snapshot(Record, frozen=True):
    """The balance of an unbounded account over all transactions up to a time."""

    COLLECTION = "wallets"
    PREFIX = "snap"
    LOGGED = False

    balance: int
    upto: datetime


class WalletBalances(msgspec.Struct, frozen=True):
    """A user's money in one currency, in minor units; `debt` is zero or below."""

    user_id: str
    currency: str
    available: int = 0
    pending: int = 0
    held: int = 0
    in_transit: int = 0
    debt: int = 0
    version: int = 0


async def snapshots_of(uow: UnitOfWork, account: str) -> list["Snapshot"]:
    """One for each currency. A prefix as a range: any database finds that in the index of ids."""
    ids = {"$gt": f"snapshot:{account}|", "$lt": f"snapshot:{account}}}"}
    return await uow.all(Snapshot, {"_id": ids})


# -- reading -----------------------------------------------------------------------------------


async def wallet_of(uow: UnitOfWork, user_id: str, currency: str) -> WalletBalances:
    found = [p for p in await wallets_of(uow, user_id) if p.currency == currency]
    return found[0] if found else WalletBalances(user_id, currency)


async def wallets_of(uow: UnitOfWork, user_id: str) -> list[WalletBalances]:
    """A user's money in every currency they ever had."""
    amounts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in await uow.all(Balance, {"owner": user_id}):
        name = "debt" if row.kind == "debt" else row.account.rpartition(":")[2]
        amounts[row.currency][name] = row.balance
        amounts[row.currency]["version"] += row.version
    return [
        WalletBalances(user_id, currency, **parts) for currency, parts in sorted(amounts.items())
    ]


async def total_escrow(uow: UnitOfWork) -> dict[str, int]:
    """All held money by currency."""
    rows = await uow.aggregate(
        Balance,
        [
            {"$match": {"kind": "escrow", "balance": {"$gt": 0}}},
            {"$group": {"_id": "$currency", "total": {"$sum": "$balance"}}},
        ],
    )
    return {row["_id"]: row["total"] for row in rows}


async def movements_between(
    uow: UnitOfWork, account: str, after: datetime | None, upto: datetime | None = None
) -> dict[str, int]:
    """What the journal moved on `account` in a span of time, by currency."""
    span = {k: v for k, v in (("$gt", after), ("$lte", upto)) if v}
    match: dict[str, Any] = {"accounts": account}
    if span:
        match["created_at"] = span
    plus = {"$cond": [{"$eq": ["$postings.destination", account]}, "$postings.amount", 0]}
    minus = {"$cond": [{"$eq": ["$postings.source", account]}, "$postings.amount", 0]}
    rows = await uow.aggregate(
        Transaction,
        [
            {"$match": match},
            {"$unwind": "$postings"},
            {"$group": {"_id": "$currency", "total": {"$sum": {"$subtract": [plus, minus]}}}},
        ],
    )
    return {row["_id"]: row["total"] for row in rows}


async def balance_of(uow: UnitOfWork, account: str) -> dict[str, int]:
    """The balance of an unbounded account by currency: its snapshots plus the journal since."""
    snapshots = await snapshots_of(uow, account)
    total = {row.id.rpartition("|")[2]: row.balance for row in snapshots}
    upto = max((row.upto for row in snapshots), default=None)
    for currency, moved in (await movements_between(uow, account, upto)).items():
        total[currency] = total.get(currency, 0) + moved
    return total


async def take_snapshot(uow: UnitOfWork, account: str) -> None:
    """Sum up everything that can no longer change, so that reading stays short.

    One from a clock that was ahead is taken back, so that bookings are dated right again.
    """
    upto = uow.now - SETTLED_AFTER
    old = {row.id.rpartition("|")[2]: row for row in await snapshots_of(uow, account)}
    since = max((row.upto for row in old.values()), default=None)
    if since and since > upto:
        moved, sign = await movements_between(uow, account, upto, since), -1
    else:
        moved, sign = await movements_between(uow, account, since, upto), 1
    for currency in old.keys() | moved.keys():
        total = (old[currency].balance if currency in old else 0) + sign * moved.get(currency, 0)
        id = f"snapshot:{account}|{currency}"
        if currency in old:
            await uow.change(Snapshot, id, balance=total, upto=upto)
        else:
            await uow.add(uow.new(Snapshot, id=id, balance=total, upto=upto))
