"""Money without an owner, as administrators list it."""

from typing import Annotated

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, PageSize, Style
from domain.operations.operation import operation
from domain.reconciliation.ownerless_money import OwnerlessKind, OwnerlessMoney


class List(Command, frozen=True):
    kind: Annotated[OwnerlessKind | None, about("Only money of this kind.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 50


@operation("admin.ownerless", roles=ADMINS, style=Style.READ)
async def ownerless(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[OwnerlessMoney]:
    """List money without an owner, as it was found within the last hour."""
    where = given(kind=cmd.kind)
    return await uow.page(OwnerlessMoney, where, cursor=cmd.cursor, limit=cmd.limit)
