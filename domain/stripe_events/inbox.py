"""Stripe's webhook events: stored once by their id, then processed in any order.

An event only names an object, which is read from Stripe again. So duplicates and reordering do not
change the result. Redundant event types are stored but not processed: each deal causes six of them,
and each would cost a request and a transaction. Events about objects of others on the same Stripe
account end as `not_ours`. Malformed ones and those of the other mode are quarantined, and
administrators are alerted.
"""

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

from domain.accounts.user import User
from domain.deals.chargeback import Chargeback
from domain.deals.payment import FraudKind, Payment, PaymentStatus
from domain.disputes import chargebacks
from domain.kernel.fields import about
from domain.kernel.record import Index, Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.cause import caused_by
from domain.operations.task import Task, TryAgain
from domain.payments import fraud, refunds
from domain.payments.card_attempts import count_declined_setup
from domain.payments.duplicates import DuplicateCharge, settle_second_intent
from domain.payments.processing import apply_intent
from domain.payouts import external_reversals
from domain.payouts.transfer import Transfer
from domain.payouts.transfer_tasks import refresh_account
from domain.ports.payment_gateway import ACCOUNT_GONE, MISSING, GatewayRefused
from domain.ports.ports import Ports
from domain.stripe_events.event_body import (
    EventBody,
    EventObject,
    PayoutState,
    ThinEvent,
    payout_state,
)
from domain.stripe_events.payloads import WebhookPayload, packed
from domain.wallet.external_payouts import settle_payouts
from domain.wallet.platform_payouts import book_platform_payout
from domain.wallet.withdrawals import Withdrawal

T = TypeVar("T")

KEPT = timedelta(days=90)
# Ids are Stripe's, and do not grow.
RECEIVED_LAST = (("created_at", -1), ("_id", -1))
OWN_TASK_WAIT_SECONDS = 2
UNKNOWN_ACCOUNT_GRACE = timedelta(minutes=10)  # our own request may still be creating the account
RETRY_AFTER = timedelta(seconds=20)
ALERT_INTERVAL = timedelta(hours=1)
REDUNDANT_TYPES = frozenset(
    {
        "charge.captured",
        "charge.failed",
        "charge.succeeded",
        "payment_intent.created",
        "transfer.created",
    }
)
THIN, ACCOUNT_V2 = "v2.core.event", "v2.core.account"  # types of objects at Stripe
PAYMENT_STATUSES = {
    "requires_capture": (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING),
    "succeeded": (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED),
    "canceled": (PaymentStatus.CANCELED,),
}


class EventStatus(StrEnum):
    """`working`: an attempt started. `dead`: too many attempts failed. `quarantined`: malformed or
    of the other mode. `not_ours`: about an object that this platform did not make."""

    RECEIVED = "received"
    WORKING = "working"
    DONE = "done"
    DEAD = "dead"
    QUARANTINED = "quarantined"
    NOT_OURS = "not_ours"


class NotOurs(Exception):
    """The event is about an object of another integration on the same Stripe account."""


class WebhookEvent(Record, frozen=True):
    """A verified event; its id is Stripe's. `account` is the connected account it is about.

    `digest` is a hash of its type, its account and the state of its object. `reason` says why it is
    quarantined or not ours, and `last_error` why its last attempt failed. `payout` is what it says
    of a payout of a connected account.
    """

    COLLECTION = "webhook_events"
    PREFIX = "evt"
    INDEXES = (
        Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),
        Index((("digest", 1), ("status", 1))),
        Index(RECEIVED_LAST),
        Index((("status", 1), *RECEIVED_LAST)),
        Index((("type", 1), *RECEIVED_LAST)),
        Index((("payment_id", 1), *RECEIVED_LAST), where={"payment_id": {"$gt": ""}}),
        Index((("intent_id", 1), *RECEIVED_LAST), where={"intent_id": {"$gt": ""}}),
        Index((("object_id", 1), *RECEIVED_LAST)),
        Index((("status", 1), ("type", 1), *RECEIVED_LAST)),
        Index((("reason", 1), ("updated_at", -1)), where={"status": EventStatus.QUARANTINED.value}),
    )
    PRIVATE = frozenset({"digest", "payout"})

    type: Annotated[str, about("The type of the event at Stripe, such as charge.refunded.")]
    account: Annotated[
        str | None, about("The connected account that it is about; null for the platform's own.")
    ]
    object_type: Annotated[str, about("What its object is, such as charge.")]
    object_id: Annotated[str, about("The id of its object at Stripe.")]
    digest: str
    status: Annotated[EventStatus, about("Its state.")] = EventStatus.RECEIVED
    intent_id: Annotated[
        str | None, about("The PaymentIntent that it is about; null if there is none.")
    ] = None
    payment_id: Annotated[
        str | None, about("The id of the payment that it is about; null if there is none.")
    ] = None
    attempts: Annotated[int, about("How often it was processed.")] = 0
    reason: Annotated[str | None, about("Why it is quarantined or not ours; otherwise null.")] = (
        None
    )
    last_error: Annotated[str | None, about("Why the last attempt failed; null if none did.")] = (
        None
    )
    processed_at: Annotated[
        datetime | None, about("When it was processed; null if it was not.")
    ] = None
    payout: PayoutState | None = None


async def receive_event(ports: Ports, event: object) -> bool:
    """Store a verified event and queue its processing; False if it was received before."""
    single = ports.store.single()
    row = _record_of(single, event, live=ports.webhooks.live)
    payload = None
    if row.object_type in WITH_PAYLOAD:
        payload = single.new(WebhookPayload, id=row.id, body=packed(event))

    async def store(uow: UnitOfWork) -> None:
        stored = row
        if row.status is EventStatus.RECEIVED and await uow.find(
            WebhookEvent, _unprocessed_duplicate(row)
        ):
            # The duplicate has not read the object yet, so it will read the same state.
            stored = msgspec.structs.replace(row, status=EventStatus.DONE)
        if stored.status is EventStatus.QUARANTINED:
            await _alert_quarantined(uow, stored.id, stored.reason)
        await uow.add(stored)
        if payload:
            await uow.add(payload)
        if stored.status is EventStatus.RECEIVED:
            uow.later(ProcessEvent(stored.id))

    try:
        await ports.store.transact(store)
    except Duplicate:
        return False
    return True


def _record_of(uow: UnitOfWork, event: object, *, live: bool) -> WebhookEvent:
    """The record of an event, with the status in which it is stored."""
    if isinstance(event, dict) and event.get("object") == THIN:
        return _thin_record(uow, event, live=live)
    try:
        body = msgspec.convert(event, EventBody)
        subject = msgspec.convert(body.data.object, EventObject)
    except msgspec.ValidationError as invalid:
        return _malformed(uow, event, str(invalid))
    status, reason = _first_status(body, live)
    if not reason and body.type in REDUNDANT_TYPES:
        status = EventStatus.DONE
    intent = subject.id if subject.object == "payment_intent" else subject.payment_intent
    metadata = subject.metadata if isinstance(subject.metadata, dict) else {}
    payment = metadata.get("payment_id")
    return uow.new(
        WebhookEvent,
        id=body.id,
        type=body.type,
        account=body.account,
        object_type=subject.object,
        # A customer is a person: the id is not kept, since nothing is done with these events.
        object_id=subject.id or "" if subject.object != "customer" else "",
        # With the account, because events of different accounts share the object `application`.
        digest=_digest([body.type, body.account, body.data.object]),
        status=status,
        reason=reason,
        intent_id=intent if isinstance(intent, str) else None,
        payment_id=payment if isinstance(payment, str) else None,
        payout=payout_state(body),
    )


def _first_status(body: EventBody | ThinEvent, live: bool) -> tuple[EventStatus, str | None]:
    if body.livemode is live:
        return EventStatus.RECEIVED, None
    mode = "live" if body.livemode else "test"
    return EventStatus.QUARANTINED, f"It is of Stripe's {mode} mode."


def _thin_record(uow: UnitOfWork, event: object, *, live: bool) -> WebhookEvent:
    """The record of an event of /v2. Two about one object are duplicates until one is processed,
    because neither says what has changed."""
    try:
        body = msgspec.convert(event, ThinEvent)
    except msgspec.ValidationError as invalid:
        return _malformed(uow, event, str(invalid))
    status, reason = _first_status(body, live)
    related = body.related_object
    return uow.new(
        WebhookEvent,
        id=body.id,
        type=body.type,
        account=related.id if related.type == ACCOUNT_V2 else None,
        object_type=related.type,
        object_id=related.id,
        digest=_digest([THIN, related.id]),
        status=status,
        reason=reason,
    )


def _malformed(uow: UnitOfWork, event: object, problem: str) -> WebhookEvent:
    """The record of a signed event that names no object; an administrator has to check it."""
    digest = _digest(event)

    def text(name: str, max_length: int) -> str | None:
        value = event.get(name) if isinstance(event, dict) else None
        return value if isinstance(value, str) and 0 < len(value) <= max_length else None

    return uow.new(
        WebhookEvent,
        id=text("id", 255) or f"evt_shapeless_{digest[:32]}",
        type=text("type", 100) or "shapeless",
        account=None,
        object_type="",
        object_id="",
        digest=digest,
        status=EventStatus.QUARANTINED,
        reason=f"It has not the shape of an event: {problem}.",
    )


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _unprocessed_duplicate(row: WebhookEvent) -> dict[str, Any]:
    return {"digest": row.digest, "status": EventStatus.RECEIVED}


async def _alert_quarantined(uow: UnitOfWork, event_id: str, reason: str | None) -> None:
    """Alert administrators before an event is quarantined.

    One alert is sent for each reason and ALERT_INTERVAL: a wrong endpoint sends thousands of
    events.
    """
    same_reason = {"status": EventStatus.QUARANTINED.value, "reason": reason}
    last = await uow.find(WebhookEvent, same_reason, (("updated_at", -1),))
    if last and uow.now - last.updated_at < ALERT_INTERVAL:
        return
    await alert(
        uow,
        "event_quarantined",
        event_id,
        f"An event was quarantined: {reason} Check the webhook endpoints in Stripe's dashboard, or "
        "replay the event. Further events for the same reason are quarantined without an alert.",
    )


class ProcessEvent(Task, frozen=True, tag="process_stripe_event"):
    """Read the object of an event from Stripe and take over its state."""

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
        status, reason = EventStatus.DONE, None
        try:
            await self._check_account(ports, event)
            if handler := HANDLERS.get(event.object_type):
                with caused_by(event=event.id, event_type=event.type):
                    await handler(ports, event)
        except NotOurs as foreign:
            status, reason = EventStatus.NOT_OURS, str(foreign)
        except Exception as failed:
            problem = f"{type(failed).__name__}: {failed}"[:500]
            with contextlib.suppress(Exception):  # the first exception is the one to raise
                await _change_own(ports.store.single(), event, last_error=problem)
            raise
        uow = ports.store.single()
        await _change_own(
            uow, event, status=status, reason=reason, last_error=None, processed_at=uow.now
        )

    async def _check_account(self, ports: Ports, event: WebhookEvent) -> None:
        """Accept the platform's own events, and those of an account that a contractor has or had.

        Raises TryAgain while the account may still become known, and NotOurs later.
        """
        account = event.account
        uow = ports.store.single()
        if account is None or await uow.find(User, {"connect_id": account}):
            return
        if await uow.find(User, {"closed_accounts": account}):
            return
        if ports.clock.now() - event.created_at < UNKNOWN_ACCOUNT_GRACE:
            raise TryAgain("the account is not known yet", at=ports.clock.now() + RETRY_AFTER)
        raise NotOurs(f"No contractor has the account {account}.")


async def _change_own(uow: UnitOfWork, event: WebhookEvent, **fields: Any) -> WebhookEvent | None:
    """Change an event if this attempt is the latest one; None if a later attempt has started.

    A slow earlier attempt read an older state, so it must not decide the outcome.
    """
    latest = {"status": EventStatus.WORKING, "attempts": event.attempts}
    return await uow.change(WebhookEvent, event.id, only_if=latest, **fields)


# -- handlers by type of object ------------------------------------------------------------------


async def _read(answer: Awaitable[T]) -> T:
    """What Stripe answers about an object that no record names. Raises NotOurs without one."""
    try:
        return await answer
    except GatewayRefused as refused:
        if refused.code != MISSING:
            raise
        raise NotOurs("Stripe has no such object for this platform.") from refused


async def _process_payment(ports: Ports, event: WebhookEvent) -> None:
    if event.account or not event.intent_id:
        raise NotOurs("No payment of this platform has this object.")
    uow = ports.store.single()
    same = {"intent_id": event.intent_id}
    # Usually our own task is receiving the same state in its response: let it finish first.
    if event.payment_id:
        await ports.waiter.settled(event.payment_id, OWN_TASK_WAIT_SECONDS)
    payment = await uow.find(Payment, same)
    if payment is None and event.payment_id:
        payment = await uow.find(Payment, {"_id": event.payment_id})
    if payment is None and (second := await uow.find(DuplicateCharge, same)):
        payment = await uow.find(Payment, {"_id": second.payment_id})
    if payment is None:
        raise NotOurs("No payment of this platform has this PaymentIntent.")
    if payment.id != event.payment_id:
        await ports.waiter.settled(payment.id, OWN_TASK_WAIT_SECONDS)
        payment = await uow.get(Payment, payment.id)
    intent = await ports.gateway.intent(event.intent_id)
    if payment.intent_id not in (None, intent.id):
        return await settle_second_intent(ports, payment, intent)
    known = payment.available_on or intent.status != "succeeded"
    if not known or payment.status not in PAYMENT_STATUSES.get(intent.status, ()):
        await apply_intent(ports, payment.id, intent)
    if event.object_type == "refund" or event.type == "charge.refunded":
        await refunds.read_refunds(ports, payment.id)


async def _process_account(ports: Ports, event: WebhookEvent) -> None:
    account = event.account or event.object_id
    if event.account is None and not await ports.store.single().find(User, {"connect_id": account}):
        raise NotOurs("No contractor has this account.")
    await refresh_account(ports, account)


async def _process_external_account(ports: Ports, event: WebhookEvent) -> None:
    """A bank account or a card to which an account is paid out: read what it takes."""
    if event.account:
        await refresh_account(ports, event.account)


async def _process_payout(ports: Ports, event: WebhookEvent) -> None:
    if event.account is None:
        for line in await _read(ports.gateway.payout_lines(event.object_id)):
            await book_platform_payout(ports, line)
        return
    known = await ports.store.single().find(Withdrawal, {"payout_id": event.object_id})
    asked = ports.gateway.payout_state(event.account, event.object_id)
    try:
        payout = await (asked if known else _read(asked))
    except GatewayRefused as refused:
        if refused.code != ACCOUNT_GONE or event.payout is None:
            raise
        payout = event.payout.movement
    await settle_payouts(ports, event.account, [payout])


async def _process_setup(ports: Ports, event: WebhookEvent) -> None:
    """A card could not be saved: it counts as an attempt, and further ones may have to end."""
    if event.account or event.type != "setup_intent.setup_failed":
        return
    setup = await _read(ports.gateway.setup_state(event.object_id))
    customer = {"customer_id": setup.customer_id}
    user = await ports.store.single().find(User, customer) if setup.customer_id else None
    if user is None:
        raise NotOurs("No customer of this platform prepared it.")
    id = user.id
    over = await ports.store.transact(lambda uow: count_declined_setup(uow, id, event.id, setup))
    if over and setup.status not in ("canceled", "succeeded"):
        await ports.gateway.cancel_setup(setup.id, key=f"cancel_setup:{setup.id}:0")


async def _process_dispute(ports: Ports, event: WebhookEvent) -> None:
    if event.account:
        raise NotOurs("It is about a charge of a connected account.")
    known = await ports.store.single().find(Chargeback, {"stripe_id": event.object_id})
    asked = chargebacks.refresh_dispute(ports, event.object_id)
    if not await (asked if known else _read(asked)):
        raise NotOurs("It is about a charge of no payment of this platform.")


async def _process_fraud_signal(ports: Ports, event: WebhookEvent) -> None:
    if event.account:
        raise NotOurs("It is about a charge of a connected account.")
    kind = FraudKind.REVIEW if event.object_type == "review" else FraudKind.WARNING
    if not await _read(fraud.read_fraud_signal(ports, kind, event.object_id)):
        raise NotOurs("It is about no payment of this platform.")


async def _process_transfer(ports: Ports, event: WebhookEvent) -> None:
    if event.account:
        raise NotOurs("A connected account made it.")
    known = await ports.store.single().find(Transfer, {"stripe_id": event.object_id})
    asked = external_reversals.read_reversals(ports, event.object_id)
    if not await (asked if known else _read(asked)):
        raise NotOurs("No completion made this transfer.")


HANDLERS: Mapping[str, Callable[[Ports, WebhookEvent], Awaitable[None]]] = {
    "payment_intent": _process_payment,
    "charge": _process_payment,
    "refund": _process_payment,
    "setup_intent": _process_setup,
    "dispute": _process_dispute,
    "radar.early_fraud_warning": _process_fraud_signal,
    "review": _process_fraud_signal,
    "transfer": _process_transfer,
    "payout": _process_payout,
    "account": _process_account,
    ACCOUNT_V2: _process_account,
    "bank_account": _process_external_account,
    "card": _process_external_account,
    "capability": _process_account,
    "application": _process_account,
}
# Of those that are processed, and of malformed events. Others are about things and persons that
# nothing is done with.
WITH_PAYLOAD = frozenset({"", *HANDLERS}) - {"bank_account", "card"}
