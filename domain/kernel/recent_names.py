"""The names that users changed lately. Records read in this process show them at once.

Decision: records hold copies of names, and a task rewrites them after a change. That takes seconds
for a user with thousands of records, so a changed name is also kept in memory for as long as the
task may take, and is put over the copies when they are read. A read needs no request for it.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from domain.kernel.record import Record

KEPT_SECONDS = 600.0  # longer than the copies of a name take, with the repetition of their task
MAX_NAMES = 10_000  # the oldest are forgotten first
SIDES = ("customer", "contractor")


class Renamed(msgspec.Struct, frozen=True, array_like=True):
    """A user has another name since this version of their record."""

    user_id: str
    version: int
    name: str


class RecentNames:
    """Changed names by user id, the newest at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names: dict[str, tuple[Renamed, float]] = {}  # with when to forget it

    def remember(self, renamed: Renamed) -> None:
        """Changes may be told in any order: that of the higher version counts."""
        known = self._names.pop(renamed.user_id, None)
        if known and known[0].version > renamed.version:
            renamed = known[0]
        self._names[renamed.user_id] = (renamed, self._clock() + KEPT_SECONDS)
        if len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]

    def forget_all(self) -> None:
        """Later changes may have been missed."""
        self._names.clear()

    def shown(self, kind: type[Record], document: dict[str, Any]) -> dict[str, Any]:
        """The document of this kind with changed names. Changes `document`, but not the objects in
        it."""
        if self._names:
            self._forget_expired()
            for id, name in copies_of(kind):
                if known := self._names.get(document[id]):
                    document[name] = known[0].name
            if has_names_by_id(kind):
                names = document["names"]
                known_ids = self._names.keys() & names
                document["names"] = names | {id: self._names[id][0].name for id in known_ids}
        return document

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._names:
            id, (_, until) = next(iter(self._names.items()))
            if until > now:
                return
            del self._names[id]


@cache
def copies_of(kind: type[Record]) -> tuple[tuple[str, str], ...]:
    """Fields with the id of a user, and those with a copy of that user's name."""
    return tuple(
        (f"{side}_id", f"{side}_name") for side in SIDES if f"{side}_name" in kind.__struct_fields__
    )


@cache
def has_names_by_id(kind: type[Record]) -> bool:
    return "names" in kind.__struct_fields__
