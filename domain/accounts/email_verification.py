"""Proof that a user reads the mails to their address: a code of six digits, or a link."""

from datetime import datetime
from typing import Annotated

from domain.accounts.account_mail import IGNORE, account_mail, link
from domain.accounts.mailed_tokens import (
    Code,
    MailedToken,
    Purpose,
    Token,
    find_token_by_code,
    get_token,
    invalid_code,
    invalid_link,
    issue,
    may_have_code,
    new_token_id,
    send,
    use_up,
    void,
)
from domain.accounts.user import UPDATED, User
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import EmailUnverified, Invalid, NotFound, Rule
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Done, Meta, NoFields, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, Limit
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports


class Verify(Command, frozen=True):
    """One of the two, as they were mailed."""

    UNLOGGED = frozenset({"code", "token"})

    code: Annotated[Code | None, about("The code of the mail; or the token.")] = None
    token: Annotated[Token | None, about("The token of the mailed link; or the code.")] = None


async def verified_user(uow: UnitOfWork, id: str) -> User:
    """The user, for what needs a verified address. Raises EmailUnverified where it is demanded."""
    user = await uow.get(User, id)
    if uow.rates.require_verification and user.verified_at is None:
        raise EmailUnverified
    return user


@operation("account.verify_send", roles=EVERYONE, limits=(Limit(5, 900),), errors=(NotFound,))
async def verify_send(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> Done:
    """Mail a code and a link to the caller's address, unless it is verified already.

    An address gets three such mails in half an hour and ten in a day.
    """
    user = await uow.get(User, actor.id)
    if user.verified_at is None:
        request_verification(uow, user)
    return Done()


def request_verification(uow: UnitOfWork, user: User) -> None:
    uow.later(SendVerification(new_token_id(), user.id, uow.now))


class SendVerification(Task, frozen=True, tag="send_verification"):
    """Mail the code and the link, unless the address has been verified since."""

    lane = Lane.MAIL

    id: str
    user_id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.verified_at or user.deleted_at or user.banned_at:
            return
        token = await issue(ports, self.id, user.id, Purpose.VERIFY, user.email)
        if token is None:
            return
        mail = account_mail(
            ports,
            token,
            "Confirm your e-mail address",
            "Please confirm that this address is yours.",
            f"Open this link within 24 hours:\n{link(ports, token)}",
            await code_text(ports, token),
            IGNORE,
            user_id=user.id,
        )
        await send(ports, mail, self.requested_at)


async def code_text(ports: Ports, token: MailedToken) -> str:
    if not await may_have_code(ports, token):
        return ""
    return f"Or enter this code: {ports.mailed_secrets.code(token.id)}"


@operation(
    "account.verify",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=(PASSWORDS_PER_ACCOUNT,),
    errors=(NotFound,),
)
async def verify(cmd: Verify, actor: Actor, ports: Ports, meta: Meta) -> Done:
    """Confirm the caller's address with a mailed code or token. Raises Invalid.

    A code is void after five attempts.
    """
    if (cmd.code is None) == (cmd.token is None):
        raise Invalid("give either the code or the token.", field="code", rule=Rule.REQUIRED)
    user = await ports.store.single().get(User, actor.id)
    await prove_address(ports, user, cmd.code or cmd.token or "")
    return Done()


async def prove_address(ports: Ports, user: User, proof: str) -> User:
    """Confirm the address of a user by a mailed code or token. Raises Invalid."""
    if proof.isdigit():
        found = await find_token_by_code(ports, user.id, Purpose.VERIFY, proof)
        if found is None:
            raise invalid_code()
        token = found
    else:
        token = await get_token(ports, proof, Purpose.VERIFY)
        if token.account != user.id:
            raise invalid_link()
    return await ports.store.transact(lambda uow: _confirm_address(uow, token))


async def _confirm_address(uow: UnitOfWork, token: MailedToken) -> User:
    """Use up a token that proves its user's address. Raises Invalid."""
    await use_up(uow, token)
    same = {"email": token.email, "deleted_at": None}
    user = await uow.change(User, token.account, only_if=same, verified_at=uow.now)
    if user is None:
        raise invalid_link()
    # A change that was asked for before did not need the agreement of this address.
    await void(uow, user.id, Purpose.VERIFY, Purpose.EMAIL_CHANGE)
    uow.publish(UPDATED, user, to=[user.id])
    return user
