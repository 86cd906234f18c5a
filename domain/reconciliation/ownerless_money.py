"""Money without an owner: found by a walk over the balances, the refunds and the transfers.

A job looks for it once an hour and keeps what it finds, so that administrators see since when it is
so. What is not found any more is removed. Nothing is moved here: each kind says what can be done.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from domain.accounts.user import User
from domain.deals.offer import Offer, OfferStatus, RefundStatus
from domain.kernel.batches import batches
from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.ledger.balances import Balance
from domain.payouts.transfer import UNSENT, Transfer
from domain.ports.ports import Ports

WAITS_AFTER = timedelta(days=7)  # of a transfer that was not sent
CHUNK = 200
MAX_KEPT = 5000
BY_ID = (("_id", 1),)
UNDER_WAY = (OfferStatus.AWAITING_PAYMENT, OfferStatus.PENDING, OfferStatus.ACCEPTING)


class OwnerlessKind(StrEnum):
    """Where the money is, and why it cannot be paid out."""

    ESCROW_ENDED = "escrow_ended"
    REFUND_FAILED = "refund_failed"
    WALLET_CLOSED = "wallet_closed"
    DEBT_CLOSED = "debt_closed"
    TRANSFER_WAITS = "transfer_waits"


class OwnerlessMoney(Record, frozen=True):
    """An amount without an owner; the id is made of the kind and the subject."""

    COLLECTION = "ownerless_money"
    PREFIX = "own"
    INDEXES = (
        Index((("kind", 1), ("_id", -1))),
        Index((("run", 1),)),
    )
    LOGGED = False
    PRIVATE = frozenset({"run"})

    kind: Annotated[
        OwnerlessKind,
        about(
            "`escrow_ended`: in escrow of an offer with no open work. `refund_failed`: a refund "
            "came back, and it was not made again. `wallet_closed` and `debt_closed`: of a user "
            "who was banned or deleted. `transfer_waits`: not sent for a week."
        ),
    ]
    subject: Annotated[str, about("The id of the offer, the user or the transfer.")]
    amount: MinorUnits
    currency: Currency
    found_at: Annotated[datetime, about("When it was found first.")]
    last_seen_at: Annotated[datetime, about("When it was last found.")]
    held_by: Annotated[
        str | None,
        about("The id of the administrator who holds it on purpose; null if none does."),
    ] = None
    held_at: Annotated[datetime | None, about("Since when; null if nobody holds it.")] = None
    held_reason: Annotated[str, about("Why; empty if nobody holds it.")] = ""
    run: str = ""  # of the job


async def find_ownerless(ports: Ports) -> int:
    """Keep what is found now, and remove what is not any more. Returns how much is kept."""
    uow, count = ports.store.single(), 0
    run = new_id("run")
    async for some in batches(all_ownerless(uow), CHUNK):
        found = [each for each in some][: MAX_KEPT - count]
        count += len(found)
        await _keep(uow, found, run)
    await uow.remove(OwnerlessMoney, {"run": {"$ne": run}})
    return count


async def _keep(uow: UnitOfWork, found: Iterable[OwnerlessMoney], run: str) -> None:
    rows = {each.id: each for each in found}
    await uow.add_missing(list(rows.values()))
    values = [
        ({"_id": id}, {"amount": each.amount, "last_seen_at": uow.now, "run": run})
        for id, each in rows.items()
    ]
    await uow.set_stored(OwnerlessMoney, values)


async def all_ownerless(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    """All money without an owner, as it is now."""
    for source in (_escrow, _refunds, _wallets, _transfers):
        async for each in source(uow):
            yield each


def _money(
    uow: UnitOfWork, kind: OwnerlessKind, subject: str, amount: int, currency: str
) -> OwnerlessMoney:
    return uow.new(
        OwnerlessMoney,
        id=f"{OwnerlessMoney.PREFIX}_{kind}_{subject}_{currency}",
        kind=kind,
        subject=subject,
        amount=amount,
        currency=currency,
        found_at=uow.now,
        last_seen_at=uow.now,
    )


async def _escrow(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    """Money in escrow of offers that have ended, or have no open work any more."""
    held = uow.each(Balance, {"kind": "escrow", "balance": {"$gt": 0}}, BY_ID)
    async for some in batches(held, CHUNK):
        ids = tuple(balance.owner for balance in some)
        offers = {offer.id: offer for offer in await uow.all(Offer, {"_id": ids}, limit=len(ids))}
        for balance in some:
            offer = offers.get(balance.owner)
            if offer is None or _is_over(offer):
                kind = OwnerlessKind.ESCROW_ENDED
                yield _money(uow, kind, balance.owner, balance.balance, balance.currency)


def _is_over(offer: Offer) -> bool:
    """Whether it can neither be earned nor refunded, and no bank decides about it."""
    if offer.status in UNDER_WAY or offer.contested_amount:
        return False
    works = any(each.is_open or each.dispute_id for each in offer.milestones)
    if offer.status is OfferStatus.ACCEPTED and works:
        return False
    return not any(refund.status is RefundStatus.REQUESTED for refund in offer.refunds)


async def _refunds(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    """Refunds that the bank returned, if nothing was refunded since and the work is over."""
    failed = {"refunds.status": RefundStatus.FAILED}
    async for offer in uow.each(Offer, failed, (("updated_at", 1),)):
        if offer.returned_amount > 0:
            kind = OwnerlessKind.REFUND_FAILED
            yield _money(uow, kind, offer.id, offer.returned_amount, offer.currency)
            continue
        last = offer.refunds[-1]
        left = min(last.amount, offer.refundable)
        if last.status is RefundStatus.FAILED and _is_over(offer) and left > 0:
            yield _money(uow, OwnerlessKind.REFUND_FAILED, offer.id, left, offer.currency)


async def _wallets(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    """Wallets and debts of users who cannot sign in any more, by user and currency."""
    where = {"kind": ("wallet", "debt"), "balance": {"$ne": 0}}
    async for some in batches(uow.each(Balance, where, BY_ID), CHUNK):
        ids = tuple({balance.owner for balance in some})
        gone = {"_id": ids, "$or": [{"banned_at": {"$ne": None}}, {"deleted_at": {"$ne": None}}]}
        users = {user.id for user in await uow.all(User, gone, limit=len(ids))}
        sums: dict[tuple[OwnerlessKind, str, str], int] = {}
        for balance in some:
            if balance.owner in users:
                debt = balance.kind == "debt"
                kind = OwnerlessKind.DEBT_CLOSED if debt else OwnerlessKind.WALLET_CLOSED
                key = (kind, balance.owner, balance.currency)
                sums[key] = sums.get(key, 0) + balance.balance
        for (kind, owner, currency), amount in sums.items():
            yield _money(uow, kind, owner, amount, currency)


async def _transfers(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    """Transfers that were not sent for a week: parked, or to an account that takes none."""
    long = {"status": UNSENT, "updated_at": {"$lt": uow.now - WAITS_AFTER}}
    async for transfer in uow.each(Transfer, long, BY_ID):
        kind = OwnerlessKind.TRANSFER_WAITS
        yield _money(uow, kind, transfer.id, transfer.net, transfer.currency)
