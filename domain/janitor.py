"""The janitor: asks Stripe again about what has been left unknown, rarer the longer it takes.

The tasks themselves try again for days. This is for what has no task any more: one that was
discarded, is a dead letter, or whose event was lost. Asking is safe at any time: tasks look before
they post, and what they find is booked once.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from domain import notices
from domain.accounts import User
from domain.alerts import alert
from domain.chargebacks import Chargeback, ChargebackStatus, ReadDispute
from domain.deal import Offer, OfferStatus, Payment, PaymentStatus, RefundStatus
from domain.outbox import Task
from domain.ports import Ports
from domain.record import Index, Record
from domain.refunds import SendRefund
from domain.sending import MakeAvailable, Send, TakeBack
from domain.settlement import Capture, Hold, Inspect, Release
from domain.store import UnitOfWork
from domain.transfers import Reversal, Transfer, TransferStatus
from domain.wallets import PayOut, ReadPayout, Withdrawal, WithdrawalStatus

P, T, W, C = PaymentStatus, TransferStatus, WithdrawalStatus, ChargebackStatus

AGES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))
THEN = timedelta(days=1)
TELL_AT = 5  # times asked without a result, which is after two days
KEPT = timedelta(days=30)
CHUNK = 200
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
WARN_BEFORE = timedelta(hours=24)


class Watch(Record, frozen=True):
    """How often was asked about something, and when the next time is."""

    COLLECTION = "watches"
    PREFIX = "watch"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    next_at: datetime
    expires_at: datetime
    asked: int = 0


class Kind(msgspec.Struct, frozen=True):
    """Records that wait for Stripe, and the tasks that ask about one of them."""

    record: type[Record]
    where: dict[str, Any]
    tasks: Callable[[Any], Sequence[Task]]


def _payment(payment: Payment) -> Sequence[Task]:
    match payment.status:
        case P.CAPTURING:
            return [Capture(payment.id)]
        case P.REQUIRES_PAYMENT if payment.intent_id is None:
            return [Hold(payment.id)]
        case _:
            return [Inspect(payment.id)]


def _refunds(offer: Offer) -> Sequence[Task]:
    waiting = (r for r in offer.refunds if r.status is RefundStatus.REQUESTED)
    return [SendRefund(offer.id, refund.id) for refund in waiting]


def _transfer(transfer: Transfer) -> Sequence[Task]:
    made = transfer.status is T.MADE
    return [MakeAvailable(transfer.id) if made else Send(transfer.id)]


def _withdrawal(withdrawal: Withdrawal) -> Sequence[Task]:
    asked = withdrawal.status is W.REQUESTED
    return [PayOut(withdrawal.id) if asked else ReadPayout(withdrawal.id)]


KINDS = (
    Kind(Payment, {"status": (P.REQUIRES_PAYMENT, P.CAPTURING)}, _payment),
    Kind(Offer, {"refunds.status": RefundStatus.REQUESTED}, _refunds),
    Kind(Transfer, {"status": (T.WAITING, T.SENDING, T.MADE)}, _transfer),
    Kind(Reversal, {"done": False}, lambda reversal: [TakeBack(reversal.id)]),
    Kind(Withdrawal, {"status": (W.REQUESTED, W.IN_TRANSIT)}, _withdrawal),
    Kind(Chargeback, {"status": (C.INQUIRY, C.OPEN)}, lambda c: [ReadDispute(c.stripe_id)]),
)


async def ask_again(ports: Ports) -> int:
    """Queue what is due; returns how many objects were asked about."""
    asked = 0
    for kind in KINDS:
        asked += await _ask_about(ports, kind)
    return asked + await _release_closed(ports)


async def _ask_about(ports: Ports, kind: Kind) -> int:
    asked = 0
    async for found in _overdue(ports, kind.record, kind.where):
        asked += await _queue(ports, [(record, kind.tasks(record)) for record in found])
    return asked


async def _overdue(
    ports: Ports, kind: type[Record], where: dict[str, Any]
) -> AsyncIterator[list[Any]]:
    """What has not changed for a minute, in chunks, the oldest first."""
    uow = ports.store.single()
    until, after = uow.now - AGES[0], BEGINNING
    while True:
        span = {"updated_at": {"$lt": until, "$gt": after}}
        found = await uow.all(kind, {**where, **span}, (("updated_at", 1),), CHUNK)
        if found:
            yield found
        if len(found) < CHUNK:
            return
        after = found[-1].updated_at


async def _release_closed(ports: Ports) -> int:
    """Holds whose offer has ended: the money is still blocked on somebody's card."""
    uow, asked = ports.store.single(), 0
    async for held in _overdue(ports, Payment, {"status": P.AUTHORIZED}):
        ids = tuple(payment.offer_id for payment in held)
        closed = {
            offer.id for offer in await uow.all(Offer, {"_id": ids, "live": False}, limit=CHUNK)
        }  # fmt: skip
        over = [payment for payment in held if payment.offer_id in closed]
        asked += await _queue(ports, [(payment, [Release(payment.id)]) for payment in over])
    return asked


async def _queue(ports: Ports, found: Sequence[tuple[Record, Sequence[Task]]]) -> int:
    uow = ports.store.single()
    ids = tuple(record.id for record, _ in found)
    watches = {watch.id: watch for watch in await uow.all(Watch, {"_id": ids}, limit=len(ids) or 1)}
    due = [
        (record, tasks)
        for record, tasks in found
        if record.id not in watches or watches[record.id].next_at <= uow.now
    ]
    for record, tasks in due:
        watch = watches.get(record.id)
        await ports.store.transact(
            lambda uow, record=record, tasks=tasks, watch=watch: _ask(uow, record, tasks, watch)  # type: ignore[misc]
        )
    return len(due)


async def _ask(uow: UnitOfWork, record: Record, tasks: Sequence[Task], watch: Watch | None) -> None:
    times = watch.asked + 1 if watch else 1
    next_at = uow.now + (AGES[times] - AGES[times - 1] if times < len(AGES) else THEN)
    fields: dict[str, Any] = {"asked": times, "next_at": next_at, "expires_at": uow.now + KEPT}
    if watch is None:
        await uow.add(Watch(id=record.id, created_at=uow.now, updated_at=uow.now, **fields))
    elif await uow.change(Watch, watch.id, only_if={"asked": watch.asked}, **fields) is None:
        return
    for task in tasks:
        uow.later(task)
    if times == TELL_AT:
        await alert(
            uow, "left_unknown", record.id,
            f"Stripe has been asked {times} times about this {type(record).__name__.lower()} and "
            "it is still under way: look at it in Stripe's dashboard.",
        )  # fmt: skip


# -- holds that end --------------------------------------------------------------------------


async def warn_of_ends(ports: Ports) -> int:
    """Tell both sides a day before an offer, and the hold behind it, ends."""
    uow = ports.store.single()
    ending = {
        "status": OfferStatus.PENDING, "reminded_at": None,
        "expires_at": {"$gt": uow.now, "$lte": uow.now + WARN_BEFORE},
    }  # fmt: skip
    soon = await uow.all(Offer, ending, (("expires_at", 1),), CHUNK)
    for offer in soon:
        await ports.store.transact(lambda uow, id=offer.id: _warn(uow, id))  # type: ignore[misc]
    return len(soon)


async def _warn(uow: UnitOfWork, offer_id: str) -> None:
    offer = await uow.change(
        Offer, offer_id, only_if={"status": OfferStatus.PENDING, "reminded_at": None},
        reminded_at=uow.now,
    )  # fmt: skip
    if offer is None or offer.expires_at - offer.created_at <= WARN_BEFORE:
        return  # it was short from the beginning: that is no news
    contractor = await uow.get(User, offer.contractor_id)
    ends = f"{offer.expires_at:%d %B %Y, %H:%M} UTC"
    await notices.tell(
        uow, [offer.contractor_id], "offer_ends_soon", f"{offer.job_title}: the offer ends soon",
        f"Accept or decline it until {ends}; then the money goes back.", offer.job_id,
    )  # fmt: skip
    await notices.tell(
        uow, [offer.customer_id], "hold_ends_soon", f"{offer.job_title}: your offer ends soon",
        f"{contractor.name} has not answered. On {ends} the hold on your card ends.", offer.job_id,
    )  # fmt: skip
