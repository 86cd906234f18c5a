"""Bans and unbans users, administrators included."""

from typing import Annotated, Any

from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import User
from domain.admin.lists import SeenUser, seen_user
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import Conflict, Forbidden, NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, OptionalReason, Reason
from domain.operations.operation import operation
from domain.ports.ports import Ports


class Ban(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the user.")]
    reason: Reason


class Unban(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the user.")]
    reason: OptionalReason = None


async def ended_sessions_reply(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    """The reply to `ban`, after all sessions have ended."""
    await end_revoked_sessions(ports, user_id)
    return await user_reply(user_id, actor, ports)


async def user_reply(user_id: str, actor: Actor, ports: Ports) -> SeenUser:
    return seen_user(await ports.store.single().get(User, user_id))


@operation("admin.ban", roles=ADMINS, reply=ended_sessions_reply, errors=(Forbidden, NotFound))
async def ban(cmd: Ban, actor: Actor, uow: UnitOfWork) -> User:
    """Ban a user and end all of their sessions. Raises NotFound, Forbidden, Conflict.

    Their money and their work do not change, so that the other side receives what was agreed. An
    administrator can be banned by another one.
    """
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    if user.id == actor.id:
        raise Forbidden("Administrators cannot ban themselves.")
    if user.role is Role.ADMIN:
        await _keep_administrator(uow, {"_id": actor.id})
    return await end_access(uow, user, cmd.reason)


async def disable_administrator(uow: UnitOfWork, user: User, reason: str) -> User:
    """Ban an administrator from the command line. Raises Conflict for the last one."""
    await _keep_administrator(uow, {"_id": {"$ne": user.id}})
    return await end_access(uow, user, reason)


async def _keep_administrator(uow: UnitOfWork, where: dict[str, Any]) -> None:
    """Make sure that an administrator is left who can sign in.

    Their row is written, so that two administrators who ban each other at the same time conflict:
    one of them is retried and finds themselves banned. Raises Conflict.
    """
    active = {"role": Role.ADMIN, "banned_at": None, "deleted_at": None}
    left = await uow.find(User, {**active, **where})
    if left is None:
        raise Conflict("This is the last administrator: create another one first.")
    await uow.change(User, left.id)


async def end_access(uow: UnitOfWork, user: User, reason: str) -> User:
    """Ban a user. Raises Conflict if they are banned."""
    banned = await uow.change(
        User, user.id, only_if={"banned_at": None}, banned_at=uow.now, ban_reason=reason
    )
    if banned is None:
        raise Conflict("This user is already banned.")
    await end_all_sessions(uow, user.id)
    return banned


@operation("admin.unban", roles=ADMINS, reply=user_reply, errors=(NotFound,))
async def unban(cmd: Unban, actor: Actor, uow: UnitOfWork) -> User:
    """Lift a ban. Raises NotFound, Conflict."""
    user = await uow.get(User, cmd.user_id, deleted_at=None)
    unbanned = await uow.change(
        User, user.id, only_if={"banned_at": {"$ne": None}}, banned_at=None, ban_reason=""
    )
    if unbanned is None:
        raise Conflict("This user is not banned.")
    return unbanned
