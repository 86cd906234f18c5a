"""Read receipts: how far a member has read. Users who hide their own do not see those of others."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.chat.reach import may_reach
from domain.kernel.fields import ConversationId, about
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork


class ReadReceipt(msgspec.Struct, frozen=True):
    """A member has read all messages up to number `seq`."""

    conversation_id: ConversationId
    user_id: Annotated[str, about("The id of the member who has read.")]
    seq: Annotated[int, about("The number of the last message that they have read.")]


READ = Event(
    "/chat",
    "read",
    ReadReceipt,
    about="When a member has read further, to both members, or to this member alone if one of the "
    "two hides read receipts or blocks the other. Marks only rise: keep the higher one.",
)


def receipt_of(conversation: Conversation, user_id: str) -> ReadReceipt:
    return ReadReceipt(conversation.id, user_id, conversation.read[user_id])


async def publish_receipt(uow: UnitOfWork, conversation: Conversation, user_id: str) -> None:
    """Push `read` for a member, with the mark that the conversation holds, to those who may see
    it."""
    shared = await sharing_receipts(uow, [conversation])
    to = conversation.members if shared else (user_id,)
    uow.publish(READ, receipt_of(conversation, user_id), to=to)


async def sharing_receipts(uow: UnitOfWork, conversations: Sequence[Conversation]) -> set[str]:
    """The ids of those conversations in which both members see how far the other has read: they may
    reach each other, and neither hides it."""
    open_ = [each for each in conversations if may_reach(each)]
    members = tuple(dict.fromkeys(member for each in open_ for member in each.members))
    if not members:
        return set()
    where = {"_id": members, "show_receipts": False}
    hiding = {user.id for user in await uow.all(User, where, limit=len(members))}
    return {each.id for each in open_ if hiding.isdisjoint(each.members)}
