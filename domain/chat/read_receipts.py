"""Read receipts: how far a member has read. Users who hide their own do not see those of others."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.chat.conversation import Conversation, SeenConversation
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
    "two hides read receipts. Marks only rise: keep the higher one.",
)


def receipt_of(conversation: Conversation, user_id: str) -> ReadReceipt:
    return ReadReceipt(conversation.id, user_id, conversation.read[user_id])


async def publish_receipts(uow: UnitOfWork, readings: Sequence[tuple[Conversation, str]]) -> None:
    """Push `read` for these members of conversations, with the marks that the conversations hold.

    Both members get it, or the reader alone if one of the two hides receipts.
    """
    hidden = await users_hiding_receipts(
        uow, (member for conversation, _ in readings for member in conversation.members)
    )
    for conversation, user_id in readings:
        shared = hidden.isdisjoint(conversation.members)
        to = conversation.members if shared else (user_id,)
        uow.publish(READ, receipt_of(conversation, user_id), to=to)


async def users_hiding_receipts(uow: UnitOfWork, users: Iterable[str]) -> set[str]:
    """Those of `users` who hide how far they have read."""
    ids = tuple(dict.fromkeys(users))
    if not ids:
        return set()
    where = {"_id": ids, "show_receipts": False}
    return {user.id for user in await uow.all(User, where, limit=len(ids))}


async def hide_receipts(
    uow: UnitOfWork, user_id: str, conversations: Sequence[SeenConversation]
) -> list[SeenConversation]:
    """Conversations as this member may see them.

    Where a member hides receipts, the other members' read marks are shown as 0.
    """
    hidden = await users_hiding_receipts(
        uow, (member for conversation in conversations for member in conversation.members)
    )

    def visible(conversation: SeenConversation) -> SeenConversation:
        if hidden.isdisjoint(conversation.members):
            return conversation
        marks = {
            member: seq if member == user_id else 0 for member, seq in conversation.read.items()
        }
        return msgspec.structs.replace(conversation, read=marks)

    return [visible(conversation) for conversation in conversations]
