"""The paginated list of audit rows for administrators."""

from datetime import datetime
from typing import Any

import msgspec

from domain.kernel import documents
from domain.kernel.actor import Actor, Role
from domain.kernel.paging import lowest_complete
from domain.kernel.record import Page
from domain.kernel.store import NEWEST, UnitOfWork
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.operations.command import Command, Cursor, Id, Moment, PageSize, Style
from domain.operations.operation import operation


class List(Command, frozen=True):
    """`operation` such as `admin.refund`; `subject` is the id of what was changed; `since` a time
    with its zone."""

    actor_id: Id | None = None
    operation: Id | None = None
    subject: Id | None = None
    since: Moment | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class ListedRow(msgspec.Struct, frozen=True):
    """An audit row as administrators see it."""

    id: str
    at: datetime
    seq: int | None
    actor_id: str | None
    role: str | None
    operation: str
    request_id: str | None
    address: str
    subjects: tuple[str, ...]
    detail: Any


@operation("admin.audit", roles={Role.ADMIN}, style=Style.READ)
async def audit_rows(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """The audit trail, newest first."""
    given = {"actor_id": cmd.actor_id, "operation": cmd.operation, "subjects": cmd.subject}
    where: dict[str, Any] = {name: value for name, value in given.items() if value}
    if cmd.since:
        earliest = documents.lowest_id(AuditRow.PREFIX, cmd.since)
        where |= {"created_at": {"$gte": cmd.since}, "_id": {"$gte": earliest}}
    # A row that is chained between the two queries is read twice, never missed.
    pages = [
        await uow.page(kind, where, cursor=cmd.cursor, limit=cmd.limit, share=2)
        for kind in (WaitingRow, AuditRow)
    ]
    floor = lowest_complete(
        [([row.id for row in page.items], page.next_cursor is not None) for page in pages]
    )
    rows = {row.id: row for page in pages for row in page.items if row.id >= floor}
    shown = [rows[id] for id in sorted(rows, reverse=True)[: cmd.limit]]
    more = len(rows) > len(shown) or any(page.next_cursor for page in pages)
    next_cursor = documents.cursor(shown[-1], NEWEST) if more else None
    return Page([_listed(row) for row in shown], next_cursor)


def _listed(row: WaitingRow) -> ListedRow:
    seq = row.seq if isinstance(row, AuditRow) else None
    return ListedRow(
        row.id,
        row.created_at,
        seq,
        row.actor_id,
        row.role,
        row.operation,
        row.request_id,
        row.address,
        row.subjects,
        msgspec.json.decode(row.detail),
    )
