"""The journal: every movement of money as postings, each fact once, balances beside it.

Decision: postings `source -> destination` instead of signed lines, so that a transaction balances
by construction; balance rows only where a rule bounds the account, because the platform's own
accounts take part in everything and a row for them would serialise the whole market.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.errors import InsufficientFunds
from domain.outbox import Event
from domain.record import Index, Record
from domain.store import UnitOfWork, new_id

WALLET_UPDATED = Event("/wallet", "wallet.updated")

PLATFORM, STRIPE_FEES, LOSSES = "platform", "stripe_fees", "losses"
STRIPE, BANK = "world:stripe", "world:bank"
UNBOUNDED = frozenset({PLATFORM, STRIPE_FEES, LOSSES, STRIPE, BANK})
SUMMED_UP = (PLATFORM, STRIPE_FEES)  # by snapshots
SETTLED_AFTER = timedelta(minutes=2)  # longer than any transaction can still be open


def escrow(offer_id: str) -> str:
    return f"escrow:{offer_id}"


def pending(user_id: str) -> str:
    return f"wallet:{user_id}:pending"


def available(user_id: str) -> str:
    return f"wallet:{user_id}:available"


def held(user_id: str) -> str:
    """Of a chargeback that is not decided."""
    return f"wallet:{user_id}:held"


def debt(user_id: str) -> str:
    return f"debt:{user_id}"


def chargeback(id: str) -> str:
    return f"chargeback:{id}"


def in_transit(user_id: str) -> str:
    return f"wallet:{user_id}:in_transit"


class Posting(msgspec.Struct, frozen=True):
    """`amount` minor units, above zero, from one account to another."""

    source: str
    destination: str
    amount: int


class Transaction(Record, frozen=True):
    """One fact of the journal, never changed. `users` are those who see it in their history."""

    COLLECTION = "transactions"
    PREFIX = "txn"
    INDEXES = (
        Index((("fact", 1),), unique=True),
        Index((("users", 1), ("_id", -1))),
        Index((("accounts", 1), ("created_at", 1))),
        Index((("users", 1), ("created_at", 1), ("_id", 1))),
        Index((("offer_id", 1),), where={"offer_id": {"$gt": ""}}),
        Index((("kind", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"users", "accounts"})

    fact: str
    kind: str
    currency: str
    postings: tuple[Posting, ...]
    accounts: tuple[str, ...]
    users: tuple[str, ...] = ()
    offer_id: str | None = None
    withdrawal_id: str | None = None


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

    account: str
    kind: str
    owner: str
    currency: str
    balance: int = 0


class Snapshot(Record, frozen=True):
    """The balance of an unbounded account over all transactions up to a time."""

    COLLECTION = "wallets"
    PREFIX = "snap"

    balance: int
    upto: datetime


class Purse(msgspec.Struct, frozen=True):
    """A user's money in one currency, in minor units; `debt` is zero or below."""

    user_id: str
    currency: str
    available: int = 0
    pending: int = 0
    held: int = 0
    in_transit: int = 0
    debt: int = 0
    version: int = 0


def flows(deltas: Mapping[str, int]) -> list[Posting]:
    """The postings that change each account by its delta; the deltas must sum to zero."""
    if sum(deltas.values()):
        raise ValueError("a transaction must balance")
    givers = [(account, -delta) for account, delta in deltas.items() if delta < 0]
    postings = []
    for account, wanted in deltas.items():
        while wanted > 0:
            giver, left = givers.pop(0)
            part = min(wanted, left)
            postings.append(Posting(giver, account, part))
            wanted -= part
            if left > part:
                givers.insert(0, (giver, left - part))
    return postings


async def book(
    uow: UnitOfWork,
    fact: str,
    kind: str,
    currency: str,
    postings: Iterable[Posting],
    *,
    users: Iterable[str] = (),
    offer_id: str | None = None,
    withdrawal_id: str | None = None,
) -> None:
    """Write one transaction and move its balances.

    Raises InsufficientFunds when a bounded account would leave its bound, and Duplicate (rolling
    everything back) when the fact is booked already.
    """
    moved = tuple(posting for posting in postings if posting.amount)
    if not moved:
        return
    deltas: dict[str, int] = defaultdict(int)
    for posting in moved:
        deltas[posting.source] -= posting.amount
        deltas[posting.destination] += posting.amount
    for account in sorted(deltas):  # one order for everybody: no deadlocks
        await _move(uow, account, currency, deltas[account])
    at = await _booking_time(uow, deltas)
    await uow.add(
        Transaction(
            id=new_id(Transaction.PREFIX),
            created_at=at,
            updated_at=at,
            fact=fact,
            kind=kind,
            currency=currency,
            postings=moved,
            accounts=tuple(sorted(deltas)),
            users=tuple(users),
            offer_id=offer_id,
            withdrawal_id=withdrawal_id,
        )
    )
    for user in {_owner(account) for account in deltas if _kind(account) in ("wallet", "debt")}:
        purse = await purse_of(uow, user, currency)
        uow.publish(WALLET_UPDATED, purse, to=[user])


async def _booking_time(uow: UnitOfWork, accounts: Iterable[str]) -> datetime:
    """Now; but after what a snapshot has summed up, though this clock has jumped back or the one
    of another host is ahead: nobody would look for it there."""
    summed_up = [
        snapshot
        for each in SUMMED_UP
        if each in accounts
        for snapshot in await _snapshots(uow, each)
    ]
    return max([uow.now, *(snapshot.upto + SETTLED_AFTER for snapshot in summed_up)])


async def _snapshots(uow: UnitOfWork, account: str) -> list["Snapshot"]:
    """One for each currency. A prefix as a range: any database finds that in the index of ids."""
    ids = {"$gt": f"snapshot:{account}|", "$lt": f"snapshot:{account}}}"}
    return await uow.all(Snapshot, {"_id": ids})


async def booked(uow: UnitOfWork, fact: str) -> bool:
    return await uow.find(Transaction, {"fact": fact}) is not None


async def _move(uow: UnitOfWork, account: str, currency: str, delta: int) -> None:
    kind = _kind(account)
    if not delta or not is_bounded(account):
        return
    id = f"{account}|{currency}"
    bound = {"$gte": -delta} if kind != "debt" else {"$lte": -delta}
    leaves_bound = delta < 0 if kind != "debt" else delta > 0
    if leaves_bound:
        if (
            await uow.change(Balance, id, only_if={"balance": bound}, inc={"balance": delta})
            is None
        ):
            raise InsufficientFunds(account=kind)
        return
    fresh = Balance(
        id=id,
        created_at=uow.now,
        updated_at=uow.now,
        account=account,
        kind=kind,
        owner=_owner(account),
        currency=currency,
    )
    await uow.upsert(fresh, inc={"balance": delta})


def is_bounded(account: str) -> bool:
    return account not in UNBOUNDED and _kind(account) != "chargeback"


def _kind(account: str) -> str:
    return account.partition(":")[0]


def _owner(account: str) -> str:
    return account.split(":")[1]


# -- reading -----------------------------------------------------------------------------------


async def purse_of(uow: UnitOfWork, user_id: str, currency: str) -> Purse:
    found = [p for p in await purses_of(uow, user_id) if p.currency == currency]
    return found[0] if found else Purse(user_id, currency)


async def purses_of(uow: UnitOfWork, user_id: str) -> list[Purse]:
    """A user's money in every currency they ever had."""
    amounts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in await uow.all(Balance, {"owner": user_id}):
        name = "debt" if row.kind == "debt" else row.account.rpartition(":")[2]
        amounts[row.currency][name] = row.balance
        amounts[row.currency]["version"] += row.version
    return [Purse(user_id, currency, **parts) for currency, parts in sorted(amounts.items())]


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


async def balance_since(
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
    snapshots = await _snapshots(uow, account)
    total = {row.id.rpartition("|")[2]: row.balance for row in snapshots}
    upto = max((row.upto for row in snapshots), default=None)
    for currency, moved in (await balance_since(uow, account, upto)).items():
        total[currency] = total.get(currency, 0) + moved
    return total


async def take_snapshot(uow: UnitOfWork, account: str) -> None:
    """Sum up everything that can no longer change, so that reading stays short.

    One from a clock that was ahead is taken back, so that bookings are dated right again.
    """
    upto = uow.now - SETTLED_AFTER
    old = {row.id.rpartition("|")[2]: row for row in await _snapshots(uow, account)}
    since = max((row.upto for row in old.values()), default=None)
    if since and since > upto:
        moved, sign = await balance_since(uow, account, upto, since), -1
    else:
        moved, sign = await balance_since(uow, account, since, upto), 1
    for currency in old.keys() | moved.keys():
        total = (old[currency].balance if currency in old else 0) + sign * moved.get(currency, 0)
        id = f"snapshot:{account}|{currency}"
        if currency in old:
            await uow.change(Snapshot, id, balance=total, upto=upto)
        else:
            await uow.add(
                Snapshot(id=id, created_at=uow.now, updated_at=uow.now, balance=total, upto=upto)
            )
