"""The second factor of a user: the secret of their authenticator app, and recovery codes."""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from domain.accounts.passkey import Passkey
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import User
from domain.kernel.actor import Actor, Role
from domain.kernel.bounds import Bounded
from domain.kernel.errors import (
    Conflict,
    NotFound,
    Unauthenticated,
    Unavailable,
    WrongCredentials,
)
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import opaque
from domain.operations import audit_log
from domain.operations.audit_log import AuditEntry
from domain.operations.limits import Limit, Per
from domain.ports.ports import Ports

RECOVERY_CODES = 10
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike
GROUPS, GROUP = 6, 4  # 118 bits, so that a digest needs no salt and no slow hash

Code = Annotated[str, opaque(40, least=6)]  # of the app, or a recovery code


# A guess is right with a probability of 3 in a million. A person who guesses codes knows the
# password, so its owner is notified. After many guesses in a row, from however many addresses, no
# codes of the app are accepted until its owner has signed in otherwise: recovery codes and passkeys
# cannot be guessed, and stay. Sign-ins and signed-in sessions are counted apart, so that guesses at
# sign-ins do not lock the owner's sessions, and a sign-in unlocks these.
class Asked(StrEnum):
    """Where a code is asked for: the field of SecondFactor that counts the wrong ones."""

    SIGN_IN = "failures"
    SIGNED_IN = "session_failures"


NO_FAILURES: dict[str, Any] = dict.fromkeys(map(str, Asked), 0)
CODES_PER_ACCOUNT = Limit(10, 600, Per.ACCOUNT, "code")
SETTING_UP = Limit(30, 300, bucket="second factor")
FAILURES_TO_TELL, MOST_FAILURES = 5, 100


class SecondFactor(Record, frozen=True):
    """What a user can answer the second step of a sign-in with, besides passkeys.

    The id is the user's. `last_step` is the time step of the last code that was accepted: each code
    is accepted once. Until `enabled_at` the secret waits for its first code.
    """

    COLLECTION = "second_factors"
    PREFIX = "sfa"
    PRIVATE = frozenset({"secret", "last_step", "failures", "session_failures", "recovery_codes"})
    UNLOGGED = PRIVATE
    ENCRYPTED = frozenset({"secret"})

    secret: str = ""
    enabled_at: datetime | None = None
    last_step: int = 0
    failures: int = 0  # wrong codes at sign-ins since the last right one
    session_failures: int = 0  # the same in signed-in sessions
    recovery_codes: Annotated[tuple[str, ...], Bounded(RECOVERY_CODES)] = ()  # digests, unused


async def accept_code(ports: Ports, uow: UnitOfWork, user_id: str, code: str, asked: Asked) -> None:
    """Use up a code of the authenticator app, or a recovery code, in a transaction.

    Run the transaction within `count_wrong_codes`. Raises WrongCredentials.
    """
    factor = await uow.find(SecondFactor, {"_id": user_id})
    if factor is None:
        raise WrongCredentials("The code is wrong.")
    if re.fullmatch(r"[0-9]{6}", plain := _plain(code)):
        if getattr(factor, asked) >= MOST_FAILURES:
            raise WrongCredentials("Too many wrong codes: use a recovery code or a passkey.")
        await _accept_totp(ports, uow, factor, plain)
    else:
        await _accept_recovery_code(uow, factor, plain)


async def _accept_totp(ports: Ports, uow: UnitOfWork, factor: SecondFactor, code: str) -> None:
    step = ports.totp.step(factor.secret, code, uow.now) if factor.enabled_at else None
    if step is None:
        raise WrongCredentials("The code is wrong.")
    unused = {"last_step": {"$lt": step}}
    if not await uow.change(SecondFactor, factor.id, only_if=unused, last_step=step, **NO_FAILURES):
        raise WrongCredentials("This code was used already: wait for the next one.")


async def _accept_recovery_code(uow: UnitOfWork, factor: SecondFactor, code: str) -> None:
    used = _digest(code)
    left = tuple(digest for digest in factor.recovery_codes if digest != used)
    changed = await uow.change(
        SecondFactor,
        factor.id,
        only_if={"recovery_codes": used},
        recovery_codes=left,
        **NO_FAILURES,
    )
    if changed is None:
        raise WrongCredentials("The code is wrong.")
    announce(uow, factor.id, SecurityFact.RECOVERY_CODE_USED, str(len(left)))


@asynccontextmanager
async def count_wrong_codes(ports: Ports, user_id: str, asked: Asked) -> AsyncIterator[None]:
    """Count a code that is refused within, after its transaction."""
    try:
        yield
    except WrongCredentials:
        await ports.store.transact(lambda uow: _count_failure(uow, user_id, asked))
        raise


async def _count_failure(uow: UnitOfWork, user_id: str, asked: Asked) -> None:
    """Notify the owner at the fifth wrong code in a row."""
    factor = await uow.change(SecondFactor, user_id, inc={asked.value: 1})
    if factor and getattr(factor, asked) == FAILURES_TO_TELL:
        announce(uow, user_id, SecurityFact.CODES_GUESSED, str(FAILURES_TO_TELL))


def new_recovery_codes() -> list[str]:
    return [
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


async def keep_recovery_codes(uow: UnitOfWork, user_id: str, codes: list[str]) -> None:
    """Replace the recovery codes. Only digests are stored."""
    digests = tuple(_digest(_plain(code)) for code in codes)
    if await uow.change(SecondFactor, user_id, recovery_codes=digests) is None:
        await uow.add(uow.new(SecondFactor, id=user_id, recovery_codes=digests))


def methods_of(user: User) -> list[str]:
    """What can answer the second step of this user's sign-in; empty without a second factor."""
    methods = ["totp"] if user.totp_enabled else []
    methods += ["passkey"] if user.passkey_count else []
    return [*methods, "recovery_code"] if methods else []


def may_set_up(actor: Actor, user: User) -> None:
    """A limited session knows the password only, so it sets up the first factor and no other.

    Raises Unauthenticated.
    """
    if actor.limited and user.has_second_factor:
        raise Unauthenticated("A second factor is set up: refresh, or sign in with it.")


async def lift_limit(ports: Ports, actor: Actor) -> None:
    """Let a limited session become a full one, after the first factor was stored.

    While Redis is away it stays limited until the next sign-in: the recovery codes, which are shown
    once, must reach the user all the same.
    """
    if actor.limited:
        with suppress(Unavailable):
            await ports.sessions.lift_limit(actor.session_id)


def must_keep_one(ports: Ports, user: User) -> None:
    """Refuse to remove the last factor of a user who needs one. Raises Conflict."""
    more = user.passkey_count + user.totp_enabled > 1
    if user.role is Role.ADMIN and ports.demands.second_factor and not more:
        raise Conflict("Administrators need a second factor: add another one first.")


async def forget_without_factor(uow: UnitOfWork, user: User) -> None:
    """Remove the rest when a user has lost the last factor: recovery codes alone are none."""
    if not user.has_second_factor:
        await uow.remove(SecondFactor, {"_id": user.id})


async def has_old_factors_only(uow: UnitOfWork, user: User, since: datetime) -> bool:
    """Whether the user has a second factor and added none since then: a thief with the password
    may have added it, even beside one of the owner's."""
    recent = {"$gte": since}
    app = await uow.find(SecondFactor, {"_id": user.id, "enabled_at": recent})
    passkeys = await uow.count(Passkey, {"user_id": user.id, "created_at": recent}, limit=1)
    return user.has_second_factor and app is None and not passkeys


async def remove_factors_since(uow: UnitOfWork, user_id: str, since: datetime) -> None:
    """Remove the passkeys and the app that were added since then, and all recovery codes: a thief
    may have read them."""
    await uow.remove(Passkey, {"user_id": user_id, "created_at": {"$gte": since}})
    await uow.change(SecondFactor, user_id, recovery_codes=())
    app = await uow.change(
        SecondFactor,
        user_id,
        only_if={"enabled_at": {"$gte": since}},
        secret="",
        enabled_at=None,
    )
    left: dict[str, Any] = {"passkey_count": await uow.count(Passkey, {"user_id": user_id})}
    if app:
        left["totp_enabled"] = False
    user = await uow.change(User, user_id, **left)
    if user:
        await forget_without_factor(uow, user)


async def remove_second_factors(uow: UnitOfWork, user_id: str) -> User:
    """Remove all passkeys, the app's secret and the recovery codes. Raises NotFound.

    For the erasure of an account, and for `reset_second_factors`.
    """
    user = await uow.change(User, user_id, totp_enabled=False, passkey_count=0)
    if user is None:
        raise NotFound
    await uow.remove(SecondFactor, {"_id": user_id})
    await uow.remove(Passkey, {"user_id": user_id})
    return user


async def reset_second_factors(ports: Ports, user_id: str, entry: AuditEntry) -> User:
    """The same for a person who lost them all: audited as `entry`, mailed, and their sessions end.

    Raises NotFound.
    """

    async def work(uow: UnitOfWork) -> User:
        user = await remove_second_factors(uow, user_id)
        announce(uow, user_id, SecurityFact.SECOND_FACTORS_RESET)
        await end_all_sessions(uow, user_id)
        await audit_log.record(uow, ports.seal, entry)
        return user

    user = await ports.store.transact(work)
    await end_revoked_sessions(ports, user_id)
    return user


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
