"""One busy customer against many: contractors act on one customer's jobs, or on different ones'.

No record that a command writes is shared by all contractors of one customer, so both runs should
take about as long. Prints commands per second, the ratio, and the slowest command.
"""

import asyncio
import statistics
import time
from typing import NamedTuple

from tests.support.market import Market
from tests.support.parties import Party

CONTRACTORS = 24
ROUNDS = 3  # applications that a contractor may send for one job
PAIRS = 3
NAMESPACES = ["/account", "/job-request", "/chat"]


class Round(NamedTuple):
    """Commands per second, and the slowest command in seconds."""

    rate: float
    slowest: float


class Contractor:
    """One contractor with a job to act on. `times` has the seconds of every command."""

    def __init__(self, party: Party, market: Market, job_id: str, customer_id: str) -> None:
        self.party = party
        self.market = market
        self.job_id = job_id
        self.customer_id = customer_id
        self.times: list[float] = []

    async def call(self, namespace: str, command: str, fields: dict[str, object]) -> dict[str, str]:
        began = time.perf_counter()
        answer: dict[str, str] = await self.party.call(namespace, command, fields)
        self.times.append(time.perf_counter() - began)
        return answer

    async def act(self) -> None:
        """Apply, chat and withdraw. Every command writes and pushes to the customer."""
        for number in range(ROUNDS):
            application = await self.call(
                "/job-request",
                "apply",
                {
                    "job_id": self.job_id,
                    "cover_letter": f"Round {number}",
                    "proposed_amount": 100_000,
                    "timeline_days": 3,
                },
            )
            chat = await self.call(
                "/chat", "open", {"job_id": self.job_id, "user_id": self.customer_id}
            )
            await self.call("/chat", "send", {"conversation_id": chat["id"], "text": "Hello"})
            await self.call("/job-request", "withdraw", {"application_id": application["id"]})


async def measure(market: Market, customers: int) -> Round:
    """All contractors at once, on the jobs of `customers` customers."""
    owners = [await market.customer(f"Owner {i}") for i in range(customers)]
    workers = []
    for i in range(CONTRACTORS):
        owner = owners[i % customers]
        job = await market.job(owner)
        party = await market.contractor(f"Worker {i}", connect=False)
        await party.connect(namespaces=NAMESPACES)
        workers.append(Contractor(party, market, job["id"], owner.id))
    await market.settled()
    began = time.perf_counter()
    await asyncio.gather(*(worker.act() for worker in workers))
    took = time.perf_counter() - began
    await market.settled(60)
    for party in (*owners, *(worker.party for worker in workers)):
        await party.disconnect()
    times = [each for worker in workers for each in worker.times]
    return Round(len(times) / took, max(times))


async def compare(market: Market) -> tuple[list[Round], list[Round]]:
    """Measure both in turn, so that changes of the machine's speed affect both."""
    await measure(market, 1)  # warm up
    one, many = [], []
    for _ in range(PAIRS):
        one.append(await measure(market, 1))
        many.append(await measure(market, CONTRACTORS))
    return one, many


def table(one: list[Round], many: list[Round]) -> str:
    ratio = statistics.median(m.rate / o.rate for o, m in zip(one, many, strict=True))
    rows = [("one customer", one), (f"{CONTRACTORS} customers", many)]
    lines = [f"{'':16}{'commands/s':>12}{'slowest s':>12}"]
    for name, rounds in rows:
        rate = statistics.median(r.rate for r in rounds)
        lines.append(f"{name:16}{rate:12.0f}{max(r.slowest for r in rounds):12.2f}")
    return "\n".join([*lines, f"ratio (median of {len(one)} pairs): {ratio:.2f}"])
