"""Lists stored Stripe events and processes them again on demand."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import Conflict
from domain.kernel.outbox import OutboxRow
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, PageSize, Style
from domain.operations.operation import operation
from domain.stripe_events.inbox import EventStatus, Process, WebhookEvent


class ListEvents(Command, frozen=True):
    status: EventStatus | None = None
    type: Annotated[str, Limits(max_length=100)] | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Replay(Command, frozen=True):
    event_id: Annotated[str, Limits(min_length=1, max_length=255)]


@operation("admin.webhook_events", roles=ADMINS, style=Style.READ)
async def webhook_events(cmd: ListEvents, actor: Actor, uow: UnitOfWork) -> Page:
    """Stripe's events, newest first."""
    given = {"status": cmd.status, "type": cmd.type}
    where: dict[str, Any] = {name: value for name, value in given.items() if value}
    return await uow.page(WebhookEvent, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.replay", roles=ADMINS)
async def replay(cmd: Replay, actor: Actor, uow: UnitOfWork) -> WebhookEvent:
    """Work on an event again, whatever became of it. Raises NotFound, Conflict."""
    return await queue_again(uow, await uow.get(WebhookEvent, cmd.event_id))


async def queue_again(
    uow: UnitOfWork, event: WebhookEvent, at: datetime | None = None
) -> WebhookEvent:
    """What its dead letter asked for is asked for anew. With `at` (now) any process takes it.

    Raises Conflict while it is waiting or being worked on.
    """
    again = await uow.change(
        WebhookEvent,
        event.id,
        only_if={"status": (EventStatus.DONE, EventStatus.DEAD, EventStatus.QUARANTINED)},
        status=EventStatus.RECEIVED,
        reason=None,
    )
    if again is None:
        raise Conflict("The event is being worked on already.")
    await uow.remove(OutboxRow, {"dead": True, "body.event_id": event.id})
    uow.later(Process(event.id), at)
    return again
