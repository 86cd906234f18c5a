"""The fast lane: websocket frames straight from and to the transport.

Decision: after its handshake a connection is taken out of aiohttp's hands. Its request, tasks and
queues end, and what stays is one small protocol object, which hands each frame on as it arrives
and writes without a task, queue or wake-up. aiohttp's own way costs three tasks and 20 KiB a
connection, and as many wake-ups a frame. Frames are still read by aiohttp's parser.

This uses parts of aiohttp and python-engineio that are not public, so it serves only the versions
that it was tested with; with others the stock path does (`usable`).
"""

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

import structlog
from aiohttp import WSMsgType, web

from server.realtime.packets import frame

try:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
except ImportError:  # the stock path serves, as with any other version
    WebSocketDataQueue = WebSocketReader = object  # type: ignore[assignment]

log = structlog.get_logger()

TESTED = {"aiohttp": "3.14", "python-engineio": "4.15", "python-socketio": "5.18"}
LINGER_SECONDS = 5.0  # that a closed connection has for what is still unsent
MOST_UNSENT = 1024 * 1024  # bytes that a client may leave unread, until it is cut off


@cache
def usable(found: Callable[[str], str] = version) -> bool:
    """Whether the installed versions are those that this was tested with; the log says once if
    not."""
    others = {
        name: there
        for name in TESTED
        if ".".join((there := found(name)).split(".")[:2]) != TESTED[name]
    }
    if others:
        log.warning("fast transport is off: made for other versions", made_for=TESTED, found=others)
    return not others


class Reader(Protocol):
    """Who is told what arrives on a lane. Nothing of it may raise."""

    def heard(self, text: str) -> None: ...

    def lost(self) -> None: ...


class _Inbox(WebSocketDataQueue):
    """Where the parser puts messages: it hands each to the lane being read right now.

    One for all lanes: parsing is synchronous.
    """

    lane: "Lane"

    def feed_data(self, message: Any, size: int) -> None:
        self.lane.received(message)

    def set_exception(self, exc: BaseException, exc_cause: Any = None) -> None:
        self.lane.fail(exc)


class Lane(asyncio.Protocol):
    """One websocket connection."""

    __slots__ = ("_inbox", "_parser", "_transport", "reader")

    def __init__(
        self, inbox: _Inbox, transport: asyncio.Transport, reader: Reader, max_size: int
    ) -> None:
        self._inbox = inbox
        self._parser = WebSocketReader(inbox, max_size, compress=False, decode_text=True)
        self._transport = transport
        transport.set_write_buffer_limits(high=MOST_UNSENT)
        self.reader = reader

    # -- from the client ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._inbox.lane = self
        self._parser.feed_data(data)

    def received(self, message: Any) -> None:
        if self._transport.is_closing():
            return
        try:
            if message.type is WSMsgType.TEXT:
                self.reader.heard(message.data)
            elif message.type is WSMsgType.PING:
                self._transport.write(frame(message.data, WSMsgType.PONG))
            elif message.type is WSMsgType.CLOSE:
                self.close()
        except Exception:
            log.exception("frame not handled")
            self.cut()

    def fail(self, exc: BaseException) -> None:
        """What is no websocket frame, or too large, ends the connection with its reason."""
        self.close(getattr(exc, "code", 1002))

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: BaseException | None) -> None:
        self.reader.lost()

    # -- to the client -----------------------------------------------------------------------

    def write(self, framed: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed)

    def pause_writing(self) -> None:
        """Called by the transport: the client has left more than MOST_UNSENT unread."""
        self.cut()

    def close(self, code: int = 1000) -> None:
        """In good order, after all that was written before."""
        if not self._transport.is_closing():
            self._transport.write(frame(int(code).to_bytes(2), WSMsgType.CLOSE))
            self._transport.close()
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def cut(self) -> None:
        """At once: what is still unsent is thrown away."""
        self._transport.abort()

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


class Takeover:
    """Does the handshake with aiohttp, then makes the connection a Lane."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._inbox: _Inbox | None = None

    async def __call__(
        self, request: web.Request, reader: Reader, started: Callable[[Lane], None]
    ) -> web.StreamResponse:
        """`started` is called before any message that the client sent already is handed on.

        Raises what aiohttp raises for a bad handshake, and ConnectionError.
        """
        if self._inbox is None:
            loop = asyncio.get_running_loop()
            no_protocol: Any = None
            self._inbox = _Inbox(no_protocol, 2**16, loop=loop)
        handshake = _Handshake(compress=False)
        await handshake.prepare(request)
        protocol, transport = request.protocol, request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("gone during the handshake")
        lane = Lane(self._inbox, transport, reader, self._max_size)
        early, protocol._message_tail = protocol._message_tail, b""
        transport.set_protocol(lane)
        protocol.transport = None  # so that it does not close what is ours now
        protocol.connection_lost(None)
        started(lane)
        if early:
            lane.data_received(early)
        return handshake


class _Handshake(web.WebSocketResponse):
    """Only the answer to the upgrade: nothing is read or written through it."""

    def _post_start(self, request: Any, protocol: Any, writer: Any) -> None:
        """Data that comes already now is kept by aiohttp's protocol until it is taken over."""
        self._writer = writer

    async def write_eof(self, data: bytes = b"") -> None:
        self._eof_sent = True  # nothing follows the headers
