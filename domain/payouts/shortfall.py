"""What an account at Stripe lacks for our reversals, because its money was paid out before.

A payout that was not requested here may take money that our books had promised elsewhere: to a
reversal that waits, to a chargeback, to a withdrawal. Its owner owes that part from then on
(`debt`), so the reversal that Stripe refuses later is given up to the same amount, and nothing is
taken twice.
"""

from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork
from domain.payouts.transfer import Reversal, Transfer, TransferStatus


class Shortfall(Record, frozen=True):
    """`amount` minor units that a user's account lacks; the id is made of user and currency."""

    COLLECTION = "shortfalls"
    PREFIX = "sho"

    amount: int = 0


def _id_of(user_id: str, currency: str) -> str:
    return f"{Shortfall.PREFIX}_{user_id}_{currency}"


async def add_shortfall(
    uow: UnitOfWork, user_id: str, currency: str, amount: int
) -> list[Reversal]:
    """Count what a payout took beyond the available balance; the caller books it as debt.

    Returns the reversals that wait, which Stripe may refuse now.
    """
    id = _id_of(user_id, currency)
    if await uow.change(Shortfall, id, inc={"amount": amount}) is None:
        await uow.add(uow.new(Shortfall, id=id, amount=amount))
    waiting = await uow.all(Reversal, {"user_id": user_id, "done": False})
    return [reversal for reversal in waiting if reversal.currency == currency]


async def give_up_reversal(uow: UnitOfWork, reversal: Reversal) -> bool:
    """Give up the part of a refused reversal that its owner owes already.

    Returns whether it has changed. The transfer keeps that part, as it does at Stripe. One whose
    funds are not available yet is refused for that reason, and waits.
    """
    id = _id_of(reversal.user_id, reversal.currency)
    found = await uow.find(Shortfall, {"_id": id})
    part = min(found.amount, reversal.amount) if found else 0
    transfer = await uow.get(Transfer, reversal.transfer_id)
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
