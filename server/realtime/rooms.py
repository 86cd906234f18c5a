"""Who is in which room on this process, and how a packet reaches all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import socketio

from server.realtime import packets
from server.realtime.connection import Line
from server.realtime.packets import MESSAGE, envelope, frame, namespace_of

LARGE = 8  # members; for fewer it is not worth the memory to remember them


class Ways(NamedTuple):
    """How to reach who is in a room: `lanes` take a whole frame, `others` a packet."""

    lanes: list[Callable[[bytes], None]]
    others: list[Callable[[bytes], None]]


class Rooms(socketio.AsyncManager):  # type: ignore[misc]
    """python-socketio's client manager, with a set of connections for each room.

    A connection is in a room with all its namespaces, and hears there what is said in those that
    it has connected. `on_first` is told of each room that was empty, `on_last` of each that is now.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, set[Line]] = {}
        self._ways: dict[str, dict[str, Ways]] = {}  # of large rooms, until they change
        self.on_first: Callable[[str], None] = lambda room: None
        self.on_last: Callable[[str], None] = lambda room: None

    def members(self, room: str) -> set[Line]:
        return self._lines.get(room, set())

    def enter(self, line: Line, room: str) -> None:
        line.rooms.add(room)
        self._ways.pop(room, None)
        lines = self._lines.setdefault(room, set())
        if not lines:
            self.on_first(room)
        lines.add(line)

    def leave(self, line: Line, room: str) -> None:
        line.rooms.discard(room)
        self._ways.pop(room, None)
        lines = self._lines.get(room)
        if lines and line in lines:
            lines.remove(line)
            if not lines:
                del self._lines[room]
                self.on_last(room)

    def changed(self, line: Line) -> None:
        """It has connected or left a namespace."""
        for room in line.rooms:
            self._ways.pop(room, None)

    def deliver(self, room: str, packet: bytes) -> None:
        """Encoded once, framed once, written to each."""
        lines = self._lines.get(room)
        if lines:
            lanes, others = self._ways_to(room, lines, namespace_of(packet))
            framed = frame(MESSAGE + packet)
            for write in lanes:
                write(framed)
            for post in others:
                post(packet)

    def _ways_to(self, room: str, lines: set[Line], namespace: str) -> Ways:
        """To look at each of many connections costs as much as to write to it: so once."""
        known = self._ways.get(room, {}).get(namespace)
        if known:
            return known
        there = [line for line in lines if namespace in line.clients]
        ways = Ways(
            [line.lane.write for line in there if line.lane],
            [line.post for line in there if not line.lane],
        )
        if len(lines) >= LARGE:
            self._ways.setdefault(room, {})[namespace] = ways
        return ways

    async def emit(
        self, event: str, data: Any, namespace: str, room: str | None = None, **_: Any
    ) -> None:
        """python-socketio's own way to push: what is said so stays on this process."""
        if room:
            message = envelope(None, datetime.now(UTC), data)
            self.deliver(room, packets.event(namespace, event, message))
