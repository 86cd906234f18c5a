"""Money operations of administrators, each with a reason: refund, release, freeze, adjust."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta as Limits

from domain import ledger
from domain.accounts.user import UPDATED, User
from domain.admin.approval import Action, Done
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.fulfillment import work
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import (
    AmountNotPayable,
    ApprovalRequired,
    Conflict,
    DisputeOpen,
    InsufficientFunds,
    Invalid,
    NotFound,
    NotRefundable,
    Rule,
)
from domain.kernel.fields import about
from domain.kernel.money import CURRENCIES, MAX_AMOUNT, check_step, display
from domain.kernel.record import Page
from domain.kernel.state_machine import states_before
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications import notices
from domain.notifications.text import WALLET
from domain.operations.command import Command, CurrencyCode, Cursor, Id, PageSize, Reason, Style
from domain.operations.expected_amount import ExpectedAmount, check_expected
from domain.operations.input_errors import choose
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.payments.refunds import request_refund
from domain.payouts.allocation import allocate, claw_back
from domain.payouts.transfer import STEPS, ParkedFor, Transfer, TransferStatus
from domain.payouts.transfer_tasks import send_transfers
from domain.ports.step_up import StepUpFor


class Refund(Command, frozen=True):
    """`amount` is in minor units; it defaults to all that can be refunded."""

    payment_id: Annotated[Id, about("The id of the payment.")]
    reason: Reason
    amount: Annotated[
        Annotated[int, Limits(ge=1, le=MAX_AMOUNT)] | None,
        about("In minor units; without it all that is left."),
    ] = None
    expected_amount: ExpectedAmount = None


class Release(Command, frozen=True):
    transfer_id: Annotated[Id, about("The id of the transfer.")]
    reason: Reason
    expected_amount: ExpectedAmount = None


class Freeze(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the contractor.")]
    reason: Reason


class AdjustedAccount(StrEnum):
    """The account behind an adjustment: the platform's earnings, or its losses."""

    PLATFORM = "platform"
    LOSSES = "losses"


class Adjust(Command, frozen=True):
    """`amount` is in minor units: positive to the contractor, negative from them."""

    user_id: Annotated[Id, about("The id of the contractor.")]
    amount: Annotated[
        int,
        Limits(ge=-MAX_AMOUNT, le=MAX_AMOUNT),
        about("In minor units: positive to the contractor, negative from them."),
    ]
    currency: Annotated[CurrencyCode, about("A code of three letters, such as USD.")]
    reason: Reason
    account: Annotated[AdjustedAccount, about("The platform's account behind it.")] = (
        AdjustedAccount.PLATFORM
    )


class List(Command, frozen=True):
    transfer_id: Annotated[Id | None, about("Only the transfer with this id.")] = None
    user_id: Annotated[Id | None, about("Only transfers to this user.")] = None
    status: Annotated[TransferStatus | None, about("Only transfers in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation(
    "admin.refund",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(AmountNotPayable, ApprovalRequired, DisputeOpen, NotFound, NotRefundable),
)
async def refund(cmd: Refund, actor: Actor, uow: UnitOfWork) -> Payment:
    """Refund the customer, before or after the work was completed.

    A job without remaining money ends. Raises NotFound, NotRefundable, AmountNotPayable,
    DisputeOpen, ApprovalRequired, Conflict for an offer that was not accepted yet.
    """
    payment: Payment = await REFUND.perform_or_ask(cmd, actor, uow)
    return payment


async def _refund(cmd: Refund, admin_id: str, uow: UnitOfWork) -> Done:
    payment = await uow.get(Payment, cmd.payment_id)
    offer = await uow.get(Offer, payment.offer_id)
    if offer.refundable <= 0:
        raise NotRefundable(
            status=payment.status,
            disputed_amount=offer.contested_amount,
            refunded_amount=offer.refunded_amount,
        )
    if offer.live and offer.accepted_at is None:
        raise Conflict(
            "The offer is open: its hold is released when it is withdrawn, rejected or expires."
        )
    job = await uow.get(Job, offer.job_id)
    if job.dispute_id and job.offer_id == offer.id:
        raise DisputeOpen(dispute_id=job.dispute_id)
    amount = cmd.amount or offer.refundable
    check_expected(cmd.expected_amount, amount, offer.currency)
    after = await request_refund(uow, offer, amount, cmd.reason, admin_id)
    if after.earnable == 0 and job.status in (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS):
        await work.end_if_finished(uow, job, await work.cancel_open_milestones(uow, after))
    return Done(payment, amount, offer.currency, payment.id)


REFUND = Action("admin.refund", Refund, _refund)


@operation(
    "admin.release",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, NotFound),
)
async def release(cmd: Release, actor: Actor, uow: UnitOfWork) -> Transfer:
    """Send a parked transfer, or retry a waiting one at once.

    Raises NotFound, Conflict, ApprovalRequired.
    """
    transfer: Transfer = await RELEASE.perform_or_ask(cmd, actor, uow)
    return transfer


async def _release(cmd: Release, admin_id: str, uow: UnitOfWork) -> Done:
    found = await uow.get(Transfer, cmd.transfer_id)
    check_expected(cmd.expected_amount, found.amount, found.currency)
    if found.status is TransferStatus.PARKED:
        found = (
            await uow.change(
                Transfer,
                found.id,
                only_if={"status": states_before(STEPS, TransferStatus.WAITING)},
                status=TransferStatus.WAITING,
                refusal=None,
                parked_for=None,
                currency_accepted=found.parked_for is ParkedFor.BANK,
            )
            or found
        )
        await notices.notify(
            uow,
            [found.user_id],
            "transfer_released",
            f"{display(found.amount, found.currency)} is on its way to your wallet again",
            "Our administrators have looked at it.",
            found.id,
            path=WALLET,
        )
    if found.status is not TransferStatus.WAITING:
        raise Conflict(
            f"The transfer is {found.status}: only parked and waiting transfers can be released."
        )
    send_transfers(uow, [found])
    return Done(found, found.amount, found.currency, found.id, adds_up=False)


RELEASE = Action("admin.release", Release, _release)


@operation("admin.transfers", roles=ADMINS, style=Style.READ)
async def transfers(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Transfer]:
    """List transfers to contractors, newest first."""
    where = given(_id=cmd.transfer_id, user_id=cmd.user_id, status=cmd.status)
    return await uow.page(Transfer, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.freeze", roles=ADMINS, errors=(NotFound,))
async def freeze(cmd: Freeze, actor: Actor, uow: UnitOfWork) -> User:
    """Stop a contractor's transfers and withdrawals. Raises NotFound, Conflict."""
    frozen = await uow.change(
        User,
        cmd.user_id,
        only_if={"role": Role.CONTRACTOR, "frozen_at": None},
        frozen_at=uow.now,
        frozen_reason=cmd.reason,
    )
    return await _publish_frozen(uow, cmd.user_id, frozen)


@operation(
    "admin.unfreeze",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(NotFound,),
)
async def unfreeze(cmd: Freeze, actor: Actor, uow: UnitOfWork) -> User:
    """Allow transfers and withdrawals again, and send waiting transfers.

    Raises NotFound, Conflict.
    """
    frozen = {"role": Role.CONTRACTOR, "frozen_at": {"$ne": None}}
    unfrozen = await uow.change(
        User, cmd.user_id, only_if=frozen, frozen_at=None, frozen_reason=cmd.reason
    )
    user = await _publish_frozen(uow, cmd.user_id, unfrozen)
    send_transfers(
        uow, await uow.all(Transfer, {"user_id": user.id, "status": TransferStatus.WAITING})
    )
    await notices.notify(
        uow,
        [user.id],
        "wallet_unfrozen",
        "Your wallet is free again",
        "Money that has waited is on its way, and you can withdraw.",
        user.id,
        path=WALLET,
    )
    return user


async def _publish_frozen(uow: UnitOfWork, user_id: str, changed: User | None) -> User:
    """Push the changed user. Raises NotFound, or Conflict if nothing changed."""
    if changed is None:
        await uow.get(User, user_id, role=Role.CONTRACTOR)
        raise Conflict("The wallet is already in that state.")
    uow.publish(UPDATED, changed, to=[changed.id])
    return changed


@operation(
    "admin.adjust",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def adjust(cmd: Adjust, actor: Actor, uow: UnitOfWork) -> ledger.WalletBalances:
    """Correct a contractor's wallet; a credit pays their debt first, the rest is transferred.

    Raises NotFound, Invalid, ApprovalRequired.
    """
    # It writes the user's row, so that it conflicts with a concurrent deletion of the account.
    balances: ledger.WalletBalances = await ADJUST.perform_or_ask(cmd, actor, uow)
    return balances


async def _adjust(cmd: Adjust, admin_id: str, uow: UnitOfWork) -> Done:
    if cmd.currency not in CURRENCIES or cmd.currency not in uow.rates.currencies:
        raise Invalid(
            choose(uow.rates.currencies),
            field="currency",
            rule=Rule.CHOICE,
            limit=uow.rates.currencies,
        )
    if cmd.amount == 0:
        raise Invalid("this must not be zero.", field="amount", rule=Rule.VALUE)
    check_step(cmd.amount, cmd.currency)
    active = {"role": Role.CONTRACTOR, "deleted_at": None}
    user = await uow.change(User, cmd.user_id, only_if=active, inc={"engagements": 1})
    if user is None:
        raise NotFound
    move = allocate if cmd.amount > 0 else claw_back
    deltas = await move(uow, user.id, cmd.currency, abs(cmd.amount))
    await ledger.book(
        uow,
        f"adjust:{new_id('adj')}",
        "adjusted",
        cmd.currency,
        ledger.postings_for({str(cmd.account): -cmd.amount, **deltas}),
        users=[user.id],
    )
    amount = display(abs(cmd.amount), cmd.currency)
    done = f"{amount} was {'added to' if cmd.amount > 0 else 'taken from'} your wallet"
    text = "An administrator has corrected it. If you do not know why, please get in touch with us."
    await notices.notify(uow, [user.id], "wallet_adjusted", done, text, user.id, path=WALLET)
    balances = await ledger.wallet_of(uow, user.id, cmd.currency)
    return Done(balances, abs(cmd.amount), cmd.currency, user.id)


ADJUST = Action("admin.adjust", Adjust, _adjust)
