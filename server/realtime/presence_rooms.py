"""Ends the subscriptions to the presence of users whom the subscriber may no longer reach."""

from collections.abc import Callable, Iterable, Iterator

from domain.chat.reach import blocked_pairs
from domain.kernel.rooms import presence_of, presence_room, user_room
from domain.kernel.store import Store
from server.realtime.connection import Connection
from server.realtime.rooms import Rooms

CHUNK = 500  # users in one query


class PresenceRooms:
    """`leave` takes a connection out of a room; `connections` are those of this process."""

    def __init__(
        self,
        rooms: Rooms,
        connections: Callable[[], Iterable[Connection]],
        leave: Callable[[Connection, str], None],
        store: Store,
    ) -> None:
        self._rooms = rooms
        self._connections = connections
        self._leave = leave
        self._store = store

    def end(self, users: tuple[str, str]) -> None:
        """End the subscriptions of two users to each other."""
        for subscriber, seen in (users, users[::-1]):
            room = presence_room(seen)
            of_subscriber = self._rooms.members(user_room(subscriber))
            for connection in of_subscriber & self._rooms.members(room):
                self._leave(connection, room)
                for client in connection.clients.values():
                    if client.rooms:
                        client.rooms.discard(room)

    async def recheck(self) -> None:
        """End those of blocked users, after announcements may have been missed."""
        pairs = set(self._subscriptions())
        seen = sorted({user for _, user in pairs})
        uow = self._store.single()
        for start in range(0, len(seen), CHUNK):
            blocked = await blocked_pairs(uow, seen[start : start + CHUNK])
            for pair in pairs & (blocked | {(other, user) for user, other in blocked}):
                self.end(pair)

    def _subscriptions(self) -> Iterator[tuple[str, str]]:
        """The subscribers and the users whose presence they get."""
        for connection in self._connections():
            for room in connection.rooms:
                if connection.actor and (user := presence_of(room)):
                    yield connection.actor.id, user
