"""Chat messages: each once and in the order of its conversation, gaps filled by `/chat` `sync`."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jobsphere.catching_up import CatchingUp
from jobsphere.feed import Read
from jobsphere.pushes import Push, Subscriptions
from jobsphere.refusals import Refusal

CHAT, MESSAGE = "/chat", "message"
PAGE = 100  # conversations of one command
MOST = 5000  # conversations that are listed at the first connection
SKEW = timedelta(minutes=1)  # between the clocks of two servers
NEVER = sys.maxsize


@dataclass(slots=True)
class Known:
    """The last message and the last change of a conversation that were delivered.

    `ahead` has the later changes that were delivered with messages that had been missed.
    """

    seq: int = 0
    revision: int = 0
    ahead: set[int] = field(default_factory=set)

    def advance(self, revision: int) -> bool:
        """Go on to a change. False if it was delivered before, together with its message."""
        fresh = revision not in self.ahead
        self.revision = revision
        self.ahead = {number for number in self.ahead if number > revision}
        return fresh


class Conversations:
    """The messages of all conversations of the user, from the first connection on."""

    def __init__(self, read: Read, subscriptions: Subscriptions, counts: Counter[str]) -> None:
        self.catching_up = CatchingUp(self._catch_up, counts)
        self._read = read
        self._subscriptions = subscriptions
        self._counts = counts
        self._known: dict[str, Known] = {}
        self._early: dict[str, Known] = {}  # before the first push, while the list is being read
        self._begun = self._complete = False
        self._unlisted = True
        self._newest: datetime | None = None  # activity in the list that was read last
        self._behind: set[str] = set()

    def look_through(self) -> None:
        """Anything may have been missed, in any conversation."""
        self._behind.update(self._known)
        self._unlisted = True
        self.catching_up.start()

    def take(self, push: Push[Any]) -> None:
        """Deliver a new or changed message in its turn; drop a repetition; sync after a jump."""
        message = push.data
        id, seq, revision = message["conversation_id"], message["seq"], message["revision"]
        if not self._begun:
            self._begin_before(id, seq, revision)
            return
        known = self._known.get(id)
        if known is None:
            known = self._known[id] = Known() if self._complete else Known(seq - 1)
        if seq <= known.seq and revision <= known.revision:
            self._counts["duplicates"] += 1
        elif seq > known.seq + 1 or (seq <= known.seq and revision > known.revision + 1):
            self._counts["jumps"] += id not in self._behind
            self._fall_behind(id)
        elif self._subscriptions.full_for(push):
            self._fall_behind(id)
        elif seq == known.seq + 1:
            self._deliver_new(known, push)
        else:
            self._deliver_change(known, push)

    def _begin_before(self, id: str, seq: int, revision: int) -> None:
        """A push comes before the conversations are known: `sync` will deliver it in its turn."""
        early = self._early.setdefault(id, Known(NEVER, NEVER))
        if revision:
            early.revision = min(early.revision, revision - 1)
        else:
            early.seq = min(early.seq, seq - 1)
        self.catching_up.start()

    def _fall_behind(self, id: str) -> None:
        self._behind.add(id)
        self.catching_up.start()

    def _deliver_new(self, known: Known, push: Push[Any]) -> None:
        known.seq = push.data["seq"]
        if push.data["revision"] > known.revision:
            known.ahead.add(push.data["revision"])
        self._subscriptions.offer(push)

    def _deliver_change(self, known: Known, push: Push[Any]) -> None:
        """A message that is still missing itself comes as it is now, so its change is known."""
        if known.advance(push.data["revision"]) and push.data["seq"] <= known.seq:
            self._subscriptions.offer(push)

    # -- what was missed -----------------------------------------------------------------------

    async def _catch_up(self) -> None:
        if self._unlisted:
            await self._read_list()
        while self._behind:
            ids = sorted(self._behind)[:PAGE]
            self._behind.difference_update(ids)
            try:
                await self._fill(ids)
            except Refusal as refused:
                gone = refused.details.get("conversations", ())
                self._behind.update(set(ids).difference(gone))
                if refused.code != "not_found" or not gone:
                    raise
                for id in gone:
                    self._known.pop(id, None)

    async def _read_list(self) -> None:
        self._unlisted = False  # it may be set again meanwhile
        try:
            complete = await self._list()
        except Refusal:
            self._unlisted = True
            raise
        if not self._begun:
            self._begin(complete)

    def _begin(self, complete: bool) -> None:
        """Go on from the list that was read, but not beyond what was pushed meanwhile."""
        self._begun, self._complete = True, complete
        for id, early in self._early.items():
            if id not in self._known and early.seq < NEVER:
                self._known[id] = Known() if complete else Known(early.seq)
            if known := self._known.get(id):
                known.seq = min(known.seq, early.seq)
                known.revision = min(known.revision, early.revision)
                self._behind.add(id)
        self._early.clear()

    async def _list(self) -> bool:
        """Read the list, the most recently active first: the first time up to MOST, later back to
        where the reading before began. False if it is longer than MOST."""
        cursor, newest, since = None, self._newest, self._newest
        for _ in range(0, MOST, PAGE):
            fields = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = await self._read(CHAT, "list", fields)
            for found in page["items"]:
                self._listed(found)
                active = datetime.fromisoformat(found["active_at"])
                newest = max(newest or active, active)
                if since and active < since - SKEW:
                    self._newest = newest
                    return True
            cursor = page["next_cursor"]
            if not cursor:
                self._newest = newest
                return True
        self._newest = newest
        return False

    def _listed(self, found: Any) -> None:
        id, head, revision = found["id"], found["head"], found["revision"]
        if not self._begun:
            self._known.setdefault(id, Known(head, revision))  # where it was read first
        elif id not in self._known:
            self._known[id] = Known() if self._complete else Known(head, revision)
            self._behind.add(id)

    async def _fill(self, ids: list[str]) -> None:
        """Deliver what is missing in these conversations; those with more are behind again."""
        fields = {
            "conversations": {id: self._known[id].seq for id in ids},
            "revisions": {id: self._known[id].revision for id in ids},
        }
        answer = await self._read(CHAT, "sync", fields)
        progress, more = False, set()
        for id in ids:
            known, stretch = self._known[id], answer["conversations"][id]
            changes = answer["changes"][id]
            progress = progress or bool(stretch["items"] or changes["items"])
            for push in map(_synced, stretch["items"]):
                await self._subscriptions.room_for(push)
                if push.data["seq"] == known.seq + 1:  # not pushed meanwhile
                    self._deliver_new(known, push)
                elif push.data["seq"] > known.seq:
                    raise Refusal("internal", f"{id} has a gap after {known.seq}")
            for push in map(_synced, changes["items"]):
                await self._subscriptions.room_for(push)
                if push.data["revision"] > known.revision:
                    self._deliver_change(known, push)
            if stretch["head"] > known.seq or changes["revision"] > known.revision:
                more.add(id)
        if progress:
            self._behind |= more


def _synced(message: Any) -> Push[Any]:
    at = message["updated_at"]
    return Push(CHAT, MESSAGE, message["seq"], at, message, way="sync")
