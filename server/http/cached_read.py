"""A read that is the same for everybody and does not change while the process runs."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import hdrs, web

from server.http.packed import PackedBody
from server.http.routes import JSON

MAX_AGE = 300  # seconds; a new version of the server may answer something else


def cached_read(path: str, make: Callable[[], Any]) -> web.RouteDef:
    """A route that answers a value to anyone, or 304 to a client that has it already. The first
    request makes it, in a thread: a large one takes 0.1 s."""
    known: list[PackedBody] = []
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: f"public, max-age={MAX_AGE}"}

    async def answer(request: web.Request) -> web.Response:
        if not known:
            known[:] = [PackedBody(await asyncio.to_thread(_encoded, make), JSON)]
        return await known[0].answer(request, headers)

    return web.get(path, answer)


def _encoded(make: Callable[[], Any]) -> bytes:
    return msgspec.json.encode(make())
