"""One's profile, and what of oneself is shown and mailed."""

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
    """Who does not show their presence or how far they have read sees neither of others."""

    PERSONAL = frozenset({"name", "headline", "bio"})

    name: Name | None = None
    headline: Annotated[str, Limits(max_length=120)] | None = None
    bio: Annotated[str, Limits(max_length=4000)] | None = None
    skills: Annotated[tuple[Skill, ...], Limits(max_length=30)] | None = None
    mail_notices: bool | None = None
    show_presence: bool | None = None
    show_receipts: bool | None = None


@operation("account.update", roles=EVERYONE)
async def update(cmd: Update, actor: Actor, uow: UnitOfWork) -> User:
    """Change the fields that are given. Other devices of the user are told.

    Presence that is hidden is hidden at once; whoever hides theirs sees others' until they ask for
    it again.
    """
    fields = {
        name: value for name, value in msgspec.structs.asdict(cmd).items() if value is not None
    }
    user = await uow.change(User, actor.id, **fields)
    if user is None:
        raise NotFound
    uow.publish(UPDATED, user, to=[user.id])
    return user
