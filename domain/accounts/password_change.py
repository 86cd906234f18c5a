"""Changing the password, and ending the other sessions."""

from typing import Annotated, Any

import msgspec

from domain.accounts.mailed_tokens import void_with_password
from domain.accounts.password_policy import NewPassword, Password, check_password
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import User, verify_password
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound, StepUpRequired, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.command import Command, Meta, NoFields, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS, Limit
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.step_up import StepUpFor


class ChangePassword(Command, frozen=True):
    UNLOGGED = frozenset({"current_password", "password"})

    current_password: Annotated[Password, about("The password until now.")]
    password: Annotated[
        NewPassword, about("The new password: at least 12 characters, hard to guess.")
    ]


class EndedSessions(msgspec.Struct, frozen=True):
    """The number of sessions that were ended."""

    count: Annotated[int, about("How many sessions were ended.")]


@operation(
    "account.password",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT),
    errors=(NotFound, StepUpRequired, WrongCredentials),
)
async def password(cmd: ChangePassword, actor: Actor, ports: Ports, meta: Meta) -> EndedSessions:
    """Set another password and end the other sessions.

    Raises WrongCredentials, StepUpRequired, Invalid.
    """
    user = await verify_password(ports, actor.id, cmd.current_password)
    if user.has_second_factor:
        await ports.step_up.check(actor, StepUpFor.CREDENTIALS)
    check_password(cmd.password, email=user.email, name=user.name)
    password_hash = await ports.passwords.hash(cmd.password)
    others = await _others(ports, actor)

    async def work(uow: UnitOfWork) -> None:
        same = {"password_hash": user.password_hash, "deleted_at": None}
        if not await uow.change(User, user.id, only_if=same, password_hash=password_hash):
            raise WrongCredentials("The password was changed by another request.")
        await void_with_password(uow, user.id)
        await end_all_sessions(uow, user.id, keep=actor.session_id)
        announce(uow, user.id, SecurityFact.PASSWORD_CHANGED)
        await record(uow, ports.seal, entry("account.password", actor, meta))

    await ports.store.transact(work)
    await end_revoked_sessions(ports, user.id)
    return EndedSessions(others)


@operation(
    "account.sessions_end_others",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(Limit(10, 60),),
    errors=(NotFound,),
)
async def sessions_end_others(
    cmd: NoFields, actor: Actor, ports: Ports, meta: Meta
) -> EndedSessions:
    """Sign out all devices but this one. Raises Unavailable while sessions cannot be counted."""
    others = await _others(ports, actor)

    async def work(uow: UnitOfWork) -> None:
        await end_all_sessions(uow, actor.id, keep=actor.session_id)
        await record(uow, ports.seal, entry("account.sessions_end_others", actor, meta))

    await ports.store.transact(work)
    await end_revoked_sessions(ports, actor.id)
    return EndedSessions(others)


async def _others(ports: Ports, actor: Actor) -> int:
    return sum(session.id != actor.session_id for session in await ports.sessions.list(actor.id))


def entry(
    operation: str,
    actor: Actor,
    meta: Meta,
    fields: Any = None,
    command: type[Command] = Command,
) -> AuditEntry:
    """The audit entry of an operation that acts directly and changes its caller's account."""
    return AuditEntry(
        operation,
        fields or {},
        command,
        actor_id=actor.id,
        role=actor.role,
        session_id=actor.session_id,
        address=meta.address,
    )
