"""The rooms of this process: their connections, and the delivery of a packet to all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import socketio

from server.realtime import packets
from server.realtime.connection import Connection
from server.realtime.packets import MESSAGE, ROUTED, Routing, envelope, frame, namespace_of

LARGE = 8  # members, from which on the recipients of a room are cached


class Recipients(NamedTuple):
    """The send methods of a room's connections: `fast` ones take a frame, `stock` ones a packet."""

    fast: list[Callable[[bytes], None]]
    stock: list[Callable[[bytes], None]]


class Rooms(socketio.AsyncManager):  # type: ignore[misc]
    """python-socketio's client manager, with a set of connections for each room.

    A connection is in a room with all its namespaces, and receives the packets of those that it has
    connected. `on_occupied` is called for a room's first connection, `on_emptied` after its last.
    `remove` takes a connection out of a room that has ended for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._connections: dict[str, set[Connection]] = {}
        self._recipients: dict[str, dict[str, Recipients]] = {}  # cached
        self._congested: set[Connection] = set()
        self.on_occupied: Callable[[str], None] = lambda room: None
        self.on_emptied: Callable[[str], None] = lambda room: None
        self.remove: Callable[[Connection, str], None] = self.leave

    def members(self, room: str) -> set[Connection]:
        return self._connections.get(room, set())

    def enter(self, connection: Connection, room: str) -> None:
        connection.rooms.add(room)
        self._recipients.pop(room, None)
        connections = self._connections.setdefault(room, set())
        if not connections:
            self.on_occupied(room)
        connections.add(connection)

    def leave(self, connection: Connection, room: str) -> None:
        connection.rooms.discard(room)
        self._recipients.pop(room, None)
        connections = self._connections.get(room)
        if connections and connection in connections:
            connections.remove(connection)
            if not connections:
                del self._connections[room]
                self.on_emptied(room)

    def suspend(self, connection: Connection) -> None:
        """Leave a congested connection out, and note on it whether it has `missed` a packet."""
        self._congested.add(connection)
        self.invalidate(connection)

    def resume(self, connection: Connection) -> None:
        if connection in self._congested:
            self._congested.remove(connection)
            self.invalidate(connection)

    def invalidate(self, connection: Connection) -> None:
        """Drop cached recipients: the connection has connected or left a namespace."""
        for room in connection.rooms:
            self._recipients.pop(room, None)

    def deliver(self, room: str, packet: bytes) -> None:
        """Write a packet, encoded and framed once, to every connection in the room."""
        if packet[0] == ROUTED:
            return self._deliver_routed(room, *packets.routing_of(packet))
        connections = self._connections.get(room)
        if connections:
            self._write(packet, self._recipients_of(room, connections, namespace_of(packet)))

    def _deliver_routed(self, room: str, routing: Routing, packet: bytes) -> None:
        connections = self.members(room)
        others = [self.members(other) for other in routing.without]
        if not all(map(connections.isdisjoint, others)):
            reached = connections.difference(*others)
            self._write(packet, self._find_recipients(reached, namespace_of(packet)))
        else:
            self.deliver(room, packet)
        if routing.ends:
            for connection in list(self.members(routing.ends[0])):
                for ended in routing.ends:
                    self.remove(connection, ended)

    def _write(self, packet: bytes, recipients: Recipients) -> None:
        framed = frame(MESSAGE + packet)
        for write in recipients.fast:
            write(framed)
        for send in recipients.stock:
            send(packet)

    def _recipients_of(self, room: str, connections: set[Connection], namespace: str) -> Recipients:
        """Cached for large rooms: the search costs as much as the writes."""
        known = self._recipients.get(room, {}).get(namespace)
        if known:
            return known
        recipients = self._find_recipients(connections, namespace)
        if len(connections) >= LARGE:
            self._recipients.setdefault(room, {})[namespace] = recipients
        return recipients

    def _find_recipients(self, connections: set[Connection], namespace: str) -> Recipients:
        reached = [connection for connection in connections if namespace in connection.clients]
        if self._congested:
            for connection in self._congested.intersection(reached):
                connection.missed = True
                reached.remove(connection)
        return Recipients(
            [
                connection.fast_transport.write
                for connection in reached
                if connection.fast_transport
            ],
            [connection.send_packet for connection in reached if not connection.fast_transport],
        )

    async def emit(
        self, event: str, data: Any, namespace: str, room: str | None = None, **_: Any
    ) -> None:
        """python-socketio's own emit; it reaches this process only."""
        if room:
            message = envelope(None, datetime.now(UTC), data)
            self.deliver(room, packets.event(namespace, event, message))
