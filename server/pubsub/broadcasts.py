"""Events for all processes over Redis: what each process remembers has changed.

They reach this process first, so that it needs no Redis. The first byte of a message tells the
kinds apart: a session event is a JSON object, a change of reach an array, and RENAMED comes before
a changed name.
"""

from collections.abc import Callable

import msgspec

from domain.kernel.recent_names import RecentNames, Renamed
from domain.ports.messaging import ReachChange
from domain.ports.sessions import SessionEvent
from server.pubsub.fanout import Fanout

RENAMED = b"n"


class Broadcasts:
    """Sessions were extended or revoked; two users may reach each other, or no longer; a user has
    another name. Where a changed name is missed, names are read from the records again, which
    have it as soon as it is copied."""

    def __init__(self, fanout: Fanout, names: RecentNames) -> None:
        self._fanout = fanout
        self._names = names
        self.on_session: Callable[[SessionEvent], None] = lambda event: None
        self.on_reach: Callable[[ReachChange], None] = lambda change: None
        fanout.on_broadcast |= {
            b"{": self._session_event,
            b"[": self._reach_change,
            RENAMED: self._renamed,
        }
        fanout.on_missed.append(self._missed)

    async def session_event(self, event: SessionEvent) -> None:
        self.on_session(event)
        self._fanout.broadcast(msgspec.json.encode(event))

    def reach_change(self, change: ReachChange) -> None:
        self.on_reach(change)
        self._fanout.broadcast(msgspec.json.encode(change))

    def renamed(self, change: Renamed) -> None:
        self._names.remember(change)
        self._fanout.broadcast(RENAMED + msgspec.json.encode(change))

    def _session_event(self, message: bytes) -> None:
        self.on_session(msgspec.json.decode(message, type=SessionEvent))

    def _reach_change(self, message: bytes) -> None:
        self.on_reach(msgspec.json.decode(message, type=ReachChange))

    def _renamed(self, message: bytes) -> None:
        self._names.remember(msgspec.json.decode(message[len(RENAMED) :], type=Renamed))

    def _missed(self, room: str | None) -> None:
        if room is None:
            self._names.forget_all()
