"""Failures during a soak test: web processes are killed, Redis stops."""

import asyncio
from collections import Counter

import msgspec

from tests.support.processes import Processes, RunningProcess


class Plan(msgspec.Struct, frozen=True):
    """Times in seconds. Redis is stopped twice, each time `redis_after` after it started."""

    seconds: float
    clients: int
    javascript: int  # clients beside these that are the JavaScript client
    pause: float  # mean time between two actions of a client
    cut_every: float  # mean time between two cuts of a client's socket
    kill_every: float
    redis_after: float
    redis_away: float


async def kill_in_turn(
    processes: Processes, webs: list[RunningProcess], plan: Plan, counts: Counter[str]
) -> None:
    """Kill one web process after the other and restart it. `webs` has the running ones."""
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    while (due := due + plan.kill_every) < began + plan.seconds:
        await asyncio.sleep(due - loop.time())
        await webs[0].kill()
        counts["web processes killed"] += 1
        webs.append(await processes.restart(webs.pop(0)))


async def stop_redis_twice(
    processes: Processes, redis: RunningProcess, plan: Plan, counts: Counter[str]
) -> None:
    for _ in range(2):
        await asyncio.sleep(plan.redis_after)
        await redis.stop()
        counts["Redis stopped"] += 1
        await asyncio.sleep(plan.redis_away)
        redis = await processes.redis()
