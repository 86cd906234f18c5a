"""Remainders: pending money below the step in which Stripe moves a currency.

A contractor's share may be no multiple of the step. What is beyond the last multiple stays in
pending without a transfer. It goes with the next transfer, and pays debts before anything else.
"""

from typing import Any

from domain import ledger
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.operations.task import Task
from domain.payouts.transfer import UNDER_WAY, Transfer
from domain.ports.ports import Ports


def round_up(amount: int, step: int) -> int:
    return -(-amount // step) * step


async def remainder_of(uow: UnitOfWork, user_id: str, currency: str) -> int:
    """The part of a contractor's pending money that no transfer has: it is below Stripe's step."""
    if CURRENCIES[currency].step == 1:
        return 0
    wallet = await ledger.wallet_of(uow, user_id, currency)
    net: dict[str, Any] = {"$subtract": ["$amount", "$reversed_amount"]}
    own = {"user_id": user_id, "currency": currency, "status": {"$in": list(UNDER_WAY)}}
    found = await uow.aggregate(
        Transfer,
        [
            {"$match": own},
            {"$match": {"refill": {"$ne": True}}},
            {"$group": {"_id": None, "total": {"$sum": net}}},
        ],
    )
    return max(0, wallet.pending - (found[0]["total"] if found else 0))


async def lone_remainders(uow: UnitOfWork, user_id: str) -> dict[str, int]:
    """By currency, the remainders of a user whose wallet is empty otherwise: only their next
    earnings could carry them."""
    return {
        wallet.currency: wallet.pending
        for wallet in await ledger.wallets_of(uow, user_id)
        if not (wallet.available or wallet.held or wallet.in_transit or wallet.debt)
        and 0 < wallet.pending < CURRENCIES[wallet.currency].step
    }


class GiveUpRemainders(Task, frozen=True, tag="give_up_remainders"):
    """Book the remainders of a user who has left to the platform."""

    user_id: str

    async def run(self, ports: Ports) -> None:
        await ports.store.transact(self._book)

    async def _book(self, uow: UnitOfWork) -> None:
        for currency, amount in (await lone_remainders(uow, self.user_id)).items():
            await ledger.book(
                uow,
                f"remainder:{self.user_id}:{currency}",
                "remainder_given_up",
                currency,
                [ledger.Posting(ledger.pending(self.user_id), ledger.PLATFORM, amount)],
                users=[self.user_id],
            )
