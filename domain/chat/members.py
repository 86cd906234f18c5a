"""What is known of people without the database: who is there, and who talks where."""

from domain.chat.conversation import Conversation
from domain.kernel.errors import NotFound
from domain.kernel.store import Store

REMEMBERED = 50_000


class Memberships:
    """Who talks in which conversation, remembered: that never changes, so it is read once.

    Of one process; the oldest are forgotten first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._members: dict[str, tuple[str, ...]] = {}

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """Those who talk there with this user. Raises NotFound for a stranger."""
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
        strange = [id for id in conversation_ids if user_id not in found.get(id, ())]
        if strange:
            raise NotFound(conversations=strange)
        people = dict.fromkeys(member for id in conversation_ids for member in found[id])
        return [member for member in people if member != user_id]

    async def _read(self, ids: list[str]) -> dict[str, tuple[str, ...]]:
        rows = await self._store.single().all(Conversation, {"_id": tuple(ids)}, limit=len(ids))
        found = {row.id: row.members for row in rows}
        while len(self._members) + len(found) > REMEMBERED:
            del self._members[next(iter(self._members))]
        self._members |= found
        return found
