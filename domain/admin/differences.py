"""The differences between Stripe's books and ours, as administrators list and explain them."""

from typing import Annotated

from domain.admin.assignments import unassign
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Reason, Style
from domain.operations.operation import operation
from domain.reconciliation.book_difference import BookDifference, DifferenceStatus

LAST_SEEN = (("last_seen_at", -1), ("_id", -1))


class List(Command, frozen=True):
    status: Annotated[DifferenceStatus | None, about("Only differences in this state.")] = None
    subject: Annotated[Id | None, about("Only differences about this id.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Close(Command, frozen=True):
    difference_id: Annotated[Id, about("The id of the difference.")]
    reason: Reason


@operation("admin.differences", roles=ADMINS, style=Style.READ)
async def differences(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[BookDifference]:
    """List differences, those that were found last first."""
    where = given(status=cmd.status, subject=cmd.subject)
    return await uow.page(BookDifference, where, sort=LAST_SEEN, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.difference_close", roles=ADMINS, errors=(NotFound,))
async def difference_close(cmd: Close, actor: Actor, uow: UnitOfWork) -> BookDifference:
    """Explain a difference. It stays closed when it is found again. Raises NotFound, Conflict."""
    difference = await uow.get(BookDifference, cmd.difference_id)
    closed = await uow.change(
        BookDifference,
        difference.id,
        only_if={"status": DifferenceStatus.OPEN},
        status=DifferenceStatus.EXPLAINED,
        closed_by=actor.id,
        closed_at=uow.now,
        close_reason=cmd.reason,
    )
    if closed is None:
        raise Conflict
    await unassign(uow, closed.id)
    return closed
