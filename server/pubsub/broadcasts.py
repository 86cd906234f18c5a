"""Events for all processes over Redis: what each process remembers has changed.

They reach this process first, so that it needs no Redis. The first byte of a message tells the
kinds apart: a session event is a JSON object, a change of reach an array.
"""

from collections.abc import Callable

import msgspec

from domain.ports.messaging import ReachChange
from domain.ports.sessions import SessionEvent
from server.pubsub.fanout import Fanout


class Broadcasts:
    """Sessions were extended or revoked; two users may reach each other, or no longer."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.on_session: Callable[[SessionEvent], None] = lambda event: None
        self.on_reach: Callable[[ReachChange], None] = lambda change: None
        fanout.on_broadcast |= {b"{": self._session_event, b"[": self._reach_change}

    async def session_event(self, event: SessionEvent) -> None:
        self.on_session(event)
        self._fanout.broadcast(msgspec.json.encode(event))

    def reach_change(self, change: ReachChange) -> None:
        self.on_reach(change)
        self._fanout.broadcast(msgspec.json.encode(change))

    def _session_event(self, message: bytes) -> None:
        self.on_session(msgspec.json.decode(message, type=SessionEvent))

    def _reach_change(self, message: bytes) -> None:
        self.on_reach(msgspec.json.decode(message, type=ReachChange))
