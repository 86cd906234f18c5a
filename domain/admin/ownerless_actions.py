"""What administrators do with money of people who are gone: pay it out, hold it, write it off."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta as Limits

from domain import ledger
from domain.accounts.user import User
from domain.admin.approval import Action, Done
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import (
    ApprovalRequired,
    Conflict,
    InsufficientFunds,
    NotFound,
    NotOnboarded,
    WalletFrozen,
)
from domain.kernel.fields import about
from domain.kernel.money import MAX_AMOUNT, check_step
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.command import Command, CurrencyCode, Id, Reason
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.payouts.allocation import claw_back
from domain.ports.step_up import StepUpFor
from domain.reconciliation.ownerless_money import OwnerlessMoney
from domain.wallet.withdrawals import Withdrawal, start_withdrawal

Amount = Annotated[int, Limits(ge=1, le=MAX_AMOUNT), about("In minor units.")]
Currency = Annotated[CurrencyCode, about("A code of three letters, such as USD.")]
Gone = Annotated[Id, about("The id of the contractor, who is banned or deleted.")]


class PayOut(Command, frozen=True):
    user_id: Gone
    amount: Amount
    currency: Currency
    reason: Reason


class WrittenOff(StrEnum):
    """Money that is given up by its owner, or a debt that stays unpaid."""

    MONEY = "money"
    DEBT = "debt"


class WriteOff(Command, frozen=True):
    user_id: Gone
    what: Annotated[
        WrittenOff,
        about(
            "`money`: available money goes back to the platform. `debt`: the platform bears what "
            "is owed. Both are booked as losses, a gain or a loss."
        ),
    ]
    amount: Amount
    currency: Currency
    reason: Reason


class Hold(Command, frozen=True):
    ownerless_id: Annotated[Id, about("The id of the money without an owner, own_...")]
    reason: Reason


@operation(
    "admin.pay_out",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def pay_out(cmd: PayOut, actor: Actor, uow: UnitOfWork) -> Withdrawal:
    """Pay the available money of somebody who is gone to their bank account.

    Raises NotFound, Conflict for a person who can withdraw, for a frozen wallet, and without an
    account at Stripe that pays out; InsufficientFunds, Invalid, ApprovalRequired.
    """
    withdrawal: Withdrawal = await PAY_OUT.perform_or_ask(cmd, actor, uow)
    return withdrawal


async def _pay_out(cmd: PayOut, admin_id: str, uow: UnitOfWork) -> Done:
    user = await _gone(uow, cmd.user_id)
    try:
        withdrawal = await start_withdrawal(uow, user, cmd.amount, cmd.currency)
    except WalletFrozen as frozen:
        raise Conflict("The wallet is frozen: unfreeze it first.") from frozen
    except NotOnboarded as missing:
        raise Conflict("No account at Stripe pays it out: hold it or write it off.") from missing
    return Done(withdrawal, cmd.amount, cmd.currency, user.id)


PAY_OUT = Action("admin.pay_out", PayOut, _pay_out)


@operation(
    "admin.write_off",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def write_off(cmd: WriteOff, actor: Actor, uow: UnitOfWork) -> ledger.WalletBalances:
    """Book money or a debt of somebody who is gone to the platform's losses.

    Money is reversed at Stripe. Raises NotFound, Conflict for a person who is not gone,
    InsufficientFunds, Invalid, ApprovalRequired.
    """
    balances: ledger.WalletBalances = await WRITE_OFF.perform_or_ask(cmd, actor, uow)
    return balances


async def _write_off(cmd: WriteOff, admin_id: str, uow: UnitOfWork) -> Done:
    user = await _gone(uow, cmd.user_id)
    wallet = await ledger.wallet_of(uow, user.id, cmd.currency)
    if cmd.what is WrittenOff.DEBT:
        if cmd.amount > -wallet.debt:
            raise InsufficientFunds(account="debt")
        deltas = {ledger.debt(user.id): cmd.amount, ledger.LOSSES: -cmd.amount}
    else:
        if cmd.amount > wallet.available:
            raise InsufficientFunds(account="wallet")
        check_step(cmd.amount, cmd.currency)
        taken = await claw_back(uow, user.id, cmd.currency, cmd.amount)
        deltas = {**taken, ledger.LOSSES: cmd.amount}
    await ledger.book(
        uow,
        f"written_off:{new_id('wof')}",
        "written_off",
        cmd.currency,
        ledger.postings_for(deltas),
        users=[user.id],
    )
    balances = await ledger.wallet_of(uow, user.id, cmd.currency)
    return Done(balances, cmd.amount, cmd.currency, user.id)


WRITE_OFF = Action("admin.write_off", WriteOff, _write_off)


@operation("admin.hold", roles=ADMINS, errors=(NotFound,))
async def hold(cmd: Hold, actor: Actor, uow: UnitOfWork) -> OwnerlessMoney:
    """Say why money without an owner stays where it is, for the other administrators.

    Raises NotFound.
    """
    held = await uow.change(
        OwnerlessMoney,
        cmd.ownerless_id,
        held_by=actor.id,
        held_at=uow.now,
        held_reason=cmd.reason,
    )
    if held is None:
        raise NotFound
    return held


async def _gone(uow: UnitOfWork, user_id: str) -> User:
    user = await uow.get(User, user_id, role=Role.CONTRACTOR)
    if not user.is_gone:
        raise Conflict("This person can sign in and decide about their own money.")
    # A change conflicts with other transactions that give them money at the same time.
    changed = await uow.change(User, user.id, inc={"engagements": 1})
    return changed or user
