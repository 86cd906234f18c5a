"""The profile of a user, for the people that they work with."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.jobs.applications import Application
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation

MOST_COUNTED = 100  # completed jobs


class PublicProfile(msgspec.Struct, frozen=True):
    """A user, as the other side of a job sees them."""

    id: Annotated[str, about("The id of the user.")]
    name: Annotated[str, about("The name.")]
    role: Annotated[Role, about("Whether this is a customer or a contractor.")]
    headline: Annotated[str, about("One line about the user.")]
    bio: Annotated[str, about("Some sentences about the user.")]
    skills: Annotated[tuple[str, ...], about("What a contractor is good at.")]
    created_at: Annotated[datetime, about("When the account was opened.")]
    completed_jobs: Annotated[int, about("How many jobs they have completed, up to 100.")]
    payouts_enabled: Annotated[
        bool, about("Whether Stripe pays out to the contractor's bank account.")
    ]


class ReadProfile(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the user.")]


@operation("account.profile", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def profile(cmd: ReadProfile, actor: Actor, uow: UnitOfWork) -> PublicProfile:
    """Read the profile of an applicant, or of the customer of a job that one has applied to.

    Administrators read all of both sides. Raises NotFound.
    """
    open_account = {"deleted_at": None, "banned_at": None}
    user, acquainted = await asyncio.gather(
        uow.get(User, cmd.user_id, **open_account), _are_acquainted(uow, actor, cmd.user_id)
    )
    if user.role is Role.ADMIN or not acquainted:
        raise NotFound
    side = "customer_id" if user.role is Role.CUSTOMER else "contractor_id"
    completed = {side: user.id, "status": JobStatus.COMPLETED}
    return PublicProfile(
        user.id,
        user.name,
        user.role,
        user.headline,
        user.bio,
        user.skills,
        user.created_at,
        await uow.count(Job, completed, limit=MOST_COUNTED),
        user.payouts_enabled,
    )


async def _are_acquainted(uow: UnitOfWork, actor: Actor, user_id: str) -> bool:
    if actor.role is Role.ADMIN or actor.id == user_id:
        return True
    sides = ("customer_id", "contractor_id")
    mine, theirs = sides if actor.role is Role.CUSTOMER else reversed(sides)
    return await uow.find(Application, {mine: actor.id, theirs: user_id}) is not None
