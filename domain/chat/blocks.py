"""One member of a conversation blocks the other."""

from domain.chat.conversation import Conversation, SeenConversation
from domain.chat.read_receipts import hide_receipts
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.operation import operation


class Block(Command, frozen=True):
    """`on` false takes one's own block back."""

    conversation_id: Id
    on: bool = True


# -- the two sides ---------------------------------------------------------------------------


@operation("chat.block", roles=PARTIES)
async def block(cmd: Block, actor: Actor, uow: UnitOfWork) -> SeenConversation:
    """Neither can write to the other any more, in no conversation, until whoever did it ends it.

    Raises NotFound.
    """
    place = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    others = tuple(user for user in place.blocked_by if user != actor.id)
    blocked_by = (*others, actor.id) if cmd.on else others
    if set(blocked_by) != set(place.blocked_by):
        theirs = {"members": {"$all": list(place.members)}}
        for each in await uow.all(Conversation, theirs):
            changed = await uow.change(Conversation, each.id, blocked_by=blocked_by)
            place = changed if changed and changed.id == place.id else place
    (seen,) = await hide_receipts(uow, actor.id, [place.seen_by(actor.id)])
    return seen
