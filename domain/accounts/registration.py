"""Opening an account.

Decision: where addresses must be verified, an account begins with its verification. `register` only
stores what was asked for, and a task mails the address: a code and a link, or that there is an
account already. So answer, writes and time are the same for a known address, and no one occupies
the address of another person. The account is created by the first `login` that has the password
of the registration and the code or the token of the mail: a person who registers a foreign
address does not get the mail, and its owner, who may follow the link, does not have the password.
Creating the user at once was rejected: a `login` right after it would show whether the address was
known.

The code and the token prove the address for every registration of it, and the password chooses one.
So strangers who register the address and use up its mails do not keep its owner out: each of these
mails is good for the owner's registration. Of many, those that the same client asked for are tried
first.

Where verification is not demanded (`server dev`), the user is created and signed in at once.
"""

import contextlib
from datetime import datetime, timedelta
from typing import Annotated

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
from domain.accounts.search_keys import search_keys
from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.errors import EmailTaken, Invalid, RateLimited, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.record import Index, Record
from domain.kernel.store import NEWEST, Duplicate, UnitOfWork
from domain.operations.task import Task
from domain.ports.ports import Ports

KEPT = timedelta(hours=25)  # a little longer than its token
TRIED = 3  # of one client, and of all: each costs the check of a password


class VerificationRequired(msgspec.Struct, frozen=True):
    """The answer of `register` where the address must be verified before the first `login`."""

    verification_required: Annotated[bool, about("Always true.")] = True


class Registration(Record, frozen=True):
    """An account that was asked for, until its address is verified. Its id is that of its token.

    `client` is a keyed digest of the network address that asked.
    """

    COLLECTION = "registrations"
    PREFIX = "mtk"
    INDEXES = (
        Index((("expires_at", 1),), ttl_seconds=0),
        Index((("email_digest", 1), ("client", 1), ("_id", -1))),
        Index((("email_digest", 1), ("_id", -1))),
    )
    ENCRYPTED = frozenset({"email", "name"})
    LOOKUP = frozenset({"email"})
    LOGGED = False

    email: str
    name: str
    role: Role
    password_hash: str
    expires_at: datetime
    client: str = ""


async def open_account(ports: Ports, user: User) -> None:
    """Add a user and ask them to verify their address. Raises EmailTaken."""

    async def work(uow: UnitOfWork) -> None:
        await uow.add(user)
        request_verification(uow, user)

    try:
        await ports.store.transact(work)
    except Duplicate as taken:
        raise EmailTaken from taken


async def keep_registration(ports: Ports, user: User, address: str) -> None:
    """Store a registration whose e-mail address must be verified first. `address` is that of the
    client."""

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
            client=ports.mailed_secrets.digest(address),
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
                f"Sign in:\n{ports.public_url}/sign-in",
                f"Or set a new password:\n{ports.public_url}/forgot",
                IGNORE,
            )
            subject = "You have an account already"
        else:
            paragraphs = (
                "Somebody, probably you, has opened an account with this address.",
                "Open this link within 24 hours and sign in with the password that you have "
                f"chosen:\n{link(ports, token)}",
                await code_text(ports, token),
                IGNORE,
            )
            subject = "Confirm your e-mail address"
        mail = account_mail(ports, token, subject, *paragraphs, user_id=user.id if user else "")
        await send(ports, mail, self.requested_at)
        if user:  # not before: the task runs again if the mail could not be sent
            await uow.remove(Registration, {"_id": self.id})


async def _find_proof(ports: Ports, email: str, proof: str) -> MailedToken | None:
    """The token of a mail to this address."""
    if proof.isdigit():
        account = ports.mailed_secrets.digest(email)
        return await find_token_by_code(ports, account, Purpose.REGISTER, proof)
    token = await find_token(ports, proof, Purpose.REGISTER)
    return token if token and token.email == email else None


async def _find_registrations(ports: Ports, token: MailedToken, address: str) -> list[Registration]:
    """Those of the token's address that may be its owner's, the likeliest first."""
    uow, same = ports.store.single(), {"email": token.email}
    own = {**same, "client": ports.mailed_secrets.digest(address)}
    found = await uow.all(Registration, own, NEWEST, TRIED)
    found += await uow.all(Registration, {**same, "_id": token.id}, limit=1)
    found += await uow.all(Registration, same, NEWEST, TRIED)
    return list({registration.id: registration for registration in found}.values())


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
            search_keys=search_keys(registration.name, registration.email),
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


async def user_with_password(
    ports: Ports, email: str, password: str, proof: str | None, address: str
) -> User:
    """The user with this address, in its stored form, and this password. `proof`, a mailed code or
    token, confirms the address; `address` is that of the client. Raises WrongCredentials, after the
    same time whether or not the account exists."""
    user = await ports.store.single().find(User, {"email": email})
    token = await _find_proof(ports, email, proof) if proof else None
    if user is None and token:
        return await _registered_user(ports, token, password, address)
    fits = await ports.passwords.verify(password, user.password_hash if user else None)
    if user is None or not fits:
        raise WrongCredentials
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


async def _registered_user(ports: Ports, token: MailedToken, password: str, address: str) -> User:
    """Open the account of the registration that has this password. Raises WrongCredentials."""
    for registration in await _find_registrations(ports, token, address):
        if await ports.passwords.verify(password, registration.password_hash):
            try:
                return await complete_registration(ports, token, registration)
            except (EmailTaken, Invalid) as late:
                raise WrongCredentials from late
    raise WrongCredentials
