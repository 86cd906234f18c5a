"""Lists stored Stripe events and processes them again on demand."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.fields import about
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import opaque
from domain.operations.command import Command, Cursor, OptionalReason, PageSize, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.stripe_events.inbox import RECEIVED_LAST, EventStatus, ProcessEvent, WebhookEvent
from domain.stripe_events.payloads import WebhookPayload

REPLAYABLE = (EventStatus.DONE, EventStatus.DEAD, EventStatus.QUARANTINED, EventStatus.NOT_OURS)


class ListEvents(Command, frozen=True):
    status: Annotated[EventStatus | None, about("Only events in this state.")] = None
    type: Annotated[
        Annotated[str, opaque(100)] | None,
        about("Only events of this type, such as charge.refunded."),
    ] = None
    payment_id: Annotated[
        Annotated[str, opaque(64, least=1)] | None,
        about("Only events about this payment."),
    ] = None
    object_id: Annotated[
        Annotated[str, opaque(255, least=1)] | None,
        about("Only events about the object with this id at Stripe, such as ch_..."),
    ] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class EventById(Command, frozen=True):
    event_id: Annotated[str, opaque(255, least=1), about("The id of the event at Stripe, evt_...")]


class Replay(EventById, frozen=True):
    reason: OptionalReason = None


class EventWithPayload(msgspec.Struct, frozen=True):
    """One of Stripe's events, with what Stripe sent as its last field."""

    id: Annotated[str, about("The id of the event at Stripe.")]
    version: Annotated[int, about("Counts the changes.")]
    created_at: Annotated[datetime, about("When it was received.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    type: Annotated[str, about("The type of the event at Stripe, such as charge.refunded.")]
    account: Annotated[
        str | None, about("The connected account that it is about; null for the platform's own.")
    ]
    object_type: Annotated[str, about("What its object is, such as charge.")]
    object_id: Annotated[str, about("The id of its object at Stripe.")]
    status: Annotated[EventStatus, about("Its state.")]
    intent_id: Annotated[
        str | None, about("The PaymentIntent that it is about; null if there is none.")
    ]
    payment_id: Annotated[
        str | None, about("The id of the payment that it is about; null if there is none.")
    ]
    attempts: Annotated[int, about("How often it was processed.")]
    reason: Annotated[str | None, about("Why it is quarantined or not ours; otherwise null.")]
    last_error: Annotated[str | None, about("Why the last attempt failed; null if none did.")]
    processed_at: Annotated[datetime | None, about("When it was processed; null if it was not.")]
    payload: Annotated[
        Any,
        about(
            "What Stripe sent, without personal fields; null after 30 days, and if it is not kept."
        ),
    ]


@operation("admin.webhook_events", roles=ADMINS, style=Style.READ)
async def list_events(cmd: ListEvents, actor: Actor, uow: UnitOfWork) -> Page[WebhookEvent]:
    """List Stripe's events, the one that was received last first."""
    where = given(
        status=cmd.status, type=cmd.type, payment_id=cmd.payment_id, object_id=cmd.object_id
    )
    return await uow.page(
        WebhookEvent, where, sort=RECEIVED_LAST, cursor=cmd.cursor, limit=cmd.limit
    )


@operation("admin.webhook_event", roles=ADMINS, style=Style.READ, errors=(NotFound,))
async def get_event(cmd: EventById, actor: Actor, uow: UnitOfWork) -> EventWithPayload:
    """One of Stripe's events with its payload. Raises NotFound."""
    event = await uow.get(WebhookEvent, cmd.event_id)
    payload = await uow.find(WebhookPayload, {"_id": event.id})
    known = {name: getattr(event, name) for name in EventWithPayload.__struct_fields__[:-1]}
    return EventWithPayload(**known, payload=payload.value if payload else None)


@operation("admin.replay", roles=ADMINS, limits=(MONEY_STEPS,), errors=(NotFound,))
async def replay_event(cmd: Replay, actor: Actor, uow: UnitOfWork) -> WebhookEvent:
    """Process an event again. Raises NotFound, and Conflict while it is being processed."""
    return await requeue(uow, await uow.get(WebhookEvent, cmd.event_id))


async def requeue(uow: UnitOfWork, event: WebhookEvent) -> WebhookEvent:
    """Queue the processing of an event again, in place of its dead letter.

    Raises Conflict while it is queued or being processed.
    """
    requeued = await uow.change(
        WebhookEvent,
        event.id,
        only_if={"status": REPLAYABLE},
        status=EventStatus.RECEIVED,
        reason=None,
    )
    if requeued is None:
        raise Conflict("The event is already being processed.")
    await uow.remove(OutboxRow, {"lane": Lane.STRIPE, "subject": event.id, "dead": True})
    uow.later(ProcessEvent(event.id))
    return requeued
