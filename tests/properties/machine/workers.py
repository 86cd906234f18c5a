"""The relays of two processes on one database, with a clock that jumps, and with crashes.

They lose what a killed process loses: requests in progress are cut off, claimed rows keep the dead
worker's lease, and the next worker knows nothing of either.
"""

import asyncio
import contextlib
from datetime import timedelta

import msgspec

from domain.kernel.outbox import LEASE, OutboxRow
from domain.kernel.store import new_id
from domain.ports.payment_gateway import GatewayUnknown
from server.adapters.system_clock import MovableClock
from server.container import Container
from server.workers.scheduler import JOBS

SOON = timedelta(seconds=1)
PATIENCE = 30
IN_FLIGHT = 0.4  # seconds, the longest delay of a request


class Workers:
    """The relay of the server, and the relay of a second process."""

    def __init__(self, market, server):
        self.server, self.sandbox = server, server.sandbox
        self.other = Container(market.settings)
        self.containers = (server.web, self.other)
        self.clock, self.behind = MovableClock(), timedelta()
        self.read, self.dropped, self.died = 0, [], False

    async def start(self):
        await self.server.web.scheduler.stop()  # runs only when the machine calls it
        for container in self.containers:
            container.store.clock = self.clock
            msgspec.structs.force_setattr(container.ports, "clock", self.clock)
        self.other.relay.start(self.other.ports)

    async def close(self):
        await self.other.relay.stop(0)
        await self.other.close()

    @property
    def store(self):
        return self.server.store

    # -- crashes and time --------------------------------------------------------------------

    async def crash(self, which):
        """A process dies at a random point, and another one takes its place."""
        container, self.died = self.containers[which], True
        relay, changed = container.relay, container.relay._changed
        doomed = [*relay._loops, *relay._working]
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        relay._subjects.clear()
        async with changed:
            changed.notify_all()  # its clients are disconnected too
        container.store.worker = new_id("worker")
        relay.__init__(relay._tasks, relay._push)
        relay.start(container.ports)

    def deafen(self):
        """The server's process dies with its next commits, before the relay sees their rows."""
        self.store.committed = lambda rows: None

    async def pass_time(self, seconds):
        """Advance the clock: a lease may expire during work, but no request to Stripe takes
        hours."""
        if seconds > 2 * LEASE.total_seconds():
            await self._rest()
        self.clock.ahead += timedelta(seconds=seconds)
        await self.sandbox.advance(seconds)

    async def _rest(self):
        while self._at_work():  # noqa: ASYNC110 - no event signals the end
            await asyncio.sleep(0.01)
        if self.died:  # its last requests may still arrive
            await asyncio.sleep(IN_FLIGHT)
            self.died = False

    async def set_clock(self, behind=timedelta()):
        """Set our clock back during work, or correct it; Stripe's clock is always right."""
        if behind < self.behind:
            await self._rest()
        self.clock.ahead += self.behind - behind
        self.behind = behind

    async def scheduled(self):
        """Run all jobs once; one that an injected fault ends runs again next time, as always."""
        for job in JOBS:
            with contextlib.suppress(GatewayUnknown):
                await job.run(self.server.ports)

    # -- progress -------------------------------------------------------------------

    async def idle(self, seconds=PATIENCE):
        """Nothing is claimed, due, or being delivered."""
        deadline = asyncio.get_running_loop().time() + seconds
        quiet = 0
        while quiet < 2:  # finishing one may start another
            busy = self._at_work() or await self._due() or await self._news()
            quiet = 0 if busy else quiet + 1
            assert asyncio.get_running_loop().time() < deadline, ("still under way", busy)
            await asyncio.sleep(0.02)

    def _at_work(self):
        return any(container.relay._in_hand for container in self.containers)

    async def _due(self):
        soon = {"$lte": self.clock.now() + SOON}
        return await self.store.single().all(OutboxRow, {"dead": False, "lease_until": soon})

    async def _news(self):
        """Read the events since the last read; those held back are read again."""
        rows = (await self.sandbox.control("GET", f"deliveries?after={self.read}"))["data"]
        final = True
        for row in rows:
            if row["status"] == "pending":
                return True
            final = final and row["status"] != "held"
            if final:
                self.read = row["id"]
                if row["status"] == "dropped":
                    self.dropped.append(row["body"])
        return False

    async def bring_back(self):
        """Restart dead processes, correct the clock, and resume everything that is held up."""
        for which in range(2):
            await self.crash(which)
        await self.set_clock()
        await self.sandbox.clear_faults()
        await self.sandbox.release_events()
