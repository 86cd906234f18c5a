"""One Engine.IO connection of a client: sending, the packets that wait, upgrade, and closing."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from aiohttp import WSCloseCode, web
from engineio import packet as engine_packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, SocketIsClosedError
from engineio.packet import Packet

from domain.kernel.actor import Actor
from domain.kernel.errors import RateLimited
from server.admission import accepted_of
from server.realtime.fast_transport import (
    MAX_UNSENT_BYTES,
    FastTransport,
    Payer,
    Takeover,
    close_frame,
)
from server.realtime.frame_budget import FrameBudget
from server.realtime.packets import MESSAGE, frame
from server.runtime.unsent_bytes import unsent_bytes

PROBE = "2probe"  # the first frame of a websocket that replaces polling
UPGRADE_SECONDS = 10.0  # until a websocket that has not replaced polling is closed
POST_SECONDS = 20.0  # for the body of a request
MAX_MESSAGE = 4 * 1024 * 1024  # bytes; above the limit of commands, to answer with a refusal
CUT_RETRY_SECONDS = 4.0  # after which a new connection has a full bucket
MAX_PACKETS = 1000  # in a body of a polling client, which sends all its queued packets in one
SEPARATOR = "\x1e"  # between packets of one body. Source: Engine.IO protocol 4, "Payload"
JSONP = b"d="  # begins a body of a client without CORS, which is not served
# What reading a body raises that is malformed or breaks off.
UNREADABLE = (
    web.RequestPayloadError,
    ValueError,
    LookupError,
    EOFError,
    TimeoutError,
    ConnectionError,
)


class Owner(Protocol):
    """The Engine.IO server of a connection."""

    use_fast_transport: bool
    takeover: Takeover
    budget: FrameBudget
    unsent: int
    receive_packet: Callable[["Connection", str, int], None]

    def follow_congested(self, connection: "Connection") -> None: ...

    on_drained: Callable[["Connection"], None]

    def discard(self, connection: "Connection") -> None: ...

    def spawn(self, work: Any) -> Any: ...

    def _bad_request(self) -> Any: ...


class Client(msgspec.Struct, eq=False):
    """A connection in one namespace; `rooms` are the rooms that its commands have joined."""

    sid: str
    namespace: str
    actor: Actor
    connection: "Connection"
    rooms: set[str] | None = None
    busy: int = 0
    ending: bool = False


class Connection(AsyncSocket):  # type: ignore[misc]
    """A websocket on a fast transport, or a connection that python-engineio itself serves.

    It is congested from more than MAX_UNSENT_BYTES unsent bytes on until they have drained. Then
    none of its commands are started, so that one answer at most is added, and pushes are left out.
    """

    server: Owner
    # Set on a connection only when they differ, which is rare.
    congested = False
    missed = False  # pushes were left out
    refused_at = 0.0  # by rate limits, the last time
    turn = 0.0  # when the packet that was refused last may come again

    def __init__(self, server: Owner, sid: str, address: str) -> None:
        super().__init__(server, sid)
        self.address = address
        self.fast_transport: FastTransport | None = None
        self.stock_transport: Any = None  # of the last poll, or of a websocket that aiohttp serves
        self.probes: set[FastTransport] = set()  # websockets that are to replace polling
        self.network: str | None = None  # whose connections are counted
        self.ponged = True
        self.actor: Actor | None = None
        self.clients: dict[str, Client] = {}
        self.rooms: set[str] = set()
        self.waiting_packets: deque[str] = deque()  # for the packets before them
        self.handling = self.paused = False
        self.capacity_freed = asyncio.Event()
        self.unanswered = 0  # commands that are committed, or under way, and not yet answered
        self.due = 0.0  # when its bucket of frames is empty again
        self.unpaid = 0  # bytes that arrived since the last charge
        self.refusals = 0.0  # by rate limits
        self.retry_after = 0.0  # for a body that was refused by them
        self.unsent = 0  # bytes of packets in `queue`
        self._polling = self._posting = self._cut = False

    # -- what its client may send --------------------------------------------------------------

    @property
    def payer(self) -> Payer:
        return self

    def charge(self, frames: float = 1) -> float:
        """Charge frames that are no packet of a command. Returns 0 or the seconds to wait."""
        wait = self.server.budget.charge(self, frames)
        if wait:
            self.cut_if_exhausted()
        return wait

    def cut_if_exhausted(self) -> None:
        """Close a connection whose client goes on although it is refused."""
        if self.server.budget.exhausted(self):
            if self.actor:
                self.server.budget.note_cut(self.actor.id)
            self.cut(RateLimited.code)

    def cut(self, reason: str, code: int = WSCloseCode.POLICY_VIOLATION) -> None:
        """Close a connection that has violated the policy or the protocol."""
        if self.closed or self._cut:
            return
        self._cut = True
        for probe in list(self.probes):
            probe.cut(reason)
        if self.fast_transport:
            self.fast_transport.cut(reason)
        elif self.upgraded and self.stock_transport:
            self.stock_transport.write(close_frame(code, reason))
            self.stock_transport.close()
        else:
            self.abort()

    def prove(self) -> None:
        """Its client has connected a namespace."""
        if self.fast_transport:
            self.fast_transport.prove()
        elif accepted := accepted_of(self.stock_transport):
            accepted.prove()

    # -- to the client -----------------------------------------------------------------------

    def send_packet(self, packet: bytes) -> None:
        """Send a Socket.IO packet."""
        if self.fast_transport:
            self.fast_transport.write(frame(MESSAGE + packet))
        elif not self.closed:
            self.unsent += len(packet)
            self.server.unsent += len(packet)
            self.queue.put_nowait(Packet(engine_packet.MESSAGE, data=packet.decode()))
            if self.unsent > MAX_UNSENT_BYTES:
                self.on_congestion(True)

    async def send(self, pkt: Packet) -> None:
        if self.fast_transport:
            self.fast_transport.write(_framed(pkt))
        else:
            await super().send(pkt)

    async def poll(self) -> list[Packet]:
        """Raises EngineIOError, which ends the connection, while another poll is open.

        python-engineio also sends by it on a websocket, where no NOOP belongs.
        """
        if self._polling:
            raise EngineIOError
        self._polling = True
        try:
            packets: list[Packet] = await super().poll()
            while self.upgraded and packets and all(map(_is_noop, packets)):
                packets = await super().poll()
        finally:
            self._polling = False
        self.forget_unsent()
        self.on_congestion(False)
        return [each for each in packets if not _is_noop(each)] if self.upgraded else packets

    def forget_unsent(self) -> None:
        """What waited in the queue has left it."""
        self.server.unsent -= self.unsent
        self.unsent = 0

    # -- heartbeat, backpressure, closing ------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """Bytes that its client has not acknowledged, as far as they are known."""
        fast = self.fast_transport
        return fast.unsent if fast else self.unsent + unsent_bytes(self.stock_transport)

    def on_congestion(self, begins: bool) -> None:
        if begins and not self.congested:
            self.congested = True
            self.server.follow_congested(self)
        elif self.congested and not begins:
            self.congested = False
            self.capacity_freed.set()
            self.server.on_drained(self)

    def ping(self) -> None:
        self.ponged = False
        if self.fast_transport:
            self.fast_transport.write(PING_FRAME)
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
        """Stop reading until there is room in `waiting_packets`."""
        self.paused = True
        self.capacity_freed.clear()
        if self.fast_transport:
            self.fast_transport.pause()

    def resume(self) -> None:
        self.paused = False
        self.capacity_freed.set()
        if self.fast_transport:
            self.fast_transport.resume()

    def close_transport(self) -> None:
        """Close the transport normally: the client then reconnects."""
        if self.fast_transport:
            self.fast_transport.close()
        elif self.upgraded:
            self.queue.put_nowait(None)
        else:
            self.server.spawn(self.close(wait=False))

    def abort(self) -> None:
        """Close at once and discard unsent data."""
        if self.fast_transport:
            self.fast_transport.abort()
        elif self.upgraded and self.stock_transport:
            self.stock_transport.abort()
        else:
            self.server.spawn(self.close(wait=False, abort=True))

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        if self.fast_transport:
            self.fast_transport.write(CLOSE_FRAME)
            self.fast_transport.close()
        else:
            await super().close(False, abort, reason)
            self.queue.put_nowait(None)  # ends a poll that waits for packets

    # -- on a fast transport -------------------------------------------------------------------

    def switch_to(self, fast: FastTransport) -> None:
        """Send everything over `fast` from now on, the queued packets first."""
        while not self.queue.empty():
            if pkt := self.queue.get_nowait():
                fast.write(_framed(pkt))
            else:  # None: the connection was closed
                fast.close()
        self.fast_transport = fast
        self.connected = self.upgraded = True
        self.upgrading = False
        self.forget_unsent()
        if not fast.congested:
            self.on_congestion(False)

    def on_text(self, text: str) -> None:
        kind = text[:1]
        if kind == "4":
            return self.server.receive_packet(self, text, 1)
        self.charge()
        if kind == "3":
            self.ponged = True
        elif (kind == "1" or not "0" <= kind <= "6") and self.fast_transport:
            self.fast_transport.close()

    def on_closed(self) -> None:
        self.closed, self.fast_transport = True, None
        self.server.discard(self)

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Raises EngineIOError, which ends the connection, when a poll was given up by its client:
        what it was answered with is lost."""
        transport = environ["aiohttp.request"].transport
        if not (self.upgrading or self.upgraded):  # by the websocket, whose transport is kept
            self.stock_transport = transport
        found = await super().handle_get_request(environ)
        if isinstance(found, list) and (transport is None or transport.is_closing()):
            raise EngineIOError
        return found

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        if self.upgraded or self.upgrading:
            return self.server._bad_request()
        request = environ["aiohttp.request"]
        if self.server.use_fast_transport:
            probe = _Probe(self)
            return await self.server.takeover(request, probe, probe.on_started)
        timer = asyncio.get_running_loop().call_later(
            UPGRADE_SECONDS, self._time_out_upgrade, request.transport
        )
        try:
            return await super()._upgrade_websocket(environ)
        finally:
            timer.cancel()
            self.upgrading = False  # python-engineio leaves it True when the websocket fails

    def _time_out_upgrade(self, transport: asyncio.Transport) -> None:
        if not self.upgraded:
            transport.close()

    async def receive(self, pkt: Packet) -> None:
        """A packet of the stock path or of a poller."""
        if pkt.packet_type != engine_packet.MESSAGE or pkt.binary:
            self.charge()
        if not self.closed:
            if pkt.packet_type == engine_packet.CLOSE:
                self.end_waiting_poll()
            await super().receive(pkt)

    def end_waiting_poll(self) -> None:
        """Source: Engine.IO protocol 4, "Upgrade" and "HTTP long-polling"."""
        if self._polling and not self.upgraded:
            self.queue.put_nowait(Packet(engine_packet.NOOP))

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Raises EngineIOError, which ends the connection, also for a body that is no packet.

        A client waits for the answer to a body before it sends the next.
        """
        size = int(environ.get("CONTENT_LENGTH", "0"))
        self.unpaid += size
        self.retry_after = self.charge()
        if size > MAX_MESSAGE or self._posting or self.retry_after:
            raise EngineIOError
        self._posting = True
        try:
            async with asyncio.timeout(POST_SECONDS):
                body = await environ["wsgi.input"].readexactly(size)
            if body.startswith(JSONP):
                raise EngineIOError
            for pkt in unparsed_packets(body.decode()):
                if self._cut:
                    self.retry_after = CUT_RETRY_SECONDS
                    raise EngineIOError
                await self.receive(pkt)
        except UNREADABLE as unreadable:
            raise EngineIOError from unreadable
        finally:
            self._posting = False


class _Probe:
    """Handles the first frames of a websocket that replaces polling.

    Source: Engine.IO protocol 4, "Upgrade".
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fast: FastTransport | None = None

    @property
    def payer(self) -> Payer:
        return self._connection

    def on_started(self, fast: FastTransport) -> None:
        self._fast = fast
        self._connection.probes.add(fast)
        asyncio.get_running_loop().call_later(UPGRADE_SECONDS, self._time_out_upgrade)

    def _time_out_upgrade(self) -> None:
        if self._fast and self._connection.fast_transport is not self._fast:
            self._fast.close()

    def on_text(self, text: str) -> None:
        connection, fast = self._connection, self._fast
        assert fast
        connection.charge()
        if (
            text == PROBE
            and not connection.upgrading
            and not connection.upgraded
            and not connection.closed
        ):
            connection.upgrading = True
            fast.write(frame(b"3probe"))
            connection.end_waiting_poll()
        elif text == "5" and connection.upgrading and not connection.closed:
            fast.handler = connection
            connection.probes.discard(fast)
            connection.switch_to(fast)
        else:
            fast.close()

    def on_congestion(self, begins: bool) -> None:
        """Its client sends pings and reads nothing."""
        if begins and self._fast:
            self._fast.abort()

    def on_closed(self) -> None:
        self._connection.upgrading = False
        if self._fast:
            self._connection.probes.discard(self._fast)


def unparsed_packets(body: str) -> list[Packet]:
    """The packets of a body, their data as text: python-engineio parses it as JSON of any size and
    depth. Raises ValueError, LookupError."""
    texts = body.split(SEPARATOR, MAX_PACKETS)
    if len(texts) > MAX_PACKETS:
        raise ValueError("too many packets")
    return [
        Packet(engine_packet.MESSAGE, data=b"")  # binary data in base64, which is ignored
        if text[0] == "b"
        else Packet(int(text[0]), data=text[1:])
        for text in texts
    ]


def _is_noop(pkt: Packet) -> bool:
    return bool(pkt.packet_type == engine_packet.NOOP)


def _framed(pkt: Packet) -> bytes:
    encoded = pkt.encode()
    return frame(encoded.encode() if isinstance(encoded, str) else encoded)


PING_FRAME = _framed(Packet(engine_packet.PING))
CLOSE_FRAME = _framed(Packet(engine_packet.CLOSE))
