"""One run of the soak test: start, failures, settling, verification."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientSession, TCPConnector

from domain.chat.group_commit import NOT_ALL_WRITTEN
from domain.kernel.actor import Role
from server.runtime.background_tasks import end
from tests.faults.outcome import expire_leases
from tests.soak.client import Client
from tests.soak.failures import Plan, kill_in_turn, stop_redis_twice
from tests.soak.javascript import javascript_clients
from tests.soak.users import User, begin
from tests.soak.verification import verify
from tests.support.load_balancer import LoadBalancer
from tests.support.market import Market
from tests.support.parties import Party
from tests.support.processes import Processes

TIMEOUT = 180.0
AT_ONCE = 20


async def soak(plan: Plan, processes: Processes) -> tuple[list[str], Counter[str]]:
    """Run the soak test. Returns the problems and the counts. The processes own their Redis."""
    market, counts = processes.market, Counter[str]()
    redis = await processes.redis()
    webs = [await processes.web(), await processes.web()]
    await processes.worker()
    async with (
        LoadBalancer(*(web.url for web in webs)) as balancer,
        ClientSession(connector=TCPConnector(limit=0)) as web,
    ):
        clients = await join(market, plan.clients, web, balancer.url, counts)
        people = await asyncio.gather(*(join_one(market, n) for n in range(plan.javascript)))
        chaos = [
            kill_in_turn(processes, webs, plan, counts),
            stop_redis_twice(processes, redis, plan, counts),
        ]
        async with javascript_clients(plan, people, [web.url for web in webs], counts) as others:
            try:
                await live(plan, clients, chaos, counts)
                async with asyncio.timeout(TIMEOUT):
                    await others.stop()
                problems = await settle(market, clients, counts)
                summaries = await others.summaries()
            finally:
                await end(client.running for client in clients if client.running)
                await asyncio.gather(*(client.end() for client in clients))
    problems += [
        f"JavaScript: {each.id} got {each.late} items only by sync"
        for each in summaries
        if each.late
    ]
    for each in summaries:
        counts["JavaScript commands acknowledged"] += len(each.acked)
        counts["JavaScript events seen"] += len(each.feed)
        counts["JavaScript clients that renewed their tokens"] += each.renewed
        counts["JavaScript messages seen"] += sum(map(len, each.talks.values()))
    return problems + await verify(market, [*clients, *summaries], counts), counts


async def join_one(market: Market, number: int) -> Party:
    """In turn a customer and a contractor, not connected."""
    role = Role.CONTRACTOR if number % 2 else Role.CUSTOMER
    return await market.join(role, f"Person {number}", connect=False)


async def join(
    market: Market, count: int, web: ClientSession, url: str, counts: Counter[str]
) -> list[Client]:
    """Create clients, in turn a customer and a contractor."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Client:
        async with turn:
            party = await join_one(market, number)
        return Client(web, url, party, counts)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def live(
    plan: Plan, clients: Sequence[Client], chaos: Sequence[Any], counts: Counter[str]
) -> None:
    """Act and break for `plan.seconds`. Clients stay connected. Raises a task's exception."""
    board: list[str] = []
    users = [User(client, board, plan) for client in clients]
    await asyncio.gather(*(client.start() for client in clients))
    started = time.monotonic()
    await begin(users, TIMEOUT)
    print(f"started after {time.monotonic() - started:.1f} s", flush=True)
    counts.clear()
    acting = [asyncio.create_task(person.live()) for person in users]
    breaking = [asyncio.create_task(each) for each in chaos]
    began = time.monotonic()
    while (left := began + plan.seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(10.0, left))
        running = [*acting, *breaking, *(client.running for client in clients)]
        for task in running:
            if task and task.done():
                task.result()
        print(f"{time.monotonic() - began:4.0f} s: {dict(sorted(counts.items()))}", flush=True)
    await end(acting)
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*breaking)


async def settle(market: Market, clients: Sequence[Client], counts: Counter[str]) -> list[str]:
    """Wait until all is acknowledged and delivered, then sync every client.

    Returns the clients to which the sync brought something new.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*(c.idle.wait() for c in clients if c.pending))
            print(f"answered after {time.monotonic() - began:.1f} s", flush=True)
            await expire_leases(market, last_error=None)  # those of killed processes
            # Ignore the second look for messages of a killed process, a minute after the first.
            await market.settled(TIMEOUT, ignoring=NOT_ALL_WRITTEN)
            while not all(client.connected for client in clients):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        late = [
            (c.id, len(c.pending), c.connected) for c in clients if c.pending or not c.connected
        ]
        return [f"not answered and settled within {TIMEOUT:.0f} s: {late}"]
    async with asyncio.timeout(TIMEOUT):
        seen: list[int] = []
        while seen != (seen := [client.seen for client in clients]):  # noqa: ASYNC110
            await asyncio.sleep(1)  # for the last pushes
        print(f"settled after {time.monotonic() - began:.1f} s", flush=True)
        await asyncio.gather(*(client.ask_all() for client in clients))
    for client in clients:
        counts["events seen"] += len(client.feed)
        counts["messages seen"] += client.seen - len(client.feed)
        counts["clients whose socket was cut"] += client.cuts > 0
    return [
        f"{client.id} got {client.seen - pushed} items only by sync"
        for client, pushed in zip(clients, seen, strict=True)
        if client.seen != pushed
    ]
