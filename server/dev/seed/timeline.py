"""Plays stories in simulated time: moves the clocks from one moment at which something happens to
the next, and lets everything settle in between.

A story is a coroutine that pauses for hours or days. Between two moments nobody waits: the clock of
the server, the time in new ids and the clock of the Stripe sandbox are moved together, and the
periodic jobs that fall due on the way are run. So all that is stored is what the same operations
would have stored at that time.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from domain.audit_trail import hash_chain
from domain.kernel.errors import DomainError
from domain.kernel.mongo_client import move_ids
from domain.monitor.writer import write_series
from server.adapters.system_clock import MovableClock, SystemClock
from server.app import Web
from server.dev.seed.sandbox import Sandbox
from server.workers.scheduler import JOBS, Job

log = structlog.get_logger()

MOST_AT_ONCE = 8  # stories that go on at the same moment
SAME_MOMENT = timedelta(minutes=8)
LONGEST_STEP = timedelta(hours=1)
SETTLE_SECONDS = 60.0  # of real time
STEP_SECONDS = 100.0  # of real time, for a step of a story
# The hours between two runs of the periodic jobs that matter for a history.
HOURS = {
    "expire_offers": 1,
    "complete_delivered_work": 1,
    "announce_completions": 2,
    "escalate_disputes": 2,
    "remind_of_offer_expiry": 6,
    "remind_of_dispute_deadlines": 6,
    "follow_up_recent": 2,
    "follow_up_old": 24,
    "chain_audit_trail": 6,
    "snapshot_accounts": 12,
    "sweep_files": 12,
    "reconcile": 3,
    "write_series": 2,
}
# Charts show the last day minute by minute.
LAST_DAY = timedelta(days=1)
LAST_STEP = timedelta(minutes=15)

CHAINING = partial(hash_chain.extend, rest=0)  # without its usual rests for the commands of others


class Over(Exception):
    """The history has reached its end; the story stays where it is."""


class NotSettled(Exception):
    """Tasks or webhooks do not come to an end."""


class Timeline:
    """Stories between `begin` and `end`. The clocks are moved back on entry, and forth on exit."""

    def __init__(
        self, web: Web, clock: MovableClock, sandbox: Sandbox, begin: datetime, end: datetime
    ) -> None:
        self.web = web
        self.sandbox = sandbox
        self.begin = begin
        self.end = end
        self.failures: list[str] = []
        self.told = 0  # stories that have ended
        self._clock = clock
        self._waiting: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._stories: set[asyncio.Task[None]] = set()
        self._active = 0
        self._idle = asyncio.Event()  # set while no story is in the middle of a step
        self._due: dict[str, datetime] = {}

    async def __aenter__(self) -> "Timeline":
        await self._move(self.begin)
        self._due = {name: self.begin for name in HOURS}
        return self

    async def __aexit__(self, *_: object) -> None:
        for story in self._stories:
            story.cancel()
        await asyncio.gather(*self._stories, return_exceptions=True)
        self._clock.ahead = timedelta()
        move_ids(0)
        await self.sandbox.move(0)

    @property
    def now(self) -> datetime:
        return self._clock.now()

    # -- for stories -------------------------------------------------------------------------

    def tell(self, name: str, story: Coroutine[Any, Any, None]) -> None:
        """Start a story now."""
        self._goes_on()
        task = asyncio.create_task(self._tell(name, story))
        self._stories.add(task)
        task.add_done_callback(self._stories.discard)

    async def _tell(self, name: str, story: Coroutine[Any, Any, None]) -> None:
        try:
            await story
        except Over:
            pass
        except DomainError as refused:
            self.failures.append(f"{name}: {refused.code}: {refused}")
            log.warning("a story ends early", story=name, exc_info=True)
        except Exception as failed:
            self.failures.append(f"{name}: {failed!r}")
            log.exception("a story failed", story=name)
        finally:
            self.told += 1
            self._rest()

    async def until(self, moment: datetime) -> None:
        """Wait until then. Raises Over."""
        if moment >= self.end:
            raise Over
        waiting = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (moment, next(self._numbers), waiting))
        self._rest()
        await waiting

    def _goes_on(self) -> None:
        self._active += 1
        self._idle.clear()

    def _rest(self) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()

    # -- the course of time ------------------------------------------------------------------

    async def run(self, on_moment: Callable[[datetime], None] = lambda moment: None) -> None:
        """Play all stories to their ends, then go on to the present."""
        while True:
            await self._until_all_rest()
            await self.settle()
            if not self._waiting:
                break
            await self._go_to(self._waiting[0][0], on_moment)
            self._wake()
        await self._go_to(self.end, on_moment)
        await self._move(SystemClock().now())
        await self.settle()
        await CHAINING(self.web.ports)
        await self._write_series()

    async def _until_all_rest(self) -> None:
        """Wait until no story is in the middle of a step. Raises NotSettled."""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await self._idle.wait()
        except TimeoutError as late:
            raise NotSettled("A step of a story does not come to an end.") from late

    def _wake(self) -> None:
        until = self.now + SAME_MOMENT
        for _ in range(MOST_AT_ONCE):
            if not self._waiting or self._waiting[0][0] > until:
                break
            self._goes_on()
            heapq.heappop(self._waiting)[2].set_result(None)

    async def _go_to(self, moment: datetime, on_moment: Callable[[datetime], None]) -> None:
        """In steps that are short enough for the periodic jobs."""
        while self.now < moment:
            late = self.now > self.end - LAST_DAY
            await self._move(min(moment, self.now + (LAST_STEP if late else LONGEST_STEP)))
            on_moment(self.now)
            for job in JOBS:
                if job.name in HOURS and self._due[job.name] <= self.now:
                    await self._run(job)
            if late:
                await self._write_series()
            if self.now < moment:
                await self.settle()

    async def _run(self, job: Job) -> None:
        self._due[job.name] = self.now + timedelta(hours=HOURS[job.name])
        if job.name == "write_series":
            await self._write_series()
        elif job.name == "chain_audit_trail":
            await CHAINING(self.web.ports)
        else:
            await job.run(self.web.ports)

    async def _write_series(self) -> None:
        """Of the processes too: this one tells of itself now, not some seconds ago."""
        await self.web.relay.beat()
        await write_series(self.web.ports)

    async def _move(self, moment: datetime) -> None:
        ahead = min(moment - SystemClock().now(), timedelta())
        self._clock.ahead = ahead
        move_ids(ahead.total_seconds())
        await self.sandbox.move(ahead.total_seconds())

    async def settle(self) -> None:
        """Wait until no message, task, push or webhook is under way. Raises NotSettled."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while await self._under_way():  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
        except TimeoutError as late:
            raise NotSettled("Tasks or webhooks are still under way.") from late

    async def _under_way(self) -> bool:
        relay = self.web.relay
        if relay.busy:
            return True
        await self.web.message_writer.conclude()
        await relay.poll()
        if relay.busy or await self.sandbox.undelivered():
            return True
        await relay.poll()  # a webhook may have left a task
        return relay.busy
