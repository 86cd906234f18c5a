"""A read that is the same for everybody and does not change while the process runs."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import hdrs, web

from server.http.conditional import DIGEST, is_known
from server.http.routes import JSON

MAX_AGE = 300  # seconds; a new version of the server may answer something else


def cached_read(path: str, make: Callable[[], Any]) -> web.RouteDef:
    """A route that answers a value to anyone, or 304 to a client that has it already. The first
    request makes it, in a thread: a large one takes 0.1 s."""
    known: dict[str, tuple[bytes, str]] = {}

    async def answer(request: web.Request) -> web.Response:
        if path not in known:
            known[path] = await asyncio.to_thread(_encoded, make)
        body, tag = known[path]
        headers = {hdrs.CACHE_CONTROL: f"public, max-age={MAX_AGE}", hdrs.ETAG: tag}
        if is_known(request, tag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=JSON, headers=headers)

    return web.get(path, answer)


def _encoded(make: Callable[[], Any]) -> tuple[bytes, str]:
    """The body and its tag."""
    body = msgspec.json.encode(make())
    return body, f'"{hashlib.blake2b(body, digest_size=DIGEST).hexdigest()}"'
