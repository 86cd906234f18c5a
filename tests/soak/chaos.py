"""What happens to the servers during a soak: web processes are killed, Redis goes away."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from server.embedded.stores import KINDS, LEASH, ROOT
from tests.processes import Processes, Running, free_port

START_SECONDS = 20.0


class Plan(msgspec.Struct, frozen=True):
    """All in seconds, but the clients. Redis is stopped twice, each time after `redis_after`."""

    seconds: float
    clients: int
    pause: float  # of a client between two things that it does
    kill_every: float
    redis_after: float
    redis_away: float
    hurried: bool = False


class OwnRedis:
    """A Redis that can be stopped and started again with its data, at the same address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._port = free_port()
        self._command = KINDS["redis"].command(folder, self._port, False)
        self._process: Process | None = None
        self.url = KINDS["redis"].url.format(self._port)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(LEASH), *self._command, cwd=ROOT, stdin=PIPE,
            stdout=DEVNULL, start_new_session=True,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.03)

    async def stop(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _answers(self) -> bool:
        with suppress(OSError):
            return await asyncio.to_thread(KINDS["redis"].answers, self._port)
        return False


async def kill_in_turn(
    processes: Processes, webs: list[Running], plan: Plan, counts: Counter[str]
) -> None:
    """SIGKILL one after the other and start it again; `webs` has those that run.

    The database ends the transactions that a killed process has left open after a minute of its
    own (transactionLifetimeLimitSeconds); until then what they wrote is locked. `hurried` does it
    at once, with those of all others, which then run again.
    """
    while True:
        await asyncio.sleep(plan.kill_every)
        await webs[0].kill()
        counts["web processes killed"] += 1
        if plan.hurried:
            await processes.market.store.client.admin.command("killAllSessions", [])
        webs.append(await asyncio.shield(processes.again(webs.pop(0))))


async def stop_twice(redis: OwnRedis, plan: Plan, counts: Counter[str]) -> None:
    for _ in range(2):
        await asyncio.sleep(plan.redis_after)
        await redis.stop()
        counts["Redis stopped"] += 1
        await asyncio.sleep(plan.redis_away)
        await redis.start()
