"""Follow-up: queues tasks again for records that have waited for Stripe too long, with backoff.

Tasks retry for days by themselves. Follow-up covers records without a task: it was discarded or
became a dead letter, or an event was lost. Queuing a task again is safe, because tasks read the
state before they write, and each fact is booked once. Administrators are alerted of records that
take too long, unless a person, a bank or a fixed time has to act first.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.accounts.user import User
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import Offer, RefundStatus
from domain.deals.payment import Payment, PaymentStatus
from domain.disputes.chargebacks import ReadDispute
from domain.kernel.batches import batches
from domain.kernel.independent import Attempts, transact_each
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.task import Task
from domain.payments.delayed import LONGEST
from domain.payments.duplicates import DuplicateCharge, DuplicateStatus, RefundDuplicate
from domain.payments.processing import CapturePayment, HoldPayment, ReadPayment, ReleasePayment
from domain.payments.refunds import SendRefund
from domain.payouts.external_reversals import ReadReversals
from domain.payouts.refills import RefillAccount
from domain.payouts.reversals import ReverseTransfer
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.payouts.transfer_tasks import (
    MakeAvailable,
    ReadConnectAccount,
    SendTransfer,
    arrival_of,
)
from domain.ports.ports import Ports
from domain.wallet.withdrawals import ReadPayout, SendPayout, Withdrawal, WithdrawalStatus

FIRST_CHECKS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))
LATER_INTERVAL = timedelta(days=1)
ALERT_AT = 5  # attempts without a result, after about two days
RECENT = timedelta(hours=2)  # longer than the last of FIRST_CHECKS
NO_LIMIT = timedelta(days=3650)
KEPT = timedelta(days=30)
BANK_TRANSFER_TIME = timedelta(days=10)
CHUNK = 200


class FollowUp(Record, frozen=True):
    """The number of attempts for a record in its current `state`, and the time of the next one."""

    COLLECTION = "watches"
    PREFIX = "watch"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    next_at: datetime
    expires_at: datetime
    state: str = ""
    attempts: int = 0
    alerted: bool = False


async def never(uow: UnitOfWork, record: Record) -> bool:
    return False


async def always(uow: UnitOfWork, record: Record) -> bool:
    return True


class Rule(msgspec.Struct, frozen=True):
    """The records of one kind that wait for Stripe, and the tasks that follow up one of them.

    `may_wait` is true for a record that may take long, because a person, a bank or a fixed time has
    to act first. Records that have not changed for `max_age` are not followed up.
    """

    record: type[Record]
    where: dict[str, Any]
    tasks: Callable[[Any], Sequence[Task]]
    may_wait: Callable[[UnitOfWork, Any], Awaitable[bool]] = never
    max_age: timedelta = NO_LIMIT


def _payment_tasks(payment: Payment) -> Sequence[Task]:
    match payment.status:
        case PaymentStatus.CAPTURING:
            return [CapturePayment(payment.id)]
        case PaymentStatus.REQUIRES_PAYMENT if payment.intent_id is None:
            return [HoldPayment(payment.id)]
        case _:
            return [ReadPayment(payment.id)]


async def _waits_for_customer(uow: UnitOfWork, payment: Payment) -> bool:
    """Whether the customer has yet to confirm the payment, and the offer expires if they do not, or
    their bank works on it no longer than the slowest one."""
    if payment.processing_since:
        return uow.now - payment.processing_since < LONGEST
    return payment.status is PaymentStatus.REQUIRES_PAYMENT and payment.intent_id is not None


def _refund_tasks(offer: Offer) -> Sequence[Task]:
    requested = [refund for refund in offer.refunds if refund.status is RefundStatus.REQUESTED]
    return [SendRefund(offer.id, refund.id) for refund in requested]


async def _refunds_wait_for_funds(uow: UnitOfWork, offer: Offer) -> bool:
    """Whether Stripe has all of them; `CheckWaitingRefund` alerts when that takes too long."""
    requested = [refund for refund in offer.refunds if refund.status is RefundStatus.REQUESTED]
    return all(refund.stripe_id for refund in requested)


def _transfer_tasks(transfer: Transfer) -> Sequence[Task]:
    made = transfer.status is TransferStatus.MADE
    return [MakeAvailable(transfer.id) if made else SendTransfer(transfer.id)]


async def _transfer_may_wait(uow: UnitOfWork, transfer: Transfer) -> bool:
    """Whether the money is contested or not available yet, or the contractor cannot receive it."""
    if transfer.status is TransferStatus.SENDING:
        return False
    offer = await uow.get(Offer, transfer.offer_id) if transfer.offer_id else None
    paid = await uow.get(Payment, offer.payment_id) if offer else None
    if offer and paid and (offer.contested_amount or paid.release_held_at):
        return True
    if transfer.status is TransferStatus.WAITING:
        user = await uow.get(User, transfer.user_id)
        return not user.transfers_active or user.frozen_at is not None
    due = await arrival_of(uow, transfer)
    return due is not None and due > uow.now


def _withdrawal_tasks(withdrawal: Withdrawal) -> Sequence[Task]:
    requested = withdrawal.status is WithdrawalStatus.REQUESTED
    return [SendPayout(withdrawal.id) if requested else ReadPayout(withdrawal.id)]


async def _withdrawal_may_wait(uow: UnitOfWork, withdrawal: Withdrawal) -> bool:
    """Whether a bank still processes the payout, or the wallet is frozen."""
    if withdrawal.status is WithdrawalStatus.IN_TRANSIT:
        return uow.now - withdrawal.created_at < BANK_TRANSFER_TIME
    return (await uow.get(User, withdrawal.user_id)).frozen_at is not None


RULES = (
    Rule(
        DuplicateCharge,
        {"status": DuplicateStatus.REFUNDING},
        lambda duplicate: [RefundDuplicate(duplicate.id)],
    ),
    Rule(
        Payment,
        {"status": (PaymentStatus.REQUIRES_PAYMENT, PaymentStatus.CAPTURING)},
        _payment_tasks,
        _waits_for_customer,
    ),
    Rule(Offer, {"refunds.status": RefundStatus.REQUESTED}, _refund_tasks, _refunds_wait_for_funds),
    Rule(
        Transfer,
        {"status": (TransferStatus.WAITING, TransferStatus.SENDING, TransferStatus.MADE)},
        _transfer_tasks,
        _transfer_may_wait,
    ),
    # Those that Stripe refused wait for an administrator.
    Rule(
        Reversal,
        {"done": False, "refusal": None},
        lambda reversal: [ReadReversals(reversal.transfer_id), ReverseTransfer(reversal.id)],
    ),
    Rule(
        Shortfall,
        {"amount": {"$gt": 0}},
        lambda lacking: [RefillAccount(lacking.user_id, lacking.currency)],
        always,
    ),
    Rule(
        Withdrawal,
        {"status": (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT)},
        _withdrawal_tasks,
        _withdrawal_may_wait,
    ),
    Rule(
        Chargeback,
        {"status": (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN)},
        lambda chargeback: [ReadDispute(chargeback.stripe_id)],
        always,
    ),
    Rule(
        User,
        {"payouts_enabled": False, "connect_id": {"$gt": ""}},
        lambda user: [ReadConnectAccount(user.connect_id)],
        always,
        max_age=KEPT,
    ),
)
UNRELEASED_HOLDS = Rule(
    Payment, {"status": PaymentStatus.AUTHORIZED}, lambda payment: [ReleasePayment(payment.id)]
)


async def follow_up_recent(ports: Ports) -> int:
    """Follow up what has waited from one minute to two hours; returns the number of records."""
    return await _follow_up_all(ports, FIRST_CHECKS[0], RECENT)


async def follow_up_old(ports: Ports) -> int:
    """Follow up what has waited longer, once a day each; returns the number of records."""
    return await _follow_up_all(ports, RECENT, NO_LIMIT)


async def _follow_up_all(ports: Ports, least: timedelta, most: timedelta) -> int:
    """A rule or a record that fails does not stop the others. Raises its failure at the end."""
    count = 0
    with Attempts() as attempts:
        for rule in (*RULES, UNRELEASED_HOLDS):
            with attempts.next():
                async for records in _overdue(ports, rule, least, most):
                    with attempts.next():
                        count += await _follow_up_due(ports, rule, records)
    return count


def _overdue(
    ports: Ports, rule: Rule, least: timedelta, most: timedelta
) -> AsyncIterator[list[Any]]:
    """Records that have not changed for `least` to `most`, in batches, the oldest first. Damaged
    ones are reported and left out."""
    now = ports.clock.now()
    span = {"$lt": now - least, "$gte": now - min(most, rule.max_age)}
    where = {**rule.where, "updated_at": span}
    uow = ports.store.single()
    found = uow.documents(rule.record, where, (("updated_at", 1),))
    return batches(uow.readable(rule.record, found), CHUNK)


async def _whose_offer_ended(ports: Ports, held: list[Payment]) -> list[Payment]:
    """Holds that should have been released: they still block money on a customer's card."""
    ended = {"_id": tuple(payment.offer_id for payment in held), "live": False}
    ids = {offer.id for offer in await ports.store.single().all(Offer, ended, limit=CHUNK)}
    return [payment for payment in held if payment.offer_id in ids]


async def _follow_up_due(ports: Ports, rule: Rule, records: list[Any]) -> int:
    """Follow up the records whose next attempt is due; returns their number."""
    if rule is UNRELEASED_HOLDS:
        records = await _whose_offer_ended(ports, records)
    uow = ports.store.single()
    ids = tuple(record.id for record in records)
    found = uow.documents(FollowUp, {"_id": ids}, (("_id", 1),), CHUNK)
    known = {row.id: row async for row in uow.readable(FollowUp, found)}
    due = [record for record in records if _is_due(rule, record, known.get(record.id), uow.now)]

    async def follow_up(uow: UnitOfWork, record: Any) -> None:
        await _follow_up(uow, rule, record, known.get(record.id))

    return await transact_each(ports.store, due, follow_up)


def _is_due(rule: Rule, record: Record, known: FollowUp | None, now: datetime) -> bool:
    return known is None or known.next_at <= now or known.state != _state_key(rule, record)


def _state_key(rule: Rule, record: Record) -> str:
    """What a record waits for. If that changes, its attempts start again from one."""
    tasks = [(task.tag(), msgspec.structs.astuple(task)) for task in rule.tasks(record)]
    return f"{getattr(record, 'status', '')} {tasks}"


async def _follow_up(uow: UnitOfWork, rule: Rule, record: Record, known: FollowUp | None) -> None:
    """Count the attempt, queue the record's tasks and alert administrators at the last attempt."""
    before = known if known and known.state == _state_key(rule, record) else None
    attempts = before.attempts + 1 if before else 1
    alerted = before is not None and before.alerted
    must_alert = attempts >= ALERT_AT and not alerted and not await rule.may_wait(uow, record)
    counted = await _count_attempt(
        uow,
        record.id,
        known,
        state=_state_key(rule, record),
        attempts=attempts,
        alerted=alerted or must_alert,
        next_at=uow.now + _interval(attempts),
        expires_at=uow.now + KEPT,
    )
    if not counted:
        return
    await _queue_missing(uow, rule.tasks(record))
    if must_alert:
        await _alert_admins(uow, record, attempts)


def _interval(attempts: int) -> timedelta:
    """The time to the next attempt after so many."""
    if attempts < len(FIRST_CHECKS):
        return FIRST_CHECKS[attempts] - FIRST_CHECKS[attempts - 1]
    return LATER_INTERVAL


async def _count_attempt(
    uow: UnitOfWork, record_id: str, known: FollowUp | None, **fields: Any
) -> bool:
    """Store the attempt; False if another process has counted it first."""
    if known is None:
        await uow.add(uow.new(FollowUp, id=record_id, **fields))
        return True
    only_if = {"version": known.version}
    return await uow.change(FollowUp, known.id, only_if=only_if, **fields) is not None


async def _queue_missing(uow: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Queue the tasks that are not in the outbox; dead letters do not count."""
    for task in tasks:
        queued = {"subject": task.subject, "dead": False, "lane": Lane.STRIPE}
        if await uow.find(OutboxRow, queued) is None:
            uow.later(task)


async def _alert_admins(uow: UnitOfWork, record: Record, attempts: int) -> None:
    await alert(
        uow,
        "left_unknown",
        record.id,
        f"Stripe has been asked {attempts} times about this {type(record).__name__.lower()} and "
        "it is still under way: look at it in Stripe's dashboard.",
    )
