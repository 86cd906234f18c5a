"""Lists stored Stripe events and processes them again on demand."""

from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import Conflict
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, PageSize, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.stripe_events.inbox import EventStatus, ProcessEvent, WebhookEvent


class ListEvents(Command, frozen=True):
    status: EventStatus | None = None
    type: Annotated[str, Limits(max_length=100)] | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class ReplayEvent(Command, frozen=True):
    event_id: Annotated[str, Limits(min_length=1, max_length=255)]


@operation("admin.webhook_events", roles=ADMINS, style=Style.READ)
async def list_events(cmd: ListEvents, actor: Actor, uow: UnitOfWork) -> Page:
    """List Stripe's events, newest first."""
    filters = {"status": cmd.status, "type": cmd.type}
    where: dict[str, Any] = {name: value for name, value in filters.items() if value}
    return await uow.page(WebhookEvent, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.replay", roles=ADMINS, limits=(MONEY_STEPS,))
async def replay_event(cmd: ReplayEvent, actor: Actor, uow: UnitOfWork) -> WebhookEvent:
    """Process an event again. Raises NotFound, and Conflict while it is being processed."""
    return await requeue(uow, await uow.get(WebhookEvent, cmd.event_id))


async def requeue(uow: UnitOfWork, event: WebhookEvent) -> WebhookEvent:
    """Queue the processing of an event again, in place of its dead letter.

    Raises Conflict while it is queued or being processed.
    """
    requeued = await uow.change(
        WebhookEvent,
        event.id,
        only_if={"status": (EventStatus.DONE, EventStatus.DEAD, EventStatus.QUARANTINED)},
        status=EventStatus.RECEIVED,
        reason=None,
    )
    if requeued is None:
        raise Conflict("The event is already being processed.")
    await uow.remove(OutboxRow, {"lane": Lane.STRIPE, "subject": event.id, "dead": True})
    uow.later(ProcessEvent(event.id))
    return requeued
