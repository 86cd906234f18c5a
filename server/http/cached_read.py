"""A read that is the same for everybody and does not change while the process runs."""

import hashlib
from typing import Any

import msgspec
from aiohttp import hdrs, web

from server.http.conditional import DIGEST, is_known
from server.http.routes import JSON

MAX_AGE = 300  # seconds; a new version of the server may answer something else


def cached_read(path: str, value: Any) -> web.RouteDef:
    """A route that answers `value` to anyone, or 304 to a client that has it already."""
    body = msgspec.json.encode(value)
    tag = f'"{hashlib.blake2b(body, digest_size=DIGEST).hexdigest()}"'
    headers = {hdrs.CACHE_CONTROL: f"public, max-age={MAX_AGE}", hdrs.ETAG: tag}

    async def answer(request: web.Request) -> web.Response:
        if is_known(request, tag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=JSON, headers=headers)

    return web.get(path, answer)
