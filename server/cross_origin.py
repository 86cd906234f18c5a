"""Which pages of other origins may call the API over HTTP, and read its answers.

CORS_ORIGINS are the origins for sockets and for HTTP. Only paths below `/api` take part: pages,
webhooks and health checks have nothing for other origins, and python-engineio answers for its own
path. Clients send a bearer token and no cookies, so that credentials are never allowed.

Source: Fetch, "CORS protocol".
"""

import re
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import hdrs, web

from domain.kernel.errors import Forbidden

SHARED = "/api/"
SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match"
READABLE = "Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Retry-After"
PREFLIGHT_SECONDS = 7200  # for which a browser remembers; Chromium's maximum
REQUEST_LINE = re.compile(rb"[A-Z]+ ([^ \r\n]+) HTTP/1\.[01]\r\n")
ORIGIN_LINE = re.compile(rb"\r\norigin:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


class CrossOrigin:
    """The rules for these origins."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, path: str, origin: str | None) -> dict[str, str]:
        """The headers of a response. It varies by origin, also where the request names none."""
        if not path.startswith(SHARED):
            return {}
        if origin not in self._origins or origin is None:
            return {hdrs.VARY: hdrs.ORIGIN}
        return {
            hdrs.VARY: hdrs.ORIGIN,
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: READABLE,
        }

    def headers_for_bytes(self, data: bytes) -> dict[str, str]:
        """The same for a request that is refused before it is parsed."""
        line, origin = REQUEST_LINE.match(data), ORIGIN_LINE.search(data)
        path = line[1].decode("latin-1") if line else ""
        return self.headers(path, origin[1].decode("latin-1") if origin else None)

    async def complete(self, request: web.Request, response: web.StreamResponse) -> None:
        """A hook of the application: refusals, uploads and downloads have the headers, too."""
        headers = self.headers(request.path, request.headers.get(hdrs.ORIGIN))
        response.headers.extend(headers)  # an answer may also vary by something else

    @web.middleware
    async def preflight(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer with the methods of the path. Raises Forbidden for other origins."""
        asks = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if request.method != hdrs.METH_OPTIONS or not asks or not request.path.startswith(SHARED):
            return await handler(request)
        if request.headers.get(hdrs.ORIGIN) not in self._origins:
            raise Forbidden("Pages of this origin may not call this server.")
        refused = request.match_info.http_exception
        if not isinstance(refused, web.HTTPMethodNotAllowed):  # the path does not exist
            return await handler(request)
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(refused.allowed_methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: SENT,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
        }
        return web.Response(status=204, headers=headers)
