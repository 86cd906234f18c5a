"""What a member has not read: messages of others above their read mark that can still be read.

A member's own messages and deleted ones do not count, wherever the mark is. So they are counted in
the messages themselves, the newest MOST_COUNTED of a conversation: the difference of two numbers
would count both, and a stored counter would have to be exact through every repeat of a write.
"""

from collections.abc import Iterable
from typing import Any

from domain.chat.conversation import RECENT, Conversation, Message
from domain.kernel import documents
from domain.kernel.store import UnitOfWork

MOST_COUNTED = 200  # messages of a conversation, the newest ones
CONVERSATIONS = 200  # those that were active last

Position = tuple[str, int, int]  # of a member: the conversation, its head, their read mark


async def unread_in(
    uow: UnitOfWork, user_id: str, conversations: Iterable[Conversation]
) -> dict[str, int]:
    """The numbers of unread messages by conversation, without those that have none."""
    positions = ((each.id, each.head, each.read.get(user_id, 0)) for each in conversations)
    return await _count(uow, user_id, positions)


async def unread_messages(uow: UnitOfWork, user_id: str) -> tuple[int, int]:
    """How many messages a user has not read, and in how many conversations, of those that were
    active last."""
    found = await uow.aggregate(
        Conversation,
        [
            {"$match": {"members": user_id}},
            {"$sort": dict(RECENT)},
            {"$limit": CONVERSATIONS},
            {"$project": {"head": 1, "mark": {"$ifNull": [f"$read.{user_id}", 0]}}},
        ],
    )
    positions = ((row["_id"], row["head"], row["mark"]) for row in found)
    counts = await _count(uow, user_id, positions)
    return sum(counts.values()), len(counts)


async def _count(uow: UnitOfWork, user_id: str, positions: Iterable[Position]) -> dict[str, int]:
    """One query, for which the index of the numbers bounds each conversation. A message that came
    after its head was read is not counted: clients count it when it is pushed."""
    counted: dict[str, Any] = {
        "author_id": {"$ne": user_id},
        "by": {"$ne": user_id},
        "deleted_at": None,
    }
    branches = [
        {
            "conversation_id": id,
            "seq": {"$gt": max(mark, head - MOST_COUNTED), "$lte": head},
            **counted,
        }
        for id, head, mark in positions
        if head > mark
    ]
    if not branches:
        return {}
    found = await uow.aggregate(
        Message,
        [
            {"$match": documents.any_of(branches)},
            {"$group": {"_id": "$conversation_id", "unread": {"$sum": 1}}},
        ],
    )
    return {row["_id"]: row["unread"] for row in found}
