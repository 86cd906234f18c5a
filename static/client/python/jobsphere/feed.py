"""The user's numbered feed: every event once and in order, gaps filled by `/account` `sync`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from jobsphere.catching_up import CatchingUp
from jobsphere.pushes import Push, Subscriptions
from jobsphere.refusals import Refusal

PAGE = 200
FIELDS = ("namespace", "name", "seq", "at", "data")  # of an item of `sync`

Read = Callable[[str, str, Mapping[str, object]], Awaitable[Any]]


class Feed:
    """`seq` is the number of the last event that was delivered, None before the first connection,
    which then begins at the newest event, or at the first one that is pushed before that is known.
    `read` sends a command that only reads."""

    def __init__(
        self, read: Read, subscriptions: Subscriptions, counts: Counter[str], seq: int | None
    ) -> None:
        self.seq = seq
        self.catching_up = CatchingUp(self._catch_up, counts)
        self._read = read
        self._subscriptions = subscriptions
        self._counts = counts

    def take(self, push: Push[Any]) -> None:
        """Deliver a numbered push if it is the next one; drop a repetition; sync after a jump, and
        when a reader is behind."""
        assert push.seq is not None
        if self.seq is None:
            self.seq = push.seq - 1
        if push.seq <= self.seq:
            self._counts["duplicates"] += 1
        elif push.seq - 1 == self.seq and not self._subscriptions.full_for(push):
            self._deliver(push)
        else:
            self._counts["jumps"] += push.seq - 1 != self.seq and not self.catching_up.running
            self.catching_up.start()

    def _deliver(self, push: Push[Any]) -> None:
        self.seq = push.seq
        self._subscriptions.offer(push)

    def reached(self, head: int) -> None:
        """The server says how far the feed goes."""
        if self.seq is None or head > self.seq:
            self.catching_up.start()

    async def _catch_up(self) -> None:
        if self.seq is None:
            return await self._begin()
        try:
            await self._sync()
        except Refusal as refused:
            if refused.code != "too_old":
                raise
            self.seq = int(refused.details["head"])
            self._subscriptions.miss("too_old")

    async def _begin(self) -> None:
        try:
            head = (await self._read("/account", "sync", {"since": 0, "limit": 1}))["head"]
        except Refusal as refused:
            if refused.code != "too_old":
                raise
            head = int(refused.details["head"])
        if self.seq is None:  # otherwise an event was pushed meanwhile
            self.seq = head
        self.reached(head)

    async def _sync(self) -> None:
        assert self.seq is not None
        head = self.seq + 1
        while self.seq < head:
            before, fields = self.seq, {"since": self.seq, "limit": PAGE}
            page = await self._read("/account", "sync", fields)
            head = page["head"]
            for item in page["items"]:
                push = _synced(item)
                await self._subscriptions.room_for(push)
                if push.seq == self.seq + 1:  # not pushed meanwhile
                    self._deliver(push)
                elif item["seq"] > self.seq:
                    raise Refusal("internal", f"the feed has a gap after {self.seq}")
            if self.seq == before:
                return


def _synced(item: Any) -> Push[Any]:
    """Items may get further fields."""
    namespace, name, seq, at, data = (item[name] for name in FIELDS)
    return Push(namespace, name, seq, at, data, way="sync")
