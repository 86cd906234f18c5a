"""Dead letters: outbox rows whose attempts all failed. An administrator retries or discards them.

The dead letter of a Stripe event also sets the status of the event.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.outbox import MAX_ATTEMPTS, Lane, OutboxRow
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import ALERT, alert
from domain.operations.command import Command, Cursor, Id, OptionalReason, PageSize, Reason, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.stripe_events.inbox import EventStatus, ProcessEvent, WebhookEvent

ADMINS_PAGE = "/admin"


class DeadLetter(msgspec.Struct, frozen=True):
    """A failed outbox row: the `kind` of its work, and the id of the object it is about."""

    id: Annotated[str, about("Identifies it, for `admin.retry` and `admin.discard`.")]
    lane: Annotated[str, about("The queue that it was in.")]
    kind: Annotated[str, about("What kind of work failed.")]
    subject: Annotated[str, about("The id of what it is about.")]
    attempts: Annotated[int, about("How often it was tried.")]
    last_error: Annotated[
        str | None, about("Why the last attempt failed; null if its process ended.")
    ]
    created_at: Annotated[datetime, about("When it was queued.")]


class List(Command, frozen=True):
    lane: Annotated[Lane | None, about("Only rows of this queue.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Retry(Command, frozen=True):
    row_id: Annotated[Id, about("The id of the dead letter.")]
    reason: OptionalReason = None


class Discard(Command, frozen=True):
    row_id: Annotated[Id, about("The id of the dead letter.")]
    reason: Reason


async def move_to_dead_letters(uow: UnitOfWork, rows: Sequence[OutboxRow]) -> None:
    """Mark rows as dead that have no attempts left and whose lease has expired.

    Administrators are alerted of each row, and a Stripe event becomes dead with its row.
    """
    for row in rows:
        exhausted = {
            "dead": False,
            "lease_until": {"$lte": uow.now},
            "attempts": {"$gte": MAX_ATTEMPTS},
        }
        dead = await uow.change(OutboxRow, row.id, only_if=exhausted, dead=True)
        if dead is None:
            continue
        dead_letter = _dead_letter(dead)
        why = dead_letter.last_error or "Its worker ended each time"
        if dead_letter.kind == ProcessEvent.tag():
            await uow.change(
                WebhookEvent,
                dead_letter.subject,
                only_if={"status": (EventStatus.RECEIVED, EventStatus.WORKING)},
                status=EventStatus.DEAD,
                last_error=why,
            )
        if not _carries_an_alert(dead):
            await alert(
                uow,
                "dead_letter",
                dead.id,
                f"{dead_letter.kind} about {dead_letter.subject} failed {dead_letter.attempts} "
                f"times: {why}. Retry it once the cause is gone, or discard it.",
            )


def _carries_an_alert(row: OutboxRow) -> bool:
    """Whether the row delivers an alert: an alert about its loss could fail the same way."""
    parts = (row.body, row.body.get("data"), *row.body.get("events", ()))
    return row.lane is not Lane.STRIPE and any(
        part.get("name") == ALERT.name or part.get("path") == ADMINS_PAGE
        for part in parts
        if isinstance(part, dict)
    )


@operation("admin.dead_letters", roles=ADMINS, style=Style.READ)
async def list_dead_letters(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[DeadLetter]:
    """List dead letters, newest first."""
    where: dict[str, Any] = {"dead": True, **({"lane": cmd.lane} if cmd.lane else {})}
    page = await uow.page(OutboxRow, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([_dead_letter(row) for row in page.items], page.next_cursor)


@operation("admin.retry", roles=ADMINS, limits=(MONEY_STEPS,), errors=(NotFound,))
async def retry(cmd: Retry, actor: Actor, uow: UnitOfWork) -> DeadLetter:
    """Queue a dead letter again, with all its attempts. Raises NotFound."""
    row = await uow.get(OutboxRow, cmd.row_id, dead=True)
    alive = await uow.change(
        OutboxRow,
        row.id,
        only_if={"dead": True},
        dead=False,
        attempts=0,
        owner="",
        lease_until=uow.now,
        created_at=uow.now,
    )
    dead_letter = _dead_letter(alive or row)
    if dead_letter.kind == ProcessEvent.tag():
        await uow.change(
            WebhookEvent,
            dead_letter.subject,
            only_if={"status": EventStatus.DEAD},
            status=EventStatus.RECEIVED,
        )
    return dead_letter


@operation("admin.discard", roles=ADMINS, errors=(NotFound,))
async def discard(cmd: Discard, actor: Actor, uow: UnitOfWork) -> DeadLetter:
    """Remove a dead letter; the audit trail keeps the reason. Raises NotFound."""
    row = await uow.get(OutboxRow, cmd.row_id, dead=True)
    await uow.remove(OutboxRow, {"_id": row.id, "dead": True})
    return _dead_letter(row)


def _dead_letter(row: OutboxRow) -> DeadLetter:
    body = dict(row.body)
    kind = str(body.pop("type", ""))
    # Of a push its namespace and name, of a task the id that it is about.
    parts = list(body.values())[: 2 if row.lane is Lane.PUSH else 1]
    return DeadLetter(
        id=row.id,
        lane=row.lane,
        kind=kind,
        subject=" ".join(map(str, parts)),
        attempts=row.attempts,
        last_error=row.last_error,
        created_at=row.created_at,
    )
