"""A user's passkeys: adding, listing and removing them."""

from typing import Annotated, Any

import msgspec

from domain.accounts.challenges import LIFE, use_up
from domain.accounts.passkey import Passkey
from domain.accounts.second_factor import (
    SETTING_UP,
    forget_without_factor,
    keep_recovery_codes,
    lift_limit,
    may_set_up,
    must_keep_one,
    new_recovery_codes,
)
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.user import UPDATED, User
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import Conflict, Invalid, NotFound, Rule, TooMany, Unauthenticated
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import Duplicate, UnitOfWork
from domain.kernel.text_types import line
from domain.operations.command import Command, Id, Meta, NoFields, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.second_factors import PasskeyAnswer, PasskeyRefused, Purpose
from domain.ports.step_up import StepUpFor

MOST_PASSKEYS = 20


class Add(Command, frozen=True):
    """What the authenticator answered to the options of `passkey_begin`."""

    UNLOGGED = frozenset({"passkey"})
    PERSONAL = frozenset({"name"})

    passkey: Annotated[PasskeyAnswer, about("What `navigator.credentials.create()` returned.")]
    name: Annotated[str, line(80), about("What its user calls it.")] = "Passkey"


class Remove(Command, frozen=True):
    passkey_id: Annotated[Id, about("The id of the passkey.")]


class AddedPasskey(msgspec.Struct, frozen=True):
    """A passkey that was added."""

    passkey: Annotated[Passkey, about("The new passkey.")]
    recovery_codes: Annotated[
        list[str] | None, about("Shown once, with a user's first second factor; otherwise null.")
    ]


@operation(
    "account.passkey_begin",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=False,
    step_up=StepUpFor.CREDENTIALS,
    during_setup=True,
    limits=(SETTING_UP,),
    errors=(NotFound, TooMany),
)
async def passkey_begin(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> dict[str, Any]:
    """Options for `navigator.credentials.create()`. Raises TooMany."""
    uow = ports.store.single()
    user = await uow.get(User, actor.id)
    may_set_up(actor, user)
    _check_room(user)
    known = await uow.all(Passkey, {"user_id": user.id}, limit=MOST_PASSKEYS)
    challenge, _ = ports.challenges.issue(Purpose.PASSKEY_ADD, user.id, LIFE)
    return ports.webauthn.creation_options(
        challenge,
        user_id=user.id,
        email=user.email,
        name=user.name,
        known=[passkey.credential_id for passkey in known],
    )


@operation(
    "account.passkey_add",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    during_setup=True,
    limits=(SETTING_UP,),
    errors=(Conflict, NotFound, TooMany),
)
async def passkey_add(cmd: Add, actor: Actor, ports: Ports, meta: Meta) -> AddedPasskey:
    """Keep a new passkey. Raises Invalid, Unauthenticated, TooMany, Conflict.

    A limited session is a full one after its next refresh.
    """
    try:
        text = ports.webauthn.challenge_of(cmd.passkey)
        challenge = ports.challenges.read(Purpose.PASSKEY_ADD, text)
        made = ports.webauthn.registered(cmd.passkey, text)
    except PasskeyRefused as refused:
        raise Invalid(
            "this is not a valid answer of a passkey.", field="passkey", rule=Rule.FORMAT
        ) from refused
    if challenge.subject != actor.id:
        raise Unauthenticated
    codes = new_recovery_codes()

    async def work(uow: UnitOfWork) -> AddedPasskey:
        before = await uow.get(User, actor.id)
        may_set_up(actor, before)
        _check_room(before)
        await use_up(uow, challenge)
        passkey = uow.new(
            Passkey,
            user_id=actor.id,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            backed_up=made.backed_up,
            name=cmd.name,
        )
        await uow.add(passkey)
        user = await uow.change(User, actor.id, inc={"passkey_count": 1})
        first = not before.has_second_factor
        if first:
            await keep_recovery_codes(uow, actor.id, codes)
        announce(uow, actor.id, SecurityFact.PASSKEY_ADDED, passkey.name)
        uow.publish(UPDATED, user, to=[actor.id])
        return AddedPasskey(passkey, codes if first else None)

    try:
        added = await ports.store.transact(work)
    except Duplicate as known:
        raise Conflict("This passkey is in use already.") from known
    await lift_limit(ports, actor)
    return added


@operation("account.passkeys", roles=EVERYONE, style=Style.READ, audited=False, during_setup=True)
async def passkeys(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> Page[Passkey]:
    """The caller's passkeys, oldest first."""
    found = await uow.all(Passkey, {"user_id": actor.id}, (("_id", 1),), MOST_PASSKEYS)
    return Page(items=list(found))


@operation(
    "account.passkey_remove",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    step_up=StepUpFor.CREDENTIALS,
    errors=(Conflict, NotFound),
)
async def passkey_remove(cmd: Remove, actor: Actor, ports: Ports, meta: Meta) -> Passkey:
    """Remove a passkey. Raises NotFound, and Conflict for an administrator's last factor."""

    async def work(uow: UnitOfWork) -> Passkey:
        passkey = await uow.get(Passkey, cmd.passkey_id, user_id=actor.id)
        must_keep_one(ports, await uow.get(User, actor.id))
        await uow.remove(Passkey, {"_id": passkey.id})
        user = await uow.change(User, actor.id, inc={"passkey_count": -1})
        assert user, "it was read in this transaction"
        await forget_without_factor(uow, user)
        announce(uow, user.id, SecurityFact.PASSKEY_REMOVED, passkey.name)
        uow.publish(UPDATED, user, to=[user.id])
        return passkey

    return await ports.store.transact(work)


def _check_room(user: User) -> None:
    if user.passkey_count >= MOST_PASSKEYS:
        raise TooMany(limit=MOST_PASSKEYS)
