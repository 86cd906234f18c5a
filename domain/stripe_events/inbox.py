"""Stripe's events: verified and stored once by their id, then worked on in any order.

An event only says where to look: the object is read from Stripe again, so duplicates and
reordering have one effect. Events that only repeat what another one says are kept, not worked on:
six come with every deal, and each costs a request and a transaction. What is not meant for this
installation is put in quarantine, and administrators are told.
"""

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.deals.payment import Payment, PaymentStatus
from domain.disputes import chargebacks
from domain.kernel.record import Index, Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.task import Task, TryAgain
from domain.payments import refunds
from domain.payments.processing import apply_intent
from domain.payouts import external_reversals
from domain.payouts.transfer_tasks import refresh_account
from domain.ports.payment_gateway import Intent
from domain.ports.ports import Ports
from domain.wallet.withdrawals import Withdrawal, settle_withdrawal

KEPT = timedelta(days=90)
OWN_TASK_SECONDS = 2
STRANGER_FOR = timedelta(minutes=10)  # our own request for the account may still be unanswered
ASK_AGAIN = timedelta(seconds=20)
TOLD_WITHIN = timedelta(hours=1)
REPEATS = frozenset(
    {
        "charge.captured",
        "charge.failed",
        "charge.succeeded",
        "payment_intent.created",
        "transfer.created",
    }
)
KNOWN = {
    "requires_capture": (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING),
    "succeeded": (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED),
    "canceled": (PaymentStatus.CANCELED,),
}


class EventStatus(StrEnum):
    """`working` has been begun, `dead` failed too often, `quarantined` is not for us."""

    RECEIVED = "received"
    WORKING = "working"
    DONE = "done"
    DEAD = "dead"
    QUARANTINED = "quarantined"


Text = Annotated[str, Limits(min_length=1, max_length=255)]


class Thing(msgspec.Struct, frozen=True):
    """What is used of an event's object; `object` is its kind."""

    object: Text
    id: Text | None = None
    payment_intent: Any = None
    metadata: Any = None


class Content(msgspec.Struct, frozen=True):
    object: dict[str, Any]


class Body(msgspec.Struct, frozen=True):
    """What is used of an event."""

    id: Text
    type: Annotated[str, Limits(min_length=1, max_length=100)]
    livemode: bool
    data: Content
    account: Text | None = None


class WebhookEvent(Record, frozen=True):
    """A verified event; its id is Stripe's. `account` is the connected account it is about.

    `same` tells its object, type and state in one word, `reason` why it is in quarantine,
    `last_error` why it is not done yet.
    """

    COLLECTION = "webhook_events"
    PREFIX = "evt"
    INDEXES = (
        Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),
        Index((("same", 1), ("status", 1))),
        Index((("status", 1), ("_id", -1))),
        Index((("type", 1), ("_id", -1))),
        Index((("status", 1), ("type", 1), ("_id", -1))),
        Index((("reason", 1), ("updated_at", -1)), where={"status": EventStatus.QUARANTINED.value}),
    )
    PRIVATE = frozenset({"same"})

    type: str
    account: str | None
    object_type: str
    object_id: str
    same: str
    status: EventStatus = EventStatus.RECEIVED
    intent_id: str | None = None
    payment_id: str | None = None
    attempts: int = 0
    reason: str | None = None
    last_error: str | None = None
    processed_at: datetime | None = None


async def receive(ports: Ports, event: object) -> bool:
    """Keep what Stripe has signed and queue it; False if it was received before."""
    row = _row(ports.store.single(), event, live=ports.webhooks.live)

    async def store(uow: UnitOfWork) -> None:
        kept = row
        if row.status is EventStatus.RECEIVED and await uow.find(WebhookEvent, _waiting(row)):
            # That one has not looked yet: when it does, it sees what this one is about.
            kept = msgspec.structs.replace(row, status=EventStatus.DONE)
        if kept.status is EventStatus.QUARANTINED:
            await _tell(uow, kept.id, kept.reason)
        await uow.add(kept)
        if kept.status is EventStatus.RECEIVED:
            uow.later(Process(kept.id))

    try:
        await ports.store.transact(store)
    except Duplicate:
        return False
    return True


def _row(uow: UnitOfWork, event: object, *, live: bool) -> WebhookEvent:
    try:
        body = msgspec.convert(event, Body)
        thing = msgspec.convert(body.data.object, Thing)
    except msgspec.ValidationError as wrong:
        return _shapeless(uow, event, str(wrong))
    status, reason = EventStatus.DONE if body.type in REPEATS else EventStatus.RECEIVED, None
    if body.livemode is not live:
        mode = "live" if body.livemode else "test"
        status, reason = EventStatus.QUARANTINED, f"It is of Stripe's {mode} mode."
    intent = thing.id if thing.object == "payment_intent" else thing.payment_intent
    metadata = thing.metadata if isinstance(thing.metadata, dict) else {}
    payment = metadata.get("payment_id")
    return uow.new(
        WebhookEvent,
        id=body.id,
        type=body.type,
        account=body.account,
        object_type=thing.object,
        object_id=thing.id or "",
        # The account belongs to it: the object `application` is the same one for all of them.
        same=_digest([body.type, body.account, body.data.object]),
        status=status,
        reason=reason,
        intent_id=intent if isinstance(intent, str) else None,
        payment_id=payment if isinstance(payment, str) else None,
    )


def _shapeless(uow: UnitOfWork, event: object, problem: str) -> WebhookEvent:
    """Signed, but not in a form that says where to look: kept for a person."""
    digest = _digest(event)

    def said(name: str, longest: int) -> str | None:
        value = event.get(name) if isinstance(event, dict) else None
        return value if isinstance(value, str) and 0 < len(value) <= longest else None

    return uow.new(
        WebhookEvent,
        id=said("id", 255) or f"evt_shapeless_{digest[:32]}",
        type=said("type", 100) or "shapeless",
        account=None,
        object_type="",
        object_id="",
        same=digest,
        status=EventStatus.QUARANTINED,
        reason=f"It has not the shape of an event: {problem}.",
    )


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _waiting(row: WebhookEvent) -> dict[str, Any]:
    return {"same": row.same, "status": EventStatus.RECEIVED}


async def _tell(uow: UnitOfWork, event_id: str, reason: str | None) -> None:
    """Before it is put away, unless one was for the same reason just now: a wrong endpoint sends
    thousands."""
    same = {"status": EventStatus.QUARANTINED.value, "reason": reason}
    last = await uow.find(WebhookEvent, same, (("updated_at", -1),))
    if last and uow.now - last.updated_at < TOLD_WITHIN:
        return
    await alert(
        uow,
        "event_quarantined",
        event_id,
        f"An event was not worked on: {reason} Look at the webhook endpoints of Stripe's "
        "dashboard, or replay it. More of the same are in quarantine without an alert each.",
    )


class Process(Task, frozen=True, tag="process_stripe_event"):
    """Re-read the object that an event is about and take over its state."""

    event_id: str

    async def run(self, ports: Ports) -> None:
        event = await ports.store.single().change(
            WebhookEvent,
            self.event_id,
            only_if={"status": (EventStatus.RECEIVED, EventStatus.WORKING)},
            status=EventStatus.WORKING,
            inc={"attempts": 1},
        )
        if event is None:
            return
        try:
            if not await self._is_ours(ports, event):
                return
            if work := WORK.get(event.object_type):
                await work(ports, event)
        except Exception as failed:
            problem = f"{type(failed).__name__}: {failed}"[:500]
            with contextlib.suppress(Exception):  # the relay has to hear of the first one
                await _leave(ports.store.single(), event, last_error=problem)
            raise
        uow = ports.store.single()
        await _leave(uow, event, status=EventStatus.DONE, last_error=None, processed_at=uow.now)

    async def _is_ours(self, ports: Ports, event: WebhookEvent) -> bool:
        """Whether it is about the platform, or an account that a contractor has or had."""
        account = event.account
        uow = ports.store.single()
        if account is None or await uow.find(User, {"connect_id": account}):
            return True
        if await uow.find(User, {"closed_accounts": account}):
            return True
        if ports.clock.now() - event.created_at < STRANGER_FOR:
            raise TryAgain("an account that is not known yet", at=ports.clock.now() + ASK_AGAIN)
        reason = f"It is about the account {account}, which no contractor has."

        async def put_away(uow: UnitOfWork) -> None:
            if await _leave(uow, event, reason=reason, last_error=None):
                await _tell(uow, event.id, reason)
                await _leave(uow, event, status=EventStatus.QUARANTINED)

        await ports.store.transact(put_away)
        return False


async def _leave(uow: UnitOfWork, event: WebhookEvent, **fields: Any) -> WebhookEvent | None:
    """Only whoever began with it last may say what became of it: an earlier one that comes late
    has looked too early."""
    own = {"status": EventStatus.WORKING, "attempts": event.attempts}
    return await uow.change(WebhookEvent, event.id, only_if=own, **fields)


# -- what to read again ------------------------------------------------------------------------


async def _payment(ports: Ports, event: WebhookEvent) -> None:
    if event.account or not event.intent_id:
        return
    uow = ports.store.single()
    payment = await uow.find(Payment, {"intent_id": event.intent_id})
    if payment is None and event.payment_id:
        payment = await uow.find(Payment, {"_id": event.payment_id})
    if payment is None:
        return
    # Mostly it tells what our own task is just being answered: let that one go first.
    await ports.waiter.settled(payment.id, OWN_TASK_SECONDS)
    payment = await uow.get(Payment, payment.id)
    intent = await ports.gateway.intent(event.intent_id)
    if payment.intent_id not in (None, intent.id):
        return await _release_stray(ports, intent)
    known = payment.available_on or intent.status != "succeeded"
    if not known or payment.status not in KNOWN.get(intent.status, ()):
        await apply_intent(ports, payment.id, intent)
    if event.object_type == "refund" or event.type == "charge.refunded":
        await refunds.read_refunds(ports, payment.id)


async def _release_stray(ports: Ports, intent: Intent) -> None:
    """A second hold of one payment, made when the first answer was lost: only one may stay."""
    if intent.status not in ("canceled", "succeeded"):
        await ports.gateway.cancel(intent.id, key=f"stray:{intent.id}:0")


async def _account(ports: Ports, event: WebhookEvent) -> None:
    await refresh_account(ports, event.account or event.object_id)


async def _payout(ports: Ports, event: WebhookEvent) -> None:
    if event.account is None:
        return
    uow = ports.store.single()
    state = await ports.gateway.payout_state(event.account, event.object_id)
    withdrawal = await uow.find(Withdrawal, {"payout_id": event.object_id})
    if withdrawal is None and (id := state.metadata.get("withdrawal_id")):
        withdrawal = await uow.find(Withdrawal, {"_id": id, "account_id": event.account})
    if withdrawal:
        found = withdrawal.id
        await ports.store.transact(lambda uow: settle_withdrawal(uow, found, state))


async def _dispute(ports: Ports, event: WebhookEvent) -> None:
    await chargebacks.refresh_dispute(ports, event.object_id)


async def _transfer(ports: Ports, event: WebhookEvent) -> None:
    if event.account is None:
        await external_reversals.read_reversals(ports, event.object_id)


WORK: Mapping[str, Callable[[Ports, WebhookEvent], Awaitable[None]]] = {
    "payment_intent": _payment,
    "charge": _payment,
    "refund": _payment,
    "dispute": _dispute,
    "transfer": _transfer,
    "payout": _payout,
    "account": _account,
    "capability": _account,
    "application": _account,
}
