"""The HTTP server on aiohttp's: bodies stay packed, refusals close, bad requests cost one line.

aiohttp's parser unpacks a body with a Content-Encoding as it arrives, also for a path that does not
exist: one megabyte becomes a gigabyte. Here it does not (`auto_decompress`). aiohttp also reads the
rest of a refused body for ten seconds at any speed, logs a traceback for every malformed request,
and names its version in each response.
"""

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import StreamReader, hdrs, web

from domain.kernel.errors import Code
from domain.kernel.networks import NEIGHBOURS, network_of
from server.problems import PROBLEM, problem

log = structlog.get_logger()

SERVER = "JobSphere"
MAX_LINE = 8190  # bytes of the request line, and of one header
MAX_HEADERS = 100
# Of a refused body this much is still read: closing with unread data resets the connection, and the
# client might lose the answer.
DISCARDED_BYTES = 256 * 1024
DISCARD_SECONDS = 2.0


class Protocol(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_discarding",)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Also end the wait for the rest of a body: aiohttp ends that of a handler only."""
        super().connection_lost(exc)
        if body := getattr(self, "_discarding", None):
            body.set_exception(ConnectionResetError())

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response. Close the connection if the request's body has not arrived by then."""
        body = request.content
        unread = not body.is_eof()
        if not resp.prepared:
            resp.headers.setdefault(hdrs.SERVER, SERVER)
            if unread:
                resp.force_close()
        sent = await super().finish_response(request, resp, start_time)
        if unread:
            await self._discard(body)
        return sent

    async def _discard(self, body: StreamReader) -> None:
        left, self._discarding = DISCARDED_BYTES, body
        with contextlib.suppress(Exception):  # the connection may end in any way
            async with asyncio.timeout(DISCARD_SECONDS):
                while left > 0 and not body.at_eof() and self.transport:
                    left -= len(await body.readany())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a malformed request, or to a failure that no handler has answered.

        aiohttp's `message` repeats the request.
        """
        if status < 500:
            network = network_of(request.remote or "", NEIGHBOURS)
            log.warning("malformed request", network=network, reason=type(exc).__name__)
        else:
            log.error("request failed", path=request.path, exc_info=exc)
        if request.writer.output_size:
            raise ConnectionError("a response has begun")
        code = Code.INVALID if status < 500 else Code.INTERNAL
        body = problem(status, code, HTTPStatus(status).phrase)
        response = web.Response(status=status, body=body, content_type=PROBLEM)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.force_close()
        return response


class _Server(web.Server):
    """Makes a Protocol for each connection."""

    def __init__(self, made: web.Server) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory, **made._kwargs)

    def __call__(self) -> Protocol:
        return Protocol(self, loop=self._loop, **self._kwargs)


class HttpRunner(web.AppRunner):
    """Runs an application on this protocol."""

    def __init__(self, app: web.Application, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout,
            auto_decompress=False,
            lingering_time=0,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )

    async def _make_server(self) -> Any:
        return _Server(await super()._make_server())
