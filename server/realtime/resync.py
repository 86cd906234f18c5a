"""Tells clients when pushes may not have reached them, so that they ask for what they lack."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from server.realtime import packets
from server.realtime.connection import Connection
from server.realtime.engine import Engine
from server.realtime.packets import envelope
from server.realtime.rooms import Rooms
from server.realtime.session_registry import SessionRegistry

RESYNC_DELAY_SECONDS = 0.5  # gathers the reports of several processes into one resync


class Resync:
    """Pushes `resync` to one client, to a room, or to all clients of this process."""

    def __init__(
        self,
        engine: Engine,
        rooms: Rooms,
        sessions: SessionRegistry,
        recheck: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._rooms = rooms
        self._sessions = sessions
        self._recheck = recheck
        self.pending = False

    def on_missed(self, room: str | None) -> None:
        """Pushes of other processes, to one room or to all, may not have arrived here."""
        if room:
            self._rooms.deliver(room, _packet())
        elif not self.pending:
            self.pending = True
            self._engine.spawn(self._tell_all())

    async def _tell_all(self) -> None:
        """To 100 clients every 0.1 s; once when several processes return together."""
        await asyncio.sleep(RESYNC_DELAY_SECONDS)
        self.pending = False
        await self._sessions.disconnect_ended()
        await self._recheck()
        packet = _packet()
        for number, connection in enumerate(self._engine.connections, 1):
            if "/account" in connection.clients:
                connection.send_packet(packet)
            if number % 100 == 0:
                await asyncio.sleep(0.1)

    def on_drained(self, connection: Connection) -> None:
        """Pushes to a congested connection were left out, if it has `missed` any."""
        if not connection.missed:
            return
        connection.missed = False
        if "/account" in connection.clients:
            connection.send_packet(_packet())
        else:
            connection.close_transport()  # its client catches up when it reconnects


def _packet() -> bytes:
    return packets.event("/account", "resync", envelope(None, datetime.now(UTC), {}))
