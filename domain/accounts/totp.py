"""Codes of an authenticator app: setting them up, switching them off, and new recovery codes."""

from typing import Annotated

import msgspec

from domain.accounts.password_policy import Password
from domain.accounts.second_factor import (
    CODES_PER_ACCOUNT,
    SETTING_UP,
    Asked,
    Code,
    SecondFactor,
    accept_code,
    count_wrong_codes,
    forget_without_factor,
    keep_recovery_codes,
    lift_limit,
    may_set_up,
    must_keep_one,
    new_recovery_codes,
)
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.user import UPDATED, User, verify_password
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import Conflict, NotFound, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Meta, NoFields, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.step_up import StepUpFor

CONFIRMED = (PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT, CODES_PER_ACCOUNT)


class Confirm(Command, frozen=True):
    """The first code of the app, which shows that the secret has arrived there."""

    UNLOGGED = frozenset({"code"})

    code: Annotated[Code, about("The first code of the authenticator app.")]


class PasswordAndCode(Command, frozen=True):
    """`code` is of the app, or a recovery code."""

    UNLOGGED = frozenset({"password", "code"})

    password: Annotated[Password, about("The password.")]
    code: Annotated[Code, about("Of the authenticator app, or a recovery code.")]


class NewCodesSecret(msgspec.Struct, frozen=True):
    """Shown once: for apps that read a QR code of `otpauth_url`, and for typing `secret`."""

    secret: Annotated[str, about("In base32, for typing it into an authenticator app.")]
    otpauth_url: Annotated[str, about("The same for a QR code.")]


class EnabledCodes(msgspec.Struct, frozen=True):
    """The codes of an authenticator app are in force."""

    user: Annotated[User, about("The account.")]
    recovery_codes: Annotated[
        list[str] | None, about("Shown once; null if the user has some already.")
    ]


class RecoveryCodes(msgspec.Struct, frozen=True):
    """New recovery codes, shown once."""

    recovery_codes: Annotated[list[str], about("Each can be used once.")]


@operation(
    "account.totp_begin",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    step_up=StepUpFor.CREDENTIALS,
    during_setup=True,
    limits=(SETTING_UP,),
    errors=(Conflict, NotFound),
)
async def totp_begin(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> NewCodesSecret:
    """A new secret for an authenticator app. `totp_confirm` puts it in force. Raises Conflict."""
    secret = ports.totp.new_secret()

    async def work(uow: UnitOfWork) -> User:
        user = await uow.get(User, actor.id)
        if user.totp_enabled:
            raise Conflict("Codes are set up already: switch them off first.")
        may_set_up(actor, user)
        if await uow.change(SecondFactor, user.id, secret=secret, enabled_at=None) is None:
            await uow.add(uow.new(SecondFactor, id=user.id, secret=secret))
        return user

    user = await ports.store.transact(work)
    return NewCodesSecret(secret, ports.totp.url(secret, user.email))


@operation(
    "account.totp_confirm",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    during_setup=True,
    limits=(SETTING_UP, CODES_PER_ACCOUNT),
    errors=(Conflict, NotFound, WrongCredentials),
)
async def totp_confirm(cmd: Confirm, actor: Actor, ports: Ports, meta: Meta) -> EnabledCodes:
    """Put the secret of `totp_begin` in force. Raises Conflict, WrongCredentials.

    A limited session is a full one after its next refresh.
    """
    codes = new_recovery_codes()

    async def work(uow: UnitOfWork) -> EnabledCodes:
        before = await uow.get(User, actor.id)
        factor = await uow.find(SecondFactor, {"_id": actor.id})
        if before.totp_enabled or factor is None or not factor.secret:
            raise Conflict("There is no new secret to confirm: begin again.")
        may_set_up(actor, before)
        step = ports.totp.step(factor.secret, cmd.code.strip(), uow.now)
        if step is None:
            raise WrongCredentials("The code is wrong.")
        await uow.change(SecondFactor, actor.id, enabled_at=uow.now, last_step=step)
        user = await uow.change(User, actor.id, totp_enabled=True)
        assert user, "it was read in this transaction"
        first = not before.has_second_factor
        if first:
            await keep_recovery_codes(uow, user.id, codes)
        announce(uow, user.id, SecurityFact.TOTP_ENABLED)
        uow.publish(UPDATED, user, to=[user.id])
        return EnabledCodes(user, codes if first else None)

    enabled = await ports.store.transact(work)
    await lift_limit(ports, actor)
    return enabled


@operation(
    "account.totp_disable",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=CONFIRMED,
    errors=(Conflict, NotFound, WrongCredentials),
)
async def totp_disable(cmd: PasswordAndCode, actor: Actor, ports: Ports, meta: Meta) -> User:
    """Switch codes off. Raises WrongCredentials, Conflict for an administrator's last factor."""
    await verify_password(ports, actor.id, cmd.password)

    async def work(uow: UnitOfWork) -> User:
        before = await uow.get(User, actor.id)
        await accept_code(ports, uow, actor.id, cmd.code, Asked.SIGNED_IN)
        if not before.totp_enabled:
            raise Conflict("Codes are not set up.")
        must_keep_one(ports, before)
        await uow.change(SecondFactor, actor.id, secret="", enabled_at=None)
        user = await uow.change(User, actor.id, totp_enabled=False)
        assert user, "it was read in this transaction"
        await forget_without_factor(uow, user)
        announce(uow, user.id, SecurityFact.TOTP_DISABLED)
        uow.publish(UPDATED, user, to=[user.id])
        return user

    async with count_wrong_codes(ports, actor.id, Asked.SIGNED_IN):
        return await ports.store.transact(work)


@operation(
    "account.recovery_codes",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=CONFIRMED,
    errors=(NotFound, WrongCredentials),
)
async def recovery_codes(
    cmd: PasswordAndCode, actor: Actor, ports: Ports, meta: Meta
) -> RecoveryCodes:
    """New recovery codes, shown once; the old ones are void. Raises WrongCredentials."""
    await verify_password(ports, actor.id, cmd.password)
    codes = new_recovery_codes()

    async def work(uow: UnitOfWork) -> None:
        await accept_code(ports, uow, actor.id, cmd.code, Asked.SIGNED_IN)
        await keep_recovery_codes(uow, actor.id, codes)
        announce(uow, actor.id, SecurityFact.RECOVERY_CODES_RENEWED)

    async with count_wrong_codes(ports, actor.id, Asked.SIGNED_IN):
        await ports.store.transact(work)
    return RecoveryCodes(codes)
