"""The alerts as administrators list and close them."""

from typing import Annotated

from domain.admin.assignments import unassign
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import opaque
from domain.notifications.alerts import ALERT_UPDATED, AlertRecord
from domain.operations.command import Command, Cursor, Id, PageSize, Reason, Style
from domain.operations.operation import operation

Kind = Annotated[str, opaque(40, least=1)]


class List(Command, frozen=True):
    open: Annotated[bool | None, about("Only alerts that are open, or only others.")] = None
    kind: Annotated[Kind | None, about("Only alerts of this kind, such as refund_failed.")] = None
    subject: Annotated[Id | None, about("Only alerts about this id.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Close(Command, frozen=True):
    alert_id: Annotated[Id, about("The id of the alert.")]
    reason: Reason


@operation("admin.alerts", roles=ADMINS, style=Style.READ)
async def alerts(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[AlertRecord]:
    """List alerts, newest first."""
    where = given(open=cmd.open, kind=cmd.kind, subject=cmd.subject)
    return await uow.page(AlertRecord, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.alert_close", roles=ADMINS, errors=(NotFound,))
async def alert_close(cmd: Close, actor: Actor, uow: UnitOfWork) -> AlertRecord:
    """Close an open alert; a problem that occurs again has a new one. Raises NotFound, Conflict."""
    alert = await uow.get(AlertRecord, cmd.alert_id)
    closed = await uow.change(
        AlertRecord,
        alert.id,
        only_if={"open": True},
        open=False,
        closed_by=actor.id,
        closed_at=uow.now,
        close_reason=cmd.reason,
    )
    if closed is None:
        raise Conflict
    await unassign(uow, closed.id)
    uow.publish(ALERT_UPDATED, closed, room=role_room(Role.ADMIN))
    return closed
