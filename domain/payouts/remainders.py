"""Remainders: pending money below the step in which Stripe moves a currency.

A contractor's share may be no multiple of the step. What is beyond the last multiple stays in
pending without a transfer. It goes with the next transfer, and pays debts before anything else.
"""

from typing import Any

from domain import ledger
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.payouts.transfer import UNDER_WAY, Transfer


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


async def give_up_remainders(uow: UnitOfWork, user_id: str) -> None:
    """Book the remainders of a user who leaves to the platform: no transfer can ever carry them.

    Only a wallet that is empty otherwise is changed.
    """
    for wallet in await ledger.wallets_of(uow, user_id):
        rest = wallet.available + wallet.held + wallet.in_transit - wallet.debt
        if rest or not 0 < wallet.pending < CURRENCIES[wallet.currency].step:
            continue
        await ledger.book(
            uow,
            f"remainder:{user_id}:{wallet.currency}",
            "remainder_given_up",
            wallet.currency,
            [ledger.Posting(ledger.pending(user_id), ledger.PLATFORM, wallet.pending)],
            users=[user_id],
        )
