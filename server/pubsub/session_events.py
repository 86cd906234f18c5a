"""Session events between processes over Redis: sessions were extended or revoked."""

from collections.abc import Callable

import msgspec

from domain.ports.sessions import SessionEvent
from server.pubsub.fanout import Fanout


class SessionEvents:
    """Sends events to all processes; to this one first, so that it needs no Redis."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.on_event: Callable[[SessionEvent], None] = lambda event: None
        fanout.on_broadcast = self._on_broadcast

    async def publish(self, event: SessionEvent) -> None:
        self.on_event(event)
        self._fanout.broadcast(msgspec.json.encode(event))

    def _on_broadcast(self, message: bytes) -> None:
        self.on_event(msgspec.json.decode(message, type=SessionEvent))
