"""A cache of conversations' members, so that typing and presence need no query."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from domain.chat.conversation import Conversation
from domain.chat.reach import check_reach, may_reach
from domain.kernel.errors import NotFound
from domain.kernel.mongo_client import command_limit
from domain.kernel.store import Store

CACHE_SIZE = 50_000


class Members(msgspec.Struct, frozen=True):
    """The members of a conversation, and whether they may reach each other."""

    ids: tuple[str, ...]
    blocked_by: tuple[str, ...] = ()
    deleted_members: dict[str, datetime] = {}


NO_MEMBERS = Members(())


class ConversationMembers:
    """The members of conversations, cached in this process.

    They never change; a block and the deletion of an account are announced to all processes, which
    `forget` the conversations. The oldest entries are evicted first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Members] = {}
        self._changes = 0

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """The other members. Raises NotFound for a user who is no member, and Unreachable if
        they may not be reached."""
        members = self._known.get(conversation_id)
        if members is None:
            members = (await self._read([conversation_id])).get(conversation_id, NO_MEMBERS)
        if user_id not in members.ids:
            raise NotFound
        check_reach(members)
        return tuple(member for member in members.ids if member != user_id)

    async def reachable(self, conversation_ids: tuple[str, ...], user_id: str) -> list[str]:
        """The other members who may be reached, each once. Raises NotFound, naming the
        conversations that are not the user's."""
        known = self._known
        found = {id: known[id] for id in conversation_ids if id in known}
        if missing := [id for id in conversation_ids if id not in found]:
            found |= await self._read(missing)
        foreign = [id for id in conversation_ids if user_id not in found.get(id, NO_MEMBERS).ids]
        if foreign:
            raise NotFound(conversations=foreign)
        open_ = [found[id] for id in conversation_ids if may_reach(found[id])]
        people = dict.fromkeys(member for members in open_ for member in members.ids)
        return [member for member in people if member != user_id]

    def forget(self, conversation_ids: Iterable[str]) -> None:
        """These have changed: read them again, also those that are being read now."""
        self._changes += 1
        for id in conversation_ids:
            self._known.pop(id, None)

    def forget_all(self) -> None:
        """Changes may have been missed."""
        self._changes += 1
        self._known.clear()

    async def _read(self, ids: list[str]) -> dict[str, Members]:
        changes = self._changes
        with command_limit():  # an instant operation has none
            uow = self._store.single()
            rows = await uow.all(Conversation, {"_id": tuple(ids)}, limit=len(ids))
        found = {row.id: Members(row.members, row.blocked_by, row.deleted_members) for row in rows}
        if changes == self._changes:
            while len(self._known) + len(found) > CACHE_SIZE:
                del self._known[next(iter(self._known))]
            self._known |= found
        return found
