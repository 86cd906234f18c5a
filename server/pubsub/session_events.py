"""Session events between processes over Redis: a session was extended or revoked."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from server.pubsub.fanout import Fanout


class SessionEvent(msgspec.Struct, frozen=True):
    """`kind` is `extended` (with `until`) or `revoked`."""

    kind: str
    session_id: str
    until: datetime | None


class SessionEvents:
    """Sends events to all processes; to this one first, so that it needs no Redis."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.on_event: Callable[[SessionEvent], None] = lambda event: None
        fanout.on_broadcast = self._on_broadcast

    async def publish(self, kind: str, session_id: str, until: datetime | None = None) -> None:
        event = SessionEvent(kind, session_id, until)
        self.on_event(event)
        self._fanout.broadcast(msgspec.json.encode(event))

    def _on_broadcast(self, message: bytes) -> None:
        self.on_event(msgspec.json.decode(message, type=SessionEvent))
