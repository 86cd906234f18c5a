"""One connection of a client: what it is sent, what waits for its turn, and how it ends."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from engineio import packet as engine_packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, SocketIsClosedError
from engineio.packet import Packet

from domain.kernel.actor import Actor
from server.realtime.fast_transport import MOST_UNSENT, Lane, Takeover
from server.realtime.packets import MESSAGE, frame

PROBE = "2probe"  # the first frame of a websocket that is to take over from polling
UPGRADE_SECONDS = 10.0  # that it has for that


class Owner(Protocol):
    """The server of a line."""

    fast: bool
    takeover: Takeover
    message: Callable[["Line", str, int], None]

    def forget(self, line: "Line") -> None: ...

    def later(self, work: Any) -> Any: ...

    def _bad_request(self) -> Any: ...


class Client(msgspec.Struct, eq=False):
    """One connection in one namespace; `rooms` are those that its commands have joined."""

    sid: str
    namespace: str
    actor: Actor
    line: "Line"
    rooms: set[str] | None = None
    busy: int = 0
    ending: bool = False


class Line(AsyncSocket):  # type: ignore[misc]
    """One connection: a websocket on a lane, or whatever python-engineio itself serves."""

    server: Owner

    def __init__(self, server: Owner, sid: str, address: str) -> None:
        super().__init__(server, sid)
        self.address = address
        self.lane: Lane | None = None
        self.transport: Any = None  # of a websocket without a lane
        self.ponged = True
        self.actor: Actor | None = None
        self.clients: dict[str, Client] = {}
        self.rooms: set[str] = set()
        self.inbox: deque[str] = deque()  # packets that wait for those before them
        self.working = self.paused = False
        self.freed = asyncio.Event()
        self.open = 0  # commands that are committed and not answered yet
        self.due = 0.0  # when its bucket of packets is empty again
        self.abuses = 0
        self._unsent = 0
        self._polling = False

    # -- to the client -----------------------------------------------------------------------

    def post(self, packet: bytes) -> None:
        """Send a Socket.IO packet."""
        if self.lane:
            self.lane.write(frame(MESSAGE + packet))
        elif not self.closed:
            self._unsent += len(packet)
            if self._unsent > MOST_UNSENT:
                self.cut()
            else:
                self.queue.put_nowait(Packet(engine_packet.MESSAGE, data=packet.decode()))

    async def send(self, pkt: Packet) -> None:
        if self.lane:
            self.lane.write(_framed(pkt))
        else:
            await super().send(pkt)

    async def poll(self) -> list[Packet]:
        """Raises EngineIOError, which ends the connection, when somebody polls already."""
        if self._polling:
            raise EngineIOError
        self._polling = True
        try:
            packets: list[Packet] = await super().poll()
        finally:
            self._polling = False
        self._unsent = 0
        return packets

    # -- its life ----------------------------------------------------------------------------

    def ping(self) -> None:
        self.ponged = False
        if self.lane:
            self.lane.write(PING_FRAME)
        elif not self.closed:
            self.queue.put_nowait(Packet(engine_packet.PING))

    def schedule_ping(self) -> None:
        """Called by python-engineio for each pong; the server's one timer sends the pings."""
        self.ponged = True

    async def check_ping_timeout(self) -> bool:
        if self.closed:
            raise SocketIsClosedError
        return True

    def pause(self) -> None:
        """Read no more until there is room in `inbox`."""
        self.paused = True
        self.freed.clear()
        if self.lane:
            self.lane.pause()

    def resume(self) -> None:
        self.paused = False
        self.freed.set()
        if self.lane:
            self.lane.resume()

    def release(self) -> None:
        """End the transport in good order, so that the client connects again."""
        if self.lane:
            self.lane.close()
        elif self.upgraded:
            self.queue.put_nowait(None)
        else:
            self.server.later(self.close(wait=False))

    def cut(self) -> None:
        """End it at once, whatever is unsent."""
        if self.lane:
            self.lane.cut()
        elif self.upgraded and self.transport:
            self.transport.abort()
        else:
            self.server.later(self.close(wait=False, abort=True))

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        if self.lane:
            self.lane.write(CLOSE_FRAME)
            self.lane.close()
        else:
            await super().close(False, abort, reason)
            self.queue.put_nowait(None)  # who waits for packets is told, too

    # -- on a lane ---------------------------------------------------------------------------

    def start(self, lane: Lane) -> None:
        """From now on everything goes over `lane`, what is queued first."""
        while not self.queue.empty():
            if pkt := self.queue.get_nowait():
                lane.write(_framed(pkt))
            else:  # it was ended meanwhile
                lane.close()
        self.lane = lane
        self.connected = self.upgraded = True
        self.upgrading = False

    def heard(self, text: str) -> None:
        kind = text[:1]
        if kind == "4":
            self.server.message(self, text, 1)
        elif kind == "3":
            self.ponged = True
        elif kind == "1" or not "0" <= kind <= "6":
            assert self.lane
            self.lane.close()

    def lost(self) -> None:
        self.closed = True
        self.server.forget(self)

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        if self.upgraded or self.upgrading:
            return self.server._bad_request()
        request = environ["aiohttp.request"]
        if self.server.fast:
            probe = _Probe(self)
            return await self.server.takeover(request, probe, probe.start)
        late = asyncio.get_running_loop().call_later(UPGRADE_SECONDS, self._late, request.transport)
        try:
            return await super()._upgrade_websocket(environ)
        finally:
            late.cancel()
            self.upgrading = False  # python-engineio leaves it so when the websocket fails

    def _late(self, transport: asyncio.Transport) -> None:
        if not self.upgraded:
            transport.close()

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Raises EngineIOError, which ends the connection, also for what is no packet."""
        try:
            await super().handle_post_request(environ)
        except (ValueError, LookupError, RecursionError) as unreadable:
            raise EngineIOError from unreadable


class _Probe:
    """The first words on a websocket that is to take over from polling.

    Source: Engine.IO protocol 4, "Upgrade".
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lane: Lane | None = None

    def start(self, lane: Lane) -> None:
        self._lane = lane
        asyncio.get_running_loop().call_later(UPGRADE_SECONDS, self._late)

    def _late(self) -> None:
        if self._lane and self._line.lane is not self._lane:
            self._lane.close()

    def heard(self, text: str) -> None:
        line, lane = self._line, self._lane
        assert lane
        if text == PROBE and not line.upgrading and not line.upgraded and not line.closed:
            line.upgrading = True
            lane.write(frame(b"3probe"))
            line.queue.put_nowait(Packet(engine_packet.NOOP))  # ends the poll that waits
        elif text == "5" and line.upgrading and not line.closed:
            lane.reader = line
            line.start(lane)
        else:
            lane.close()

    def lost(self) -> None:
        self._line.upgrading = False


def _framed(pkt: Packet) -> bytes:
    encoded = pkt.encode()
    return frame(encoded.encode() if isinstance(encoded, str) else encoded)


PING_FRAME = _framed(Packet(engine_packet.PING))
CLOSE_FRAME = _framed(Packet(engine_packet.CLOSE))
