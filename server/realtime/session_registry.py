"""The clients of this process by their sessions, and how long those last."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from server.authentication import Gatekeeper
from server.pubsub.session_events import Notice
from server.realtime.connection import Client

GRACE = timedelta(seconds=30)  # what a session goes on, each time that Redis cannot extend it


class SignedIn:
    """`end(client, reason)` disconnects one; `later` runs something in the background."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        end: Callable[[Client, str], None],
        later: Callable[[Any], Any],
    ) -> None:
        self._gatekeeper = gatekeeper
        self._end = end
        self._later = later
        self._sessions: dict[str, set[Client]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._sessions

    def add(self, client: Client, until: datetime) -> None:
        """`until` is when its token ends."""
        self._sessions.setdefault(client.actor.session_id, set()).add(client)
        self._lasts(client.actor.session_id, until)

    def remove(self, client: Client) -> None:
        clients = self._sessions.get(client.actor.session_id, set())
        clients.discard(client)
        if not clients:
            self._sessions.pop(client.actor.session_id, None)
            if timer := self._timers.pop(client.actor.session_id, None):
                timer.cancel()

    def follow(self, notice: Notice) -> None:
        """A session was extended or revoked, here or on another process."""
        if notice.session_id not in self._sessions:
            return
        if notice.kind == "extended" and notice.until:
            self._lasts(notice.session_id, notice.until)
        elif notice.kind == "revoked":
            self._close(notice.session_id, "revoked")

    async def check(self, session_ids: Iterable[str] | None = None) -> None:
        """Close those of them (all, unless named) that were ended while we could not be told."""
        for session_id in list(self._sessions if session_ids is None else session_ids):
            if not await self._gatekeeper.alive(session_id):
                self._close(session_id, "revoked")

    def _lasts(self, session_id: str, until: datetime) -> None:
        loop = asyncio.get_running_loop()
        delay = (until - datetime.now(until.tzinfo)).total_seconds()
        pending = self._timers.get(session_id)
        if pending and pending.when() >= loop.time() + delay:
            return
        if pending:
            pending.cancel()
        self._timers[session_id] = loop.call_later(max(0, delay), self._ran_out, session_id)

    def _ran_out(self, session_id: str) -> None:
        self._timers.pop(session_id, None)
        self._later(self._expire(session_id))

    async def _expire(self, session_id: str) -> None:
        """While Redis is away nobody can refresh: then the session goes on."""
        if await self._gatekeeper.can_refresh():
            self._close(session_id, "expired")
        elif session_id in self._sessions:
            self._lasts(session_id, datetime.now(UTC) + GRACE)

    def _close(self, session_id: str, reason: str) -> None:
        for client in list(self._sessions.get(session_id, ())):
            self._end(client, reason)
