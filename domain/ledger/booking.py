"""Booking in the journal: postings for every movement of money, once for each fact.

Decision: a posting has a source and a destination instead of a sign, so a transaction balances by
construction. Only accounts with a bound have a balance row. The platform's own accounts take part
in every transaction, so a row for them would serialise all of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from domain.kernel.errors import InsufficientFunds
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import SETTLED_AFTER, Balance, WalletBalances, snapshots_of, wallet_of
from domain.ledger.chart import SNAPSHOT_ACCOUNTS, available, is_bounded, kind_of, owner_of
from domain.ledger.transaction import Posting, Transaction

WALLET_UPDATED = Event(
    "/wallet",
    "wallet.updated",
    WalletBalances,
    about="When a balance changes, to the user whose it is; one push for each currency.",
)


def postings_for(deltas: Mapping[str, int]) -> list[Posting]:
    """Postings that change each account by its delta. Raises ValueError if the sum is not zero."""
    if sum(deltas.values()):
        raise ValueError("a transaction must balance")
    sources = [(account, -delta) for account, delta in deltas.items() if delta < 0]
    postings = []
    for account, wanted in deltas.items():
        while wanted > 0:
            source, left = sources.pop(0)
            part = min(wanted, left)
            postings.append(Posting(source, account, part))
            wanted -= part
            if left > part:
                sources.insert(0, (source, left - part))
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
    """Write one transaction and change its balance rows.

    Raises InsufficientFunds if an account would leave its bound, and Duplicate, which rolls back
    the database transaction, if the fact is booked already.
    """
    moved = tuple(posting for posting in postings if posting.amount)
    if not moved:
        return
    deltas: dict[str, int] = defaultdict(int)
    for posting in moved:
        deltas[posting.source] -= posting.amount
        deltas[posting.destination] += posting.amount
    # The same order everywhere prevents deadlocks.
    for account in sorted({*deltas, *_beside_debts(deltas)}):
        await _change_balance(uow, account, currency, deltas.get(account, 0))
    at = await _booking_time(uow, deltas)
    await uow.add(
        uow.new(
            Transaction,
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
    for user in {owner_of(account) for account in deltas if kind_of(account) in ("wallet", "debt")}:
        wallet = await wallet_of(uow, user, currency)
        uow.publish(WALLET_UPDATED, wallet, to=[user])


def _beside_debts(deltas: Mapping[str, int]) -> list[str]:
    """The available accounts of those whose debt grows.

    Their rows change too, by nothing: so money that arrives for them at the same time conflicts,
    and one of the two transactions runs again and collects the debt.
    """
    return [
        available(owner_of(account))
        for account, delta in deltas.items()
        if kind_of(account) == "debt" and delta < 0
    ]


async def _booking_time(uow: UnitOfWork, accounts: Iterable[str]) -> datetime:
    """Now, or later if a snapshot already covers this time because clocks differ.

    A balance is its snapshot plus the transactions after it, so a transaction dated before the
    snapshot would be missed.
    """
    snapshots = [
        snapshot
        for each in SNAPSHOT_ACCOUNTS
        if each in accounts
        for snapshot in await snapshots_of(uow, each)
    ]
    return max([uow.now, *(snapshot.upto + SETTLED_AFTER for snapshot in snapshots)])


async def is_booked(uow: UnitOfWork, fact: str) -> bool:
    """Whether the journal has a transaction for this fact."""
    return await uow.find(Transaction, {"fact": fact}) is not None


async def _change_balance(uow: UnitOfWork, account: str, currency: str, delta: int) -> None:
    """Change the balance row of a bounded account. Raises InsufficientFunds."""
    kind = kind_of(account)
    if not is_bounded(account):
        return
    id = f"{account}|{currency}"
    bound = {"$gte": -delta} if kind != "debt" else {"$lte": -delta}
    leaves_bound = delta < 0 if kind != "debt" else delta > 0
    if leaves_bound:
        changed = await uow.change(Balance, id, only_if={"balance": bound}, inc={"balance": delta})
        if changed is None:
            raise InsufficientFunds(account=kind)
        return
    fresh = uow.new(
        Balance,
        id=id,
        account=account,
        kind=kind,
        owner=owner_of(account),
        currency=currency,
    )
    await uow.upsert(fresh, inc={"balance": delta})
