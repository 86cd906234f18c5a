"""Registration, sign-in, token refresh and the list of open sessions."""

import contextlib
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.challenges import LIFE
from domain.accounts.device_names import MAX_NAME, device_name
from domain.accounts.devices import DeviceToken, known_device, note_device, remember_device
from domain.accounts.mailed_tokens import Token
from domain.accounts.password_policy import NewPassword, Password, check_password
from domain.accounts.registration import (
    VerificationRequired,
    keep_registration,
    open_account,
    user_with_password,
)
from domain.accounts.second_factor import methods_of
from domain.accounts.sessions import (
    end_revoked_sessions,
    end_session,
    is_revoked,
    start_valid_session,
)
from domain.accounts.user import Name, User, new_user
from domain.kernel.actor import ANYONE, EVERYONE, Actor, PartyRole, Role
from domain.kernel.errors import (
    Banned,
    EmailTaken,
    NotFound,
    SecondFactorRequired,
    Unauthenticated,
    Unavailable,
    WrongCredentials,
)
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import line, opaque
from domain.operations.command import Command, Email, KnownEmail, Meta, NoFields, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS, Limit
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.second_factors import Purpose
from domain.ports.sessions import Device, SessionEnded, SessionView, TokenReused, Tokens

SIGN_IN_AGAIN = "The refresh token is not valid any more: sign in again."
SESSIONS_SHOWN = 200


# What the user calls the device; the default is made of the `User-Agent`.
DeviceName = Annotated[str, line(MAX_NAME, least=0)]


class SignedIn(msgspec.Struct, frozen=True):
    """A new session, with its account."""

    user: Annotated[User, about("The account.")]
    access_token: Annotated[str, about("Authorizes requests and sockets until `expires_at`.")]
    refresh_token: Annotated[
        str, about("Can be exchanged once for new tokens, by `account.refresh`.")
    ]
    expires_at: Annotated[datetime, about("When the access token expires.")]
    device_token: Annotated[
        str, about("Keep it beyond the session, and give it at the next sign-in on this device.")
    ]
    second_factor_setup_required: Annotated[
        bool, about("Whether this session may only set up a second factor.")
    ] = False


class Register(Command, frozen=True):
    UNLOGGED = frozenset({"password"})
    PERSONAL = frozenset({"email", "name"})

    email: Annotated[Email, about("The e-mail address.")]
    password: Annotated[NewPassword, about("At least 12 characters, hard to guess.")]
    name: Annotated[Name, about("The name that others see.")]
    role: Annotated[PartyRole, about("Whether the account is a customer's or a contractor's.")]
    device: Annotated[
        DeviceName | None,
        about("What the user calls the device; by default a name made of the `User-Agent`."),
    ] = None


class Login(Command, frozen=True):
    """`device_token` is that of an earlier sign-in of the same user on the same device,
    `verification` the code or the token of the mail that asks to confirm the address."""

    UNLOGGED = frozenset({"password", "device_token", "verification"})
    PERSONAL = frozenset({"email"})

    email: Annotated[KnownEmail, about("The e-mail address.")]
    password: Annotated[Password, about("The password.")]
    device_token: Annotated[DeviceToken | None, about("Of an earlier sign-in on this device.")] = (
        None
    )
    verification: Annotated[
        Token | None, about("The code or the token of the mail that asks to confirm the address.")
    ] = None
    device: Annotated[
        DeviceName | None,
        about("What the user calls the device; by default a name made of the `User-Agent`."),
    ] = None


class Refresh(Command, frozen=True):
    UNLOGGED = frozenset({"refresh_token"})

    refresh_token: Annotated[str, opaque(200), about("The refresh token of the session.")]


class EndedSession(msgspec.Struct, frozen=True):
    """The session that has ended."""

    session_id: Annotated[str, about("The id of the session that has ended.")]


class Revoke(Command, frozen=True):
    session_id: Annotated[str, opaque(64), about("The id of the session to end.")]


def signed_in_user(answer: dict[str, Any]) -> list[str]:
    return [answer["user"]["id"]] if "user" in answer else []


@operation(
    "account.register",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=True,
    subjects=signed_in_user,
    limits=(PASSWORDS_PER_ADDRESS,),
    errors=(EmailTaken,),
)
async def register(
    cmd: Register, actor: Actor | None, ports: Ports, meta: Meta
) -> SignedIn | VerificationRequired:
    """Open a customer's or contractor's account and sign it in. Raises EmailTaken, Invalid.

    Where addresses must be verified, the answer is the same for each address: the account opens
    with the first `login`.
    """
    check_password(cmd.password, email=cmd.email, name=cmd.name)
    user = await new_user(
        ports, email=cmd.email, password=cmd.password, name=cmd.name, role=Role(cmd.role)
    )
    if ports.store.rates.require_verification:
        await keep_registration(ports, user, meta.address)
        return VerificationRequired()
    name = device_name(cmd.device, meta.agent)
    # The session first: a failure leaves no account that its owner did not get into.
    tokens = await ports.sessions.start(user.id, user.role, meta.address, device=name)
    try:
        await open_account(ports, user)
    except EmailTaken:
        await ports.sessions.end(user.id, tokens.refresh_token.partition(".")[0])
        raise
    return _signed_in(ports, user, tokens, None)


@operation(
    "account.login",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=True,
    subjects=signed_in_user,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT),
    errors=(Banned, SecondFactorRequired, WrongCredentials),
)
async def login(cmd: Login, actor: Actor | None, ports: Ports, meta: Meta) -> SignedIn:
    """Sign in with e-mail and password. `second_factor_required` is continued by
    `account.login_code` or `account.passkey_login`, with its `challenge`.

    Raises WrongCredentials, after the same time whether or not the account exists, Banned, and
    SecondFactorRequired.
    """
    user = await user_with_password(ports, cmd.email, cmd.password, cmd.verification, meta.address)
    if user.has_second_factor:
        challenge, expires_at = ports.challenges.issue(
            Purpose.SIGN_IN, user.id, LIFE, user.sessions_valid_from
        )
        methods = methods_of(user)
        raise SecondFactorRequired(challenge=challenge, expires_at=expires_at, methods=methods)
    return await start_session(ports, user, meta, cmd.device_token, cmd.device)


async def start_session(
    ports: Ports, user: User, meta: Meta, device_token: str | None, device: str | None = None
) -> SignedIn:
    """Sign in a user who has proved who they are. Raises Banned, WrongCredentials."""
    demanded = ports.demands.second_factor and user.role is Role.ADMIN
    limited = demanded and not user.has_second_factor
    name = device_name(device, meta.agent)
    user, tokens = await start_valid_session(ports, user, meta.address, name, limited)
    known = known_device(ports, device_token, user.id)
    await note_device(ports, user, known, tokens.refresh_token.partition(".")[0])
    return _signed_in(ports, user, tokens, known, limited)


@operation(
    "account.refresh", roles=ANYONE, style=Style.DIRECT, audited=False, errors=(Unauthenticated,)
)
async def refresh(cmd: Refresh, actor: Actor | None, ports: Ports, meta: Meta) -> Tokens:
    """Exchange a refresh token for a new pair. A reused one ends the session everywhere.

    A repetition within 30 seconds gets the same pair: tabs refresh together, answers get lost.

    Raises Unauthenticated; `details.banned` is true if the session ended with a ban in force.
    """
    try:
        rotated = await ports.sessions.rotate(cmd.refresh_token)
    except TokenReused as reused:
        await end_session(ports, reused.user_id, reused.session_id)
        raise Unauthenticated(SIGN_IN_AGAIN) from reused
    except SessionEnded as ended:
        await _refuse_banned(ports, ended.user_id)
        raise Unauthenticated(SIGN_IN_AGAIN) from ended
    user_id, session_id = rotated.user_id, rotated.session_id
    uow = ports.store.single()
    revoked = await is_revoked(uow, user_id, session_id, rotated.generation)
    if revoked or (not rotated.limited and await _lacks_second_factor(ports, user_id)):
        await _refuse_banned(ports, user_id)
        await ports.sessions.end(user_id, session_id)
        raise Unauthenticated(SIGN_IN_AGAIN)
    return rotated.tokens


async def _refuse_banned(ports: Ports, user_id: str) -> None:
    """Raises Unauthenticated if the user is banned, after all of their sessions have ended."""
    user = await ports.store.single().find(User, {"_id": user_id})
    if user and user.banned_at:
        await end_revoked_sessions(ports, user_id)
        raise Unauthenticated(Banned.message, banned=True)


async def _lacks_second_factor(ports: Ports, user_id: str) -> bool:
    """Whether a session was started before the deployment demanded a second factor of its user."""
    if not ports.demands.second_factor:
        return False
    user = await ports.store.single().find(User, {"_id": user_id})
    return user is None or (user.role is Role.ADMIN and not user.has_second_factor)


@operation("account.me", roles=EVERYONE, style=Style.READ, audited=False, during_setup=True)
async def me(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> User:
    """Read one's own account."""
    user = await uow.find(User, {"_id": actor.id})
    if user is None:
        raise Unauthenticated
    return user


@operation("account.logout", roles=EVERYONE, style=Style.DIRECT, audited=True, during_setup=True)
async def logout(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> EndedSession:
    """End this session; its sockets are closed on all processes."""
    await end_session(ports, actor.id, actor.session_id)
    return EndedSession(actor.session_id)


@operation("account.sessions", roles=EVERYONE, style=Style.DIRECT, audited=False)
async def sessions(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> list[SessionView]:
    """The signed-in devices, newest first, up to 200."""
    return await newest_sessions(ports, actor.id, current=actor.session_id)


async def newest_sessions(ports: Ports, user_id: str, *, current: str) -> list[SessionView]:
    """The sessions of a user, newest first, up to SESSIONS_SHOWN, with the `current` one marked."""
    found = await ports.sessions.list(user_id)
    newest = sorted(found, key=lambda s: s.created_at, reverse=True)[:SESSIONS_SHOWN]
    return [msgspec.structs.replace(session, current=session.id == current) for session in newest]


@operation(
    "account.revoke",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=(Limit(60, 60),),
    errors=(NotFound,),
)
async def revoke(cmd: Revoke, actor: Actor, ports: Ports, meta: Meta) -> EndedSession:
    """End one of one's own sessions. Raises NotFound."""
    # Without Redis the owner of the session is unknown. Then the end is recorded for the caller's
    # own user only, so that a foreign id has no effect.
    with contextlib.suppress(Unavailable):
        own = await ports.sessions.list(actor.id)
        if cmd.session_id not in {session.id for session in own}:
            raise NotFound
    await end_session(ports, actor.id, cmd.session_id)
    return EndedSession(cmd.session_id)


def _signed_in(
    ports: Ports, user: User, tokens: Tokens, known: Device | None, limited: bool = False
) -> SignedIn:
    return SignedIn(
        user,
        tokens.access_token,
        tokens.refresh_token,
        tokens.expires_at,
        remember_device(ports, user, known),
        limited,
    )
