"""The fast transport: websocket frames directly from and to the asyncio transport.

Decision: after its handshake a connection is detached from aiohttp. Its request, tasks and queues
end. One small protocol object remains, which passes each frame on as it arrives and writes without
a task, queue or wake-up. aiohttp itself uses three tasks and 20 KiB for each connection and three
wake-ups for each frame. aiohttp's parser still reads the frames.

One read holds up to 256 KiB, which is 40,000 empty frames. So a read is parsed in slices, one in
a turn of the event loop, and reading stops until the last. The frames and bytes of a slice are
charged to the connection; `FrameWalk` counts those of which the parser says nothing.

This uses private parts of aiohttp and python-engineio, so it serves only the versions that it was
tested with (`usable`). With other versions the stock path (aiohttp, python-engineio) serves them.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from server.admission import accepted_of
from server.realtime.frame_walk import FrameWalk
from server.realtime.packets import frame
from server.runtime.unsent_bytes import unsent_bytes

try:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
except ImportError:  # another version: the stock path serves
    WebSocketDataQueue = WebSocketReader = object  # type: ignore[assignment]

log = structlog.get_logger()

TESTED = {"aiohttp": "3.14", "python-engineio": "4.15", "python-socketio": "5.18"}
LINGER_SECONDS = 5.0  # for sending the rest after a close
MAX_UNSENT_BYTES = 1024 * 1024  # beyond it a connection is congested
SMALL_READ = 4096  # bytes that are parsed at once: at most 680 frames
PART_OF_FRAME = 1 / 8  # charged as frames for a read that completes none
CUT_SECONDS = 1.0  # for the client to read why it was cut


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


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(int(code).to_bytes(2) + reason.encode(), WSMsgType.CLOSE)


class Payer(Protocol):
    """The connection that frames are charged to. `unpaid` bytes are charged with the next frame."""

    unpaid: int

    def charge(self, frames: float) -> float:
        """Returns 0 or the seconds to wait; cuts a connection that has gone on for too long."""
        ...


class FrameHandler(Protocol):
    """Receives the text messages and the end of a connection. Its methods must not raise.

    It charges a frame for each text; the transport charges all others. `on_congestion` is called
    when more than MAX_UNSENT_BYTES wait for the client, and when few are left of them.
    """

    @property
    def payer(self) -> Payer: ...

    def on_text(self, text: str) -> None: ...

    def on_congestion(self, begins: bool) -> None: ...

    def on_closed(self) -> None: ...


class _Inbox(WebSocketDataQueue):
    """The queue of the parser: it passes each message to the transport that is being read.

    One serves all transports, because parsing is synchronous.
    """

    transport: Any = None  # a FastTransport

    def feed_data(self, message: Any, size: int) -> None:
        self.transport.received(message, size)

    def set_exception(self, exc: BaseException, exc_cause: Any = None) -> None:
        self.transport.fail(exc)


class FastTransport(asyncio.Protocol):
    """One websocket connection."""

    __slots__ = (
        "_accepted",
        "_cut",
        "_goes_on",
        "_held",
        "_inbox",
        "_parser",
        "_payer",
        "_rest",
        "_transport",
        "_walk",
        "_whole",
        "handler",
        "parsed",
    )

    def __init__(
        self, inbox: _Inbox, transport: asyncio.Transport, handler: FrameHandler, max_size: int
    ) -> None:
        self._accepted = accepted_of(transport)
        self._inbox = inbox
        self._parser = WebSocketReader(inbox, max_size, compress=False, decode_text=True)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self.handler = handler
        self._payer = handler.payer
        self._rest = b""  # not yet parsed
        self._walk = FrameWalk()
        self._whole = True  # nothing is left of earlier reads
        self.parsed = 0  # bytes of the messages of this read, if they came in one frame each
        self._goes_on = self._held = False  # the next slice is due; the handler has paused
        self._cut = False

    # -- from the client ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self._payer.unpaid += size
        if size > SMALL_READ or not self._whole:
            return self._parse(self._rest + data)
        self._inbox.transport, self.parsed = self, 0
        self._parser.feed_data(data)
        if self.parsed != size:  # not only whole messages
            self._follow(data)

    def _follow(self, data: bytes) -> None:
        """Charge the frames of a small read that has been parsed."""
        fragments = 0
        try:
            while data:
                end, more = self._walk.follow(data)
                data, fragments = data[end:], fragments + more
        except ValueError:
            return self.close(WSCloseCode.PROTOCOL_ERROR)
        self._settle(fragments)

    def _parse(self, data: bytes) -> None:
        """Parse a slice; the event loop's next turn goes on with the rest."""
        try:
            end, fragments = self._walk.follow(data)
        except ValueError:
            return self.close(WSCloseCode.PROTOCOL_ERROR)
        self._rest = data[end:]
        self._inbox.transport = self
        self._parser.feed_data(data[:end])
        self._settle(fragments)
        if self._rest and not self._transport.is_closing():
            self._transport.pause_reading()
            self._go_on_later()

    def _settle(self, fragments: int) -> None:
        """Charge what no message has paid for."""
        self._whole = not self._rest and self._walk.at_start_of_frame
        if fragments or self._payer.unpaid:
            self._payer.charge(fragments or PART_OF_FRAME)

    def _go_on_later(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._held or self._transport.is_closing():
            return
        self._parse(self._rest)
        if not self._goes_on and not self._held and not self._transport.is_closing():
            self._transport.resume_reading()

    def received(self, message: Any, size: int) -> None:
        """A message with a payload of `size` bytes."""
        self.parsed += size + (6 if size < 126 else 8 if size < 65_536 else 14)
        if self._cut or self._transport.is_closing():
            return
        try:
            if message.type is WSMsgType.TEXT:
                self.handler.on_text(message.data)
            elif message.type is WSMsgType.CLOSE:
                self.close()
            elif not self._payer.charge(1) and message.type is WSMsgType.PING:
                self._transport.write(frame(message.data, WSMsgType.PONG))
        except Exception:
            log.exception("frame not handled")
            self.abort()

    def fail(self, exc: BaseException) -> None:
        """Close the connection with the reason: no websocket frame, or too large a message."""
        self.close(getattr(exc, "code", WSCloseCode.PROTOCOL_ERROR))

    def eof_received(self) -> bool:
        return False  # asyncio then closes the transport

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._inbox.transport is self:
            self._inbox.transport = None  # else the last one to be read stays in memory
        if self._accepted:
            self._accepted.release()
        self.handler.on_closed()

    def took_over(self) -> None:
        """From now on the transport calls this protocol."""
        if self._accepted:
            self._accepted.hand_over()

    def prove(self) -> None:
        """Its client has connected a namespace."""
        if self._accepted:
            self._accepted.prove()

    # -- to the client -----------------------------------------------------------------------

    def write(self, framed: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed)

    def pause_writing(self) -> None:
        """Called by the transport: more than MAX_UNSENT_BYTES wait in it."""
        self.handler.on_congestion(True)

    def resume_writing(self) -> None:
        self.handler.on_congestion(False)

    @property
    def congested(self) -> bool:
        return self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES

    @property
    def unsent(self) -> int:
        """Bytes that the client has not acknowledged."""
        return unsent_bytes(self._transport)

    def cut(self, reason: str) -> None:
        """Close a client that violates the policy. Nothing of it is read any more: a close with
        unread data is a reset, so it waits until the client has read the reason."""
        if not self._cut and not self._transport.is_closing():
            self._cut = self._held = True
            self._rest = b""
            self._transport.pause_reading()
            self._transport.write(close_frame(WSCloseCode.POLICY_VIOLATION, reason))
            asyncio.get_running_loop().call_later(CUT_SECONDS, self._transport.abort)
            self.handler.on_closed()

    def close(self, code: int = 1000) -> None:
        """Send a close frame after the data written before, then close."""
        if not self._transport.is_closing():
            self._transport.write(close_frame(code))
            self._transport.close()
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close at once and discard unsent data."""
        self._transport.abort()

    def pause(self) -> None:
        self._held = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        self._held = False
        if self._transport.is_closing():
            return
        if self._rest:
            self._go_on_later()
        else:
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
        fast.took_over()
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
