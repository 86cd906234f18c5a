"""HTTP requests as bytes, for what no HTTP client sends."""

import asyncio
import contextlib
import gzip
import json
from typing import NamedTuple
from urllib.parse import urlsplit

SECONDS = 20.0


class Reply(NamedTuple):
    """One response; the connection ended after it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code, of problem+json."""
        return str(json.loads(self.body)["code"])


def request(method: str, path: str, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    size = [f"Content-Length: {len(body)}"] if length and body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *size, *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def bomb(size: int = 64 * 1024**2) -> bytes:
    """A gzip body of a few KiB that unpacks to `size` bytes."""
    return gzip.compress(bytes(size), 9)


async def send(url: str, data: bytes) -> bytes:
    """Send the bytes; returns what comes back until the server closes the connection."""
    there = urlsplit(url)
    reader, writer = await asyncio.open_connection(there.hostname, there.port)
    got = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    got += piece
    finally:
        writer.transport.abort()
    return bytes(got)


async def ask(url: str, data: bytes) -> Reply:
    """The response to a request after which the server closes the connection."""
    return parse(await send(url, data))


def parse(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return Reply(int(start.split()[1]), {name: value for name, _, value in pairs}, body)
