"""The JavaScript clients of a soak test: one Node process with pairs of them."""

import asyncio
import json
import random
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from server.dev.stores import ROOT
from server.runtime.background_tasks import end
from tests.soak.client import Command, FeedEvent, KnownMessage
from tests.soak.failures import Plan
from tests.support.load_balancer import LoadBalancer
from tests.support.parties import Party

PROGRAM = Path(__file__).with_name("clients.mjs")
LINE = 2**28
RENEWED = timedelta(seconds=150)  # tokens are renewed a minute before that
NAMESPACES = {"jobRequest": "/job-request"}


class Summary(NamedTuple):
    """What a client applied and was acknowledged, and whether it `renewed` its tokens; `late` items
    came only when it asked at the end."""

    id: str
    feed: list[FeedEvent]
    talks: dict[str, list[KnownMessage]]
    acked: list[tuple[Command, Any]]
    problems: list[str]
    renewed: bool
    late: int


class JavaScriptClients:
    def __init__(self, process: Process, cutting: asyncio.Task[None]) -> None:
        self._process, self._cutting = process, cutting

    async def stop(self) -> None:
        """End acting and cutting, and wait until all commands are acknowledged."""
        await end([self._cutting])
        self._say("stop")
        await self._hear("idle")

    async def summaries(self) -> list[Summary]:
        self._say("sync")
        return [_summary(**each) for each in json.loads(await self._line())]

    def _say(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(word.encode() + b"\n")

    async def _hear(self, word: str) -> None:
        assert await self._line() == word.encode() + b"\n"

    async def _line(self) -> bytes:
        assert self._process.stdout
        return await self._process.stdout.readline()


def _summary(id: str, feed: Any, talks: Any, acked: Any, **rest: Any) -> Summary:
    return Summary(
        id,
        [FeedEvent(namespace, name, tuple(key)) for namespace, name, key in feed],
        {id: [KnownMessage(*message) for message in talk] for id, talk in talks.items()},
        [
            (Command(NAMESPACES.get(namespace, f"/{namespace}"), name, fields), data)
            for namespace, name, fields, data in acked
        ],
        **rest,
    )


@asynccontextmanager
async def javascript_clients(
    plan: Plan, people: Sequence[Party], webs: Sequence[str], counts: Counter[str]
) -> AsyncIterator[JavaScriptClients]:
    """Clients that act, behind a load balancer that also cuts their connections."""
    async with LoadBalancer(*webs) as balancer:
        process = await asyncio.create_subprocess_exec(
            "node", str(PROGRAM), cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=LINE
        )
        cutting = asyncio.create_task(_cut(balancer, plan.cut_every / len(people), counts))
        clients = JavaScriptClients(process, cutting)
        try:
            clients._say(json.dumps(_start(balancer.url, plan, people)))
            await clients._hear("acting")
            yield clients
        finally:
            await end([cutting])
            if process.returncode is None:
                process.kill()
            await process.wait()


def _start(url: str, plan: Plan, people: Sequence[Party]) -> dict[str, Any]:
    return {
        "url": url,
        "pause": plan.pause,
        "people": [
            {
                "id": each.id,
                "role": each.role,
                "access_token": each.token,
                "refresh_token": each.refresh_token,
                "expires_at": f"{datetime.now(UTC) + RENEWED:%Y-%m-%dT%H:%M:%SZ}",
            }
            for each in people
        ],
    }


async def _cut(balancer: LoadBalancer, every: float, counts: Counter[str]) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / every))
        counts["JavaScript sockets cut"] += balancer.cut()
