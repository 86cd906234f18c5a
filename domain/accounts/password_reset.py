"""Resetting a lost password by a mailed link, which is valid for 30 minutes and once."""

from datetime import datetime
from typing import Annotated

from domain.accounts.account_mail import IGNORE, account_mail, link
from domain.accounts.mailed_tokens import (
    MailedToken,
    Purpose,
    Token,
    get_token,
    invalid_link,
    issue,
    new_token_id,
    send,
    use_up,
    void_with_password,
)
from domain.accounts.password_policy import NewPassword, check_password
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import User
from domain.kernel.actor import ANYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.store import UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.command import Command, Done, Email, Meta, Style
from domain.operations.limits import (
    LINKS_PER_ADDRESS,
    MAILS_PER_ADDRESS,
    PASSWORDS_PER_ADDRESS,
)
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports


class ResetRequest(Command, frozen=True):
    PERSONAL = frozenset({"email"})

    email: Annotated[Email, about("The e-mail address of the account.")]


class Reset(Command, frozen=True):
    UNLOGGED = frozenset({"token", "password"})

    token: Annotated[Token, about("The token of the mailed link.")]
    password: Annotated[
        NewPassword, about("The new password: at least 12 characters, hard to guess.")
    ]


@operation(
    "account.reset_request",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=True,
    limits=(MAILS_PER_ADDRESS,),
)
async def reset_request(cmd: ResetRequest, actor: Actor | None, ports: Ports, meta: Meta) -> Done:
    """Mail a link for a new password, if there is such an account.

    The answer and its time are the same if there is none. A request sends no mail while the address
    has had its mails and a link that is valid for another 15 minutes. It voids no earlier link.
    """
    # The writes are the same, too: a task finds out whether there is an account.
    user = await ports.store.single().find(User, {"email": cmd.email})
    await ports.store.transact(lambda uow: request_reset(uow, user.id if user else ""))
    return Done()


async def request_reset(uow: UnitOfWork, user_id: str) -> None:
    uow.later(SendReset(new_token_id(), user_id, uow.now))


class SendReset(Task, frozen=True, tag="send_reset"):
    """Mail the link, unless the user is unknown (empty), banned or deleted."""

    lane = Lane.MAIL

    id: str
    user_id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().find(User, {"_id": self.user_id})
        if user is None or user.deleted_at or user.banned_at:
            return
        token = await issue(ports, self.id, user.id, Purpose.RESET, user.email)
        if token is None:
            return
        mail = account_mail(
            ports,
            token,
            "Set a new password",
            "Somebody, probably you, has asked for a new password for your account.",
            f"Set it within 30 minutes:\n{link(ports, token)}",
            IGNORE,
            user_id=user.id,
        )
        await send(ports, mail, self.requested_at)


@operation(
    "account.reset",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(PASSWORDS_PER_ADDRESS, LINKS_PER_ADDRESS),
    errors=(NotFound,),
)
async def reset(cmd: Reset, actor: Actor | None, ports: Ports, meta: Meta) -> Done:
    """Set a new password with a mailed token, and end all sessions. Raises Invalid.

    The token proves the address, too. A refused password does not use it up.
    """
    token = await get_token(ports, cmd.token, Purpose.RESET)
    user = await ports.store.single().find(User, {"_id": token.account, "email": token.email})
    if user is None or user.deleted_at or user.banned_at:
        raise invalid_link()
    check_password(cmd.password, email=user.email, name=user.name)
    password_hash = await ports.passwords.hash(cmd.password)

    async def work(uow: UnitOfWork) -> None:
        await use_up(uow, token)
        await _set_password(uow, token, password_hash)
        entry = AuditEntry("account.reset", {}, Reset, address=meta.address)
        await record(uow, ports.seal, entry)

    await ports.store.transact(work)
    await end_revoked_sessions(ports, user.id)
    return Done()


async def _set_password(uow: UnitOfWork, token: MailedToken, password_hash: str) -> None:
    id, same = token.account, {"email": token.email, "deleted_at": None, "banned_at": None}
    user = await uow.change(User, id, only_if=same, password_hash=password_hash)
    if user is None:
        raise invalid_link()
    if user.verified_at is None:
        await uow.change(User, id, verified_at=uow.now)
    await void_with_password(uow, id)
    await end_all_sessions(uow, id)
    announce(uow, id, SecurityFact.PASSWORD_CHANGED)
