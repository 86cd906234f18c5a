"""The sessions of a user, as administrators list and end them. A ban also keeps the user out."""

from typing import Annotated

import msgspec

from domain.accounts.sessions import end_all_sessions, end_revoked_sessions, end_session
from domain.accounts.sign_in import newest_sessions
from domain.accounts.user import User
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import UserId, about
from domain.kernel.text_types import opaque
from domain.operations.command import Command, Id, Meta, Reason, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.sessions import SessionView


class OfUser(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the user.")]


class End(Command, frozen=True):
    """Without `session_id` all sessions of the user end."""

    user_id: Annotated[Id, about("The id of the user.")]
    reason: Reason
    session_id: Annotated[
        Annotated[str, opaque(64)] | None,
        about("The id of the session to end; by default all end."),
    ] = None


class EndedByAdmin(msgspec.Struct, frozen=True):
    """Whose sessions were ended, and how many."""

    user_id: UserId
    count: Annotated[int, about("How many sessions were ended.")]


@operation("admin.sessions", roles=ADMINS, style=Style.DIRECT, errors=(NotFound,))
async def sessions(cmd: OfUser, actor: Actor, ports: Ports, meta: Meta) -> list[SessionView]:
    """The devices of a user that are signed in, newest first. Raises NotFound."""
    user = await ports.store.single().get(User, cmd.user_id)
    return await newest_sessions(ports, user.id, current=actor.session_id)


@operation(
    "admin.session_end",
    roles=ADMINS,
    style=Style.DIRECT,
    audited=True,
    subjects=lambda answer: [answer["user_id"]],
    limits=(Limit(60, 60),),
    errors=(NotFound,),
)
async def session_end(cmd: End, actor: Actor, ports: Ports, meta: Meta) -> EndedByAdmin:
    """End one session of a user, or all of them. The user may sign in again.

    Raises NotFound, Unavailable while sessions cannot be counted.
    """
    user = await ports.store.single().get(User, cmd.user_id)
    open_sessions = {session.id for session in await ports.sessions.list(user.id)}
    if cmd.session_id is None:
        await ports.store.transact(lambda uow: end_all_sessions(uow, user.id))
        await end_revoked_sessions(ports, user.id)
        return EndedByAdmin(user.id, len(open_sessions))
    if cmd.session_id not in open_sessions:
        raise NotFound
    await end_session(ports, user.id, cmd.session_id)
    return EndedByAdmin(user.id, 1)
