"""What an account at Stripe lacks for our reversals, because its money was paid out before.

A payout that was not requested here may take money that our books had promised elsewhere: to a
reversal that waits, to a chargeback, to a withdrawal. Its owner owes that part from then on
(`debt`), so the reversal that Stripe refuses later is given up to the same amount, and nothing is
taken twice. When the account is closed, what is stranded there pays it: it is not at Stripe either.
A debt that later earnings paid leaves its shortfall, see `refills.py`.
"""

from collections.abc import Iterable

from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.payouts.transfer import Reversal, Transfer, TransferStatus


class Shortfall(Record, frozen=True):
    """`amount` minor units that an account lacks; the id is made of account and currency."""

    COLLECTION = "shortfalls"
    PREFIX = "sho"
    INDEXES = (Index((("updated_at", 1),), where={"amount": {"$gt": 0}}),)

    user_id: str
    currency: str
    amount: int = 0


def _id_of(account_id: str | None, currency: str) -> str:
    return f"{Shortfall.PREFIX}_{account_id}_{currency}"


async def add_shortfall(
    uow: UnitOfWork, user_id: str, account_id: str, currency: str, amount: int
) -> list[Reversal]:
    """Count what a payout took beyond the available balance; the caller books it as debt.

    Returns the reversals that wait, which Stripe may refuse now.
    """
    id = _id_of(account_id, currency)
    if await uow.change(Shortfall, id, inc={"amount": amount}) is None:
        new = uow.new(Shortfall, id=id, user_id=user_id, currency=currency, amount=amount)
        await uow.add(new)
    waiting = await uow.all(Reversal, {"user_id": user_id, "done": False})
    return [reversal for reversal in waiting if reversal.currency == currency]


async def shortfalls_of(
    uow: UnitOfWork, account_ids: Iterable[str], currency: str
) -> list[Shortfall]:
    """What these accounts lack."""
    ids = tuple(_id_of(account_id, currency) for account_id in account_ids)
    return await uow.all(Shortfall, {"_id": ids, "amount": {"$gt": 0}}) if ids else []


async def take_shortfalls(
    uow: UnitOfWork, account_ids: Iterable[str], currency: str, most: int
) -> int:
    """Take up to `most` of what these accounts lack; returns the amount. The caller books it."""
    left = most
    for lacking in await shortfalls_of(uow, account_ids, currency) if most else ():
        part = min(left, lacking.amount)
        await uow.change(Shortfall, lacking.id, inc={"amount": -part})
        left -= part
    return most - left


async def give_up_reversal(uow: UnitOfWork, reversal: Reversal) -> bool:
    """Give up the part of a refused reversal that its owner owes already.

    Returns whether it has changed. The transfer keeps that part, as it does at Stripe. Funds that
    are not available yet were not paid out: a reversal of them waits.
    """
    transfer = await uow.get(Transfer, reversal.transfer_id)
    id = _id_of(transfer.account_id, reversal.currency)
    found = await uow.find(Shortfall, {"_id": id})
    part = min(found.amount, reversal.amount) if found else 0
    if not part or transfer.status is TransferStatus.MADE:
        return False
    left = reversal.amount - part
    unchanged = {"done": False, "key": reversal.key}
    reduced = await uow.change(
        Reversal, reversal.id, only_if=unchanged, inc={"key": 1}, amount=left, done=not left
    )
    if reduced is None:
        return False
    await uow.change(Shortfall, id, inc={"amount": -part})
    await uow.change(
        Transfer, transfer.id, inc={"reversed_amount": -part}, status=TransferStatus.AVAILABLE
    )
    return True
