"""Compares our journal with Stripe: bookings of Stripe's facts with its balance transactions, our
transfers with Stripe's, and withdrawals with the payouts of the contractors' accounts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from domain import ledger
from domain.accounts.user import User
from domain.deals.chargeback import Chargeback
from domain.deals.payment import Payment
from domain.kernel.batches import batches
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer, TransferStatus
from domain.ports.payment_gateway import GatewayRefused, StripeMovement
from domain.ports.ports import Ports
from domain.reconciliation.stripe_lines import Comparison, find_dispute, queue_refresh
from domain.wallet.external_payouts import settle_payouts, withdrawal_id_of
from domain.wallet.withdrawals import ReadPayout, Withdrawal, WithdrawalStatus

R = TypeVar("R", bound=Record)

MAX_DELAY = timedelta(days=1)  # between Stripe's line and our booking
CHUNK = 200
FAILED_PAYOUTS = ("failed", "canceled")


async def compare_journal(
    ports: Ports, start: datetime, end: datetime, seen: set[str], result: Comparison
) -> None:
    """Check that Stripe has what we booked between `start` and `end`.

    `seen` holds the source ids of Stripe's lines of that time. What is not among them may be from a
    much earlier time, so its object is read from Stripe.
    """
    uow = ports.store.single()
    booked = {"accounts": ledger.STRIPE, "created_at": {"$gte": start, "$lt": end}}
    async for rows in batches(uow.each(Transaction, booked, (("created_at", 1),)), CHUNK):
        payments = await _records_of(uow, Payment, rows, "captured")
        chargebacks = await _records_of(
            uow, Chargeback, rows, "chargeback_opened", "chargeback_won"
        )
        for row in rows:
            exists = await _is_at_stripe(ports, row, seen, payments, chargebacks)
            result.compare(f"{row.kind} at Stripe", row.fact, True, exists)
    # Stripe's line is dated between `created_at` and `updated_at`. Transfers that took longer than
    # MAX_DELAY are left to the audit.
    made = {
        "status": (TransferStatus.MADE, TransferStatus.AVAILABLE, TransferStatus.REVERSED),
        "updated_at": {"$gte": start, "$lt": end},
        "created_at": {"$gte": start - MAX_DELAY},
    }
    async for transfers in batches(uow.each(Transfer, made, (("updated_at", 1),)), CHUNK):
        for transfer in transfers:
            group = transfer.offer_id or transfer.id
            exists = transfer.stripe_id in seen or bool(
                await ports.gateway.find_transfer(group, transfer.id)
            )
            result.compare("transfer at Stripe", transfer.id, True, exists)


async def _is_at_stripe(
    ports: Ports,
    row: Transaction,
    seen: set[str],
    payments: dict[str, Payment],
    chargebacks: dict[str, Chargeback],
) -> bool:
    subject = _subject(row)
    match row.kind:
        case "captured":
            payment = payments.get(subject)
            return payment is not None and (
                payment.charge_id in seen or await _is_captured(ports, payment)
            )
        case "refunded" | "refund_failed":
            return subject in seen or await _is_refund(ports, subject)
        case "chargeback_opened" | "chargeback_won":
            chargeback = chargebacks.get(subject)
            return chargeback is not None and (
                chargeback.stripe_id in seen
                or await find_dispute(ports, chargeback.stripe_id) is not None
            )
        case _:
            return True


def _subject(row: Transaction) -> str:
    """The id in a fact such as `capture:pay_1`, `chargeback_won:cbk_1#2` or `refund:re_1`."""
    return row.fact.partition(":")[2].partition("#")[0]


async def _records_of(
    uow: UnitOfWork, kind: type[R], rows: Iterable[Transaction], *kinds: str
) -> dict[str, R]:
    ids = tuple({_subject(row) for row in rows if row.kind in kinds})
    records = await uow.all(kind, {"_id": ids}, limit=len(ids)) if ids else []
    return {record.id: record for record in records}


async def _is_captured(ports: Ports, payment: Payment) -> bool:
    if payment.intent_id is None:
        return False
    intent = await ports.gateway.intent(payment.intent_id)
    return intent.captured_amount == payment.captured_amount


async def _is_refund(ports: Ports, id: str) -> bool:
    try:
        return (await ports.gateway.refund_state(id)).moved
    except GatewayRefused:
        return False


# -- payouts of contractors -------------------------------------------------------------------


async def compare_payouts(ports: Ports, start: datetime, end: datetime, result: Comparison) -> None:
    """Compare withdrawals that changed between `start` and `end` with the payouts at Stripe.

    Also books payouts since `start` that belong to no withdrawal.
    """
    uow = ports.store.single()
    changed = {
        "status": (WithdrawalStatus.IN_TRANSIT, WithdrawalStatus.PAID, WithdrawalStatus.FAILED),
        "updated_at": {"$gte": start, "$lt": end},
    }
    async for rows in batches(uow.each(Withdrawal, changed, (("updated_at", 1),)), CHUNK):
        by_account: dict[str, list[Withdrawal]] = defaultdict(list)
        for withdrawal in rows:
            by_account[withdrawal.account_id].append(withdrawal)
        for account_id, withdrawals in by_account.items():
            since = min(withdrawal.created_at for withdrawal in withdrawals) - MAX_DELAY
            payouts = await _payouts_by_withdrawal(ports, account_id, since)
            if payouts is None:
                continue
            for withdrawal in withdrawals:
                result.seen("withdrawal")
                theirs = payouts[withdrawal.id]
                if not theirs and withdrawal.payout_id:  # known here long after it was made
                    theirs = [await ports.gateway.payout_state(account_id, withdrawal.payout_id)]
                await _compare_payout(ports, withdrawal, theirs, result)
    async for user in uow.each(User, {"connect_id": {"$gt": ""}}, (("connect_id", 1),)):
        await _book_unasked(ports, str(user.connect_id), start, result)


async def _book_unasked(ports: Ports, account_id: str, since: datetime, result: Comparison) -> None:
    """Book payouts without a withdrawal, and report those that cannot be explained.

    A withdrawal is stored before its payout is requested, so these were made elsewhere.
    """
    payouts = await _payouts_by_withdrawal(ports, account_id, since)
    if not payouts:
        return
    ours = {"_id": tuple(payouts), "account_id": account_id}
    known = await ports.store.single().all(Withdrawal, ours, limit=len(payouts))
    for id in payouts.keys() - {withdrawal.id for withdrawal in known}:
        if result.repairs and await settle_payouts(ports, account_id, payouts[id]):
            result.booked += 1
        else:
            result.compare("payout known here", id, 0, _paid_amount(payouts[id]))


async def _payouts_by_withdrawal(
    ports: Ports, account_id: str, since: datetime
) -> dict[str, list[StripeMovement]] | None:
    """The payouts of an account by withdrawal id; None for a closed account: Stripe hides it."""
    payouts: dict[str, list[StripeMovement]] = defaultdict(list)
    try:
        async for payout in ports.gateway.payouts(account_id, since):
            payouts[withdrawal_id_of(payout)].append(payout)
    except GatewayRefused:
        return None
    return payouts


def _paid_amount(payouts: Sequence[StripeMovement]) -> int:
    return sum(payout.amount for payout in payouts if payout.status not in FAILED_PAYOUTS)


async def _compare_payout(
    ports: Ports, withdrawal: Withdrawal, payouts: Sequence[StripeMovement], result: Comparison
) -> None:
    theirs = _paid_amount(payouts)
    ours = 0 if withdrawal.status is WithdrawalStatus.FAILED else withdrawal.amount
    if not result.compare("withdrawal", withdrawal.id, ours, theirs):
        await queue_refresh(ports, result, ReadPayout(withdrawal.id))
