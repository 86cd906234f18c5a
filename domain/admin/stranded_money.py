"""What administrators decide about money on closed or rejected accounts at Stripe.

It cannot be moved from here: they look up at Stripe what became of it, and record that.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta as Limits

from domain import ledger
from domain.accounts.user import User
from domain.admin.approval import Action, Done
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import ApprovalRequired, Conflict, InsufficientFunds, NotFound
from domain.kernel.fields import about
from domain.kernel.money import MAX_AMOUNT, check_step, display
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications import notices
from domain.notifications.text import WALLET
from domain.operations.command import Command, CurrencyCode, Id, Reason
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.payouts.allocation import allocate
from domain.ports.payment_gateway import StripeMovement
from domain.ports.step_up import StepUpFor
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus, settle_withdrawal


class StrandedOutcome(StrEnum):
    """What became of the money."""

    PAID_OUT = "paid_out"
    RETURNED = "returned"
    REPLACED = "replaced"


class Settle(Command, frozen=True):
    """`amount` is in minor units."""

    user_id: Annotated[Id, about("The id of the contractor.")]
    amount: Annotated[int, Limits(ge=1, le=MAX_AMOUNT), about("In minor units.")]
    currency: Annotated[CurrencyCode, about("A code of three letters, such as USD.")]
    outcome: Annotated[
        StrandedOutcome,
        about(
            "`paid_out`: Stripe paid it to the contractor's bank. `returned`: Stripe gave it back "
            "to the platform, which transfers it again. `replaced`: it is lost, and the platform "
            "pays it again and bears the loss."
        ),
    ]
    reason: Reason


class WithdrawalOutcome(StrEnum):
    """Whether the bank has the money of a payout, or it came back."""

    PAID = "paid"
    FAILED = "failed"


class End(Command, frozen=True):
    withdrawal_id: Annotated[Id, about("The id of the withdrawal.")]
    outcome: Annotated[WithdrawalOutcome, about("Whether the bank has the money.")]
    reason: Reason


@operation(
    "admin.stranded_settle",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def stranded_settle(cmd: Settle, actor: Actor, uow: UnitOfWork) -> ledger.WalletBalances:
    """Book what became of money on a closed or rejected account.

    What the platform transfers again pays a debt first. Raises NotFound, Invalid,
    InsufficientFunds, ApprovalRequired.
    """
    balances: ledger.WalletBalances = await SETTLE.perform_or_ask(cmd, actor, uow)
    return balances


async def _settle(cmd: Settle, admin_id: str, uow: UnitOfWork) -> Done:
    user = await uow.get(User, cmd.user_id, role=Role.CONTRACTOR)
    wallet = await ledger.wallet_of(uow, user.id, cmd.currency)
    if wallet.stranded < cmd.amount:
        raise InsufficientFunds(account="stranded")
    check_step(cmd.amount, cmd.currency)
    deltas = {ledger.stranded(user.id): -cmd.amount}
    if cmd.outcome is StrandedOutcome.PAID_OUT:
        deltas[ledger.BANK] = cmd.amount
    else:
        deltas |= await allocate(uow, user.id, cmd.currency, cmd.amount)
    if cmd.outcome is StrandedOutcome.REPLACED:
        deltas |= {ledger.LOSSES: -cmd.amount, ledger.STRIPE: cmd.amount}
    await ledger.book(
        uow,
        f"stranded_{cmd.outcome}:{new_id('str')}",
        f"stranded_{cmd.outcome}",
        cmd.currency,
        ledger.postings_for(deltas),
        users=[user.id],
    )
    await _notify(uow, user.id, cmd)
    balances = await ledger.wallet_of(uow, user.id, cmd.currency)
    return Done(balances, cmd.amount, cmd.currency, user.id)


SETTLE = Action("admin.stranded_settle", Settle, _settle)


async def _notify(uow: UnitOfWork, user_id: str, cmd: Settle) -> None:
    amount = display(cmd.amount, cmd.currency)
    if cmd.outcome is StrandedOutcome.PAID_OUT:
        title = f"{amount} went to your bank when your account at Stripe ended"
        text = "Stripe paid it out. It is no longer in your wallet."
    else:
        title = f"{amount} of your old account at Stripe is on its way to your wallet again"
        text = "What you owed was paid from it first."
    await notices.notify(uow, [user_id], "stranded_settled", title, text, user_id, path=WALLET)


@operation(
    "admin.withdrawal_end",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def withdrawal_end(cmd: End, actor: Actor, uow: UnitOfWork) -> Withdrawal:
    """Record how a withdrawal ended whose account at Stripe is closed and cannot be read.

    Raises NotFound, Conflict, ApprovalRequired.
    """
    withdrawal: Withdrawal = await END.perform_or_ask(cmd, actor, uow)
    return withdrawal


async def _end(cmd: End, admin_id: str, uow: UnitOfWork) -> Done:
    withdrawal = await uow.get(Withdrawal, cmd.withdrawal_id)
    user = await uow.get(User, withdrawal.user_id)
    if withdrawal.account_id not in user.closed_accounts:
        raise Conflict("Its account at Stripe is open: Stripe says how it ends.")
    if withdrawal.status not in (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT):
        raise Conflict(f"The withdrawal is {withdrawal.status}.", status=withdrawal.status)
    ended = StripeMovement(
        withdrawal.payout_id or "",
        cmd.outcome,
        withdrawal.amount,
        withdrawal.currency,
        "account_closed" if cmd.outcome is WithdrawalOutcome.FAILED else None,
    )
    await settle_withdrawal(uow, withdrawal.id, ended)
    changed = await uow.get(Withdrawal, withdrawal.id)
    return Done(changed, changed.amount, changed.currency, changed.id, adds_up=False)


END = Action("admin.withdrawal_end", End, _end)
