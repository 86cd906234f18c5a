"""One member of a conversation blocks the other."""

from typing import Annotated

from domain.chat.conversation import Conversation, SeenConversation
from domain.chat.read_receipts import hide_receipts
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.operation import operation


class Block(Command, frozen=True):
    """`on` false removes the caller's own block."""

    conversation_id: Annotated[Id, about("The id of the conversation.")]
    on: Annotated[bool, about("False removes the caller's own block.")] = True


@operation("chat.block", roles=PARTIES, errors=(NotFound,))
async def block(cmd: Block, actor: Actor, uow: UnitOfWork) -> SeenConversation:
    """Stop both members from writing to each other, in all their conversations.

    Only the member who blocked can end it.

    Raises NotFound.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    others = tuple(user for user in conversation.blocked_by if user != actor.id)
    blocked_by = (*others, actor.id) if cmd.on else others
    if set(blocked_by) != set(conversation.blocked_by):
        shared = {"members": {"$all": list(conversation.members)}}
        for each in await uow.all(Conversation, shared):
            changed = await uow.change(Conversation, each.id, blocked_by=blocked_by)
            conversation = changed if changed and changed.id == conversation.id else conversation
    (seen,) = await hide_receipts(uow, actor.id, [conversation.seen_by(actor.id)])
    return seen
