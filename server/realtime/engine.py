"""The Engine.IO server: connections by polling and websocket, heartbeat, and draining."""

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

from server.realtime.connection import MAX_MESSAGE, Connection
from server.realtime.fast_transport import Takeover
from server.realtime.frame_budget import FrameBudget
from server.runtime.background_tasks import end

log = structlog.get_logger()

PING_INTERVAL, PING_TIMEOUT = 25, 20  # seconds
DRAIN_SPREAD = 0.8  # the part of the draining time over which connections are closed

# A polling client sends all its queued packets in one body; the size of the body is limited.
Payload.max_decode_packets = 1000


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """The owner sets `receive_packet` and `on_closed`."""

    _async: dict[str, Any]

    def __init__(
        self,
        *,
        use_fast_transport: bool,
        address: Callable[[web.Request], str],
        budget: FrameBudget,
        **options: Any,
    ):
        super().__init__(
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            monitor_clients=False,
            max_http_buffer_size=MAX_MESSAGE,
            http_compression=False,
            cookie=None,
            **options,
        )
        self._async = {**self._async, "websocket": _StockWebSocket}
        self.use_fast_transport = use_fast_transport
        self.takeover = Takeover(MAX_MESSAGE)
        self.budget = budget
        self.draining = False
        self.receive_packet: Callable[[Connection, str, int], None]
        self.on_closed: Callable[[Connection], None]
        self._address = address
        self._ping_slots: list[set[Connection]] = [set() for _ in range(PING_INTERVAL)]
        self._ticks = 0
        self._running: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self.spawn(self._heartbeat())

    async def stop(self) -> None:
        await end(self._running)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def connections(self) -> list[Connection]:
        return list(self.sockets.values())

    def discard(self, connection: Connection) -> None:
        if self.sockets.pop(connection.sid, None):
            for slot in self._ping_slots:
                slot.discard(connection)
            self.on_closed(connection)

    async def drain(self, seconds: float) -> None:
        """Close every transport, spread over `seconds`, so that the clients do not all reconnect at
        once. Clients do not reconnect after a Socket.IO disconnect, so none is sent."""
        self.draining = True
        loop, connections = asyncio.get_running_loop(), self.connections
        started = loop.time()
        for number, connection in enumerate(connections):
            due = started + seconds * DRAIN_SPREAD * number / len(connections)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self.spawn(self._close_when_idle(connection, max(1.0, started + seconds - loop.time())))
        while self.sockets and loop.time() < started + max(1.0, seconds):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _close_when_idle(self, connection: Connection, seconds: float) -> None:
        """Close after the commands that it has sent are answered, at the latest after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while connection.handling or connection.unanswered:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
        connection.close_transport()

    async def handle_request(self, request: web.Request) -> Any:
        """Not for JSONP: it is polling for browsers without CORS, and answers with a script."""
        if "j" in request.query:
            return web.Response(status=400, text="JSONP is not served.")
        return await super().handle_request(request)

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        if self.draining:
            return web.Response(status=503, text="This process is ending: try again.")
        request = environ["aiohttp.request"]
        connection = Connection(self, self.generate_id(), self._address(request))
        self.sockets[connection.sid] = connection
        self._ping_slots[self._ticks % PING_INTERVAL].add(connection)
        connection.queue.put_nowait(
            Packet(engine_packet.OPEN, self._open_data(connection, transport))
        )
        if transport == "polling":
            connection.connected = True
            return self._ok(await connection.poll(), jsonp_index=jsonp_index)
        if not self.use_fast_transport:
            try:
                return await connection.handle_get_request(environ)
            finally:
                self.discard(connection)
        try:
            return await self.takeover(request, connection, connection.switch_to)
        except BaseException:
            self.discard(connection)
            raise

    def _open_data(self, connection: Connection, transport: str) -> dict[str, Any]:
        return {
            "sid": connection.sid,
            "upgrades": self._upgrades(connection.sid, transport),
            "pingTimeout": PING_TIMEOUT * 1000,
            "pingInterval": PING_INTERVAL * 1000,
            "maxPayload": MAX_MESSAGE,
        }

    async def _heartbeat(self) -> None:
        """One timer for all connections; in its own slot each is pinged, or aborted if silent."""
        while True:
            await asyncio.sleep(1)
            self._ticks += 1
            for connection in list(self._ping_slots[(self._ticks - PING_TIMEOUT) % PING_INTERVAL]):
                if not connection.ponged:
                    connection.abort()
            for connection in list(self._ping_slots[self._ticks % PING_INTERVAL]):
                connection.ping()


class _StockWebSocket(WebSocket):  # type: ignore[misc]
    """A websocket of the stock path, without deflate, which costs 100 KiB for each connection.

    Data that is no Engine.IO packet ends the connection normally, as if it was lost. A message that
    is no Socket.IO packet is ignored: python-engineio would parse it as JSON of any depth.
    """

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
        await self._sock.prepare(request)
        self.handler.__self__.stock_transport = request.transport
        await self.handler(self)
        return self._sock

    async def wait(self) -> Any:
        while True:
            data = await super().wait()
            if isinstance(data, str) and not "0" <= data[:1] <= "6":
                raise OSError("not a packet")
            if data[:1] != "4" or not data[1:] or "0" <= data[1] <= "6":
                return data
