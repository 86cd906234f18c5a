"""Job search over many generated jobs: the index's size, its speed, and how it catches up.

    .venv/bin/python -m tests.bench.job_search [JOBS]

The jobs come from a generator instead of MongoDB, so the times are those of analysis and index.
Words have a Zipf distribution; 3,000 places, 40 categories, 300 skills, 5 currencies.
"""

import asyncio
import itertools
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from domain.jobs.job_words import words_of_query
from domain.ports.job_index import Amounts, Circle, JobQuery, Order
from server.adapters.job_index import index as index_module
from server.adapters.job_index.index import TantivyJobIndex

VOCABULARY, WORDS, TITLE = 30_000, 45, 6
PLACES, CATEGORIES, SKILLS = 3_000, 40, 300
LAST = datetime(2026, 6, 1, tzinfo=UTC)
A_DAY = 0.01  # the part of the jobs that is new or changed after a day
ROUNDS = 40


class GeneratedJobs:
    """Stands where the store is: yields the documents of jobs in the order of their changes."""

    def __init__(self, count: int) -> None:
        self.count, self.changed = count, 0
        self._dice = random.Random(5)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
        self._words = [
            "".join(self._dice.choices(syllables, k=self._dice.randrange(2, 5)))
            for _ in range(VOCABULARY)
        ]
        weights = [1 / (rank + 8) for rank in range(VOCABULARY)]
        self._weights = list(itertools.accumulate(weights))
        self._places = [
            [round(self._dice.gauss(10, 8), 2), round(self._dice.gauss(48, 5), 2)]
            for _ in range(PLACES)
        ]

    @property
    def common(self) -> str:
        return self._words[3]

    @property
    def rare(self) -> str:
        return self._words[6_000]

    def single(self) -> "GeneratedJobs":
        return self

    async def documents(self, kind: Any, where: Any, sort: Any) -> AsyncIterator[dict[str, Any]]:
        if ids := where.get("_id"):
            first, numbers = False, [int(id.removeprefix("job_"), 16) for id in ids]
        else:
            first = where["updated_at"]["$gte"] == index_module.EARLIEST
            numbers = range(self.count if first else self.changed)
        for number in numbers:
            yield self._job(number, again=not first)

    def _job(self, number: int, *, again: bool) -> dict[str, Any]:
        dice = self._dice
        words = dice.choices(self._words, cum_weights=self._weights, k=WORDS)
        if again:
            words[0] = "renewed"
        changed = (
            LAST + timedelta(days=1)
            if again
            else LAST - timedelta(seconds=(self.count - number) * 15)
        )
        low = dice.randrange(1_000, 500_000)
        skills = [f"skill {dice.randrange(SKILLS)}" for _ in range(3)]
        category = f"Category {dice.randrange(CATEGORIES)}"
        return {
            "_id": f"job_{number:024x}",
            "version": 2 if again else 1,
            "updated_at": changed,
            "created_at": changed,
            "title": " ".join(words[:TITLE]),
            "description": "the " + " ".join(words[TITLE:]) + " and for it",
            "category": category,
            "skills": skills,
            "status": "open",
            "customer_id": f"usr_{number % 50_000}",
            "budget_min_amount": low,
            "budget_max_amount": low + dice.randrange(100_000),
            "currency": dice.choice(("USD", "USD", "EUR", "GBP", "JPY", "KWD")),
            "point": {"coordinates": dice.choice(self._places)},
        }


def kinds(jobs: GeneratedJobs, index: TantivyJobIndex) -> dict[str, Callable[[], Awaitable[Any]]]:
    def query(q: str = "", **fields: Any) -> JobQuery:
        return JobQuery(status="open", words=words_of_query(q), **fields)

    common, rare = jobs.common, jobs.rare
    near = Circle(10.0, 48.0, 50.0)
    usd = (Amounts("USD", 100_000, 200_000),)
    best, newest = Order.RELEVANCE, Order.NEWEST
    return {
        "no words, newest": lambda: index.find(query(), newest, None, 20),
        "a rare word": lambda: index.find(query(rare), best, None, 20),
        "a frequent word": lambda: index.find(query(common), best, None, 20),
        "two words": lambda: index.find(query(f"{common} {rare}"), best, None, 20),
        "a wrong letter": lambda: index.find(query(f"{rare}x"), best, None, 20),
        "a word near a place": lambda: index.find(query(common, near=near), best, None, 20),
        "nearest": lambda: index.find(query(near=near), Order.DISTANCE, None, 20),
        "highest budget": lambda: index.find(query(budgets=usd), Order.BUDGET, None, 20),
        "facets of a frequent word": lambda: index.facets(query(common), 20),
        "completion": lambda: index.complete((), common[:3], common[:3], 10),
    }


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def measure(count: int, folder: Path) -> Iterator[str]:
    jobs = GeneratedJobs(count)
    index_module.START_SECONDS = 36_000
    began = time.perf_counter()
    index = TantivyJobIndex(jobs, folder)  # type: ignore[arg-type]
    await index.start()
    lines = [f"{count:,} jobs indexed in {time.perf_counter() - began:.1f} s"]
    size = await asyncio.to_thread(size_of, folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    lines.append(f"{size / 2**20:.0f} MiB on disk, {memory} MiB of memory at most")
    for name, ask in kinds(jobs, index).items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - began) * 1000)
        cuts = quantiles(times, n=100)
        lines.append(f"{name:28} p50 {cuts[49]:7.2f} ms   p99 {cuts[98]:7.2f} ms")
    jobs.changed = max(1, round(count * A_DAY))
    began = time.perf_counter()
    written = await index.catch_up()
    lines.append(f"{written:,} changes caught up in {time.perf_counter() - began:.2f} s")
    index.changed([f"job_{0:024x}"], here=True)
    began = time.perf_counter()
    await index.count(JobQuery(words=words_of_query("renewed")))
    lines.append(f"found {(time.perf_counter() - began) * 1000:.0f} ms after its own commit")
    await index.stop()
    return iter(lines)


if __name__ == "__main__":
    wanted = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as place:
        print(*asyncio.run(measure(wanted, Path(place))), sep="\n")
