"""`server replay`: Stripe's events are worked on again, by id or all of a kind."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.kernel.errors import Conflict, NotFound
from domain.kernel.store import UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.ports.ports import Ports
from domain.stripe_events.inbox import EventStatus, WebhookEvent
from domain.stripe_events.replay import requeue
from server.config import Settings
from server.container import Core

CHUNK = 500


async def run(
    settings: Settings, ids: Sequence[str], statuses: Sequence[EventStatus], since: datetime | None
) -> int:
    """Queue them for the running workers and print them; returns how many were queued.

    Raises NotFound, after the others, for ids that were never received.
    """
    core, queued = Core(settings), 0
    shown = Table("event", "type", "object", "was", "now")
    try:
        await core.store.ping()
        events = await _chosen(core.store.single(), ids, statuses, since)
        for event in events:
            fresh = await _queue(core.ports, event)
            queued += fresh
            now = "queued" if fresh else "waits already"
            shown.add_row(event.id, event.type, event.object_id, event.status, now)
    finally:
        await core.close()
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
    while True:
        after = {"_id": {"$gt": found[-1].id}} if found else {}
        chunk = await uow.all(WebhookEvent, {**where, **after}, (("_id", 1),), CHUNK)
        found += chunk
        if len(chunk) < CHUNK:
            return found


async def _queue(ports: Ports, event: WebhookEvent) -> bool:
    """False if it waits already. In the trail it is the machine's own doing; whoever may run this
    has the keys anyway."""

    async def work(uow: UnitOfWork) -> None:
        await requeue(uow, event, at=uow.now)  # this process will not be there
        deed = AuditEntry(operation="cli.replay", fields={"event_id": event.id})
        await record(uow, ports.seal, deed)

    try:
        await ports.store.transact(work)
    except Conflict:
        return False
    return True
