"""Known devices: what distinguishes the owner of an account from a person who guesses.

A sign-in answers a `device_token`, which the client keeps and shows at the next one. Wrong guesses
from a known device are counted by themselves, so that others cannot lock it out. When all
sessions end, as after a new password, devices count as known again from their next sign-in, so that
tokens collected with the old password are of no use.
"""

import contextlib
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.user import User
from domain.kernel.actor import Actor
from domain.kernel.email_address import MAX_EMAIL, email_to_find
from domain.kernel.errors import Unauthenticated
from domain.kernel.store import UnitOfWork, new_id
from domain.kernel.text_types import opaque
from domain.ports.ports import Ports
from domain.ports.second_factors import Purpose
from domain.ports.sessions import Device

OPENING = timedelta(minutes=1)  # from the opening of an account to its first sign-in
DeviceToken = Annotated[str, opaque(1000)]


def known_device(ports: Ports, token: str | None, user_id: str) -> Device | None:
    """The device of `token`, if that user has signed in with it before."""
    device = ports.devices.recall(token) if token else None
    return device if device and device.user_id == user_id else None


def remember_device(ports: Ports, user: User, known: Device | None) -> str:
    """A new token for a known device, or the first one of a new device."""
    id = known.id if known else new_id("dev")
    return ports.devices.remember(Device(id, user.id, user.sessions_valid_from))


async def note_device(ports: Ports, user: User, known: Device | None, session_id: str) -> None:
    """Notify the user of a sign-in from a device that is new.

    Not of the first sign-in, which opens the account. Programs keep no device tokens, so where
    addresses are not verified either (`server dev`), only users who have shown one are notified.
    """
    if known:
        if not user.keeps_devices:
            uow = ports.store.single()
            await uow.set_private(User, {"_id": user.id}, keeps_devices=True)
        return
    opened = user.verified_at is not None and ports.clock.now() - user.created_at < OPENING
    if opened or not (user.keeps_devices or ports.store.rates.require_verification):
        return
    found = [each for each in await ports.sessions.list(user.id) if each.id == session_id]
    if not found:  # it was ended at once, as by the user on another device
        return
    [session] = found
    detail = f"{session.device}, {session.address}"
    await ports.store.transact(lambda uow: _announce(uow, user.id, detail))


async def _announce(uow: UnitOfWork, user_id: str, detail: str) -> None:
    announce(uow, user_id, SecurityFact.NEW_DEVICE, detail)


class Account(NamedTuple):
    """An account that a request names: the id of its user, or else the address itself, and the
    generation of its device tokens."""

    id: str
    generation: int


async def account_of(ports: Ports, fields: Any, actor: Actor | None) -> Account | None:
    """The account whose password a request is about: the caller's own, that of the `challenge` of a
    sign-in, or that of the `email`."""
    if actor:
        return Account(actor.id, actor.generation)
    given = fields if isinstance(fields, dict) else {}
    challenge, text = given.get("challenge"), given.get("email")
    if isinstance(challenge, str):
        with contextlib.suppress(Unauthenticated):
            read = ports.challenges.read(Purpose.SIGN_IN, challenge)
            return Account(read.subject, read.generation)
    if not isinstance(text, str):
        return None
    email = email_to_find(text)[:MAX_EMAIL]
    user = await ports.store.single().find(User, {"email": email})
    return Account(user.id, user.sessions_valid_from) if user else Account(email, 0)
