"""A cache of conversation members, so that typing and presence need no query."""

from domain.chat.conversation import Conversation
from domain.kernel.errors import NotFound
from domain.kernel.mongo_client import command_limit
from domain.kernel.store import Store

CACHE_SIZE = 50_000


class ConversationMembers:
    """The members of conversations, cached in this process. They never change.

    The oldest entries are evicted first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._members: dict[str, tuple[str, ...]] = {}

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """The other members. Raises NotFound for a user who is no member."""
        members = self._members.get(conversation_id)
        if members is None:
            members = (await self._read([conversation_id])).get(conversation_id, ())
        if user_id not in members:
            raise NotFound
        return tuple(member for member in members if member != user_id)

    async def others_in_all(self, conversation_ids: tuple[str, ...], user_id: str) -> list[str]:
        """Each once. Raises NotFound, naming the conversations that are not the user's."""
        known = self._members
        found = {id: known[id] for id in conversation_ids if id in known}
        if missing := [id for id in conversation_ids if id not in found]:
            found |= await self._read(missing)
        foreign = [id for id in conversation_ids if user_id not in found.get(id, ())]
        if foreign:
            raise NotFound(conversations=foreign)
        people = dict.fromkeys(member for id in conversation_ids for member in found[id])
        return [member for member in people if member != user_id]

    async def _read(self, ids: list[str]) -> dict[str, tuple[str, ...]]:
        with command_limit():  # an instant operation has none
            uow = self._store.single()
            rows = await uow.all(Conversation, {"_id": tuple(ids)}, limit=len(ids))
        found = {row.id: row.members for row in rows}
        while len(self._members) + len(found) > CACHE_SIZE:
            del self._members[next(iter(self._members))]
        self._members |= found
        return found
