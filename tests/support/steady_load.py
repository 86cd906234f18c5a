"""Steady load on a server over HTTP, while its stores fail: what each client got, and when."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiohttp import ClientSession, ClientTimeout

CLIENTS = 8
PAUSE_SECONDS = 0.3  # of a client, between two rounds of commands
PROBE_SECONDS = 0.2
IN_PROGRESS = "request_in_progress"
JOB = {
    "title": "Paint the fence",
    "description": "Twelve metres of wooden fence, two coats.",
    "category": "painting",
    "skills": ["painting"],
    "budget_min_amount": 50_000,
    "budget_max_amount": 200_000,
    "currency": "USD",
}


class Outcome(NamedTuple):
    """One answer: `what` is `create`, `me`, `sessions` or `readyz`; without a code it succeeded."""

    what: str
    at: float  # monotonic, when it was asked
    seconds: float
    status: int
    code: str
    body: Any


class SteadyLoad:
    """Customers who post and read jobs, people who read their sessions, and a prober."""

    def __init__(self, url: str, token: str, web: ClientSession) -> None:
        self.url = url
        self.outcomes: list[Outcome] = []
        self.kept: list[str] = []  # ids of the jobs whose creation was acknowledged
        self._headers = {"Authorization": f"Bearer {token}"}
        self._web = web
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe())
            for _ in range(CLIENTS):
                group.create_task(self._use())

    async def _use(self) -> None:
        while True:
            await self.create()
            await self.ask("me", "GET", "/api/account/me", headers=self._headers)
            await self.ask("sessions", "GET", "/api/account/sessions", headers=self._headers)
            await asyncio.sleep(PAUSE_SECONDS)

    async def create(self) -> Outcome:
        """Post a job. Asks again, as clients do, while the database may still carry it out."""
        headers = self._headers | {"Idempotency-Key": f"load-{next(self._numbers)}"}
        while True:
            outcome = await self.ask("create", "POST", "/api/job", json=JOB, headers=headers)
            if outcome.code != IN_PROGRESS:
                return outcome
            await asyncio.sleep(PAUSE_SECONDS)

    async def _probe(self) -> None:
        while True:
            await self.ask("readyz", "GET", "/readyz")
            await asyncio.sleep(PROBE_SECONDS)

    async def ask(self, what: str, method: str, path: str, **options: Any) -> Outcome:
        began = time.monotonic()
        async with self._web.request(method, self.url + path, **options) as response:
            body = await response.json(content_type=None)
            code = "" if response.status == 200 else body.get("code", "not ready")
            seconds = time.monotonic() - began
            outcome = Outcome(what, began, seconds, response.status, code, body)
        self.outcomes.append(outcome)
        if what == "create" and not code:
            self.kept.append(body["id"])
        return outcome

    # -- what was seen -------------------------------------------------------------------------

    def since(self, at: float, *kinds: str) -> list[Outcome]:
        """The outcomes of these kinds that ended after `at`."""
        return [
            each for each in self.outcomes if each.what in kinds and each.at + each.seconds > at
        ]

    def slowest(self, at: float, *kinds: str) -> float:
        return max((each.seconds for each in self.since(at, *kinds)), default=0.0)

    async def until_ready_is(self, ready: bool, seconds: float = 60) -> float:
        """Wait until the newest probe says so; returns the seconds that it took."""
        began = time.monotonic()
        await self._until_probe(lambda body: body["ready"] is ready, seconds)
        return time.monotonic() - began

    async def until_not_ready_for(self, reason: str, seconds: float = 60) -> Outcome:
        """Wait until the newest probe names this reason; returns the probe."""
        return await self._until_probe(lambda body: reason in body.get("reasons", {}), seconds)

    async def _until_probe(self, fits: Callable[[Any], bool], seconds: float) -> Outcome:
        began = time.monotonic()
        while True:
            newest = self.since(began, "readyz")[-1:]
            if found := [each for each in newest if fits(each.body)]:
                return found[0]
            assert time.monotonic() - began < seconds, newest
            await asyncio.sleep(0.05)

    async def until_served(self, seconds: float = 60) -> float:
        """Wait until commands that were asked from now on succeed; returns the seconds."""
        began = time.monotonic()
        while True:
            asked = [each for each in self.since(began, "create", "sessions") if each.at > began]
            if {each.what for each in asked if not each.code} == {"create", "sessions"}:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, Counter(each.code for each in asked)
            await asyncio.sleep(0.05)

    async def lost(self) -> list[str]:
        """Jobs that were acknowledged and are not there."""
        kept, found, cursor = list(self.kept), set(), ""
        while True:
            path = f"/api/job/mine?limit=100{'&cursor=' + cursor if cursor else ''}"
            page = (await self.ask("mine", "GET", path, headers=self._headers)).body
            found |= {job["id"] for job in page["items"]}
            cursor = page["next_cursor"]
            if not cursor:
                return [id for id in kept if id not in found]


@asynccontextmanager
async def steady_load(url: str, email: str, password: str) -> AsyncIterator[SteadyLoad]:
    """The load runs while the block does."""
    async with ClientSession(timeout=ClientTimeout(total=90)) as web:
        login = {"email": email, "password": password}
        async with web.post(f"{url}/api/account/login", json=login) as response:
            token = (await response.json())["access_token"]
        load = SteadyLoad(url, token, web)
        running = asyncio.create_task(load.run())
        try:
            yield load
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
