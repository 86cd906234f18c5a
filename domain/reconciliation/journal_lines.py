"""Our journal against Stripe: what we booked or made as Stripe's fact is one of its lines, and what
contractors have withdrawn is a payout of their account."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from domain import ledger
from domain.accounts.user import User
from domain.deals.payment import Payment
from domain.disputes.chargebacks import Chargeback
from domain.kernel.batches import batches
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer, TransferStatus
from domain.ports.payment_gateway import GatewayRefused, Settled
from domain.ports.ports import Ports
from domain.reconciliation.stripe_lines import Found, dispute, look_again
from domain.wallet.withdrawals import ReadPayout, Withdrawal, WithdrawalStatus

R = TypeVar("R", bound=Record)

LATE = timedelta(days=1)  # our booking and Stripe's line may lie apart
CHUNK = 200
GIVEN_UP = ("failed", "canceled")


async def check_journal(
    ports: Ports, start: datetime, end: datetime, seen: set[str], found: Found
) -> None:
    """`seen` are the sources of Stripe's lines of that time. For what was told long after it
    happened, the object itself is asked for."""
    uow = ports.store.single()
    booked = {"accounts": ledger.STRIPE, "created_at": {"$gte": start, "$lt": end}}
    async for rows in batches(uow.each(Transaction, booked, (("created_at", 1),)), CHUNK):
        payments = await _named(uow, Payment, rows, "captured")
        chargebacks = await _named(uow, Chargeback, rows, "chargeback_opened", "chargeback_won")
        for row in rows:
            there = await _has_line(ports, row, seen, payments, chargebacks)
            found.compare(f"{row.kind} at Stripe", row.fact, True, there)
    # Stripe's line lies between the two times. The audit looks also at those that took longer.
    made = {
        "status": (TransferStatus.MADE, TransferStatus.AVAILABLE, TransferStatus.REVERSED),
        "updated_at": {"$gte": start, "$lt": end},
        "created_at": {"$gte": start - LATE},
    }
    async for transfers in batches(uow.each(Transfer, made, (("updated_at", 1),)), CHUNK):
        for transfer in transfers:
            group = transfer.offer_id or transfer.id
            there = transfer.stripe_id in seen or bool(
                await ports.gateway.find_transfer(group, transfer.id)
            )
            found.compare("transfer at Stripe", transfer.id, True, there)


async def _has_line(
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
            found = chargebacks.get(subject)
            return found is not None and (
                found.stripe_id in seen or await dispute(ports, found.stripe_id) is not None
            )
        case _:
            return True


def _subject(row: Transaction) -> str:
    """`capture:pay_1`, `chargeback_won:cbk_1#2`, `refund:re_1`"""
    return row.fact.partition(":")[2].partition("#")[0]


async def _named(
    uow: UnitOfWork, kind: type[R], rows: Iterable[Transaction], *kinds: str
) -> dict[str, R]:
    ids = tuple({_subject(row) for row in rows if row.kind in kinds})
    found = await uow.all(kind, {"_id": ids}, limit=len(ids)) if ids else []
    return {record.id: record for record in found}


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


# -- what contractors take out -----------------------------------------------------------------


async def check_payouts(ports: Ports, start: datetime, end: datetime, found: Found) -> None:
    """The withdrawals that have changed in that time, on the accounts that they were taken from;
    and what has left the accounts since then without one."""
    uow = ports.store.single()
    asked = {
        "status": (WithdrawalStatus.IN_TRANSIT, WithdrawalStatus.PAID, WithdrawalStatus.FAILED),
        "updated_at": {"$gte": start, "$lt": end},
    }
    async for rows in batches(uow.each(Withdrawal, asked, (("updated_at", 1),)), CHUNK):
        of_accounts: dict[str, list[Withdrawal]] = defaultdict(list)
        for withdrawal in rows:
            of_accounts[withdrawal.account_id].append(withdrawal)
        for account_id, withdrawals in of_accounts.items():
            since = min(withdrawal.created_at for withdrawal in withdrawals) - LATE
            there = await _payouts(ports, account_id, since)
            if there is None:
                continue
            for withdrawal in withdrawals:
                found.seen("withdrawal")
                await _check_payout(ports, withdrawal, there[withdrawal.id], found)
    async for user in uow.each(User, {"connect_id": {"$gt": ""}}, (("connect_id", 1),)):
        await _check_unasked(ports, str(user.connect_id), start, found)


async def _check_unasked(ports: Ports, account_id: str, since: datetime, found: Found) -> None:
    """A withdrawal is kept before Stripe is asked for its payout: what has none is not ours."""
    there = await _payouts(ports, account_id, since)
    if not there:
        return
    ours = {"_id": tuple(there), "account_id": account_id}
    known = await ports.store.single().all(Withdrawal, ours, limit=len(there))
    for id in there.keys() - {withdrawal.id for withdrawal in known}:
        found.compare("payout known here", id, 0, _sum(there[id]))


async def _payouts(
    ports: Ports, account_id: str, since: datetime
) -> dict[str, list[Settled]] | None:
    """By withdrawal; None for an account that is closed, since nobody can look into it."""
    found: dict[str, list[Settled]] = defaultdict(list)
    try:
        async for payout in ports.gateway.payouts(account_id, since):
            found[payout.metadata.get("withdrawal_id", payout.id)].append(payout)
    except GatewayRefused:
        return None
    return found


def _sum(payouts: Sequence[Settled]) -> int:
    return sum(payout.amount for payout in payouts if payout.status not in GIVEN_UP)


async def _check_payout(
    ports: Ports, withdrawal: Withdrawal, payouts: Sequence[Settled], found: Found
) -> None:
    there = _sum(payouts)
    ours = 0 if withdrawal.status is WithdrawalStatus.FAILED else withdrawal.amount
    if not found.compare("withdrawal", withdrawal.id, ours, there):
        await look_again(ports, found, ReadPayout(withdrawal.id))
