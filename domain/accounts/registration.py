"""Opening an account.

Decision: where addresses must be verified, an account begins with its verification. `register` only
stores what was asked for, and a task mails the address: a code and a link, or that there is an
account already. So answer, writes and time are the same for a known address, and no one occupies
the address of another person. The account is created by the first `login` that has the password
of the registration and the code or the token of the mail: a person who registers a foreign
address does not get the mail, and its owner, who may follow the link, does not have the password.
Creating the user at once was rejected: a `login` right after it would show whether the address was
known.

Where verification is not demanded (`server dev`), the user is created and signed in at once.
"""

import contextlib
from datetime import datetime, timedelta

import msgspec

from domain.accounts.account_mail import IGNORE, account_mail, link
from domain.accounts.email_verification import code_text, prove_address, request_verification
from domain.accounts.mailed_tokens import (
    MailedToken,
    Purpose,
    find_token,
    find_token_by_code,
    issue,
    new_token_id,
    send,
    use_up,
    void,
)
from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.email_address import email_to_find
from domain.kernel.errors import EmailTaken, Invalid, RateLimited, WrongCredentials
from domain.kernel.outbox import Lane
from domain.kernel.record import Index, Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.task import Task
from domain.ports.ports import Ports

KEPT = timedelta(hours=25)  # a little longer than its token


class VerificationRequired(msgspec.Struct, frozen=True):
    """The answer of `register` where the address must be verified before the first `login`."""

    verification_required: bool = True


class Registration(Record, frozen=True):
    """An account that was asked for, until its address is verified. Its id is that of its token."""

    COLLECTION = "registrations"
    PREFIX = "mtk"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    ENCRYPTED = frozenset({"email", "name"})
    LOGGED = False

    email: str
    name: str
    role: Role
    password_hash: str
    expires_at: datetime


async def open_account(ports: Ports, user: User) -> None:
    """Add a user and ask them to verify their address. Raises EmailTaken."""

    async def work(uow: UnitOfWork) -> None:
        await uow.add(user)
        request_verification(uow, user)

    try:
        await ports.store.transact(work)
    except Duplicate as taken:
        raise EmailTaken from taken


async def keep_registration(ports: Ports, user: User) -> None:
    """Store a registration whose address must be verified first."""

    async def work(uow: UnitOfWork) -> None:
        id = new_token_id()
        registration = uow.new(
            Registration,
            id=id,
            email=user.email,
            name=user.name,
            role=user.role,
            password_hash=user.password_hash,
            expires_at=uow.now + KEPT,
        )
        await uow.add(registration)
        uow.later(SendRegistration(id, uow.now))

    await ports.store.transact(work)


class SendRegistration(Task, frozen=True, tag="send_registration"):
    """Mail the code and the link of a registration, or notify the owner of the account."""

    lane = Lane.MAIL

    id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        registration = await uow.find(Registration, {"_id": self.id})
        if registration is None:
            return
        email = registration.email
        user = await uow.find(User, {"email": email})
        account = ports.mailed_secrets.digest(email)
        token = await issue(ports, self.id, account, Purpose.REGISTER, email)
        if token is None:
            return
        if user:
            if user.banned_at:
                await uow.remove(Registration, {"_id": self.id})
                return
            paragraphs = (
                "Somebody, probably you, wanted to open an account with this address. You have one "
                "already.",
                f"Sign in:\n{ports.public_url}/#/sign-in",
                f"Or set a new password:\n{ports.public_url}/#/forgot",
                IGNORE,
            )
            subject = "You have an account already"
        else:
            paragraphs = (
                "Somebody, probably you, has opened an account with this address.",
                f"Open this link within 24 hours and sign in:\n{link(ports, token)}",
                await code_text(ports, token),
                IGNORE,
            )
            subject = "Confirm your e-mail address"
        mail = account_mail(ports, token, subject, *paragraphs, user_id=user.id if user else "")
        await send(ports, mail, self.requested_at)
        if user:  # not before: the task runs again if the mail could not be sent
            await uow.remove(Registration, {"_id": self.id})


async def find_registration(
    ports: Ports, email: str, proof: str
) -> tuple[MailedToken, Registration] | None:
    """The registration of this address with this code or token."""
    if proof.isdigit():
        account = ports.mailed_secrets.digest(email)
        token = await find_token_by_code(ports, account, Purpose.REGISTER, proof)
    else:
        token = await find_token(ports, proof, Purpose.REGISTER)
    if token is None or token.email != email:
        return None
    registration = await ports.store.single().find(Registration, {"_id": token.id})
    return (token, registration) if registration else None


async def complete_registration(
    ports: Ports, token: MailedToken, registration: Registration
) -> User:
    """Create the user. Raises EmailTaken, Invalid."""

    async def work(uow: UnitOfWork) -> User:
        await use_up(uow, token)
        await void(uow, token.account, Purpose.REGISTER)
        await uow.remove(Registration, {"_id": registration.id})
        user = uow.new(
            User,
            email=registration.email,
            name=registration.name,
            role=registration.role,
            password_hash=registration.password_hash,
            verified_at=uow.now,
        )
        await uow.add(user)
        return user

    try:
        return await ports.store.transact(work)
    except Duplicate as taken:
        raise EmailTaken from taken


async def user_with_password(ports: Ports, email: str, password: str, proof: str | None) -> User:
    """The user with this address and password. `proof`, a mailed code or token, confirms the
    address. Raises WrongCredentials, after the same time whether or not the account exists."""
    email = email_to_find(email)
    user = await ports.store.single().find(User, {"email": email})
    pending = await find_registration(ports, email, proof) if proof else None
    known = user or (pending and pending[1])
    fits = await ports.passwords.verify(password, known.password_hash if known else None)
    if known is None or not fits:
        raise WrongCredentials
    if user is None and pending:
        try:
            return await complete_registration(ports, *pending)
        except (EmailTaken, Invalid) as late:
            raise WrongCredentials from late
    assert user is not None
    with contextlib.suppress(RateLimited):
        await _renew_hash(ports, user, password)
    if proof and user.verified_at is None:
        return await prove_address(ports, user, proof)
    return user


async def _renew_hash(ports: Ports, user: User, password: str) -> None:
    """Store a hash of the cost in force. The sign-in is the only time at which it can be made."""
    if renewed := await ports.passwords.renewed(password, user.password_hash):
        same = {"password_hash": user.password_hash, "deleted_at": None}
        await ports.store.single().change(User, user.id, only_if=same, password_hash=renewed)
