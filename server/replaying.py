"""`server replay`: Stripe's events are worked on again, by id or all of a kind."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.errors import Conflict
from domain.letters import queue_again
from domain.store import Store, UnitOfWork
from domain.trail import Deed, record
from domain.webhooks import EventStatus, WebhookEvent
from server.app import Core
from server.config import Settings

CHUNK = 500


async def run(
    settings: Settings, ids: Sequence[str], statuses: Sequence[EventStatus], since: datetime | None
) -> int:
    """Queue them for the running workers and print them; returns how many there were."""
    core = Core(settings)
    try:
        await core.store.ping()
        events = await _chosen(core.store.single(), ids, statuses, since)
        shown = Table("event", "type", "object", "was")
        for event in events:
            await _queue(core.store, event)
            shown.add_row(event.id, event.type, event.object_id, event.status)
    finally:
        await core.close()
    Console(highlight=False).print(shown)
    return len(events)


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


async def _queue(store: Store, event: WebhookEvent) -> None:
    """In the trail it is the machine's own doing; whoever may run this has the keys anyway."""

    async def work(uow: UnitOfWork) -> None:
        await queue_again(uow, event)
        await record(uow, Deed(operation="cli.replay", fields={"event_id": event.id}))

    try:
        await store.transact(work)
    except Conflict:
        return
