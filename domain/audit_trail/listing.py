"""The paginated list of audit rows for administrators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.kernel import documents
from domain.kernel.actor import Actor, Role
from domain.kernel.documents import Where
from domain.kernel.fields import about
from domain.kernel.paging import lowest_complete
from domain.kernel.record import Page
from domain.kernel.store import NEWEST, UnitOfWork
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.operations.command import Command, Cursor, Id, Moment, PageSize, Style
from domain.operations.operation import operation


class List(Command, frozen=True):
    """`operation` such as `admin.refund`; `subject` is the id of what was changed; `since` and
    `until` are times with their zone."""

    actor_id: Annotated[Id | None, about("Only rows of this user.")] = None
    operation: Annotated[Id | None, about("Only rows of this operation, such as admin.refund.")] = (
        None
    )
    subject: Annotated[Id | None, about("Only rows about what has this id.")] = None
    since: Annotated[Moment | None, about("Only rows from this time on.")] = None
    until: Annotated[Moment | None, about("Only rows before this time.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class AuditListing(msgspec.Struct, frozen=True):
    """An audit row as administrators see it."""

    id: Annotated[str, about("The id of the row.")]
    at: Annotated[datetime, about("When it happened.")]
    seq: Annotated[int | None, about("Its number in the chain; null while it waits to be chained.")]
    actor_id: Annotated[
        str | None,
        about("The id of the user who did it; null for the platform, or if nobody was signed in."),
    ]
    role: Annotated[str | None, about("Their role; null if nobody was signed in.")]
    session_id: Annotated[str | None, about("The id of their session; null if there was none.")]
    operation: Annotated[
        str,
        about(
            "What they did, such as admin.refund; what the platform did by itself begins with "
            "`platform.`, such as platform.captured."
        ),
    ]
    request_id: Annotated[str | None, about("The request id, if the client gave one.")]
    address: Annotated[str, about("The network address of the client.")]
    subjects: Annotated[tuple[str, ...], about("The ids of what was changed or read.")]
    detail: Annotated[
        Any,
        about("The fields of the command or the cause, and the changes."),
    ]


@operation("admin.audit", roles={Role.ADMIN}, style=Style.READ)
async def audit_rows(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[AuditListing]:
    """The audit trail, newest first."""
    where = documents.given(
        actor_id=cmd.actor_id, operation=cmd.operation, subjects=cmd.subject
    ) | documents.created_between(AuditRow.PREFIX, cmd.since, cmd.until)
    # A row that is chained between the two queries is read twice, never missed.
    pages = [
        await uow.page(kind, where, cursor=cmd.cursor, limit=cmd.limit, share=2)
        for kind in (WaitingRow, AuditRow)
    ]
    shown, more = _merged(pages, cmd.limit)
    next_cursor = documents.cursor(shown[-1], NEWEST) if more else None
    return Page([_listed(row) for row in shown], next_cursor)


async def newest_rows(
    uow: UnitOfWork, where: Where, limit: int, *, share: int
) -> list[AuditListing]:
    """The newest rows of the audit trail, for an answer that has `share` such lists."""
    pages = [
        await uow.page(kind, where, limit=limit, share=2 * share) for kind in (WaitingRow, AuditRow)
    ]
    shown, _ = _merged(pages, limit)
    return [_listed(row) for row in shown]


def _merged(pages: Sequence[Page[Any]], limit: int) -> tuple[list[WaitingRow], bool]:
    """The newest rows, waiting and chained, and whether more follow."""
    floor = lowest_complete(
        [([row.id for row in page.items], page.next_cursor is not None) for page in pages]
    )
    rows = {row.id: row for page in pages for row in page.items if row.id >= floor}
    shown = [rows[id] for id in sorted(rows, reverse=True)[:limit]]
    return shown, len(rows) > len(shown) or any(page.next_cursor for page in pages)


def _listed(row: WaitingRow) -> AuditListing:
    seq = row.seq if isinstance(row, AuditRow) else None
    return AuditListing(
        row.id,
        row.created_at,
        seq,
        row.actor_id,
        row.role,
        row.session_id,
        row.operation,
        row.request_id,
        row.address,
        row.subjects,
        msgspec.json.decode(row.detail),
    )
