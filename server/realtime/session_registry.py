"""The clients of this process by session; disconnects them when their session ends."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.ports.sessions import SessionEvent
from server.authentication import Authenticator
from server.realtime.connection import Client

GRACE = timedelta(seconds=30)  # a session without Redis is extended by this much at a time


class SessionRegistry:
    """`disconnect(client, reason)` ends a client; `spawn` starts a background task."""

    def __init__(
        self,
        authenticator: Authenticator,
        disconnect: Callable[[Client, str], None],
        spawn: Callable[[Any], Any],
    ) -> None:
        self._authenticator = authenticator
        self._disconnect = disconnect
        self._spawn = spawn
        self._sessions: dict[str, set[Client]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, session_id: object) -> bool:
        """Whether the session has a client here that is not being disconnected."""
        return any(not client.ending for client in self._sessions.get(str(session_id), ()))

    def add(self, client: Client, until: datetime) -> None:
        """`until` is when the client's token expires."""
        self._sessions.setdefault(client.actor.session_id, set()).add(client)
        self._set_expiry(client.actor.session_id, until)

    def remove(self, client: Client) -> None:
        clients = self._sessions.get(client.actor.session_id, set())
        clients.discard(client)
        if not clients:
            self._sessions.pop(client.actor.session_id, None)
            if timer := self._timers.pop(client.actor.session_id, None):
                timer.cancel()

    def on_event(self, event: SessionEvent) -> None:
        """Sessions were extended or revoked, here or on another process."""
        if event.kind == "extended" and event.until and event.session_id in self._sessions:
            self._set_expiry(event.session_id, event.until)
        elif event.kind == "revoked":
            self._disconnect_session(event.session_id, "revoked", event.user_id)
        elif event.kind == "all_revoked":
            for session_id, clients in list(self._sessions.items()):
                actor = next(iter(clients)).actor
                earlier = actor.id == event.user_id and actor.generation < event.generation
                if earlier and session_id != event.session_id:
                    self._disconnect_session(session_id, "revoked")

    async def disconnect_ended(self, session_ids: Iterable[str] | None = None) -> None:
        """Disconnect the clients of sessions (all by default) that ended without an event."""
        asked = set(self._sessions if session_ids is None else session_ids)
        alive = await self._authenticator.alive(asked)
        for session_id in asked - (asked if alive is None else alive):
            self._disconnect_session(session_id, "revoked")

    def _set_expiry(self, session_id: str, until: datetime) -> None:
        loop = asyncio.get_running_loop()
        delay = (until - datetime.now(until.tzinfo)).total_seconds()
        pending = self._timers.get(session_id)
        if pending and pending.when() >= loop.time() + delay:
            return
        if pending:
            pending.cancel()
        self._timers[session_id] = loop.call_later(max(0, delay), self._timer_fired, session_id)

    def _timer_fired(self, session_id: str) -> None:
        self._timers.pop(session_id, None)
        self._spawn(self._expire(session_id))

    async def _expire(self, session_id: str) -> None:
        """Extend the session instead while Redis is away, because no client can refresh then."""
        if await self._authenticator.can_refresh():
            self._disconnect_session(session_id, "expired")
        elif session_id in self._sessions:
            self._set_expiry(session_id, datetime.now(UTC) + GRACE)

    def _disconnect_session(self, session_id: str, reason: str, user_id: str = "") -> None:
        """The clients of the session, provided that it is the user's if one is given."""
        for client in list(self._sessions.get(session_id, ())):
            if not user_id or client.actor.id == user_id:
                self._disconnect(client, reason)
