"""The janitor: asks Stripe again about what has been left unknown, rarer the longer it takes.

The tasks themselves try again for days. This is for what has no task any more: one that was
discarded, is a dead letter, or whose event was lost. Asking is safe at any time: tasks look before
they post, and what they find is booked once. What takes too long is told to administrators, unless
it is for somebody else than Stripe to act.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from domain.accounts.user import User
from domain.chargebacks import Chargeback, ChargebackStatus, ReadDispute
from domain.deals.offer import Offer, OfferStatus, RefundStatus
from domain.deals.payment import Payment, PaymentStatus
from domain.dividing import call_admins
from domain.kernel.money import display
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import job_path
from domain.operations.task import Task
from domain.payments.processing import Capture, Hold, Inspect, Release
from domain.payments.refunds import SendRefund
from domain.payouts.reversals import TakeBack
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.payouts.transfer_tasks import MakeAvailable, ReadAccount, Send
from domain.ports.ports import Ports
from domain.timeline import Dispute, DisputeStatus
from domain.wallet.withdrawals import PayOut, ReadPayout, Withdrawal, WithdrawalStatus

AGES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))
THEN = timedelta(days=1)
TELL_AT = 5  # times asked without a result, which is after two days
RECENT = timedelta(hours=2)  # beyond the last of AGES
EVER = timedelta(days=3650)
KEPT = timedelta(days=30)
BANKS_TAKE = timedelta(days=10)
CHUNK = 200
WARN_BEFORE = timedelta(hours=24)
CALL_AGAIN = timedelta(days=1)
WARN_ADMINS_BEFORE = timedelta(days=3)  # evidence has to be gathered


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
            return [Capture(payment.id)]
        case PaymentStatus.REQUIRES_PAYMENT if payment.intent_id is None:
            return [Hold(payment.id)]
        case _:
            return [Inspect(payment.id)]


async def _unconfirmed(uow: UnitOfWork, payment: Payment) -> bool:
    """The customer may take their time; the offer ends anyway."""
    return payment.status is PaymentStatus.REQUIRES_PAYMENT and payment.intent_id is not None


def _refunds(offer: Offer) -> Sequence[Task]:
    waiting = (r for r in offer.refunds if r.status is RefundStatus.REQUESTED)
    return [SendRefund(offer.id, refund.id) for refund in waiting]


def _transfer(transfer: Transfer) -> Sequence[Task]:
    made = transfer.status is TransferStatus.MADE
    return [MakeAvailable(transfer.id) if made else Send(transfer.id)]


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
    return [PayOut(withdrawal.id) if asked else ReadPayout(withdrawal.id)]


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
    Kind(Reversal, {"done": False}, lambda reversal: [TakeBack(reversal.id)]),
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
        lambda user: [ReadAccount(user.connect_id)],
        always,
        longest=KEPT,
    ),
)
CLOSED = Kind(Payment, {"status": PaymentStatus.AUTHORIZED}, lambda payment: [Release(payment.id)])


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


async def _overdue(
    ports: Ports, kind: Kind, least: timedelta, most: timedelta
) -> AsyncIterator[list[Any]]:
    """What has not changed for longer than `least`, in chunks, the oldest first."""
    chunk: list[Any] = []
    now = ports.clock.now()
    span = {"$lt": now - least, "$gte": now - min(most, kind.longest)}
    where = {**kind.where, "updated_at": span}
    async for record in ports.store.single().each(kind.record, where, (("updated_at", 1),)):
        chunk.append(record)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


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
    asked = 0
    for record in found:
        watch = watches.get(record.id)
        if watch is None or watch.next_at <= uow.now or watch.state != _state(kind, record):
            await ports.store.transact(partial(_ask, kind=kind, record=record, watch=watch))
            asked += 1
    return asked


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
        await uow.add(Watch(id=record.id, created_at=uow.now, updated_at=uow.now, **fields))
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


# -- holds that end --------------------------------------------------------------------------


async def warn_of_ends(ports: Ports) -> int:
    """Tell both sides a day before an offer, and the hold behind it, ends."""
    uow = ports.store.single()
    ending = {
        "status": OfferStatus.PENDING,
        "reminded_at": None,
        "expires_at": {"$gt": uow.now, "$lte": uow.now + WARN_BEFORE},
    }
    soon = await uow.all(Offer, ending, (("expires_at", 1),), CHUNK)
    for offer in soon:
        await ports.store.transact(lambda uow, id=offer.id: _warn(uow, id))  # type: ignore[misc]
    return len(soon)


async def _warn(uow: UnitOfWork, offer_id: str) -> None:
    offer = await uow.change(
        Offer,
        offer_id,
        only_if={"status": OfferStatus.PENDING, "reminded_at": None},
        reminded_at=uow.now,
    )
    if offer is None or offer.expires_at - offer.created_at <= WARN_BEFORE:
        return  # it was short from the beginning: that is no news
    contractor = await uow.get(User, offer.contractor_id)
    ends = f"{offer.expires_at:%d %B %Y, %H:%M} UTC"
    await notices.tell(
        uow,
        [offer.contractor_id],
        "offer_ends_soon",
        f"{offer.job_title}: the offer ends soon",
        f"Accept or decline it until {ends}; then the money goes back.",
        offer.job_id,
    )
    await notices.tell(
        uow,
        [offer.customer_id],
        "hold_ends_soon",
        f"{offer.job_title}: your offer ends soon",
        f"{contractor.name} has not answered. On {ends} the hold on your card ends.",
        offer.job_id,
    )


# -- deadlines of disputes ---------------------------------------------------------------------


async def warn_of_deadlines(ports: Ports) -> int:
    """Once each: both sides before a dispute goes to an administrator, and administrators before
    a bank takes no more evidence; and these each day of what waits for them. Returns how many."""
    uow = ports.store.single()
    soon = {"$gt": uow.now, "$lte": uow.now + WARN_BEFORE}
    waiting = {"status": UNDECIDED, "answer_by": soon, "warned_at": None}
    disputes = await uow.all(Dispute, waiting, (("answer_by", 1),), CHUNK)
    for dispute in disputes:
        await ports.store.transact(partial(_warn_sides, dispute_id=dispute.id))
    soon = {"$gt": uow.now, "$lte": uow.now + WARN_ADMINS_BEFORE}
    unanswered = {**UNANSWERED, "due_by": soon, "warned_at": None}
    chargebacks = await uow.all(Chargeback, unanswered, (("due_by", 1),), CHUNK)
    for chargeback in chargebacks:
        await ports.store.transact(partial(_warn_admins, chargeback_id=chargeback.id))
    uncalled = _uncalled(uow)
    escalated = await uow.all(Dispute, uncalled, (("called_at", 1),), CHUNK)
    for dispute in escalated:
        await ports.store.transact(partial(_call_again, dispute_id=dispute.id))
    return len(disputes) + len(chargebacks) + len(escalated)


def _uncalled(uow: UnitOfWork) -> dict[str, Any]:
    long_ago = {"called_at": {"$lte": uow.now - CALL_AGAIN}}
    return {"status": DisputeStatus.ESCALATED, "$or": [{"called_at": None}, long_ago]}


UNDECIDED = (DisputeStatus.OPEN, DisputeStatus.PROPOSED)
UNANSWERED: dict[str, Any] = {
    "status": (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN),
    "submissions": 0,
}


async def _warn_sides(uow: UnitOfWork, dispute_id: str) -> None:
    dispute = await uow.change(
        Dispute, dispute_id, only_if={"status": UNDECIDED, "warned_at": None}, warned_at=uow.now
    )
    if dispute is None:
        return
    ends = f"{dispute.answer_by:%d %B %Y, %H:%M} UTC"
    awaited = dispute.waits_for
    told = {
        awaited: f"Agree or propose how to end it until {ends}; then an administrator decides.",
        **{
            side: f"The other side has not answered. On {ends} it goes to an administrator."
            for side in dispute.parties
            if side != awaited
        },
    }
    for side, text in told.items():
        await notices.tell(
            uow,
            [side],
            "dispute_ends_soon",
            f"{dispute.job_title}: the dispute is decided soon",
            text,
            dispute.id,
            path=job_path(dispute.job_id),
        )


async def _warn_admins(uow: UnitOfWork, chargeback_id: str) -> None:
    found = await uow.change(
        Chargeback, chargeback_id, only_if={**UNANSWERED, "warned_at": None}, warned_at=uow.now
    )
    if found and found.due_by:
        await alert(
            uow,
            "evidence_due",
            found.id,
            f"The bank takes evidence about {display(found.amount, found.currency)} for "
            f"{found.job_title} until {found.due_by:%d %B %Y, %H:%M} UTC: without it that is lost.",
        )


async def _call_again(uow: UnitOfWork, dispute_id: str) -> None:
    uncalled = _uncalled(uow)
    dispute = await uow.change(Dispute, dispute_id, only_if=uncalled, called_at=uow.now)
    if dispute:
        await call_admins(uow, dispute)
