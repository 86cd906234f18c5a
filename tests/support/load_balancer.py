"""A load balancer for tests: new connections go in turn to the web processes that are ready."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from server.runtime.background_tasks import end
from tests.support.processes import free_port

LOOK_SECONDS = 0.1
ANSWER_SECONDS = 4.0  # a process that asks itself whether it is deaf takes up to two
CHUNK = 64 * 1024


class ReadinessChange(NamedTuple):
    """From `at` on (seconds since the epoch) `/readyz` of `url` said `ready`."""

    at: float
    url: str
    ready: bool


class LoadBalancer:
    """`open` counts connections by process, `looks` has every change of what is ready."""

    def __init__(self, *targets: str) -> None:
        self.url = ""
        self.open_connections: Counter[str] = Counter()
        self.readiness_changes: list[ReadinessChange] = []
        self._targets = list(targets)
        self._ready: dict[str, bool] = dict.fromkeys(targets, False)
        self._turn = 0
        self._loops: list[asyncio.Task[None]] = []
        self._carried: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> "LoadBalancer":
        port = free_port()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self._web = ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS))
        self._loops = [asyncio.create_task(self._look(target)) for target in self._targets]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await end((*self._loops, *self._carried))
        await self._web.close()

    def candidates(self) -> Sequence[str]:
        """Those to try, the next one first; all of them while none is ready."""
        ready = [url for url in self._targets if self._ready[url]] or self._targets
        self._turn += 1
        start = self._turn % len(ready)
        return ready[start:] + ready[:start]

    async def _look(self, url: str) -> None:
        while True:
            ready = False
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                async with self._web.get(f"{url}/readyz") as response:
                    ready = response.status == 200
            if ready is not self._ready[url]:
                self._ready[url] = ready
                self.readiness_changes.append(ReadinessChange(time.time(), url, ready))
            await asyncio.sleep(LOOK_SECONDS)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for url in self.candidates():
            with contextlib.suppress(OSError):
                there = urlsplit(url)
                back, on = await asyncio.open_connection(there.hostname, there.port)
                break
        else:
            return
        self.open_connections[url] += 1
        try:
            await _first(_pump(reader, on), _pump(back, writer))
        finally:
            self.open_connections[url] -= 1
            on.transport.abort()


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
