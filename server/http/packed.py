"""Bodies that many clients read: plain or packed with gzip, with a tag, and 304 for known ones."""

import asyncio
import gzip
import hashlib
from collections.abc import Mapping

from aiohttp import hdrs, web

from server.http.conditional import DIGEST, is_known

GZIP = "gzip"
MIN_PACKED = 512  # bytes; a shorter body is hardly made shorter
PICTURES = ("image/png", "image/jpeg", "image/webp", "font/")  # are packed already


class PackedBody:
    """A body that does not change, with its digest. It is packed once, at the first request that
    takes gzip."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body, self.content_type = body, content_type
        self.digest = hashlib.blake2b(body, digest_size=DIGEST).hexdigest()
        packable = len(body) >= MIN_PACKED and not content_type.startswith(PICTURES)
        self._packed: bytes | None = None if packable else b""

    async def answer(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        """The body in the form that this client takes, or 304."""
        packed = b""
        if _takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            packed = await self._pack()
        tag = f'"{self.digest}-{GZIP}"' if packed else f'"{self.digest}"'
        all_headers = {**headers, hdrs.ETAG: tag, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if is_known(request, tag):
            return web.Response(status=304, headers=all_headers)
        if packed:
            all_headers[hdrs.CONTENT_ENCODING] = GZIP
        return web.Response(
            body=packed or self.body, content_type=self.content_type, headers=all_headers
        )

    async def _pack(self) -> bytes:
        if self._packed is None:
            self._packed = await asyncio.to_thread(gzip.compress, self.body, mtime=0)
        return self._packed


def _takes_gzip(accepted: str) -> bool:
    """Whether a client names gzip, and not to exclude it."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";")
        if coding == GZIP:
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
