"""Reads one file from a multipart request, in pieces, with limits on size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import BodyPartReader, ClientError, MultipartReader, StreamReader, web
from aiohttp.http import HttpProcessingError

from domain.files.file import MAX_FILE, Received
from domain.kernel.errors import Invalid, Rule, TooLarge, UnsupportedType
from server.http.transfer_slots import Transfer, TransferSlots
from server.runtime.spool import Spool

log = structlog.get_logger()

FORM = "multipart/form-data"
AROUND = 16 * 1024  # bytes of boundaries and headers
PIECE = 64 * 1024
PIECE_SECONDS = 30.0  # for one piece
FILE_SECONDS = 600.0  # for the whole file
UPLOADS_OF_USER, UPLOADS_OF_NETWORK = 4, 40  # at the same time
ALL_UPLOADS = 50  # on this process, which bounds the space on the disk
UNENCODED = ("", "binary", "8bit", "7bit")
# What aiohttp's multipart reader raises for a malformed or incomplete body.
BROKEN = (ValueError, AssertionError, EOFError, HttpProcessingError, ClientError, ConnectionError)


class Uploads:
    """The uploads of this process."""

    def __init__(self) -> None:
        self.slots = TransferSlots(UPLOADS_OF_USER, UPLOADS_OF_NETWORK, ALL_UPLOADS, FILE_SECONDS)

    @contextlib.asynccontextmanager
    async def receive(
        self, request: web.Request, user_id: str, network: str
    ) -> AsyncIterator[Received]:
        """Receive a file completely. Raises RateLimited, TooLarge, UnsupportedType,
        Invalid."""
        with Spool() as spool:
            async with self._transfer(user_id, network) as transfer:
                received = await _receive(request, spool, transfer)
                transfer.complete()
                yield received

    @contextlib.asynccontextmanager
    async def _transfer(self, user_id: str, network: str) -> AsyncIterator[Transfer]:
        """Raises RateLimited, and Invalid if the file comes too slowly."""
        try:
            async with self.slots.transfer(user_id, network) as transfer:
                yield transfer
        except TimeoutError as late:
            if not transfer.late:
                raise
            raise _too_slow() from late


def _too_slow() -> Invalid:
    return Invalid("the file did not arrive in time.", field="file", rule=Rule.VALUE)


async def _receive(request: web.Request, spool: Spool, transfer: Transfer) -> Received:
    if (request.content_length or 0) > MAX_FILE + AROUND:
        raise TooLarge("The file is too large.", limit_bytes=MAX_FILE)
    if request.content_type != FORM:
        raise UnsupportedType(
            f"The body is {FORM} with one file in it.", found=request.content_type, allowed=[FORM]
        )
    try:
        return await _read(request, spool, transfer)
    except TimeoutError as late:
        raise _too_slow() from late
    except BROKEN as broken:
        raise Invalid(
            f"the body is incomplete, or not {FORM}.", field="file", rule=Rule.FORMAT
        ) from broken


async def _read(request: web.Request, spool: Spool, transfer: Transfer) -> Received:
    content = MeteredBody(request.content, AROUND, transfer.moved)
    reader = MultipartReader(request.headers, cast(StreamReader, content))
    part = await reader.next()
    content.left = MAX_FILE + AROUND
    if not isinstance(part, BodyPartReader) or part.filename is None:
        raise Invalid(
            "the first part of the body must be the file, with its name.",
            field="file",
            rule=Rule.REQUIRED,
        )
    if part.headers.get("Content-Transfer-Encoding", "").lower() not in UNENCODED:
        raise Invalid("send the file as it is, not encoded.", field="file", rule=Rule.FORMAT)
    while piece := await part.read_chunk(PIECE):
        if spool.size + len(piece) > MAX_FILE:
            raise TooLarge("The file is too large.", limit_bytes=MAX_FILE)
        await spool.write(piece)
    if await reader.next() is not None:
        raise Invalid(
            "send one file in a request, and nothing else.",
            field="file",
            rule=Rule.MAX_LENGTH,
            limit=1,
        )
    if not spool.size:
        raise Invalid("the file is empty.", field="file", rule=Rule.MIN_LENGTH, limit=1)
    await spool.flush()
    return Received(part.filename, spool)


class MeteredBody:
    """A request body of which `left` bytes may still be read, each piece within a time limit.

    `moved` is called with the length of each piece.

    It has the methods of aiohttp's StreamReader that its multipart reader calls. That reader limits
    neither the bytes before the first boundary nor the number of parts, and lines of a few bytes
    cost so much time that megabytes of them would block the event loop. It also gives back what it
    read beyond a boundary; aiohttp's stream deprecates that, so the bytes are kept here.
    """

    def __init__(self, content: StreamReader, left: int, moved: Callable[[int], None]) -> None:
        self._content = content
        self._moved = moved
        self._given_back = b""
        self.left = left

    async def read(self, size: int) -> bytes:
        if not self._given_back:
            return await self._counted(self._content.read(size))
        piece, self._given_back = self._given_back[:size], self._given_back[size:]
        return piece

    async def readline(self, **limits: Any) -> bytes:
        start, newline, rest = self._given_back.partition(b"\n")
        if newline:
            self._given_back = rest
            return start + newline
        self._given_back = b""
        return start + await self._counted(self._content.readline(**limits))

    def unread_data(self, data: bytes) -> None:
        self._given_back = data + self._given_back

    def at_eof(self) -> bool:
        return not self._given_back and self._content.at_eof()

    async def _counted(self, reading: Awaitable[bytes]) -> bytes:
        async with asyncio.timeout(PIECE_SECONDS):
            read = await reading
        self._moved(len(read))
        self.left -= len(read)
        if self.left < 0:
            raise TooLarge("The file is too large.", limit_bytes=MAX_FILE)
        return read
