"""Dead letters: work that failed too often, and what an administrator does about it.

The same for Stripe's events, which can be worked on again at any time: their effects are guarded.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.outbox import MAX_ATTEMPTS, Lane, OutboxRow
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import ALERT, alert
from domain.operations.command import Command, Cursor, Id, PageSize, Reason, Style
from domain.operations.operation import operation
from domain.stripe_events.inbox import EventStatus, Process, WebhookEvent

ADMINS_PAGE = "/admin"


class Letter(msgspec.Struct, frozen=True):
    """One piece of work: its `kind`, and the id of the object it is about."""

    id: str
    lane: str
    kind: str
    subject: str
    attempts: int
    last_error: str | None
    created_at: datetime


class List(Command, frozen=True):
    lane: Lane | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Retry(Command, frozen=True):
    row_id: Id


class Discard(Command, frozen=True):
    row_id: Id
    reason: Reason


async def bury(uow: UnitOfWork, rows: Sequence[OutboxRow]) -> None:
    """Give up on rows that have used their attempts, unless somebody has them in hand again."""
    for row in rows:
        over = {"dead": False, "lease_until": {"$lte": uow.now}, "attempts": {"$gte": MAX_ATTEMPTS}}
        dead = await uow.change(OutboxRow, row.id, only_if=over, dead=True)
        if dead is None:
            continue
        letter = _letter(dead)
        why = letter.last_error or "Its worker ended each time"
        if letter.kind == Process.tag():
            await uow.change(
                WebhookEvent,
                letter.subject,
                only_if={"status": (EventStatus.RECEIVED, EventStatus.WORKING)},
                status=EventStatus.DEAD,
                last_error=why,
            )
        if not _carries_an_alert(dead):
            await alert(
                uow,
                "dead_letter",
                dead.id,
                f"{letter.kind} about {letter.subject} failed {letter.attempts} times: "
                f"{why}. Retry it once the cause is gone, or discard it.",
            )


def _carries_an_alert(row: OutboxRow) -> bool:
    """An alert about a lost alert would be lost as well, and so on without end."""
    parts = (row.body, row.body.get("data"), *row.body.get("events", ()))
    return row.lane is not Lane.STRIPE and any(
        part.get("name") == ALERT.name or part.get("path") == ADMINS_PAGE
        for part in parts
        if isinstance(part, dict)
    )


@operation("admin.dead_letters", roles=ADMINS, style=Style.READ)
async def dead_letters(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """Work that was given up, newest first."""
    where: dict[str, Any] = {"dead": True, **({"lane": cmd.lane} if cmd.lane else {})}
    page = await uow.page(OutboxRow, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([_letter(row) for row in page.items], page.next_cursor)


@operation("admin.retry", roles=ADMINS)
async def retry(cmd: Retry, actor: Actor, uow: UnitOfWork) -> Letter:
    """Work on a dead letter again, with all its attempts. Raises NotFound."""
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
    letter = _letter(alive or row)
    if letter.kind == Process.tag():
        await uow.change(
            WebhookEvent,
            letter.subject,
            only_if={"status": EventStatus.DEAD},
            status=EventStatus.RECEIVED,
        )
    return letter


@operation("admin.discard", roles=ADMINS)
async def discard(cmd: Discard, actor: Actor, uow: UnitOfWork) -> Letter:
    """Throw a dead letter away, for a reason that the trail keeps. Raises NotFound."""
    row = await uow.get(OutboxRow, cmd.row_id, dead=True)
    await uow.remove(OutboxRow, {"_id": row.id, "dead": True})
    return _letter(row)


def _letter(row: OutboxRow) -> Letter:
    body = dict(row.body)
    kind = str(body.pop("type", ""))
    parts = list(body.values())[: 2 if row.lane is Lane.PUSH else 1]  # namespace and name, or id
    return Letter(
        id=row.id,
        lane=row.lane,
        kind=kind,
        subject=" ".join(map(str, parts)),
        attempts=row.attempts,
        last_error=row.last_error,
        created_at=row.created_at,
    )
