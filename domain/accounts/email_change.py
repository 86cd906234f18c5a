"""Changing the e-mail address.

Decision: the new address proves itself by a link, and then the change takes effect. The old address
is notified of the request and of the change, with a link that undoes both for seven days. Its
consent is not needed, because a user who has lost the old mailbox could then never change it. The
caller has the password, so the undo treats the change as a theft: it ends all sessions, voids the
password, removes the second factors that were added in the week before or since, and mails a link
for a new password. An old address that was never verified gets no link, because it may be a
stranger's by a mistake in typing.
"""

from datetime import datetime, timedelta
from typing import Any

from domain.accounts.account_mail import IGNORE, account_mail, link
from domain.accounts.mailed_tokens import (
    MailedToken,
    Purpose,
    Token,
    add_token,
    get_token,
    invalid_link,
    new_token_id,
    send,
    use_up,
    void,
)
from domain.accounts.password_change import entry
from domain.accounts.password_policy import Password
from domain.accounts.password_reset import request_reset
from domain.accounts.second_factor import remove_factors_since
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import NO_PASSWORD, UPDATED, User, verify_password
from domain.kernel.actor import ANYONE, EVERYONE, Actor
from domain.kernel.errors import Invalid
from domain.kernel.outbox import Lane
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.command import Command, Email, Meta, Style
from domain.operations.limits import (
    LINKS_PER_ADDRESS,
    PASSWORDS_PER_ACCOUNT,
    PASSWORDS_PER_ADDRESS,
    Limit,
)
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports
from domain.ports.step_up import StepUpFor

# Before the change. A thief may have added a second factor first.
SUSPECT = timedelta(days=7)


class ChangeEmail(Command, frozen=True):
    UNLOGGED = frozenset({"password"})
    PERSONAL = frozenset({"email"})

    password: Password
    email: Email


class ConfirmEmail(Command, frozen=True):
    UNLOGGED = frozenset({"token"})

    token: Token


@operation(
    "account.email_change",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT, Limit(3, 1800)),
)
async def email_change(cmd: ChangeEmail, actor: Actor, ports: Ports, meta: Meta) -> dict[str, Any]:
    """Ask for another address; it counts when it is confirmed.

    The answer does not say whether the address has an account. Its owner is told by mail.
    Raises WrongCredentials, StepUpRequired, Invalid.
    """
    user = await verify_password(ports, actor.id, cmd.password)
    if user.has_second_factor:
        await ports.step_up.check(actor, StepUpFor.CREDENTIALS)
    if cmd.email == user.email:
        raise Invalid("email: this is your address already.", field="email")

    async def work(uow: UnitOfWork) -> None:
        await void(uow, user.id, Purpose.EMAIL_CHANGE)
        change = await add_token(uow, new_token_id(), user.id, Purpose.EMAIL_CHANGE, cmd.email)
        uow.later(SendEmailChange(change.id, uow.now))
        if user.verified_at:
            undo = await add_token(uow, new_token_id(), user.id, Purpose.EMAIL_UNDO, user.email)
            uow.later(SendEmailUndo(undo.id, uow.now))
        fields = {"email": cmd.email}
        await record(
            uow, ports.seal, entry("account.email_change", actor, meta, fields, ChangeEmail)
        )

    await ports.store.transact(work)
    return {}


class SendEmailChange(Task, frozen=True, tag="send_email_change"):
    """Mail the link to the new address, or tell the owner of the account that has it."""

    lane = Lane.MAIL

    token_id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        token = await uow.find(MailedToken, {"_id": self.token_id, "used_at": None})
        if token is None:
            return
        if owner := await uow.find(User, {"email": token.email}):
            await uow.change(MailedToken, token.id, used_at=uow.now)
            mail = account_mail(
                ports,
                token,
                "Your address was entered for another account",
                "Somebody wanted to use this address for another account. It belongs to yours, so "
                "nothing was changed.",
                user_id=owner.id,
            )
        else:
            mail = account_mail(
                ports,
                token,
                "Confirm your new e-mail address",
                "Please confirm that this is the new address of your account.",
                f"Open this link within 24 hours:\n{link(ports, token)}",
                IGNORE,
                user_id=token.account,
            )
        await send(ports, mail, self.requested_at)


class SendEmailUndo(Task, frozen=True, tag="send_email_undo"):
    """Tell the old address that a change was asked for, or has been made (`done`)."""

    lane = Lane.MAIL

    token_id: str
    requested_at: datetime
    done: bool = False

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        token = await uow.find(MailedToken, {"_id": self.token_id, "used_at": None})
        if token is None:
            return
        news = "was changed" if self.done else "is about to change"
        mail = account_mail(
            ports,
            token,
            f"The e-mail address of your account {news}",
            f"The e-mail address of your account {news}. If it was you, do nothing.",
            "If it was not you, open this link within seven days. It keeps this address, signs out "
            "all devices, removes second factors that were added recently, and you get a mail to "
            f"set a new password:\n{link(ports, token)}",
            user_id=token.account,
            id=f"{token.id}.done" if self.done else "",
        )
        await send(ports, mail, self.requested_at)


@operation(
    "account.email_confirm",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(LINKS_PER_ADDRESS,),
)
async def email_confirm(
    cmd: ConfirmEmail, actor: Actor | None, ports: Ports, meta: Meta
) -> dict[str, Any]:
    """Confirm the new address, or undo the change, with the token of the mail. Raises Invalid."""
    token = await get_token(ports, cmd.token, Purpose.EMAIL_CHANGE, Purpose.EMAIL_UNDO)
    undone = token.purpose is Purpose.EMAIL_UNDO

    async def work(uow: UnitOfWork) -> None:
        await use_up(uow, token)
        await (_undo if undone else _take_effect)(uow, token)
        fields = {"purpose": token.purpose}
        done = AuditEntry("account.email_confirm", fields, ConfirmEmail, address=meta.address)
        await record(uow, ports.seal, done, [token.account])

    try:
        await ports.store.transact(work)
    except Duplicate as taken:  # somebody else opened an account with it
        raise invalid_link() from taken
    if undone:
        await end_revoked_sessions(ports, token.account)
    return {}


async def _take_effect(uow: UnitOfWork, token: MailedToken) -> None:
    open_account = {"deleted_at": None, "banned_at": None}
    user = await uow.change(
        User, token.account, only_if=open_account, email=token.email, verified_at=uow.now
    )
    if user is None:
        raise invalid_link()
    await void(uow, user.id, Purpose.RESET, Purpose.VERIFY, Purpose.EMAIL_CHANGE)
    undo = {"account": user.id, "purpose": Purpose.EMAIL_UNDO, "used_at": None}
    for each in await uow.all(MailedToken, undo, (("_id", -1),), 1):
        uow.later(SendEmailUndo(each.id, uow.now, done=True))
    announce(uow, user.id, SecurityFact.EMAIL_CHANGED)
    uow.publish(UPDATED, user, to=[user.id])


async def _undo(uow: UnitOfWork, token: MailedToken) -> None:
    user = await uow.change(
        User,
        token.account,
        only_if={"deleted_at": None},
        email=token.email,
        verified_at=uow.now,
        password_hash=NO_PASSWORD,
    )
    if user is None:
        raise invalid_link()
    await void(uow, user.id, Purpose.RESET, Purpose.EMAIL_CHANGE, Purpose.EMAIL_UNDO)
    await remove_factors_since(uow, user.id, token.created_at - SUSPECT)
    await end_all_sessions(uow, user.id)
    await request_reset(uow, user.id)
    uow.publish(UPDATED, user, to=[user.id])
