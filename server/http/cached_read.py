"""A read that is the same for everybody and does not change while the process runs."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import hdrs, web

from server.http.conditional import DIGEST, is_known
from server.http.routes import JSON

GZIP = "gzip"
MAX_AGE = 300  # seconds; a new version of the server may answer something else


class Cached(NamedTuple):
    """One form of a value: its body, its tag, and how it is packed."""

    body: bytes
    tag: str
    coding: str


def cached_read(path: str, make: Callable[[], Any]) -> web.RouteDef:
    """A route that answers a value to anyone, or 304 to a client that has it already. The first
    request makes it, in a thread: a large one takes 0.1 s."""
    known: list[Cached] = []  # plain and packed, which is a tenth of it

    async def answer(request: web.Request) -> web.Response:
        if not known:
            known[:] = await asyncio.to_thread(_forms, make)
        plain, packed = known
        cached = packed if _takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")) else plain
        headers = {
            hdrs.CACHE_CONTROL: f"public, max-age={MAX_AGE}",
            hdrs.ETAG: cached.tag,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if is_known(request, cached.tag):
            return web.Response(status=304, headers=headers)
        if cached.coding:
            headers[hdrs.CONTENT_ENCODING] = cached.coding
        return web.Response(body=cached.body, content_type=JSON, headers=headers)

    return web.get(path, answer)


def _forms(make: Callable[[], Any]) -> list[Cached]:
    body = msgspec.json.encode(make())
    digest = hashlib.blake2b(body, digest_size=DIGEST).hexdigest()
    packed = gzip.compress(body, mtime=0)
    return [Cached(body, f'"{digest}"', ""), Cached(packed, f'"{digest}-gzip"', GZIP)]


def _takes_gzip(accepted: str) -> bool:
    """Whether a client names gzip, and not to exclude it."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";")
        if coding == GZIP:
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
