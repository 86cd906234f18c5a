"""The sessions that ended recently, as this process knows them.

Decision: an ended session is refused from memory before each command, without a request to a store.
It is learned from events over Redis at once, and from MongoDB, which is read every second, whether
or not Redis works.
"""

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TypeVar

from domain.accounts.sessions import REVOCATION_KEPT, Revocation, is_revoked
from domain.kernel.actor import Actor
from domain.kernel.errors import Unavailable
from domain.kernel.mongo_client import command_limit
from domain.kernel.store import UNREACHABLE, Store
from domain.ports.sessions import SessionEvent

K = TypeVar("K")
V = TypeVar("V")

MAX_REMEMBERED = 100_000  # sessions, and as many users; the oldest are forgotten first
# Longer than a transaction lasts and clocks differ: a row may appear later than its time says.
OVERLAP = timedelta(seconds=30)
SECONDS_KEPT = REVOCATION_KEPT.total_seconds()


class Revocations:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[tuple[str, str], float] = {}  # (user, session) -> when to forget it
        self._users: dict[str, tuple[int, str, float]] = {}  # generation, kept, when to forget it
        # At first all that concern a token which is valid still: Redis may not know of them yet.
        self._read_until: datetime = store.clock.now() - REVOCATION_KEPT

    def covers(self, actor: Actor) -> bool:
        """Whether this process knows that the session of `actor` ended."""
        if self._sessions and (actor.id, actor.session_id) in self._sessions:
            return True
        known = self._users.get(actor.id)
        return known is not None and actor.generation < known[0] and actor.session_id != known[1]

    def remember(self, event: SessionEvent) -> bool:
        """Whether the event says that sessions ended, and that is new."""
        until = time.monotonic() + SECONDS_KEPT
        if event.kind == "revoked":
            key = (event.user_id, event.session_id)
            new = self._sessions.pop(key, None) is None
            self._sessions[key] = until
            _forget_oldest(self._sessions)
            return new
        if event.kind == "all_revoked":
            known = self._users.get(event.user_id)
            if known is None or known[0] < event.generation:
                self._users.pop(event.user_id, None)
                self._users[event.user_id] = (event.generation, event.session_id, until)
                _forget_oldest(self._users)
                return True
        return False

    async def stored(self, actor: Actor) -> bool:
        """Whether MongoDB knows that the session ended. Raises Unavailable."""
        try:
            with command_limit():
                return await is_revoked(
                    self._store.single(), actor.id, actor.session_id, actor.generation
                )
        except UNREACHABLE as away:
            raise Unavailable from away

    async def read_recent(self) -> AsyncIterator[SessionEvent]:
        """What was revoked since the last complete reading, on any process. A revocation may be
        returned several times."""
        begun = self._store.clock.now()
        where = {"updated_at": {"$gte": self._read_until - OVERLAP}}
        uow = self._store.single()
        found = uow.documents(Revocation, where, (("updated_at", 1),))
        async for row in uow.readable(Revocation, found):
            if row.session_id:
                yield SessionEvent("revoked", row.user_id, row.session_id)
            else:
                yield SessionEvent("all_revoked", row.user_id, row.kept, generation=row.valid_from)
        self._read_until = begun
        self._forget_expired()

    def _forget_expired(self) -> None:
        """Entries are in the order of their time."""
        now = time.monotonic()
        while self._sessions and next(iter(self._sessions.values())) < now:
            del self._sessions[next(iter(self._sessions))]
        while self._users and next(iter(self._users.values()))[2] < now:
            del self._users[next(iter(self._users))]


def _forget_oldest(known: dict[K, V]) -> None:
    if len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]
