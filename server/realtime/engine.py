"""The Engine.IO server: connections by polling and websocket, their heartbeat, what is unsent."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import engineio
import structlog
from aiohttp import web
from engineio import packet as engine_packet
from engineio.async_drivers.aiohttp import WebSocket
from engineio.packet import Packet
from engineio.payload import Payload

from server.realtime.connection import Line
from server.realtime.fast_transport import Takeover
from server.runtime.background_tasks import end

log = structlog.get_logger()

PING_INTERVAL, PING_TIMEOUT = 25, 20  # seconds
SPREAD = 0.8  # of the draining time, in which connections are ended; the rest is for the last
MAX_MESSAGE = 4 * 1024 * 1024  # what the transport reads, so that a refusal can be answered

# A polling client sends in one body whatever it has queued; the body's size is limited.
Payload.max_decode_packets = 1000


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """`fast` puts websockets on lanes. Who owns it sets `message` and `gone`."""

    _async: dict[str, Any]

    def __init__(self, *, fast: bool, address: Callable[[web.Request], str], **options: Any):
        super().__init__(
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            monitor_clients=False,
            max_http_buffer_size=MAX_MESSAGE,
            http_compression=False,
            cookie=None,
            **options,
        )
        self._async = {**self._async, "websocket": _Frames}
        self.fast = fast
        self.takeover = Takeover(MAX_MESSAGE)
        self.draining = False
        self.message: Callable[[Line, str, int], None]
        self.gone: Callable[[Line], None]
        self._address = address
        self._wheel: list[set[Line]] = [set() for _ in range(PING_INTERVAL)]
        self._ticks = 0
        self._running: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self.later(self._beat())

    async def stop(self) -> None:
        await end(self._running)

    def later(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def lines(self) -> list[Line]:
        return list(self.sockets.values())

    def forget(self, line: Line) -> None:
        if self.sockets.pop(line.sid, None):
            for slot in self._wheel:
                slot.discard(line)
            self.gone(line)

    async def drain(self, seconds: float) -> None:
        """End every transport, spread over the time, so that the clients connect again elsewhere
        and not all at once. A Socket.IO disconnect would tell them to stay away."""
        self.draining = True
        loop, lines = asyncio.get_running_loop(), self.lines
        began = loop.time()
        for number, line in enumerate(lines):
            due = began + seconds * SPREAD * number / len(lines)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self.later(self._let_go(line, max(1.0, began + seconds - loop.time())))
        while self.sockets and loop.time() < began + max(1.0, seconds):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _let_go(self, line: Line, seconds: float) -> None:
        """After the commands that it has sent are answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while line.working or line.open:  # noqa: ASYNC110 - no moment to be told of
                    await asyncio.sleep(0.01)
        line.release()

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        if self.draining:
            return web.Response(status=503, text="This process is ending: try again.")
        request = environ["aiohttp.request"]
        line = Line(self, self.generate_id(), self._address(request))
        self.sockets[line.sid] = line
        self._wheel[self._ticks % PING_INTERVAL].add(line)
        line.queue.put_nowait(Packet(engine_packet.OPEN, self._opening(line, transport)))
        if transport == "polling":
            line.connected = True
            return self._ok(await line.poll(), jsonp_index=jsonp_index)
        if not self.fast:
            try:
                return await line.handle_get_request(environ)
            finally:
                self.forget(line)
        try:
            return await self.takeover(request, line, line.start)
        except BaseException:
            self.forget(line)
            raise

    def _opening(self, line: Line, transport: str) -> dict[str, Any]:
        return {
            "sid": line.sid,
            "upgrades": self._upgrades(line.sid, transport),
            "pingTimeout": PING_TIMEOUT * 1000,
            "pingInterval": PING_INTERVAL * 1000,
            "maxPayload": MAX_MESSAGE,
        }

    async def _beat(self) -> None:
        """One timer for all: each line is pinged in its own second, and must have answered."""
        while True:
            await asyncio.sleep(1)
            self._ticks += 1
            for line in list(self._wheel[(self._ticks - PING_TIMEOUT) % PING_INTERVAL]):
                if not line.ponged:
                    line.cut()
            for line in list(self._wheel[self._ticks % PING_INTERVAL]):
                line.ping()


class _Frames(WebSocket):  # type: ignore[misc]
    """A websocket of the stock path, without deflate: that costs 100 KiB a connection.

    What is no Engine.IO packet ends it in good order, like a lost connection. A message that is
    no Socket.IO packet is passed over: python-engineio would read it as JSON, however deep.
    """

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
        await self._sock.prepare(request)
        self.handler.__self__.transport = request.transport
        await self.handler(self)
        return self._sock

    async def wait(self) -> Any:
        while True:
            data = await super().wait()
            if isinstance(data, str) and not "0" <= data[:1] <= "6":
                raise OSError("not a packet")
            if data[:1] != "4" or not data[1:] or "0" <= data[1] <= "6":
                return data
