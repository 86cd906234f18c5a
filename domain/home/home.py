"""`account.home`: what a person sees first, in one answer."""

import asyncio
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.chat.unread import unread_messages
from domain.home.waiting import Waiting, waiting_for_contractor, waiting_for_customer
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.notifications.feed import unread_notices
from domain.operations.command import NoFields, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation


class Home(msgspec.Struct, frozen=True):
    """What waits for the caller."""

    unread_messages: Annotated[int, about("How many messages the caller has not read.")]
    unread_conversations: Annotated[int, about("In how many conversations they are.")]
    unread_notices: Annotated[int, about("How many notices are not seen yet, up to 100.")]
    waiting: Annotated[
        list[Waiting], about("What the caller has to do, by kind; only kinds with anything.")
    ]


@operation(
    "account.home", roles=PARTIES, style=Style.READ, limits=(Limit(60, 60),), errors=(NotFound,)
)
async def home(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> Home:
    """What needs the caller now: counts of each kind, with the first of them. Raises NotFound."""
    user = await uow.get(User, actor.id)
    waiting = waiting_for_customer if actor.role is Role.CUSTOMER else waiting_for_contractor
    messages, notices, found = await asyncio.gather(
        unread_messages(uow, actor.id), unread_notices(uow, actor.id), waiting(uow, user)
    )
    return Home(*messages, notices, found)
