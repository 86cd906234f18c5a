"""What happens to the servers during a soak: web processes are killed, Redis goes away."""

import asyncio
from collections import Counter

import msgspec

from tests.support.processes import Processes, RunningProcess


class Plan(msgspec.Struct, frozen=True):
    """All in seconds, but the clients. Redis is stopped twice, each time after `redis_after`."""

    seconds: float
    clients: int
    pause: float  # of a client between two things that it does, on average
    cut_every: float  # of each client's socket, on average
    kill_every: float
    redis_after: float
    redis_away: float


async def kill_in_turn(
    processes: Processes, webs: list[RunningProcess], plan: Plan, counts: Counter[str]
) -> None:
    """SIGKILL one after the other and start it again; `webs` has those that run."""
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    while (due := due + plan.kill_every) < began + plan.seconds:
        await asyncio.sleep(due - loop.time())
        await webs[0].kill()
        counts["web processes killed"] += 1
        webs.append(await processes.restart(webs.pop(0)))


async def stop_twice(
    processes: Processes, redis: RunningProcess, plan: Plan, counts: Counter[str]
) -> None:
    for _ in range(2):
        await asyncio.sleep(plan.redis_after)
        await redis.stop()
        counts["Redis stopped"] += 1
        await asyncio.sleep(plan.redis_away)
        redis = await processes.redis()
