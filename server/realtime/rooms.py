"""Who is in which room on this process, and how a packet reaches all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import socketio

from server.realtime import packets
from server.realtime.line import Line
from server.realtime.packets import MESSAGE, envelope, frame, namespace_of


class Rooms(socketio.AsyncManager):  # type: ignore[misc]
    """python-socketio's client manager, with a set of connections for each room.

    A connection is in a room with all its namespaces, and hears there what is said in those that
    it has connected. `on_first` is told of each room that was empty, `on_last` of each that is now.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, set[Line]] = {}
        self.on_first: Callable[[str], None] = lambda room: None
        self.on_last: Callable[[str], None] = lambda room: None

    def members(self, room: str) -> set[Line]:
        return self._lines.get(room, set())

    def enter(self, line: Line, room: str) -> None:
        line.rooms.add(room)
        lines = self._lines.setdefault(room, set())
        if not lines:
            self.on_first(room)
        lines.add(line)

    def leave(self, line: Line, room: str) -> None:
        line.rooms.discard(room)
        lines = self._lines.get(room)
        if lines and line in lines:
            lines.remove(line)
            if not lines:
                del self._lines[room]
                self.on_last(room)

    def deliver(self, room: str, packet: bytes) -> None:
        """Encoded once, framed once, written to each."""
        lines = self._lines.get(room)
        if lines:
            namespace, framed = namespace_of(packet), frame(MESSAGE + packet)
            for line in lines:
                if namespace in line.clients:
                    if lane := line.lane:
                        lane.write(framed)
                    else:
                        line.post(packet)

    async def emit(
        self, event: str, data: Any, namespace: str, room: str | None = None, **_: Any
    ) -> None:
        """python-socketio's own way to push: what is said so stays on this process."""
        if room:
            message = envelope(None, datetime.now(UTC), data)
            self.deliver(room, packets.event(namespace, event, message))
