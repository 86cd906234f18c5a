"""The janitor: asks Stripe again about what has been left unknown, rarer the longer it takes.

The tasks themselves try again for days. This is for what has no task any more: one that was
discarded, is a dead letter, or whose event was lost. Asking is safe at any time: tasks look before
they post, and what they find is booked once. What takes too long is told to administrators, unless
it is for somebody else than Stripe to act.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.accounts.user import User
from domain.deals.offer import Offer, RefundStatus
from domain.deals.payment import Payment, PaymentStatus
from domain.disputes.chargebacks import Chargeback, ChargebackStatus, ReadDispute
from domain.kernel.batches import batches
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.task import Task
from domain.payments.processing import CapturePayment, HoldPayment, ReadPayment, ReleasePayment
from domain.payments.refunds import SendRefund
from domain.payouts.reversals import ReverseTransfer
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.payouts.transfer_tasks import MakeAvailable, ReadConnectAccount, SendTransfer
from domain.ports.ports import Ports
from domain.wallet.withdrawals import ReadPayout, SendPayout, Withdrawal, WithdrawalStatus

AGES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))
THEN = timedelta(days=1)
TELL_AT = 5  # times asked without a result, which is after two days
RECENT = timedelta(hours=2)  # beyond the last of AGES
EVER = timedelta(days=3650)
KEPT = timedelta(days=30)
BANKS_TAKE = timedelta(days=10)
CHUNK = 200


class Watch(Record, frozen=True):
    """How often was asked about something in its present `state`, and when the next time is."""

    COLLECTION = "watches"
    PREFIX = "watch"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    next_at: datetime
    expires_at: datetime
    state: str = ""
    asked: int = 0
    told: bool = False


async def never(uow: UnitOfWork, record: Record) -> bool:
    return False


async def always(uow: UnitOfWork, record: Record) -> bool:
    return True


class Kind(msgspec.Struct, frozen=True):
    """Records that wait for Stripe, and the tasks that ask about one of them.

    `natural` says that it may take long: a person or a bank has to act, or a time to pass. After
    `longest` nobody asks any more.
    """

    record: type[Record]
    where: dict[str, Any]
    tasks: Callable[[Any], Sequence[Task]]
    natural: Callable[[UnitOfWork, Any], Awaitable[bool]] = never
    longest: timedelta = EVER


def _payment(payment: Payment) -> Sequence[Task]:
    match payment.status:
        case PaymentStatus.CAPTURING:
            return [CapturePayment(payment.id)]
        case PaymentStatus.REQUIRES_PAYMENT if payment.intent_id is None:
            return [HoldPayment(payment.id)]
        case _:
            return [ReadPayment(payment.id)]


async def _unconfirmed(uow: UnitOfWork, payment: Payment) -> bool:
    """The customer may take their time; the offer ends anyway."""
    return payment.status is PaymentStatus.REQUIRES_PAYMENT and payment.intent_id is not None


def _refunds(offer: Offer) -> Sequence[Task]:
    waiting = (r for r in offer.refunds if r.status is RefundStatus.REQUESTED)
    return [SendRefund(offer.id, refund.id) for refund in waiting]


def _transfer(transfer: Transfer) -> Sequence[Task]:
    made = transfer.status is TransferStatus.MADE
    return [MakeAvailable(transfer.id) if made else SendTransfer(transfer.id)]


async def _not_due(uow: UnitOfWork, transfer: Transfer) -> bool:
    """It must not go yet, the contractor cannot receive it, or the charge's money is not there."""
    if transfer.status is TransferStatus.SENDING:
        return False
    offer = await uow.get(Offer, transfer.offer_id) if transfer.offer_id else None
    if offer and offer.contested_amount:
        return True
    if transfer.status is TransferStatus.WAITING:
        user = await uow.get(User, transfer.user_id)
        return not user.transfers_active or user.frozen_at is not None
    payment = await uow.get(Payment, offer.payment_id) if offer else None
    return bool(payment and payment.available_on and payment.available_on > uow.now)


def _withdrawal(withdrawal: Withdrawal) -> Sequence[Task]:
    asked = withdrawal.status is WithdrawalStatus.REQUESTED
    return [SendPayout(withdrawal.id) if asked else ReadPayout(withdrawal.id)]


async def _at_a_bank(uow: UnitOfWork, withdrawal: Withdrawal) -> bool:
    if withdrawal.status is WithdrawalStatus.IN_TRANSIT:
        return uow.now - withdrawal.created_at < BANKS_TAKE
    return (await uow.get(User, withdrawal.user_id)).frozen_at is not None


KINDS = (
    Kind(
        Payment,
        {"status": (PaymentStatus.REQUIRES_PAYMENT, PaymentStatus.CAPTURING)},
        _payment,
        _unconfirmed,
    ),
    Kind(Offer, {"refunds.status": RefundStatus.REQUESTED}, _refunds),
    Kind(
        Transfer,
        {"status": (TransferStatus.WAITING, TransferStatus.SENDING, TransferStatus.MADE)},
        _transfer,
        _not_due,
    ),
    Kind(Reversal, {"done": False}, lambda reversal: [ReverseTransfer(reversal.id)]),
    Kind(
        Withdrawal,
        {"status": (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT)},
        _withdrawal,
        _at_a_bank,
    ),
    Kind(
        Chargeback,
        {"status": (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN)},
        lambda c: [ReadDispute(c.stripe_id)],
        always,
    ),
    Kind(
        User,
        {"payouts_enabled": False, "connect_id": {"$gt": ""}},
        lambda user: [ReadConnectAccount(user.connect_id)],
        always,
        longest=KEPT,
    ),
)
CLOSED = Kind(
    Payment, {"status": PaymentStatus.AUTHORIZED}, lambda payment: [ReleasePayment(payment.id)]
)


async def ask_again(ports: Ports) -> int:
    """Ask about what has waited for a minute or longer; returns about how many objects."""
    return await _ask_about_all(ports, AGES[0], RECENT)


async def ask_about_old(ports: Ports) -> int:
    """The same for what is asked about once a day; there may be a lot of it."""
    return await _ask_about_all(ports, RECENT, EVER)


async def _ask_about_all(ports: Ports, least: timedelta, most: timedelta) -> int:
    asked = 0
    for kind in KINDS:
        async for found in _overdue(ports, kind, least, most):
            asked += await _ask_about(ports, kind, found)
    async for found in _overdue(ports, CLOSED, least, most):
        asked += await _ask_about(ports, CLOSED, await _closed(ports, found))
    return asked


def _overdue(
    ports: Ports, kind: Kind, least: timedelta, most: timedelta
) -> AsyncIterator[list[Any]]:
    """What has not changed for longer than `least`, in chunks, the oldest first."""
    now = ports.clock.now()
    span = {"$lt": now - least, "$gte": now - min(most, kind.longest)}
    where = {**kind.where, "updated_at": span}
    records = ports.store.single().each(kind.record, where, (("updated_at", 1),))
    return batches(records, CHUNK)


async def _closed(ports: Ports, held: list[Payment]) -> list[Payment]:
    """Holds whose offer has ended: the money is still blocked on somebody's card."""
    ended = {"_id": tuple(payment.offer_id for payment in held), "live": False}
    ids = {offer.id for offer in await ports.store.single().all(Offer, ended, limit=CHUNK)}
    return [payment for payment in held if payment.offer_id in ids]


async def _ask_about(ports: Ports, kind: Kind, found: list[Any]) -> int:
    """Returns for how many of them the time had come."""
    uow = ports.store.single()
    ids = tuple(record.id for record in found)
    watches = {watch.id: watch for watch in await uow.all(Watch, {"_id": ids}, limit=CHUNK)}
    due = []
    for record in found:
        watch = watches.get(record.id)
        if watch is None or watch.next_at <= uow.now or watch.state != _state(kind, record):
            due.append((record, watch))

    async def ask(uow: UnitOfWork, item: tuple[Any, Watch | None]) -> None:
        await _ask(uow, kind, *item)

    return await ports.store.transact_each(due, ask)


def _state(kind: Kind, record: Record) -> str:
    """In another state it is another question, and begins anew."""
    return f"{getattr(record, 'status', '')} {kind.tasks(record)}"


async def _ask(uow: UnitOfWork, kind: Kind, record: Record, watch: Watch | None) -> None:
    state = _state(kind, record)
    before = watch if watch and watch.state == state else None
    asked = before.asked + 1 if before else 1
    natural = await kind.natural(uow, record)
    tells = asked >= TELL_AT and not natural and not (before and before.told)
    fields: dict[str, Any] = {
        "state": state,
        "asked": asked,
        "expires_at": uow.now + KEPT,
        "next_at": uow.now + (AGES[asked] - AGES[asked - 1] if asked < len(AGES) else THEN),
        "told": tells or bool(before and before.told),
    }
    if watch is None:
        await uow.add(uow.new(Watch, id=record.id, **fields))
    elif await uow.change(Watch, watch.id, only_if={"version": watch.version}, **fields) is None:
        return
    for task in kind.tasks(record):
        in_hand = {"subject": task.subject, "dead": False, "lane": Lane.STRIPE}
        if await uow.find(OutboxRow, in_hand) is None:
            uow.later(task)
    if tells:
        await alert(
            uow,
            "left_unknown",
            record.id,
            f"Stripe has been asked {asked} times about this {type(record).__name__.lower()} and "
            "it is still under way: look at it in Stripe's dashboard.",
        )
