"""Withdrawals: payouts of available money to a contractor's bank account."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta as Limits

from domain import ledger
from domain.accounts.user import User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import (
    CurrencyNotSupported,
    InsufficientFunds,
    Invalid,
    NotFound,
    NotOnboarded,
    Rule,
    WalletFrozen,
)
from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.money import CURRENCIES, MAX_AMOUNT, check_step, display, least_withdrawal
from domain.kernel.outbox import Event
from domain.kernel.record import ANY_TIME, Index, Page, Record
from domain.kernel.state_machine import Steps, states_before
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused
from domain.notifications.templates.alerts import payout_failure, returned_to
from domain.operations.command import Command, CurrencyCode, Cursor, Id, PageSize, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.operations.post_once import post_once
from domain.operations.task import Task, TryAgain
from domain.payouts.holds import settle_available
from domain.payouts.refills import refill_later
from domain.payouts.stranded import arrival
from domain.payouts.transfer import RECHECK_AFTER
from domain.ports.payment_gateway import ACCOUNT_GONE, GatewayRefused, StripeMovement
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal
from domain.ports.step_up import StepUpFor


class WithdrawalStatus(StrEnum):
    """`in_transit`: on the way to the bank. A bank may return a paid one, which is `failed`
    then."""

    REQUESTED = "requested"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"


STEPS: Steps = {
    WithdrawalStatus.REQUESTED: (
        WithdrawalStatus.IN_TRANSIT,
        WithdrawalStatus.PAID,
        WithdrawalStatus.FAILED,
    ),
    WithdrawalStatus.IN_TRANSIT: (WithdrawalStatus.PAID, WithdrawalStatus.FAILED),
    WithdrawalStatus.PAID: (WithdrawalStatus.FAILED,),  # a bank may return a payout later
}
FROM_STRIPE = {
    "pending": WithdrawalStatus.IN_TRANSIT,
    "in_transit": WithdrawalStatus.IN_TRANSIT,
    "paid": WithdrawalStatus.PAID,
    "failed": WithdrawalStatus.FAILED,
    "canceled": WithdrawalStatus.FAILED,
}


class Withdrawal(Record, frozen=True):
    """A payout from a wallet to a bank account. `amount` is minor units of `currency`."""

    COLLECTION = "withdrawals"
    PREFIX = "wdr"
    DEED = "status"
    INDEXES = (
        Index((("user_id", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("payout_id", 1),), where={"payout_id": {"$gt": ""}}),
        Index((("paid_at", 1),), where={"paid_at": ANY_TIME}),
        Index((("failed_at", 1),), where={"failed_at": ANY_TIME}),
    )
    PRIVATE = frozenset({"payout_id", "account_id"})

    user_id: Annotated[str, about("The id of the contractor.")]
    account_id: str
    amount: MinorUnits
    currency: Currency
    status: Annotated[WithdrawalStatus, about("Its state.")] = WithdrawalStatus.REQUESTED
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as account_closed; null if it did not."),
    ] = None
    sent_at: Annotated[datetime | None, about("When it left for the bank; null if it did not.")] = (
        None
    )
    paid_at: Annotated[datetime | None, about("When the bank had it; null if it did not.")] = None
    failed_at: Annotated[datetime | None, about("When it failed; null if it did not.")] = None
    unasked: Annotated[
        bool,
        about("Whether Stripe paid it out by itself, and nobody had asked for it here."),
    ] = False
    payout_id: str | None = None


WITHDRAWAL_UPDATED = Event(
    "/wallet",
    "withdrawal.updated",
    Withdrawal,
    about="When a withdrawal is asked for, on its way, paid or failed, to the contractor.",
)


class History(Command, frozen=True):
    cursor: Cursor | None = None
    limit: PageSize = 20


class Withdraw(Command, frozen=True):
    amount: Annotated[int, Limits(ge=1, le=MAX_AMOUNT), about("In minor units of the currency.")]
    currency: Annotated[
        CurrencyCode | None, about("A code of three letters; by default the main currency.")
    ] = None


@operation(
    "wallet.withdraw",
    roles={Role.CONTRACTOR},
    step_up=StepUpFor.CHANGED_BANK,
    limits=(MONEY_STEPS,),
    errors=(
        CurrencyNotSupported,
        InsufficientFunds,
        NotFound,
        NotOnboarded,
        WalletFrozen,
    ),
)
async def withdraw(cmd: Withdraw, actor: Actor, uow: UnitOfWork) -> Withdrawal:
    """Pay available money out to the bank account.

    Raises WalletFrozen, NotOnboarded, Invalid, InsufficientFunds.
    """
    user = await uow.get(User, actor.id)
    _paying_account(user)
    currency = cmd.currency or uow.rates.currencies[0]
    if currency not in CURRENCIES:
        raise CurrencyNotSupported(field="currency")
    check_step(cmd.amount, currency)
    await _check_minimum(uow, user.id, cmd.amount, currency)
    return await start_withdrawal(uow, user, cmd.amount, currency)


async def start_withdrawal(uow: UnitOfWork, user: User, amount: int, currency: str) -> Withdrawal:
    """Book available money as in transit, and send it after the commit.

    Raises WalletFrozen, NotOnboarded, Invalid, InsufficientFunds.
    """
    account_id = _paying_account(user)
    check_step(amount, currency)
    withdrawal = uow.new(
        Withdrawal,
        user_id=user.id,
        account_id=account_id,
        amount=amount,
        currency=currency,
    )
    await _book_withdrawal(
        uow, withdrawal, "withdrawn", ledger.available(user.id), ledger.in_transit(user.id)
    )
    if user.bank_changed_at:
        await uow.change(User, user.id, bank_changed_at=None)
    await uow.add(withdrawal)
    uow.later(SendPayout(withdrawal.id))
    uow.publish(WITHDRAWAL_UPDATED, withdrawal, to=[user.id])
    return withdrawal


def _paying_account(user: User) -> str:
    """The account at Stripe that pays out. Raises WalletFrozen, NotOnboarded."""
    if user.frozen_at:
        raise WalletFrozen
    if not (user.connect_id and user.payouts_enabled):
        raise NotOnboarded
    return user.connect_id


async def _check_minimum(uow: UnitOfWork, user_id: str, amount: int, currency: str) -> None:
    """Each payout costs the platform a fee, so a small one must be all there is.

    Raises Invalid.
    """
    least = least_withdrawal(currency, uow.rates.minimum_withdrawal)
    if amount >= least:
        return
    step = CURRENCIES[currency].step
    available = (await ledger.wallet_of(uow, user_id, currency)).available
    if amount < available - available % step:
        raise Invalid(
            f"withdraw {display(least, currency)} or more, or all that is available.",
            field="amount",
            rule=Rule.MIN,
            limit=least,
        )


@operation("wallet.withdrawals", roles={Role.CONTRACTOR}, style=Style.READ)
async def withdrawals(cmd: History, actor: Actor, uow: UnitOfWork) -> Page[Withdrawal]:
    """The actor's withdrawals, newest first."""
    return await uow.page(Withdrawal, {"user_id": actor.id}, cursor=cmd.cursor, limit=cmd.limit)


class ById(Command, frozen=True):
    withdrawal_id: Annotated[Id, about("The id of the withdrawal.")]


@operation("wallet.withdrawal", roles={Role.CONTRACTOR}, style=Style.READ, errors=(NotFound,))
async def withdrawal(cmd: ById, actor: Actor, uow: UnitOfWork) -> Withdrawal:
    """One of the actor's withdrawals. Raises NotFound."""
    return await uow.get(Withdrawal, cmd.withdrawal_id, user_id=actor.id)


class SendPayout(Task, frozen=True, tag="send_payout"):
    """Create the payout of a withdrawal at Stripe."""

    withdrawal_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        withdrawal = await uow.get(Withdrawal, self.withdrawal_id)
        if withdrawal.status is not WithdrawalStatus.REQUESTED:
            return
        frozen = (await uow.get(User, withdrawal.user_id)).frozen_at is not None
        payout = await post_once(
            ports,
            key=self.key,
            since=withdrawal.created_at,
            find=lambda: self._find(ports, withdrawal),
            find_first=frozen,
            post=lambda: self._post(ports, withdrawal, frozen),
            next_key=SendPayout(self.withdrawal_id, self.key + 1),
            refused=lambda refusal: self._refused(ports, withdrawal, refusal),
        )
        await ports.store.transact(lambda uow: settle_withdrawal(uow, withdrawal.id, payout))

    async def _find(self, ports: Ports, withdrawal: Withdrawal) -> StripeMovement | None:
        """The payout of an earlier request.

        Stripe refuses to list the payouts of a closed account. After a stale failure the outcome
        is then unknown, so the withdrawal stays open; under the first key a closed account means
        that no payout was created.
        """
        try:
            return await ports.gateway.find_payout(
                withdrawal.account_id, withdrawal.id, withdrawal.created_at
            )
        except GatewayRefused as closed:
            if self.key:
                raise TryAgain(str(closed), at=ports.clock.now() + RECHECK_AFTER) from closed
            return None

    async def _post(self, ports: Ports, withdrawal: Withdrawal, frozen: bool) -> StripeMovement:
        if frozen:
            raise TryAgain("the wallet is frozen", at=ports.clock.now() + RECHECK_AFTER)
        return await ports.gateway.payout(
            withdrawal.account_id,
            withdrawal.amount,
            withdrawal.currency,
            key=f"payout:{withdrawal.id}:{self.key}",
            metadata={"withdrawal_id": withdrawal.id},
        )

    async def _refused(
        self, ports: Ports, withdrawal: Withdrawal, refusal: GatewayRefused
    ) -> StripeMovement:
        """It has failed, unless an earlier request created it and emptied the account."""
        made = await self._find(ports, withdrawal)
        return made or StripeMovement(
            "",
            "failed",
            withdrawal.amount,
            withdrawal.currency,
            refusal.code,
            refusal=refusal.refusal,
        )


class ReadPayout(Task, frozen=True, tag="read_payout"):
    """Read the payout of a withdrawal from Stripe and settle it."""

    withdrawal_id: str

    async def run(self, ports: Ports) -> None:
        withdrawal = await ports.store.single().get(Withdrawal, self.withdrawal_id)
        if withdrawal.payout_id:
            try:
                payout = await ports.gateway.payout_state(
                    withdrawal.account_id, withdrawal.payout_id
                )
            except GatewayRefused as refused:
                if refused.code == ACCOUNT_GONE:
                    return  # its event says how it ends, or an administrator
                raise
            await ports.store.transact(lambda uow: settle_withdrawal(uow, withdrawal.id, payout))


async def settle_withdrawal(uow: UnitOfWork, withdrawal_id: str, payout: StripeMovement) -> None:
    """Bring a withdrawal to the state of its payout; each status change is booked once."""
    before = await uow.get(Withdrawal, withdrawal_id)
    status = FROM_STRIPE[payout.status]
    if before.status not in states_before(STEPS, status):
        return
    withdrawal = await uow.change(
        Withdrawal,
        withdrawal_id,
        only_if={"status": before.status},
        status=status,
        failure=payout.failure,
        payout_id=payout.id or before.payout_id,
        **_times(before, status, uow.now, made=bool(payout.id)),
    )
    if withdrawal is None:
        return
    if status is WithdrawalStatus.PAID:
        await _book_paid(uow, withdrawal)
    elif status is WithdrawalStatus.FAILED:
        was_paid = before.status is WithdrawalStatus.PAID
        await _return_to_wallet(uow, withdrawal, payout.refusal, was_paid=was_paid)
    uow.publish(WITHDRAWAL_UPDATED, withdrawal, to=[withdrawal.user_id])


def _times(
    before: Withdrawal, status: WithdrawalStatus, now: datetime, *, made: bool
) -> dict[str, Any]:
    """The times that a change of status sets. A quick payout is paid, or has failed, when it is
    first seen; one that was not `made` never left."""
    sent = {"sent_at": before.sent_at or now} if made else {}
    if status is WithdrawalStatus.FAILED:
        return {**sent, "failed_at": now}
    return sent if status is WithdrawalStatus.IN_TRANSIT else {**sent, "paid_at": now}


async def _book_paid(uow: UnitOfWork, withdrawal: Withdrawal) -> None:
    in_transit = ledger.in_transit(withdrawal.user_id)
    await _book_withdrawal(uow, withdrawal, "paid_out", in_transit, ledger.BANK)


async def _return_to_wallet(
    uow: UnitOfWork, withdrawal: Withdrawal, refusal: Refusal | None, *, was_paid: bool
) -> None:
    """Book the money back as available, or as stranded if its account is closed; repay debt with it
    and alert the admins."""
    user = withdrawal.user_id
    source = ledger.BANK if was_paid else ledger.in_transit(user)
    owner = await uow.get(User, user)
    back = await arrival(uow, user, withdrawal.account_id)
    await _book_withdrawal(uow, withdrawal, "payout_failed", source, back)
    await settle_available(uow, user, withdrawal.currency, withdrawal.id)
    await refill_later(uow, user, withdrawal.currency)
    if refusal:
        what = f"A withdrawal of {display(withdrawal.amount, withdrawal.currency)} was refused"
        next_step = returned_to(gone=owner.is_gone)
        await alert_refused(uow, "payout_failed", withdrawal.id, refusal, what, next_step)
    else:
        text = payout_failure(
            withdrawal.amount, withdrawal.currency, withdrawal.failure, gone=owner.is_gone
        )
        await alert(uow, "payout_failed", withdrawal.id, text)


async def _book_withdrawal(
    uow: UnitOfWork, withdrawal: Withdrawal, kind: str, source: str, destination: str
) -> None:
    await ledger.book(
        uow,
        f"{kind}:{withdrawal.id}",
        kind,
        withdrawal.currency,
        [ledger.Posting(source, destination, withdrawal.amount)],
        users=[withdrawal.user_id],
        withdrawal_id=withdrawal.id,
    )
