"""Conversations as one member sees them: with unread messages, and the read marks they may see."""

from collections.abc import Mapping, Sequence

import msgspec

from domain.chat.conversation import Conversation, SeenConversation
from domain.chat.read_receipts import sharing_receipts
from domain.chat.unread import unread_in
from domain.kernel.store import UnitOfWork


async def seen_by(
    uow: UnitOfWork, user_id: str, conversations: Sequence[Conversation]
) -> list[SeenConversation]:
    """Where the members do not share read receipts, the other's mark is shown as 0."""
    sharing = await sharing_receipts(uow, conversations)
    unread = await unread_in(uow, user_id, conversations)
    return [
        SeenConversation(
            **msgspec.structs.asdict(each)
            | {"read": each.read if each.id in sharing else _own_mark(each.read, user_id)},
            unread=unread.get(each.id, 0),
        )
        for each in conversations
    ]


def _own_mark(read: Mapping[str, int], user_id: str) -> dict[str, int]:
    return {member: seq if member == user_id else 0 for member, seq in read.items()}
