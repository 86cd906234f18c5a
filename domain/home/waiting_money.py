"""`wallet.waiting`: what each part of a wallet waits for that cannot be withdrawn yet."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from domain import ledger
from domain.accounts.user import PayoutSetup, User
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.fields import Currency, about
from domain.kernel.store import NEWEST, UnitOfWork
from domain.operations.command import NoFields, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.payouts.countries import arrives_at
from domain.payouts.transfer import UNSENT, ParkedFor, Transfer, TransferStatus
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

MOST = 100  # of each kind
SHARE = 4
UNDER_WAY = (*UNSENT, TransferStatus.SENDING, TransferStatus.MADE)
UNDECIDED = (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN)
LEAVING = (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT)


class MoneyKind(StrEnum):
    """`transfer`: on its way to the wallet. `held`: blocked there. `withdrawal`: on its way to the
    bank. `remainder`: too little to be moved alone. `stranded`: on an account at Stripe that is
    closed or rejected."""

    TRANSFER = "transfer"
    HELD = "held"
    WITHDRAWAL = "withdrawal"
    REMAINDER = "remainder"
    STRANDED = "stranded"


class WaitsFor(StrEnum):
    """`setup`: payouts are not set up. `frozen`: the wallet is. `chargeback`: a bank decides.
    `funds`: the customer's money is not available at Stripe yet. `step`: for more of it."""

    SETUP = "setup"
    FROZEN = "frozen"
    CHARGEBACK = "chargeback"
    FUNDS = "funds"
    STRIPE = "stripe"
    ADMINISTRATOR = "administrator"
    BANK = "bank"
    STEP = "step"


class WaitingMoney(msgspec.Struct, frozen=True):
    """Money that cannot be withdrawn yet."""

    kind: Annotated[MoneyKind, about("Where it is.")]
    id: Annotated[str, about("The id of the transfer, chargeback or withdrawal; else empty.")]
    offer_id: Annotated[str | None, about("The id of the offer; null if it is about none.")]
    job_id: Annotated[str | None, about("The id of the job; null if it is about none.")]
    job_title: Annotated[str, about("The title of the job; empty if it is about none.")]
    amount: Annotated[int, about("How much, in minor units.")]
    currency: Currency
    reason: Annotated[WaitsFor, about("What it waits for.")]
    until: Annotated[datetime | None, about("Until when at least; null if that is not known.")]
    why: Annotated[
        str | None, about("Why Stripe refused to move it, in words; null if it did not.")
    ] = None


class AllWaitingMoney(msgspec.Struct, frozen=True):
    """All that waits, up to 100 of each kind."""

    items: Annotated[list[WaitingMoney], about("What waits, the newest of each kind first.")]


@operation(
    "wallet.waiting",
    roles={Role.CONTRACTOR},
    style=Style.READ,
    limits=(Limit(60, 60),),
    errors=(NotFound,),
)
async def waiting(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> AllWaitingMoney:
    """What the money waits for that is pending, held, or on its way to the bank.

    Raises NotFound.
    """
    user, wallets, transfers, chargebacks, withdrawals = await asyncio.gather(
        uow.get(User, actor.id),
        ledger.wallets_of(uow, actor.id),
        _first(uow, Transfer, user_id=actor.id, status=UNDER_WAY),
        _first(uow, Chargeback, contractor_id=actor.id),
        _first(uow, Withdrawal, user_id=actor.id),
    )
    complete = len(transfers) < MOST
    transfers = [each for each in transfers if each.net and not each.refill]
    deals = await _deals(uow, transfers)
    moving: Counter[str] = Counter()
    for transfer in transfers:
        moving[transfer.currency] += transfer.net
    rests = {
        wallet.currency: wallet.pending - moving[wallet.currency] for wallet in wallets if complete
    }
    return AllWaitingMoney(
        [
            *(_of_transfer(each, user, deals, uow.now) for each in transfers),
            *(
                _of_chargeback(each)
                for each in chargebacks
                if each.status in UNDECIDED and each.held_amount
            ),
            *(_of_withdrawal(each, user) for each in withdrawals if each.status in LEAVING),
            *(
                WaitingMoney(
                    MoneyKind.REMAINDER, "", None, None, "", rest, currency, WaitsFor.STEP, None
                )
                for currency, rest in rests.items()
                if rest > 0
            ),
            *(_of_stranded(wallet) for wallet in wallets if wallet.stranded),
        ]
    )


async def _first(uow: UnitOfWork, kind: Any, **where: Any) -> list[Any]:
    found: list[Any] = await uow.first(kind, where, NEWEST, MOST, SHARE)
    return found


async def _deals(uow: UnitOfWork, transfers: Sequence[Transfer]) -> Mapping[str, dict[str, Any]]:
    """What is needed of the offers behind transfers, and of their payments."""
    ids = list({each.offer_id for each in transfers if each.offer_id})
    if not ids:
        return {}
    fields = dict.fromkeys(("job_id", "job_title", "payment_id", "contested_amount"), 1)
    offers, payments = await asyncio.gather(
        uow.aggregate(Offer, [{"$match": {"_id": {"$in": ids}}}, {"$project": fields}]),
        uow.aggregate(
            Payment,
            [{"$match": {"offer_id": {"$in": ids}}}, {"$project": {"available_on": 1}}],
        ),
    )
    available = {each["_id"]: each["available_on"] for each in payments}
    return {
        offer["_id"]: offer | {"available_on": available[offer["payment_id"]]} for offer in offers
    }


def _of_transfer(
    transfer: Transfer, user: User, deals: Mapping[str, dict[str, Any]], now: datetime
) -> WaitingMoney:
    deal = deals.get(transfer.offer_id or "", {})
    funds = arrives_at(user.payout_agreement, transfer.made_at or now, deal.get("available_on"))
    until = funds if funds and funds > now else None
    if user.frozen_at:
        reason = WaitsFor.FROZEN
    elif transfer.parked_for is ParkedFor.BANK:
        reason = WaitsFor.SETUP
    elif transfer.status is TransferStatus.PARKED or user.payout_setup is PayoutSetup.REJECTED:
        reason = WaitsFor.ADMINISTRATOR
    elif deal.get("contested_amount"):
        reason = WaitsFor.CHARGEBACK
    elif transfer.status is TransferStatus.WAITING and not user.transfers_active:
        reason = WaitsFor.SETUP
    else:
        reason = WaitsFor.FUNDS if until else WaitsFor.STRIPE
    return WaitingMoney(
        MoneyKind.TRANSFER,
        transfer.id,
        transfer.offer_id,
        deal.get("job_id"),
        deal.get("job_title", ""),
        transfer.net,
        transfer.currency,
        reason,
        until if reason is WaitsFor.FUNDS else None,
        transfer.refusal,
    )


def _of_chargeback(chargeback: Chargeback) -> WaitingMoney:
    return WaitingMoney(
        MoneyKind.HELD,
        chargeback.id,
        chargeback.offer_id,
        chargeback.job_id,
        chargeback.job_title,
        chargeback.held_amount,
        chargeback.currency,
        WaitsFor.CHARGEBACK,
        None,
    )


def _of_stranded(wallet: ledger.WalletBalances) -> WaitingMoney:
    return WaitingMoney(
        MoneyKind.STRANDED,
        "",
        None,
        None,
        "",
        wallet.stranded,
        wallet.currency,
        WaitsFor.ADMINISTRATOR,
        None,
    )


def _of_withdrawal(withdrawal: Withdrawal, user: User) -> WaitingMoney:
    reason = WaitsFor.BANK
    if withdrawal.status is WithdrawalStatus.REQUESTED:
        reason = WaitsFor.FROZEN if user.frozen_at else WaitsFor.STRIPE
    return WaitingMoney(
        MoneyKind.WITHDRAWAL,
        withdrawal.id,
        None,
        None,
        "",
        withdrawal.amount,
        withdrawal.currency,
        reason,
        None,
    )
