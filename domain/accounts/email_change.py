"""Changing the e-mail address.

Decision: both sides confirm. The new address gets a link, and so does the old one, and the change
takes effect when both were opened, in either order. The old address also gets a link that refuses
the change, or undoes it, for seven days. Its agreement is not needed
- if it was never verified: it may be a stranger's by a mistake in typing, so it gets no mail;
- if the user has a second factor, added none within SUSPECT, and has confirmed their identity:
  otherwise a user who has lost the old mailbox could never change it.

A thief who has the password gains nothing by adding a second factor, not even beside one of the
owner's: as long as one is younger than SUSPECT, the old address must agree, and its owner is mailed
about the factor at once.

The caller has the password, so the undo treats the change as a theft: it ends all sessions, voids
the password, removes the second factors that were added in the week before or since, and mails a
link for a new password.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from domain.accounts.account_mail import IGNORE, account_mail, link
from domain.accounts.mailed_tokens import (
    MailedToken,
    Purpose,
    Token,
    add_token,
    count_recent,
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
from domain.accounts.search_keys import search_keys
from domain.accounts.second_factor import has_old_factors_only, remove_factors_since
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import NO_PASSWORD, UPDATED, User, verify_password
from domain.kernel.actor import ANYONE, EVERYONE, Actor
from domain.kernel.documents import Where
from domain.kernel.errors import Invalid, NotFound, Rule, StepUpRequired, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.command import Command, Done, Email, Meta, Style
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
MAILS_A_DAY = 20  # to one new address, from all accounts
NOTICES_A_DAY = 3  # to the owner of an account, when others enter its address
BOTH = (Purpose.EMAIL_CHANGE, Purpose.EMAIL_AGREE)
OPEN_ACCOUNT = {"deleted_at": None, "banned_at": None}


class ChangeEmail(Command, frozen=True):
    UNLOGGED = frozenset({"password"})
    PERSONAL = frozenset({"email"})

    password: Annotated[Password, about("The password.")]
    email: Annotated[Email, about("The new e-mail address.")]


class ConfirmEmail(Command, frozen=True):
    UNLOGGED = frozenset({"token"})

    token: Annotated[Token, about("The token of the mailed link.")]


class AgreementRequired(msgspec.Struct, frozen=True):
    """The old address must confirm the change, too."""

    agreement_required: Annotated[Literal[True], about("Always true.")] = True


class HalfConfirmed(msgspec.Struct, frozen=True):
    """One address has confirmed the change, and the other one must still do so."""

    confirmed: Annotated[
        Literal["new", "old"], about("Which address has confirmed: the new one or the old one.")
    ]
    pending: Annotated[Literal[True], about("Always true.")] = True


@operation(
    "account.email_change",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(
        PASSWORDS_PER_ADDRESS,
        PASSWORDS_PER_ACCOUNT,
        Limit(3, 1800),
        Limit(6, 86400, bucket="changes of address"),
    ),
    errors=(NotFound, StepUpRequired, WrongCredentials),
)
async def email_change(
    cmd: ChangeEmail, actor: Actor, ports: Ports, meta: Meta
) -> AgreementRequired | Done:
    """Ask for another address; it counts when it is confirmed.

    With `agreement_required` the old address must confirm, too. The answer does not say whether the
    new address has an account. Its owner is notified by mail.
    Raises WrongCredentials, StepUpRequired, Invalid.
    """
    known = await verify_password(ports, actor.id, cmd.password)
    if known.has_second_factor:
        await ports.step_up.check(actor, StepUpFor.ADDRESS)
    if cmd.email == known.email:
        raise Invalid("this is your address already.", field="email", rule=Rule.VALUE)

    async def work(uow: UnitOfWork) -> bool:
        # The write conflicts with a reset of the password, which voids the links.
        same = {"password_hash": known.password_hash, "email": known.email, "deleted_at": None}
        user = await uow.change(User, known.id, only_if=same)
        if user is None:
            raise WrongCredentials("Password or address were changed by another request.")
        must_agree = await _add_links(uow, user, cmd.email)
        fields = {"email": cmd.email}
        await record(
            uow, ports.seal, entry("account.email_change", actor, meta, fields, ChangeEmail)
        )
        return must_agree

    return AgreementRequired() if await ports.store.transact(work) else Done()


async def _add_links(uow: UnitOfWork, user: User, email: str) -> bool:
    """Returns whether the old address must agree.

    A new address that has had its mails for today gets no further link, and no earlier one ends.
    """
    trusted = await has_old_factors_only(uow, user, uow.now - SUSPECT)
    must_agree = user.verified_at is not None and not trusted
    if await count_recent(uow, email, Purpose.EMAIL_CHANGE) >= MAILS_A_DAY:
        return must_agree
    await void(uow, user.id, *BOTH)
    awaits = BOTH if must_agree else ()
    change = await add_token(
        uow, new_token_id(), user.id, Purpose.EMAIL_CHANGE, email, awaits=awaits
    )
    uow.later(SendEmailChange(change.id, uow.now))
    if user.verified_at is None:
        return False
    agree_id = new_token_id() if must_agree else ""
    if must_agree:
        await add_token(
            uow, agree_id, user.id, Purpose.EMAIL_AGREE, user.email, change_id=change.id
        )
    undo = await add_token(uow, new_token_id(), user.id, Purpose.EMAIL_UNDO, user.email)
    uow.later(SendEmailUndo(undo.id, uow.now, agree_id=agree_id))
    return must_agree


class SendEmailChange(Task, frozen=True, tag="send_email_change"):
    """Mail the link to the new address, or notify the owner of the account that has it."""

    lane = Lane.MAIL

    token_id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        token = await uow.find(MailedToken, {"_id": self.token_id, "used_at": None})
        if token is None:
            return
        # The token stays as it is, so that the old address cannot find out by agreeing.
        if owner := await uow.find(User, {"email": token.email}):
            if await count_recent(uow, token.email, token.purpose, before=token) >= NOTICES_A_DAY:
                return
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
                "The old address has been mailed a link, too. The change takes effect when both "
                "have been opened."
                if token.awaits
                else "",
                IGNORE,
                user_id=token.account,
            )
        await send(ports, mail, self.requested_at)


class SendEmailUndo(Task, frozen=True, tag="send_email_undo"):
    """Notify the old address that a change was asked for, or has been made (`done`). With
    `agree_id` it is asked to agree."""

    lane = Lane.MAIL

    token_id: str
    requested_at: datetime
    done: bool = False
    agree_id: str = ""

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        token = await uow.find(MailedToken, {"_id": self.token_id, "used_at": None})
        if token is None:
            return
        agree = await uow.find(MailedToken, {"_id": self.agree_id, "used_at": None})
        news = "was changed" if self.done else "is about to change"
        if agree:
            if_you = (
                "If it was you, open this link within 24 hours, and also the one that we have "
                "mailed to the new address. The change takes effect when both have been opened:"
                f"\n{link(ports, agree)}"
            )
        else:
            if_you = "If it was you, do nothing."
        mail = account_mail(
            ports,
            token,
            f"The e-mail address of your account {news}",
            f"The e-mail address of your account {news}.",
            if_you,
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
    errors=(NotFound,),
)
async def email_confirm(
    cmd: ConfirmEmail, actor: Actor | None, ports: Ports, meta: Meta
) -> HalfConfirmed | Done:
    """Confirm a change of address for the new or the old one, or undo it, with a mailed token.

    With `pending` the address of the other side must still confirm. Raises Invalid.
    """
    token = await get_token(ports, cmd.token, *BOTH, Purpose.EMAIL_UNDO)
    undone = token.purpose is Purpose.EMAIL_UNDO

    async def work(uow: UnitOfWork) -> bool:
        complete = await (_undo if undone else _confirm)(uow, token)
        fields = {"purpose": token.purpose}
        done = AuditEntry("account.email_confirm", fields, ConfirmEmail, address=meta.address)
        await record(uow, ports.seal, done, [token.account])
        return complete

    try:
        complete = await ports.store.transact(work)
    except Duplicate as taken:  # another person opened an account with it
        raise invalid_link() from taken
    if undone:
        await end_revoked_sessions(ports, token.account)
    if complete:
        return Done()
    return HalfConfirmed("new" if token.purpose is Purpose.EMAIL_CHANGE else "old")


async def _confirm(uow: UnitOfWork, token: MailedToken) -> bool:
    """Confirm for one side. Returns whether the change has taken effect: the last one makes it.

    Both sides write the row of the change. Of two at the same time one is run again, and sees the
    other. A link that is opened again while the other is awaited answers the same.
    """
    open_change = {
        "_id": token.change_id or token.id,
        "used_at": None,
        "expires_at": {"$gt": uow.now},
    }
    change = await uow.find(MailedToken, open_change)
    if change is None or not await uow.find(User, {"_id": token.account, **OPEN_ACCOUNT}):
        raise invalid_link()
    awaits = tuple(side for side in change.awaits if side is not token.purpose)
    if awaits:
        await uow.change(MailedToken, change.id, awaits=awaits)
        return False
    await use_up(uow, change)
    await _take_effect(uow, change)
    return True


async def _take_effect(uow: UnitOfWork, change: MailedToken) -> None:
    user = await _set_address(uow, change, OPEN_ACCOUNT)
    await void(uow, user.id, Purpose.RESET, Purpose.VERIFY, *BOTH)
    undo = {"account": user.id, "purpose": Purpose.EMAIL_UNDO, "used_at": None}
    for each in await uow.all(MailedToken, undo, (("_id", -1),), 1):
        uow.later(SendEmailUndo(each.id, uow.now, done=True))
    announce(uow, user.id, SecurityFact.EMAIL_CHANGED)
    uow.publish(UPDATED, user, to=[user.id])


async def _set_address(uow: UnitOfWork, token: MailedToken, only_if: Where, **fields: Any) -> User:
    """Give the user the token's address, which it proves. Raises Invalid."""
    before = await uow.find(User, {"_id": token.account})
    user = await uow.change(
        User,
        token.account,
        only_if=only_if,
        email=token.email,
        search_keys=search_keys(before.name if before else "", token.email),
        verified_at=uow.now,
        **fields,
    )
    if user is None:
        raise invalid_link()
    return user


async def _undo(uow: UnitOfWork, token: MailedToken) -> bool:
    await use_up(uow, token)
    user = await _set_address(uow, token, {"deleted_at": None}, password_hash=NO_PASSWORD)
    await void(uow, user.id, Purpose.RESET, Purpose.EMAIL_UNDO, *BOTH)
    await remove_factors_since(uow, user.id, token.created_at - SUSPECT)
    await end_all_sessions(uow, user.id)
    await request_reset(uow, user.id)
    uow.publish(UPDATED, user, to=[user.id])
    return True
