"""Bans and unbans users."""

from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import User
from domain.admin.lists import SeenUser, seen_user
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import Conflict, Forbidden
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Reason
from domain.operations.operation import operation
from domain.ports.ports import Ports


class Ban(Command, frozen=True):
    user_id: Id
    reason: Reason


class Unban(Command, frozen=True):
    user_id: Id


async def ended_sessions_reply(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    """The reply to `ban`, after all sessions have ended."""
    await end_revoked_sessions(ports, user_id)
    return await user_reply(user_id, actor, ports)


async def user_reply(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    return seen_user(await ports.store.single().get(User, user_id))


@operation("admin.ban", roles=ADMINS, reply=ended_sessions_reply)
async def ban(cmd: Ban, actor: Actor, uow: UnitOfWork) -> User:
    """Ban a user and end all of their sessions. Raises NotFound, Forbidden, Conflict.

    Their money and their work do not change, so that the other side receives what was agreed.
    """
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    if user.role is Role.ADMIN:
        raise Forbidden("Administrators cannot be banned.")
    banned = await uow.change(
        User, user.id, only_if={"banned_at": None}, banned_at=uow.now, ban_reason=cmd.reason
    )
    if banned is None:
        raise Conflict("This user is already banned.")
    await end_all_sessions(uow, user.id)
    return banned


@operation("admin.unban", roles=ADMINS, reply=user_reply)
async def unban(cmd: Unban, actor: Actor, uow: UnitOfWork) -> User:
    """Lift a ban. Raises NotFound, Conflict."""
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    unbanned = await uow.change(
        User, user.id, only_if={"banned_at": {"$ne": None}}, banned_at=None, ban_reason=""
    )
    if unbanned is None:
        raise Conflict("This user is not banned.")
    return unbanned
