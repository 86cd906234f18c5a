"""A load balancer for tests: round robin over the web processes that are ready."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from server.runtime.background_tasks import end
from tests.support.processes import free_port

PROBE_SECONDS = 0.1
ANSWER_SECONDS = 4.0  # a readiness check of a process takes up to 2 s
CHUNK = 64 * 1024


class ReadinessChange(NamedTuple):
    """At `at` (seconds since the epoch) `/readyz` of `url` changed to `ready`."""

    at: float
    url: str
    ready: bool


class LoadBalancer:
    """`open_connections` counts by process; `readiness_changes` has every change, in order."""

    def __init__(self, *targets: str) -> None:
        self.url = ""
        self.open_connections: Counter[str] = Counter()
        self.readiness_changes: list[ReadinessChange] = []
        self._targets = list(targets)
        self._ready: dict[str, bool] = dict.fromkeys(targets, False)
        self._turn = 0
        self._probes: list[asyncio.Task[None]] = []
        self._forwarding: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> "LoadBalancer":
        port = free_port()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self._web = ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS))
        self._probes = [asyncio.create_task(self._probe(target)) for target in self._targets]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await end((*self._probes, *self._forwarding))
        await self._web.close()

    def candidates(self) -> Sequence[str]:
        """The processes to try, in order; all of them while none is ready."""
        ready = [url for url in self._targets if self._ready[url]] or self._targets
        self._turn += 1
        start = self._turn % len(ready)
        return ready[start:] + ready[:start]

    def cut(self) -> bool:
        """Abort one of the connections, as a network failure does, if there is one."""
        if not self._forwarding:
            return False
        random.choice(list(self._forwarding)).cancel()
        return True

    async def _probe(self, url: str) -> None:
        while True:
            ready = False
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                async with self._web.get(f"{url}/readyz") as response:
                    ready = response.status == 200
            if ready is not self._ready[url]:
                self._ready[url] = ready
                self.readiness_changes.append(ReadinessChange(time.time(), url, ready))
            await asyncio.sleep(PROBE_SECONDS)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for url in self.candidates():
            with contextlib.suppress(OSError):
                address = urlsplit(url)
                upstream = await asyncio.open_connection(address.hostname, address.port)
                break
        else:
            return
        self.open_connections[url] += 1
        try:
            await _until_first(_pump(reader, upstream[1]), _pump(upstream[0], writer))
        finally:
            self.open_connections[url] -= 1
            upstream[1].transport.abort()


async def _until_first(*works: Coroutine[Any, Any, None]) -> None:
    """Run until one of them ends."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while (data := await reader.read(CHUNK)) and not writer.is_closing():
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
