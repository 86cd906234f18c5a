"""A TCP proxy with the speed of a real link from the server to the client."""

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

from server.runtime.background_tasks import end

TEN_MBIT = 1_250_000  # bytes a second
CHUNK = 32 * 1024
SMALL_BUFFER = 16 * 1024  # so that the server sees how much has passed


class ThrottledLink:
    """Passes on what the server at `url` sends at `rate` bytes a second, and all else at once. At
    the rate 0 nothing passes."""

    def __init__(self, url: str, rate: float = TEN_MBIT) -> None:
        self.rate = rate
        self.accepted = 0
        self.passed = 0  # bytes to clients
        there = urlsplit(url)
        self._address = (there.hostname, there.port)
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> "ThrottledLink":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await end(self._passing)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        server.setblocking(False)
        await asyncio.get_running_loop().sock_connect(server, self._address)
        back, there = await asyncio.open_connection(sock=server, limit=SMALL_BUFFER)
        sending = asyncio.create_task(self._forward(reader, there, throttled=False))
        try:
            await self._forward(back, writer, throttled=True)
        finally:
            sending.cancel()
            writer.close()
            there.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, throttled: bool
    ) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # the other side has closed
            while data := await source.read(CHUNK):
                if throttled:
                    while not self.rate:  # noqa: ASYNC110 - it is set by the test
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(len(data) / self.rate)
                    self.passed += len(data)
                target.write(data)
                await target.drain()
            target.close()
