"""Signing in with a second factor after the password, or with a passkey alone."""

from typing import Annotated, Any

from domain.accounts.challenges import LIFE, use_up
from domain.accounts.devices import DeviceToken
from domain.accounts.passkey import REFUSED, Passkey, find_signed, record_use
from domain.accounts.passkeys import MOST_PASSKEYS
from domain.accounts.second_factor import (
    CODES_PER_ACCOUNT,
    Asked,
    Code,
    accept_code,
    count_wrong_codes,
)
from domain.accounts.sign_in import SignedIn, signed_in_user, start_session
from domain.accounts.user import User
from domain.kernel.actor import ANYONE, Actor
from domain.kernel.errors import Banned, Invalid, Rule, Unauthenticated, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import opaque
from domain.operations.command import Command, Meta, Style
from domain.operations.limits import PASSWORDS_PER_ADDRESS
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.second_factors import Challenge, PasskeyAnswer, PasskeyRefused, Purpose

ChallengeText = Annotated[str, opaque(1000, least=1)]


class LoginCode(Command, frozen=True):
    """`challenge` is of the refused sign-in, `code` of the app or a recovery code."""

    UNLOGGED = frozenset({"challenge", "code", "device_token"})

    challenge: Annotated[ChallengeText, about("Of the refused sign-in, in its `details`.")]
    code: Annotated[Code, about("Of the authenticator app, or a recovery code.")]
    device_token: Annotated[DeviceToken | None, about("Of an earlier sign-in on this device.")] = (
        None
    )


class PasskeyOptions(Command, frozen=True):
    UNLOGGED = frozenset({"challenge"})

    challenge: Annotated[
        ChallengeText | None,
        about("Of the sign-in that the passkey completes; without one it signs in alone."),
    ] = None


class PasskeyLogin(Command, frozen=True):
    """`challenge` is of the sign-in that the passkey completes; without one it signs in alone."""

    UNLOGGED = frozenset({"passkey", "challenge", "device_token"})

    passkey: Annotated[PasskeyAnswer, about("What `navigator.credentials.get()` returned.")]
    challenge: Annotated[
        ChallengeText | None,
        about("Of the sign-in that the passkey completes; without one it signs in alone."),
    ] = None
    device_token: Annotated[DeviceToken | None, about("Of an earlier sign-in on this device.")] = (
        None
    )


@operation(
    "account.login_code",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=True,
    subjects=signed_in_user,
    limits=(PASSWORDS_PER_ADDRESS, CODES_PER_ACCOUNT),
    errors=(Banned, Unauthenticated, WrongCredentials),
)
async def login_code(cmd: LoginCode, actor: Actor | None, ports: Ports, meta: Meta) -> SignedIn:
    """The second step of `login`. Raises Unauthenticated, WrongCredentials, Banned.

    A wrong code leaves the challenge valid, so that a slip does not cost the password again.
    """
    challenge = ports.challenges.read(Purpose.SIGN_IN, cmd.challenge)
    user = await _signing_in(ports, challenge)

    async def work(uow: UnitOfWork) -> None:
        await use_up(uow, challenge)
        await accept_code(ports, uow, challenge.subject, cmd.code, Asked.SIGN_IN)

    async with count_wrong_codes(ports, challenge.subject, Asked.SIGN_IN):
        await ports.store.transact(work)
    return await start_session(ports, user, meta, cmd.device_token)


@operation(
    "account.passkey_options",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=False,
    limits=(PASSWORDS_PER_ADDRESS,),
    errors=(Unauthenticated,),
)
async def passkey_options(
    cmd: PasskeyOptions, actor: Actor | None, ports: Ports, meta: Meta
) -> dict[str, Any]:
    """Options for `navigator.credentials.get()`; their challenge is signed, and valid once.

    With the `challenge` of a sign-in they name that account's passkeys. Without one they name none,
    so they say nothing about any account, and the passkey must check its user. Raises
    Unauthenticated.
    """
    allowed: list[str] = []
    subject = ""
    if cmd.challenge:
        subject = ports.challenges.read(Purpose.SIGN_IN, cmd.challenge).subject
        found = await ports.store.single().all(Passkey, {"user_id": subject}, limit=MOST_PASSKEYS)
        allowed = [passkey.credential_id for passkey in found if not passkey.suspect_at]
    text, _ = ports.challenges.issue(Purpose.PASSKEY_USE, subject, LIFE)
    return ports.webauthn.request_options(text, allowed=allowed, verified=not cmd.challenge)


@operation(
    "account.passkey_login",
    roles=ANYONE,
    style=Style.DIRECT,
    audited=True,
    subjects=signed_in_user,
    limits=(PASSWORDS_PER_ADDRESS,),
    errors=(Banned, Unauthenticated, WrongCredentials),
)
async def passkey_login(
    cmd: PasskeyLogin, actor: Actor | None, ports: Ports, meta: Meta
) -> SignedIn:
    """Sign in with a passkey that checks its user, or complete a sign-in with any passkey.

    Raises Invalid, Unauthenticated, WrongCredentials, Banned.
    """
    first = ports.challenges.read(Purpose.SIGN_IN, cmd.challenge) if cmd.challenge else None
    if first:
        await _signing_in(ports, first)
    user_id = await use_passkey(
        ports,
        cmd.passkey,
        verified=first is None,
        user_id=first.subject if first else None,
        completes=first,
    )
    user = await ports.store.single().find(User, {"_id": user_id})
    if user is None:
        raise WrongCredentials(REFUSED)
    return await start_session(ports, user, meta, cmd.device_token)


async def _signing_in(ports: Ports, challenge: Challenge) -> User:
    """The user whose password was right when the challenge was issued, unless their sessions have
    been ended since, as by a new password. Raises Unauthenticated, Banned.
    """
    user = await ports.store.single().find(User, {"_id": challenge.subject})
    if user and user.banned_at:
        raise Banned
    if user is None or user.sessions_valid_from != challenge.generation:
        raise Unauthenticated("This sign-in is not valid any more: start again.")
    return user


async def use_passkey(
    ports: Ports,
    answer: PasskeyAnswer,
    *,
    verified: bool,
    user_id: str | None,
    completes: Challenge | None = None,
) -> str:
    """Check an answer to `passkey_options` and use it up; returns the user.

    With `user_id` it must be a passkey of theirs. `completes` is used up with it. Raises Invalid,
    Unauthenticated, WrongCredentials.
    """
    try:
        text = ports.webauthn.challenge_of(answer)
    except PasskeyRefused as refused:
        raise Invalid(
            "this is not a valid answer of a passkey.", field="passkey", rule=Rule.FORMAT
        ) from refused
    challenge = ports.challenges.read(Purpose.PASSKEY_USE, text)
    passkey, use = await find_signed(ports, answer, text, challenge, verified=verified)
    wanted = {passkey.user_id, user_id or passkey.user_id, challenge.subject or passkey.user_id}
    if len(wanted) > 1:
        raise WrongCredentials(REFUSED)

    async def work(uow: UnitOfWork) -> None:
        for each in filter(None, (challenge, completes)):
            await use_up(uow, each)
        await record_use(uow, passkey, use)

    await ports.store.transact(work)
    return passkey.user_id
