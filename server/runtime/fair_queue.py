"""A bounded queue of expensive work in which groups take turns, and members within a group.

A flood of one group delays its own work only: the next group has its turn after one piece of work.
When the queue is full, the newest of the longest group gives way to one of a shorter group. A
group that is known begins at the head of the line, and does not give way to unknown ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.kernel.errors import RateLimited

SMOOTHING = 0.2  # weight of the latest duration in the average


Waiting = deque[asyncio.Future[None]]  # of one member, the oldest first


class FairQueue:
    """At most `slots` at a time; `most_waiting` wait, `most_of_group` of them of one group.

    What does not fit is refused with the seconds after which there will be room.
    """

    def __init__(self, slots: int, most_waiting: int, most_of_group: int) -> None:
        self._free = slots
        self._slots = slots
        self._most_waiting, self._most_of_group = most_waiting, most_of_group
        self._groups: dict[str, dict[str, Waiting]] = {}  # in the order of their turns
        self._sizes: dict[str, int] = {}
        self._known: set[str] = set()  # of those that wait
        self._seconds = 0.1  # of one piece of work, on average
        self.waiting = 0

    @asynccontextmanager
    async def turn(self, group: str, member: str, known: bool = False) -> AsyncIterator[None]:
        """Wait for a slot. Raises RateLimited."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(group, member, known)
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += SMOOTHING * (time.monotonic() - started - self._seconds)
            self._pass_on()

    async def _wait(self, group: str, member: str, known: bool) -> None:
        self._make_room(group, member, known)
        future = asyncio.get_running_loop().create_future()
        members = self._groups.setdefault(group, {})
        if known and group not in self._known:
            self._known.add(group)
            self._groups = {group: members} | self._groups
        members.setdefault(member, deque()).append(future)
        self._sizes[group] = self._sizes.get(group, 0) + 1
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                if future in self._groups.get(group, {}).get(member, ()):
                    self._remove(group, member, future)
            elif not future.exception():  # it had got the slot already, and was not evicted
                self._pass_on()
            raise

    def _make_room(self, group: str, member: str, known: bool) -> None:
        """Raises RateLimited."""
        size = self._sizes.get(group, 0)
        if size >= self._most_of_group:
            self._evict_of_group(group, member)
        elif self.waiting >= self._most_waiting:
            others = [name for name in reversed(self._groups) if name not in self._known]
            longest = max(others, key=self._sizes.__getitem__, default=group)
            if self._sizes.get(longest, 0) <= (0 if known else 1) + size:
                raise self._refusal()
            self._evict(longest, self._longest_member(longest))

    def _evict_of_group(self, group: str, member: str) -> None:
        longest = self._longest_member(group)
        members = self._groups[group]
        own = len(members[member]) if member in members else 0
        if len(members[longest]) <= own + 1:
            raise self._refusal()
        self._evict(group, longest)

    def _longest_member(self, group: str) -> str:
        members = self._groups[group]
        return max(members, key=lambda name: len(members[name]))

    def _evict(self, group: str, member: str) -> None:
        future = self._groups[group][member][-1]
        self._remove(group, member, future)
        if not future.done():
            future.set_exception(self._refusal())

    def _refusal(self) -> RateLimited:
        seconds = (self.waiting + 1) * self._seconds / self._slots
        return RateLimited(retry_after=round(max(1.0, seconds), 1))

    def _remove(self, group: str, member: str, future: asyncio.Future[None]) -> None:
        members = self._groups[group]
        members[member].remove(future)
        if not members[member]:
            del members[member]
        self.waiting -= 1
        self._sizes[group] -= 1
        if not self._sizes[group]:
            del self._sizes[group], self._groups[group]
            self._known.discard(group)

    def _pass_on(self) -> None:
        """Give the slot to the next group's next member; both go to the end of their lines."""
        while self._groups:
            group = next(iter(self._groups))
            members = self._groups[group]
            member = next(iter(members))
            future = members[member][0]
            self._remove(group, member, future)
            if member in members:
                members[member] = members.pop(member)
            if group in self._groups:
                self._groups[group] = self._groups.pop(group)
            if not future.done():
                return future.set_result(None)
        self._free += 1
