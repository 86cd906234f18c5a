"""Books payouts of contractors' accounts that were not requested here.

Stripe makes them by an automatic schedule, after its limit for holding funds (90 days; 2 years in
the US, 10 days in Thailand), or for the account's owner in the dashboard. Source: Stripe, "Manage
payouts to connected accounts". Each is a withdrawal with `unasked`, so its states are those of any
other. What it took beyond the available balance was promised twice, and becomes debt.
"""

import hashlib
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.payouts.reversals import ReverseTransfer, notify_debt_due
from domain.payouts.shortfall import add_shortfall
from domain.payouts.stranded import arrival
from domain.ports.payment_gateway import StripeMovement
from domain.ports.ports import Ports
from domain.wallet.withdrawals import (
    FROM_STRIPE,
    WITHDRAWAL_UPDATED,
    Withdrawal,
    WithdrawalStatus,
    settle_withdrawal,
)


def withdrawal_id_of(payout: StripeMovement) -> str:
    """The id in its metadata; one made of the payout's id if it was not made here."""
    made_of = hashlib.sha256(payout.id.encode()).hexdigest()[:24]
    return payout.metadata.get("withdrawal_id") or f"{Withdrawal.PREFIX}_{made_of}"


async def settle_payouts(ports: Ports, account_id: str, payouts: Iterable[StripeMovement]) -> bool:
    """Bring the withdrawals of payouts to their states; record one that was not requested here.

    Returns whether all are known now. A repeat changes nothing.
    """
    known = True
    for payout in payouts:
        settle = partial(_settle_payout, account_id=account_id, payout=payout)
        known &= await ports.store.transact(settle)
    return known


async def _settle_payout(uow: UnitOfWork, account_id: str, payout: StripeMovement) -> bool:
    ours = {"_id": withdrawal_id_of(payout), "account_id": account_id}
    withdrawal = await uow.find(Withdrawal, ours)
    if withdrawal and _is_taken_for_refused(withdrawal):
        unnamed = msgspec.structs.replace(payout, metadata={})
        return await _settle_payout(uow, account_id, unnamed)
    if withdrawal is None:
        withdrawal = await _record_unasked(uow, account_id, payout)
    if withdrawal is None:
        return False
    await settle_withdrawal(uow, withdrawal.id, payout)
    return True


def _is_taken_for_refused(withdrawal: Withdrawal) -> bool:
    """Whether it came back to the wallet because a repeated request was refused, although the first
    one, whose answer was lost, has paid: that payout is booked by itself."""
    return withdrawal.status is WithdrawalStatus.FAILED and not withdrawal.payout_id


async def _record_unasked(
    uow: UnitOfWork, account_id: str, payout: StripeMovement
) -> Withdrawal | None:
    """None for a payout that has come to nothing, and for one that our books cannot explain.

    One of a closed account that has come to nothing is recorded: an older event of it may follow.
    """
    failed = FROM_STRIPE[payout.status] is WithdrawalStatus.FAILED
    user = await uow.find(User, {"connect_id": account_id}) or await uow.find(
        User, {"closed_accounts": account_id}
    )
    if user is None or (failed and account_id not in user.closed_accounts):
        return None
    if failed:
        return await _add_unasked(uow, user, account_id, payout, status=WithdrawalStatus.FAILED)
    if account_id in user.closed_accounts and await _may_be_settled(uow, user, payout):
        await _alert_unexplained(uow, user, payout)
        return None
    wallets = {wallet.currency: wallet for wallet in await ledger.wallets_of(uow, user.id)}
    wallet = wallets.get(payout.currency)
    if wallet is None:
        await _alert_foreign(uow, user, payout)
        return None
    withdrawal = await _add_unasked(uow, user, account_id, payout)
    await _book_unasked(uow, withdrawal, wallet)
    return withdrawal


async def _add_unasked(
    uow: UnitOfWork, user: User, account_id: str, payout: StripeMovement, **fields: Any
) -> Withdrawal:
    withdrawal = uow.new(
        Withdrawal,
        id=withdrawal_id_of(payout),
        user_id=user.id,
        account_id=account_id,
        amount=payout.amount,
        currency=payout.currency,
        payout_id=payout.id,
        unasked=True,
        failure=payout.failure,
        **fields,
    )
    await uow.add(withdrawal)
    uow.publish(WITHDRAWAL_UPDATED, withdrawal, to=[user.id])
    return withdrawal


async def _may_be_settled(uow: UnitOfWork, user: User, payout: StripeMovement) -> bool:
    """Whether an administrator may have recorded already that it left the closed account: less is
    stranded, or something that was stranded was settled as paid out."""
    if (await ledger.wallet_of(uow, user.id, payout.currency)).stranded < payout.amount:
        return True
    settled = {"accounts": ledger.stranded(user.id), "kind": "stranded_paid_out"}
    return await uow.find(ledger.Transaction, settled) is not None


async def _alert_unexplained(uow: UnitOfWork, user: User, payout: StripeMovement) -> None:
    paid = display(payout.amount, payout.currency)
    await alert(
        uow,
        "payout_unexplained",
        user.id,
        f"Stripe paid {paid} of a contractor's closed account to their bank (payout {payout.id}, "
        "which was not asked for here), and what is stranded does not explain it. Look it up in "
        "Stripe's dashboard, and settle what is stranded in the contractor's wallet.",
    )


async def _book_unasked(
    uow: UnitOfWork, withdrawal: Withdrawal, wallet: ledger.WalletBalances
) -> None:
    user, currency = withdrawal.user_id, withdrawal.currency
    source = await arrival(uow, user, withdrawal.account_id)
    there = wallet.stranded if source == ledger.stranded(user) else wallet.available
    covered = min(there, withdrawal.amount)
    short = withdrawal.amount - covered
    in_transit = ledger.in_transit(user)
    await ledger.book(
        uow,
        f"withdrawn:{withdrawal.id}",
        "withdrawn",
        currency,
        [
            ledger.Posting(source, in_transit, covered),
            ledger.Posting(ledger.debt(user), in_transit, short),
        ],
        users=[user],
        withdrawal_id=withdrawal.id,
    )
    paid = display(withdrawal.amount, currency)
    message = (
        f"Stripe paid {paid} of a contractor to their bank, which no open withdrawal explains."
    )
    if short:
        lacking = await add_shortfall(uow, user, withdrawal.account_id, currency, short)
        for reversal in lacking:
            uow.later(ReverseTransfer(reversal.id))
        await notify_debt_due(uow, user, currency, short - wallet.debt)
        message += f" {display(short, currency)} of it was promised elsewhere, and is owed now."
    await alert(
        uow,
        "payout_unasked",
        user,
        f"{message} Set the payout schedule of their account to manual in Stripe's dashboard.",
    )


async def _alert_foreign(uow: UnitOfWork, user: User, payout: StripeMovement) -> None:
    paid = display(payout.amount, payout.currency)
    await alert(
        uow,
        "payout_unexplained",
        user.id,
        f"Stripe paid {paid} of a contractor to their bank, but their wallet never had that "
        f"currency: Stripe has converted something. The payout {payout.id} is not booked.",
    )
