"""Balances: guarded rows of bounded accounts, and snapshots of unbounded accounts."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from domain.kernel.fields import Currency, about
from domain.kernel.money import CURRENCIES
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction

SETTLED_AFTER = timedelta(minutes=2)  # no database transaction stays open for longer


class Balance(Record, frozen=True):
    """The balance of a bounded account in one currency, changed only together with the journal."""

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
    """The balance of an unbounded account over all transactions up to and including `upto`."""

    COLLECTION = "wallets"
    PREFIX = "snap"
    LOGGED = False

    balance: int
    upto: datetime


class WalletBalances(msgspec.Struct, frozen=True):
    """A user's money in one currency, in minor units; `debt` is zero or below."""

    user_id: Annotated[str, about("The id of the user, or `platform`.")]
    currency: Currency
    available: Annotated[int, about("What can be withdrawn, in minor units.")] = 0
    pending: Annotated[int, about("What is on the way to the wallet, in minor units.")] = 0
    held: Annotated[int, about("What an undecided chargeback blocks, in minor units.")] = 0
    in_transit: Annotated[int, about("What is on the way to the bank, in minor units.")] = 0
    debt: Annotated[
        int, about("What is owed after refunds and chargebacks, in minor units: zero or below.")
    ] = 0
    version: Annotated[int, about("Counts the changes.")] = 0
    stranded: Annotated[
        int,
        about("What is on an account at Stripe that is closed or rejected, in minor units."),
    ] = 0


async def snapshots_of(uow: UnitOfWork, account: str) -> list["Snapshot"]:
    """The snapshots of an account, one for each currency.

    The prefix is queried as a range, which every server finds in the index of ids.
    """
    ids = {"$gt": f"snapshot:{account}|", "$lt": f"snapshot:{account}}}"}
    return await uow.all(Snapshot, {"_id": ids})


async def accounts_with_snapshots(uow: UnitOfWork) -> list[str]:
    """The unbounded accounts that have snapshots; the others are read from the journal alone."""
    rows = await uow.all(Snapshot, {"_id": {"$gt": "snapshot:", "$lt": "snapshot;"}})
    return sorted({row.id.partition(":")[2].rpartition("|")[0] for row in rows})


# -- reading -----------------------------------------------------------------------------------


async def wallet_of(uow: UnitOfWork, user_id: str, currency: str) -> WalletBalances:
    """A user's money in one currency."""
    found = [wallet for wallet in await wallets_of(uow, user_id) if wallet.currency == currency]
    return found[0] if found else WalletBalances(user_id, currency)


async def wallets_of(uow: UnitOfWork, user_id: str) -> list[WalletBalances]:
    """A user's money in every currency that they have had."""
    amounts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in await uow.all(Balance, {"owner": user_id}):
        name = "debt" if row.kind == "debt" else row.account.rpartition(":")[2]
        amounts[row.currency][name] = row.balance
        amounts[row.currency]["version"] += row.version
    return [
        WalletBalances(user_id, currency, **parts) for currency, parts in sorted(amounts.items())
    ]


async def total_of(uow: UnitOfWork, kind: str) -> dict[str, int]:
    """The sum of all accounts of a kind, by currency.

    Every currency is named, so that the index (kind, currency, balance) is read without the
    accounts that are empty. The balance is matched in a stage of its own, because some servers use
    no index for a filter with another field; others join the stages.
    """
    rows = await uow.aggregate(
        Balance,
        [
            {"$match": {"kind": kind, "currency": {"$in": list(CURRENCIES)}}},
            {"$match": {"balance": {"$lt": 0} if kind == "debt" else {"$gt": 0}}},
            {"$group": {"_id": "$currency", "total": {"$sum": "$balance"}}},
        ],
    )
    return {row["_id"]: row["total"] for row in rows}


async def movements_between(
    uow: UnitOfWork, account: str, after: datetime | None, upto: datetime | None = None
) -> dict[str, int]:
    """The change of an account by transactions later than `after` and not later than `upto`, by
    currency."""
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
    """The balances of an unbounded account by currency: its snapshots plus the journal since."""
    snapshots = await snapshots_of(uow, account)
    total = {row.id.rpartition("|")[2]: row.balance for row in snapshots}
    upto = max((row.upto for row in snapshots), default=None)
    for currency, moved in (await movements_between(uow, account, upto)).items():
        total[currency] = total.get(currency, 0) + moved
    return total


async def count_again(uow: UnitOfWork, account: str, currency: str) -> None:
    """Write the balance row of a bounded account anew, by its whole journal.

    A booking at the same time changes the row as well, so one of the two runs again.
    """
    balance = (await movements_between(uow, account, None)).get(currency, 0)
    id = f"{account}|{currency}"
    if await uow.change(Balance, id, balance=balance) is None:
        kind, _, rest = account.partition(":")
        owner = rest.partition(":")[0]
        row = uow.new(Balance, id=id, account=account, kind=kind, owner=owner, currency=currency)
        await uow.upsert(row, inc={"balance": balance})


async def take_snapshot(uow: UnitOfWork, account: str) -> None:
    """Sum up the transactions that can no longer change, so that later reads are short.

    A snapshot that a clock ahead of ours has written is moved back to the present, so that bookings
    get correct times again.
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
