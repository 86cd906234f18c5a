"""Receipts: how far others have read is seen only by who shows it too."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from domain.accounts.user import User
from domain.kernel.store import UnitOfWork

if TYPE_CHECKING:
    from domain.chat.conversation import SeenConversation


async def silent(uow: UnitOfWork, people: Iterable[str]) -> set[str]:
    """Those who do not show how far they have read."""
    ids = tuple(dict.fromkeys(people))
    if not ids:
        return set()
    where = {"_id": ids, "show_receipts": False}
    return {user.id for user in await uow.all(User, where, limit=len(ids))}


async def veiled(
    uow: UnitOfWork, user_id: str, seen: Sequence["SeenConversation"]
) -> list["SeenConversation"]:
    """Conversations as a member may see them: the other's mark is 0 if one of the two is silent."""
    quiet = await silent(uow, (member for found in seen for member in found.members))

    def shown(found: "SeenConversation") -> "SeenConversation":
        if quiet.isdisjoint(found.members):
            return found
        read = {member: seq if member == user_id else 0 for member, seq in found.read.items()}
        return msgspec.structs.replace(found, read=read)

    return [shown(found) for found in seen]
