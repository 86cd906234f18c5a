"""The user's own profile, and the settings for mail, presence and read receipts."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.search_keys import search_keys
from domain.accounts.user import UPDATED, Name, NoticeGroup, Skill, User
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import line, prose
from domain.operations.command import Command
from domain.operations.operation import operation

Muted = Annotated[tuple[NoticeGroup, ...], Limits(max_length=len(NoticeGroup))]


class Update(Command, frozen=True):
    """A user who hides presence or read receipts does not see those of others."""

    PERSONAL = frozenset({"name", "headline", "bio"})

    name: Annotated[Name | None, about("The name that others see.")] = None
    headline: Annotated[
        Annotated[str, line(120, least=0)] | None, about("One line about the user.")
    ] = None
    bio: Annotated[
        Annotated[str, prose(4000, least=0)] | None, about("Some sentences about the user.")
    ] = None
    skills: Annotated[
        Annotated[tuple[Skill, ...], Limits(max_length=30)] | None,
        about("What a contractor is good at."),
    ] = None
    mail_notices: Annotated[bool | None, about("Whether to mail the user about their money.")] = (
        None
    )
    muted_mail: Annotated[
        Muted | None, about("Kinds of notices not to mail; they take the place of earlier ones.")
    ] = None
    muted_feed: Annotated[
        Muted | None, about("Kinds of notices not to list; they take the place of earlier ones.")
    ] = None
    show_presence: Annotated[bool | None, about("Whether others see when the user is online.")] = (
        None
    )
    show_receipts: Annotated[
        bool | None, about("Whether others see how far the user has read.")
    ] = None


@operation("account.update", roles=EVERYONE, errors=(NotFound,))
async def update(cmd: Update, actor: Actor, uow: UnitOfWork) -> User:
    """Change the fields that are given, and push the profile to the user's devices.

    Hidden presence is hidden at once. Devices that subscribed to others' presence before keep
    getting it until they subscribe again.
    """
    fields: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(cmd).items() if value is not None
    }
    if cmd.name:
        known = await uow.get(User, actor.id)
        fields["search_keys"] = search_keys(cmd.name, known.email)
    user = await uow.change(User, actor.id, **fields)
    if user is None:
        raise NotFound
    uow.publish(UPDATED, user, to=[user.id])
    return user
