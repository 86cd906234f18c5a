"""One member of a conversation blocks the other.

A block is about the two people, so it is copied into all their conversations; `chat/reach.py` has
the rule that follows from it. It also withdraws the contractor's applications to the customer's
jobs, which is why it is in this package.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from domain.chat.conversation import Conversation, SeenConversation
from domain.chat.member_view import seen_by
from domain.chat.reach import may_reach
from domain.jobs.applications import Application, ApplicationStatus, move_application
from domain.jobs.job import Job
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.rooms import user_room
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.messaging import ReachChange
from domain.ports.ports import Ports
from domain.presence.presence import PRESENCE, UserPresence

REPEAT_AFTER = timedelta(minutes=2)  # longer than a command takes from a check to its effect


class Block(Command, frozen=True):
    """`on` false removes the caller's own block."""

    conversation_id: Annotated[Id, about("The id of the conversation.")]
    on: Annotated[bool, about("False removes the caller's own block.")] = True


@operation("chat.block", roles=PARTIES, errors=(NotFound,))
async def block(cmd: Block, actor: Actor, uow: UnitOfWork) -> SeenConversation:
    """Stop both members from reaching each other, in all their conversations.

    Neither can write, react, apply or make an offer to the other, nor see them type, read or be
    online. Applications of the one to the other's open jobs are withdrawn. What both have agreed on
    goes on. Only the member who blocked can end it.

    Raises NotFound.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    others = tuple(user for user in conversation.blocked_by if user != actor.id)
    blocked_by = (*others, actor.id) if cmd.on else others
    if set(blocked_by) != set(conversation.blocked_by):
        changed = await uow.change(Conversation, conversation.id, blocked_by=blocked_by)
        assert changed, "it was read in this transaction"
        between = {
            "customer_id": conversation.customer_id,
            "contractor_id": conversation.contractor_id,
        }
        rest = {**between, "_id": {"$ne": conversation.id}}
        await uow.change_all(Conversation, rest, blocked_by=blocked_by)
        if cmd.on:
            await _withdraw_applications(uow, conversation)
        announcement = AnnounceReach(conversation.customer_id, conversation.contractor_id)
        uow.later(announcement)
        uow.later(announcement, at=uow.now + REPEAT_AFTER)
        conversation = changed
    (seen,) = await seen_by(uow, actor.id, [conversation])
    return seen


async def _withdraw_applications(uow: UnitOfWork, between: Conversation) -> None:
    """Withdraw the contractor's applications to the customer's jobs, but those that won a job."""
    parties = {"customer_id": between.customer_id, "contractor_id": between.contractor_id}
    won = await uow.distinct(Job, "_id", parties)
    live = {**parties, "live": True, "job_id": {"$nin": won}}
    for application in await uow.all(Application, live):
        await move_application(uow, application.id, ApplicationStatus.WITHDRAWN)


class AnnounceReach(Task, frozen=True, tag="announce_reach"):
    """Tell all processes whether two users may reach each other now.

    It runs twice: the second time for what a process had read before the change and used after it.
    """

    lane = Lane.NOTICE

    customer_id: str
    contractor_id: str

    async def run(self, ports: Ports) -> None:
        between = {"customer_id": self.customer_id, "contractor_id": self.contractor_id}
        found = await ports.store.single().all(Conversation, between)
        announce_reach(ports, (self.customer_id, self.contractor_id), found)


def announce_reach(ports: Ports, users: tuple[str, str], between: Sequence[Conversation]) -> None:
    """Tell all processes whether two users may reach each other now, who have these
    conversations."""
    reachable = all(map(may_reach, between))
    ids = tuple(each.id for each in between)
    ports.live.announce_reach(ReachChange(users, ids, reachable))
    if not reachable:  # what the two have seen of each other is not kept up to date
        for user, other in (users, users[::-1]):
            ports.live.push(PRESENCE, UserPresence(user), room=user_room(other))
