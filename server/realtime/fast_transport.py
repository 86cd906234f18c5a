"""The fast transport: websocket frames directly from and to the asyncio transport.

Decision: after its handshake a connection is detached from aiohttp. Its request, tasks and queues
end. One small protocol object remains, which passes each frame on as it arrives and writes without
a task, queue or wake-up. aiohttp itself uses three tasks and 20 KiB for each connection and three
wake-ups for each frame. aiohttp's parser still reads the frames.

This uses private parts of aiohttp and python-engineio, so it serves only the versions that it was
tested with (`usable`). With other versions the stock path (aiohttp, python-engineio) serves them.
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
except ImportError:  # another version: the stock path serves
    WebSocketDataQueue = WebSocketReader = object  # type: ignore[assignment]

log = structlog.get_logger()

TESTED = {"aiohttp": "3.14", "python-engineio": "4.15", "python-socketio": "5.18"}
LINGER_SECONDS = 5.0  # for sending the rest after a close
MAX_UNSENT_BYTES = 1024 * 1024  # beyond it a client that does not read is disconnected


@cache
def usable(found: Callable[[str], str] = version) -> bool:
    """Whether the installed versions are the tested ones; logs one warning if not."""
    others = {
        name: installed
        for name in TESTED
        if ".".join((installed := found(name)).split(".")[:2]) != TESTED[name]
    }
    if others:
        log.warning("fast transport is off: made for other versions", made_for=TESTED, found=others)
    return not others


class FrameHandler(Protocol):
    """Receives the text messages and the end of a connection. Its methods must not raise."""

    def on_text(self, text: str) -> None: ...

    def on_closed(self) -> None: ...


class _Inbox(WebSocketDataQueue):
    """The queue of the parser: it passes each message to the transport that is being read.

    One serves all transports, because parsing is synchronous.
    """

    transport: "FastTransport"

    def feed_data(self, message: Any, size: int) -> None:
        self.transport.received(message)

    def set_exception(self, exc: BaseException, exc_cause: Any = None) -> None:
        self.transport.fail(exc)


class FastTransport(asyncio.Protocol):
    """One websocket connection."""

    __slots__ = ("_inbox", "_parser", "_transport", "handler")

    def __init__(
        self, inbox: _Inbox, transport: asyncio.Transport, handler: FrameHandler, max_size: int
    ) -> None:
        self._inbox = inbox
        self._parser = WebSocketReader(inbox, max_size, compress=False, decode_text=True)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self.handler = handler

    # -- from the client ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._inbox.transport = self
        self._parser.feed_data(data)

    def received(self, message: Any) -> None:
        if self._transport.is_closing():
            return
        try:
            if message.type is WSMsgType.TEXT:
                self.handler.on_text(message.data)
            elif message.type is WSMsgType.PING:
                self._transport.write(frame(message.data, WSMsgType.PONG))
            elif message.type is WSMsgType.CLOSE:
                self.close()
        except Exception:
            log.exception("frame not handled")
            self.abort()

    def fail(self, exc: BaseException) -> None:
        """Close the connection with the reason: no websocket frame, or too large a message."""
        self.close(getattr(exc, "code", 1002))

    def eof_received(self) -> bool:
        return False  # asyncio then closes the transport

    def connection_lost(self, exc: BaseException | None) -> None:
        self.handler.on_closed()

    # -- to the client -----------------------------------------------------------------------

    def write(self, framed: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed)

    def pause_writing(self) -> None:
        """Called by the transport: the client has left more than MAX_UNSENT_BYTES unread."""
        self.abort()

    def close(self, code: int = 1000) -> None:
        """Send a close frame after the data written before, then close."""
        if not self._transport.is_closing():
            self._transport.write(frame(int(code).to_bytes(2), WSMsgType.CLOSE))
            self._transport.close()
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close at once and discard unsent data."""
        self._transport.abort()

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


class Takeover:
    """Lets aiohttp do the handshake, then puts a FastTransport in its place."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._inbox: _Inbox | None = None

    async def __call__(
        self, request: web.Request, handler: FrameHandler, started: Callable[[FastTransport], None]
    ) -> web.StreamResponse:
        """`started` is called before any message that has already arrived is passed on.

        Raises what aiohttp raises for a bad handshake, or ConnectionError.
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
        fast = FastTransport(self._inbox, transport, handler, self._max_size)
        early, protocol._message_tail = protocol._message_tail, b""
        transport.set_protocol(fast)
        protocol.transport = None  # it must not close the transport
        protocol.connection_lost(None)
        started(fast)
        if early:
            fast.data_received(early)
        return handshake


class _Handshake(web.WebSocketResponse):
    """Only answers the upgrade request; nothing is read or written through it."""

    def _post_start(self, request: Any, protocol: Any, writer: Any) -> None:
        """Start no reader: aiohttp's protocol keeps early data until the takeover."""
        self._writer = writer

    async def write_eof(self, data: bytes = b"") -> None:
        self._eof_sent = True  # nothing follows the headers
