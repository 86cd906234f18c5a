"""Short messages between processes over Redis: sessions extended and revoked."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from server.pubsub.fanout import Fanout


class Notice(msgspec.Struct, frozen=True):
    """`kind` is `extended` (with `until`) or `revoked`."""

    kind: str
    session_id: str
    until: datetime | None


class Control:
    """Tells all processes, this one first, so that it works here without Redis too."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.receive: Callable[[Notice], None] = lambda notice: None
        fanout.control = self._heard

    async def announce(self, kind: str, session_id: str, until: datetime | None = None) -> None:
        notice = Notice(kind, session_id, until)
        self.receive(notice)
        self._fanout.announce(msgspec.json.encode(notice))

    def _heard(self, message: bytes) -> None:
        self.receive(msgspec.json.decode(message, type=Notice))
