"""`server replay`: queues Stripe's events for processing again, by id or by status."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.kernel.errors import Conflict, NotFound
from domain.kernel.store import UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.ports.ports import Ports
from domain.stripe_events.inbox import RECEIVED_LAST, EventStatus, WebhookEvent
from domain.stripe_events.replay import requeue
from server.config import Settings
from server.container import Container

CHUNK = 100


async def run(
    settings: Settings, ids: Sequence[str], statuses: Sequence[EventStatus], since: datetime | None
) -> int:
    """Queue events for the running workers and print them; returns how many were queued.

    Raises NotFound, after queueing the others, for ids that were never received.
    """
    container, queued = Container(settings), 0
    shown = Table("event", "type", "object", "was", "now")
    try:
        await container.store.ping()
        events = await _chosen(container.store.single(), ids, statuses, since)
        for event in events:
            fresh = await _queue(container.ports, event)
            queued += fresh
            now = "queued" if fresh else "already queued"
            shown.add_row(event.id, event.type, event.object_id, event.status, now)
    finally:
        await container.close()
    Console(highlight=False).print(shown)
    if unknown := sorted(set(ids) - {event.id for event in events}):
        raise NotFound(f"Never received: {', '.join(unknown)}. {queued} events are queued again.")
    return queued


async def _chosen(
    uow: UnitOfWork, ids: Sequence[str], statuses: Sequence[EventStatus], since: datetime | None
) -> list[WebhookEvent]:
    if ids:
        return await uow.all(WebhookEvent, {"_id": tuple(ids)}, limit=len(ids))
    where: dict[str, Any] = {"status": tuple(statuses)}
    if since:
        where["created_at"] = {"$gte": since}
    found: list[WebhookEvent] = []
    cursor = None
    while True:
        page = await uow.page(WebhookEvent, where, sort=RECEIVED_LAST, cursor=cursor, limit=CHUNK)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found[::-1]  # in the order of receipt


async def _queue(ports: Ports, event: WebhookEvent) -> bool:
    """Queue one event; False if it is already queued. The audit trail records no user, because the
    command line has none."""

    async def work(uow: UnitOfWork) -> None:
        await requeue(uow, event)
        entry = AuditEntry(operation="cli.replay", fields={"event_id": event.id})
        await record(uow, ports.seal, entry)

    try:
        await ports.store.transact(work)
    except Conflict:
        return False
    return True
