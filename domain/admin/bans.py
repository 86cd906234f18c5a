"""Bans and unbans of users by administrators."""

import contextlib

from domain.accounts.sessions import EndSessions, end_sessions
from domain.accounts.user import User
from domain.admin.lists import SeenUser, seen_user
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import Conflict, Forbidden, Unavailable
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Reason
from domain.operations.operation import operation
from domain.ports.ports import Ports

# -- banned ----------------------------------------------------------------------------------


class Ban(Command, frozen=True):
    user_id: Id
    reason: Reason


class Unban(Command, frozen=True):
    user_id: Id


async def ended(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    """The answer to `ban`: by then no session is left, unless Redis is away; see `EndSessions`."""
    with contextlib.suppress(Unavailable):
        await end_sessions(ports, user_id)
    return await seen(user_id, actor, ports)


async def seen(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    return seen_user(await ports.store.single().get(User, user_id))


@operation("admin.ban", roles=ADMINS, reply=ended)
async def ban(cmd: Ban, actor: Actor, uow: UnitOfWork) -> User:
    """Keep a user out, at once and everywhere. Raises NotFound, Forbidden, Conflict.

    Their money and their work stay as they are, so that the other side gets what was agreed.
    """
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    if user.role is Role.ADMIN:
        raise Forbidden("Administrators are not banned, least of all by themselves.")
    banned = await uow.change(
        User, user.id, only_if={"banned_at": None}, banned_at=uow.now, ban_reason=cmd.reason
    )
    if banned is None:
        raise Conflict("This user is banned already.")
    uow.later(EndSessions(user.id))
    return banned


@operation("admin.unban", roles=ADMINS, reply=seen)
async def unban(cmd: Unban, actor: Actor, uow: UnitOfWork) -> User:
    """Let a user in again. Raises NotFound, Conflict."""
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    free = await uow.change(
        User, user.id, only_if={"banned_at": {"$ne": None}}, banned_at=None, ban_reason=""
    )
    if free is None:
        raise Conflict("This user is not banned.")
    return free
