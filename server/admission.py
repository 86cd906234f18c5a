"""The accepted connections of a process: how many, whose, and how long they may be silent.

Decision: aiohttp knows its own requests, the realtime side its websockets, and neither knows what
descriptors are left. So each accepted connection is registered here until it ends, also after it
has become a websocket. When there is no room for one more, the oldest that has not completed a
request or connected a namespace is closed; if there is none, the one that is idle for longest. So
clients that are silent never shut out one that speaks. Only then is the new one refused.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import NamedTuple

import structlog
from aiohttp import web

from domain.kernel.networks import network_of
from server.config import Network
from server.cross_origin import CrossOrigin
from server.problems import PROBLEM, problem
from server.runtime.background_tasks import end
from server.runtime.unsent_bytes import unsent_bytes
from server.token_buckets import Buckets, Rate

log = structlog.get_logger()

HEADER_SECONDS = 10.0  # from the connection to the headers of its first request
IDLE_SECONDS = 75.0  # between two requests; load balancers keep connections for 60 s
BODY_SECONDS = 20.0  # from then on a body has to have arrived at BODY_RATE
BODY_RATE = 1024  # bytes a second
STALLED_SECONDS = 30.0  # for a client that reads nothing of its answer
SWEEP_SECONDS = 1.0
REFILL_SECONDS = 10.0  # after which an address may again open as many as it may have
REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 0.5, 2  # for each connection that an address may have
REFUSALS, REFUSAL_SECONDS = 64, 1.0  # which wait for a request, to answer it; others are reset
RETRY_SECONDS = 10
WARN_SECONDS = 60.0
SEARCHED = 64  # idle connections that are looked at to make room
BACKLOG = 512
# Bytes that the kernel keeps of what a client sends and the process has not read yet. By default it
# keeps up to 32 MiB of each connection, and one read takes 256 KiB of it. A proxy on this machine
# sends packets of 64 KiB: where these do not fit, each waits 40 ms for an acknowledgement.
UNREAD = 64 * 1024


class Capacity(NamedTuple):
    """The most connections of a process, and of one network of addresses unless it is exempt."""

    total: int
    per_address: int
    exempt: tuple[Network, ...] = ()  # proxies, which have many clients


class Admission:
    """Registers the connections of a process."""

    def __init__(self, capacity: Capacity, cross_origin: CrossOrigin) -> None:
        self.capacity = capacity
        self.cross_origin = cross_origin
        self.connections: set[Accepted] = set()
        self.unproven: dict[Accepted, None] = {}  # the oldest first
        self.active: dict[Accepted, None] = {}  # with a request
        self.idle: dict[Accepted, None] = {}  # the longest idle first
        self.refusing = 0
        self._of_network: Counter[str] = Counter()
        self._opened = Buckets()
        self._requests = Buckets()
        self._warned: dict[str, float] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None

    async def listen(
        self, new_protocol: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> None:
        """Accept connections; `new_protocol` serves one over HTTP. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Accepted(self, new_protocol), host, port, backlog=BACKLOG
        )
        for listening in self._server.sockets:  # accepted ones inherit it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)
        self._sweeper = asyncio.create_task(self._sweep_regularly())

    async def stop(self) -> None:
        """Accept no more connections."""
        if self._server:
            self._server.close()
        if self._sweeper:
            await end([self._sweeper])

    # -- admission ---------------------------------------------------------------------------

    def admit(self, new: "Accepted", address: str) -> int:
        """Register a connection. Returns 0, or the status of its refusal."""
        self.connections.add(new)
        self.unproven[new] = None
        if network := self.limited(address):
            new.network = network
            self._of_network[network] += 1
            most = self.capacity.per_address
            if self._of_network[network] > most or self._opened.take(
                network, Rate(most, most / REFILL_SECONDS)
            ):
                self._warn(
                    "too many connections of an address; list it in TRUSTED_PROXIES if it is a "
                    "load balancer",
                    address=address,
                )
                return 429
        if len(self.connections) > self.capacity.total and not self._make_room(new):
            self._warn("too many connections", most=self.capacity.total)
            return 503
        return 0

    def charge_request(self, address: str) -> float:
        """Count a request over HTTP of a client. Returns 0, or the seconds to wait."""
        network = self.limited(address)
        if network is None:
            return 0.0
        most = self.capacity.per_address
        rate = Rate(REQUESTS_AT_ONCE * most, REQUESTS_PER_SECOND * most)
        return self._requests.take(network, rate)

    def limited(self, address: str) -> str | None:
        """The network whose connections are counted for this address; None: it has no limit.

        A proxy on this machine may serve many without being configured as one, so that loopback
        has no limit.
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            return None
        if parsed.is_loopback or any(parsed in network for network in self.capacity.exempt):
            return None
        return network_of(address)

    def release(self, gone: "Accepted") -> None:
        if gone in self.connections:
            self.connections.remove(gone)
            for group in (self.unproven, self.active, self.idle):
                group.pop(gone, None)
            if gone.network:
                self._of_network[gone.network] -= 1
                if not self._of_network[gone.network]:
                    del self._of_network[gone.network]

    def _make_room(self, new: "Accepted") -> bool:
        oldest = next(iter(self.unproven))
        if oldest is not new:
            oldest.abort()
            return True
        for _, unused in zip(range(SEARCHED), self.idle, strict=False):
            if not unused.unsent:
                unused.abort()
                return True
        return False

    def _warn(self, event: str, **fields: object) -> None:
        """At most once a minute: an attack must not fill the log."""
        now = time.monotonic()
        if now - self._warned.get(event, -WARN_SECONDS) >= WARN_SECONDS:
            self._warned[event] = now
            log.warning(event, **fields)

    # -- time limits -------------------------------------------------------------------------

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(asyncio.get_running_loop().time())

    def sweep(self, now: float) -> None:
        """Close the connections that have exceeded a time limit."""
        late = []
        for accepted in self.unproven:
            if now - accepted.opened < HEADER_SECONDS:
                break
            if not accepted.requested:
                late.append(accepted)
        late += [accepted for accepted in self.active if accepted.stalls(now)]
        for accepted in self.idle:
            if now - accepted.since < IDLE_SECONDS:
                break
            if accepted.stalls(now) or not accepted.unsent:
                late.append(accepted)
        for accepted in late:
            accepted.abort()


class Accepted(asyncio.Protocol):
    """One connection. It passes everything on to the protocol that serves it over HTTP.

    `accepts(data)` may refuse what arrives; then it closes the connection.
    """

    __slots__ = (
        "_admission",
        "_http",
        "_new_http",
        "_progress",
        "_received",
        "_refusal",
        "_request",
        "_transport",
        "accepts",
        "network",
        "opened",
        "requested",
        "since",
    )

    def __init__(self, admission: Admission, new_http: Callable[[], asyncio.Protocol]) -> None:
        self._admission = admission
        self._new_http = new_http
        self._http: asyncio.Protocol  # of one that is not refused
        self._transport: asyncio.Transport
        self._refusal = 0
        self._request: web.Request | None = None
        self._received = 0  # bytes of the request
        self._progress = (0, 0.0)  # unsent bytes, and since when it is this number
        self.accepts: Callable[[bytes], bool] | None = None
        self.network: str | None = None
        self.opened = self.since = asyncio.get_running_loop().time()  # of the request, or idle
        self.requested = False

    # -- from the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._refusal = self._admission.admit(self, peer[0] if isinstance(peer, tuple) else "")
        if not self._refusal:
            self._http = self._new_http()
            self._http.connection_made(transport)
        elif self._admission.refusing < REFUSALS:
            self._admission.refusing += 1
            asyncio.get_running_loop().call_later(REFUSAL_SECONDS, self._end_refusal)
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            self._answer_refusal(data)
        elif self.accepts is None or self.accepts(data):
            self._received += len(data)
            self._http.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._refusal else self._http.eof_received()

    def pause_writing(self) -> None:
        if not self._refusal:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if not self._refusal:
            self._http.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.release()
        if not self._refusal:
            self._http.connection_lost(exc)  # type: ignore[arg-type]

    def _answer_refusal(self, data: bytes = b"") -> None:
        if not self._transport.is_closing():
            head, body = REFUSED[self._refusal]
            for name, value in self._admission.cross_origin.headers_for_bytes(data).items():
                head += f"{name}: {value}\r\n".encode("latin-1")
            self._transport.write(head + b"\r\n" + body)
            self._transport.close()

    def _end_refusal(self) -> None:
        self._admission.refusing -= 1
        self._answer_refusal()

    # -- what its server reports -------------------------------------------------------------

    def begin(self, request: web.Request) -> None:
        """The headers of a request have arrived."""
        self.requested, self._request, self._received = True, request, 0
        self.since = asyncio.get_running_loop().time()
        self._admission.idle.pop(self, None)
        self._admission.active[self] = None

    def finish(self) -> None:
        """The request is answered, unless it has been handed over."""
        if self._request and self in self._admission.connections:
            self._request, self.since = None, asyncio.get_running_loop().time()
            self.prove()
            self._admission.active.pop(self, None)
            self._admission.idle[self] = None

    def hand_over(self) -> None:
        """Another protocol has taken the transport: a websocket."""
        self._request = None
        self._admission.active.pop(self, None)

    def prove(self) -> None:
        """It has completed a request or connected a namespace."""
        self._admission.unproven.pop(self, None)

    def release(self) -> None:
        """The connection has ended."""
        self._admission.release(self)

    # -- what it holds -----------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def stalls(self, now: float) -> bool:
        """Whether its client reads nothing, or sends the body of a request too slowly."""
        unsent, (before, since) = self.unsent, self._progress
        if unsent:
            unsent = unsent_bytes(self._transport)
        if not unsent or unsent != before:
            self._progress = unsent, now
        elif now - since > STALLED_SECONDS:
            return True
        if self._request is None or self._request.content.is_eof():
            return False
        if not self._transport.is_reading():  # its server is slower
            self.since, self._received = now, 0
        late = now - self.since - BODY_SECONDS
        return late > 0 and self._received < late * BODY_RATE

    def abort(self) -> None:
        self.release()
        self._transport.abort()


def accepted_of(transport: asyncio.BaseTransport | None) -> Accepted | None:
    protocol = transport.get_protocol() if transport else None
    return protocol if isinstance(protocol, Accepted) else None


@web.middleware
async def follow_requests(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Report the requests of each connection."""
    accepted = accepted_of(request.transport)
    if accepted is None:
        return await handler(request)
    accepted.begin(request)
    try:
        return await handler(request)
    finally:
        accepted.finish()


def _refusal(status: int, reason: str, code: str, title: str) -> tuple[bytes, bytes]:
    """Its headers, without the empty line after them, and its body."""
    body = problem(status, code, title, {"retry_after": RETRY_SECONDS})
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {PROBLEM}\r\n"
        f"Retry-After: {RETRY_SECONDS}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    )
    return head.encode(), body


REFUSED = {
    429: _refusal(
        429, "Too Many Requests", "rate_limited", "Your address has too many connections."
    ),
    503: _refusal(503, "Service Unavailable", "unavailable", "This process has no room."),
}
