"""The Engine.IO server: connections by polling and websocket, heartbeat, and draining."""

import asyncio
import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import engineio
import structlog
from aiohttp import WSMsgType, web
from engineio import packet as engine_packet
from engineio.async_drivers.aiohttp import WebSocket
from engineio.packet import Packet

from server.admission import RETRY_SECONDS, Admission, accepted_of
from server.realtime.connection import MAX_MESSAGE, PROBE, Connection
from server.realtime.fast_transport import Takeover
from server.realtime.frame_budget import FrameBudget
from server.realtime.frame_walk import FRAMES_AT_ONCE
from server.realtime.stock_meter import StockMeter
from server.runtime.background_tasks import end

log = structlog.get_logger()

PING_INTERVAL, PING_TIMEOUT = 25, 20  # seconds
TICK_SECONDS = 1.0  # of the timer that pings, which counts these seconds in ticks
STALLED_SECONDS = 10.0  # without progress of a client that is behind, which is then cut
LEAST_PROGRESS = 4096  # bytes
SLOW_BYTES = 64 * 1024  # unsent, behind which a ping may take longer than PING_TIMEOUT
JOIN_SECONDS = 15.0  # for the first namespace, and after the last
POLLERS_SHARE = 4  # the part of all connections that may poll is 1/4
MAX_POLLED_BYTES = 128 * 1024 * 1024  # unsent bytes of all pollers
TOO_MANY = "Too many connections: try again later."
DRAIN_SPREAD = 0.8  # the part of the draining time over which connections are closed


class Progress(NamedTuple):
    """The unsent bytes of a connection after its last progress and all that was added since, and
    when that was."""

    unsent: int
    since: float


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """The owner sets `receive_packet`, `on_congested`, `on_drained` and `on_closed`."""

    _async: dict[str, Any]

    def __init__(
        self,
        *,
        use_fast_transport: bool,
        address: Callable[[web.Request], str],
        budget: FrameBudget,
        admission: Admission,
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
        self.unsent = 0  # bytes that wait for polls
        self.joining: dict[Connection, float] = {}  # without a namespace, and until when
        self._admission = admission
        self._pollers: dict[Connection, None] = {}  # some may have been upgraded since
        self._of_network: Counter[str] = Counter()
        self.draining = False
        self.receive_packet: Callable[[Connection, str, int], None]
        self.on_closed: Callable[[Connection], None]
        self.on_congested: Callable[[Connection], None]
        self.on_drained: Callable[[Connection], None]
        self._behind: dict[Connection, Progress] = {}
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
            connection.forget_unsent()
            connection.congested = connection.missed = False
            self._behind.pop(connection, None)
            for probe in list(connection.probes):
                probe.close()
            self.joining.pop(connection, None)
            self._pollers.pop(connection, None)
            if connection.network:
                self._of_network[connection.network] -= 1
                if not self._of_network[connection.network]:
                    del self._of_network[connection.network]
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
        if "transport" not in request.query:  # python-engineio would take it for polling
            return web.Response(status=400, text="Invalid transport")
        connection = self.sockets.get(request.query.get("sid"))
        response = await super().handle_request(request)
        if connection and connection.retry_after:
            headers = {"Retry-After": str(math.ceil(connection.retry_after))}
            return web.Response(status=429, headers=headers, text="rate_limited")
        return response

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: Any = None) -> Any:
        """The answer to a body is `ok`, in lower case. Source: Engine.IO protocol 4."""
        answer = super()._ok(packets, headers, jsonp_index)
        return answer if packets is not None else {**answer, "response": b"ok"}

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        if self.draining:
            return web.Response(status=503, text="This process is ending: try again.")
        request = environ["aiohttp.request"]
        address = self._address(request)
        network = self._admission.limited(address)
        if refused := self._refusal(network, transport):
            return web.Response(
                status=refused, headers={"Retry-After": str(RETRY_SECONDS)}, text=TOO_MANY
            )
        connection = Connection(self, self.generate_id(), address)
        self.sockets[connection.sid] = connection
        self.await_namespace(connection)
        if network:
            connection.network = network
            self._of_network[network] += 1
        self._ping_slots[self._ticks % PING_INTERVAL].add(connection)
        connection.queue.put_nowait(
            Packet(engine_packet.OPEN, self._open_data(connection, transport))
        )
        if transport == "polling":
            self._pollers[connection] = None
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

    def _refusal(self, network: str | None, transport: str) -> int:
        """The status of a refused connection, or 0. Pollers hold memory without a descriptor."""
        capacity = self._admission.capacity
        if network and self._of_network[network] >= capacity.per_address:
            return 429
        most = max(1, capacity.total // POLLERS_SHARE)
        if transport == "polling" and len(self._pollers) >= most:
            self._pollers = {each: None for each in self._pollers if not each.upgraded}
            if len(self._pollers) >= most and not self._end_oldest_joining_poller():
                return 503
        return 0

    def _end_oldest_joining_poller(self) -> bool:
        oldest = next((each for each in self._pollers if not each.clients), None)
        if oldest:
            self._pollers.pop(oldest)
            oldest.abort()
        return oldest is not None

    def await_namespace(self, connection: Connection) -> None:
        """Close a connection that has no namespace for JOIN_SECONDS, even if it answers pings."""
        self.joining.pop(connection, None)
        self.joining[connection] = asyncio.get_running_loop().time() + JOIN_SECONDS

    def _end_late(self, now: float) -> None:
        for connection, until in list(self.joining.items()):
            if until > now:
                break
            self.joining.pop(connection)
            if not connection.clients:
                connection.cut("no namespace")

    def follow_congested(self, connection: Connection) -> None:
        self._follow(connection)
        self.on_congested(connection)

    def _follow(self, connection: Connection) -> None:
        """Cut a connection when its client makes no progress in receiving for STALLED_SECONDS."""
        now = asyncio.get_running_loop().time()
        self._behind.setdefault(connection, Progress(connection.unsent_bytes, now))

    def _end_stalled(self, now: float) -> None:
        for connection, (before, since) in list(self._behind.items()):
            unsent = connection.unsent_bytes
            if connection.ponged and not connection.congested:
                del self._behind[connection]
            elif unsent <= before - LEAST_PROGRESS:
                self._behind[connection] = Progress(unsent, now)
            elif now - since > STALLED_SECONDS:
                connection.abort()
            elif unsent > before:
                self._behind[connection] = Progress(unsent, since)

    def _end_silent(self, connection: Connection) -> None:
        """Abort a connection whose client has not answered its ping, unless it is still receiving
        what was sent before."""
        if connection.unsent_bytes > SLOW_BYTES:
            self._follow(connection)
        elif connection not in self._behind:
            connection.abort()

    def _limit_unsent(self) -> None:
        """End the pollers with the most unsent bytes, while all together have too many."""
        while self.unsent > MAX_POLLED_BYTES:
            largest = max(self._pollers, key=lambda each: each.unsent, default=None)
            if largest is None:
                break
            self.discard(largest)
            largest.abort()

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
            await asyncio.sleep(TICK_SECONDS)
            self._ticks += 1
            now = asyncio.get_running_loop().time()
            self._end_late(now)
            self._end_stalled(now)
            self._limit_unsent()
            for connection in list(self._ping_slots[(self._ticks - PING_TIMEOUT) % PING_INTERVAL]):
                if not connection.ponged:
                    self._end_silent(connection)
            for connection in list(self._ping_slots[self._ticks % PING_INTERVAL]):
                connection.ping()
                if connection.unsent_bytes > SLOW_BYTES:
                    self._follow(connection)


class _StockWebSocket(WebSocket):  # type: ignore[misc]
    """A websocket of the stock path, without deflate, which costs 100 KiB for each connection.

    Data that is no Engine.IO packet ends the connection normally, as if it was lost. A message that
    is no Socket.IO packet is ignored, and of other packets only the beginning is passed on:
    python-engineio would parse them as JSON of any depth. Pings
    are answered here, because aiohttp answers all that have arrived in one turn of the event loop.
    """

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False, autoping=False)
        await self._sock.prepare(request)
        connection = self.handler.__self__
        connection.stock_transport = request.transport
        if accepted := accepted_of(request.transport):
            accepted.accepts = StockMeter(connection)
        await self.handler(self)
        return self._sock

    async def wait(self) -> Any:
        """The next packet. What else arrives is charged here."""
        connection = self.handler.__self__
        for number in itertools.count(1):
            message = await self._sock.receive()
            if connection.stock_transport.is_closing():
                raise OSError("closed")
            if message.type not in (WSMsgType.PING, WSMsgType.PONG):
                data: Any = message.data
                if not isinstance(data, bytes | str):
                    raise OSError("closed")
                if isinstance(data, bytes):
                    return data
                if not "0" <= data[:1] <= "6":
                    raise OSError("not a packet")
                if data[0] != "4":
                    return data[: len(PROBE)]
                if not data[1:] or "0" <= data[1] <= "6":
                    return data
            elif message.type is WSMsgType.PING:
                await self._sock.pong(message.data)
            connection.charge()
            if number % FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
