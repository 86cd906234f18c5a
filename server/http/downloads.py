"""Streams a file to a client; aborts the connection when the file cannot be sent completely."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from domain.kernel.errors import Code, Unauthenticated
from server.http.conditional import is_known
from server.http.headers import NOTHING
from server.http.transfer_slots import Transfer
from server.problems import PROBLEM, problem

log = structlog.get_logger()

WRITE_SECONDS = 30.0  # for a client to read one piece
# Users made the content: nothing in it runs, even if a browser shows it.
INERT = f"{NOTHING}; sandbox"
UNSAFE = re.compile(r'[^\x20-\x7e]|["\\%;]')


async def send(
    request: web.Request, file: Any, check: Callable[[], None], transfer: Transfer
) -> web.StreamResponse:
    """Send the file, or the requested range, piece by piece. Raises Unavailable, or another
    DomainError, before the first byte; a later failure aborts the connection, as does `check`,
    which raises when the caller may not read any more."""
    response = web.StreamResponse(headers=_headers(file))
    start, end = 0, 0
    if file.size is not None:
        start, end = _select_range(request, file, response)
        response.content_length = end - start
        if response.status == 304:
            response.content_length = None
            await response.prepare(request)
            return response
        if response.status == 416:
            return _out_of_range(response)
    async with contextlib.aclosing(file.pieces(start, end)) as pieces:
        with transfer.server_works():
            piece = await anext(pieces, b"")
        try:
            await response.prepare(request)
            while piece:
                check()
                await _write(response, piece)
                transfer.moved(len(piece))
                with transfer.server_works():
                    piece = await anext(pieces, b"")
            await response.write_eof()
        except (ConnectionError, TimeoutError, Unauthenticated):
            _abort(request)
        except asyncio.CancelledError:  # such as for being too slow
            _abort(request)
            raise
        except Exception:
            log.exception("download failed", path=request.path)
            _abort(request)
    return response


def _headers(file: Any) -> dict[str, str]:
    plain = UNSAFE.sub("_", file.name)
    named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    headers = {
        hdrs.CONTENT_TYPE: file.type,
        hdrs.CONTENT_DISPOSITION: named,
        "X-Content-Type-Options": "nosniff",
        hdrs.CACHE_CONTROL: "no-store",
    }
    if file.etag:  # revalidated, because the permission to read may end
        headers |= {
            hdrs.ETAG: file.etag,
            hdrs.CACHE_CONTROL: "private, no-cache",
            hdrs.ACCEPT_RANGES: "bytes",
            "Content-Security-Policy": INERT,
        }
    return headers


def _select_range(request: web.Request, file: Any, response: web.StreamResponse) -> tuple[int, int]:
    """The start and end of the bytes to send; sets the status to 200, 206, 304 or 416.

    Several ranges, or an invalid one, select the whole file.
    Source: RFC 9110, 13.2.2 and 14.2.
    """
    if is_known(request, file.etag):
        response.set_status(304)
        return 0, 0
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get(hdrs.RANGE, ""))
    if not asked or request.headers.get(hdrs.IF_RANGE, file.etag) != file.etag:
        return 0, file.size
    first, last = asked.groups()
    if first:
        start, end = int(first), min(int(last) + 1, file.size) if last else file.size
        if last and int(last) < int(first):
            return 0, file.size
    elif last:
        start, end = max(0, file.size - int(last)), file.size
    else:
        return 0, file.size
    if start >= end:
        response.set_status(416)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{file.size}"
        return 0, 0
    response.set_status(206)
    response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{file.size}"
    return start, end


def _out_of_range(response: web.StreamResponse) -> web.Response:
    headers = {hdrs.CONTENT_RANGE: response.headers[hdrs.CONTENT_RANGE]}
    body = problem(416, Code.INVALID, "The file has no bytes in this range.")
    return web.Response(status=416, body=body, content_type=PROBLEM, headers=headers)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(piece)


def _abort(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
