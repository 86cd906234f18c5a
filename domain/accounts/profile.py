"""The user's own profile, and the settings for mail, presence and read receipts."""

from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import UPDATED, Name, Skill, User
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command
from domain.operations.operation import operation


class Update(Command, frozen=True):
    """A user who hides presence or read receipts does not see those of others."""

    PERSONAL = frozenset({"name", "headline", "bio"})

    name: Name | None = None
    headline: Annotated[str, Limits(max_length=120)] | None = None
    bio: Annotated[str, Limits(max_length=4000)] | None = None
    skills: Annotated[tuple[Skill, ...], Limits(max_length=30)] | None = None
    mail_notices: bool | None = None
    show_presence: bool | None = None
    show_receipts: bool | None = None


@operation("account.update", roles=EVERYONE, errors=(NotFound,))
async def update(cmd: Update, actor: Actor, uow: UnitOfWork) -> User:
    """Change the fields that are given, and push the profile to the user's devices.

    Hidden presence is hidden at once. Devices that subscribed to others' presence before keep
    getting it until they subscribe again.
    """
    fields = {
        name: value for name, value in msgspec.structs.asdict(cmd).items() if value is not None
    }
    user = await uow.change(User, actor.id, **fields)
    if user is None:
        raise NotFound
    uow.publish(UPDATED, user, to=[user.id])
    return user
