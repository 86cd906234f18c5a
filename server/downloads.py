"""Files that are streamed: as fast as the client reads, and never ended as if they were whole."""

import asyncio
import contextlib
from typing import Any

import structlog
from aiohttp import web

log = structlog.get_logger()

PATIENCE_SECONDS = 30.0  # for a client to take what fits into its buffers


async def send(request: web.Request, file: Any) -> web.StreamResponse:
    """Chunk by chunk. What fails on the way cuts the connection: that says it is not all."""
    response = web.StreamResponse(headers={
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
    })  # fmt: skip
    await response.prepare(request)
    try:
        async with contextlib.aclosing(file.rest):
            await _write(response, file.first)
            async for piece in file.rest:
                await _write(response, piece)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        _cut(request)
    except Exception:
        log.exception("download broke off", path=request.path)
        _cut(request)
    return response


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await response.write(piece)


def _cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
