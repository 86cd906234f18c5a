"""Outbox relays without servers: on one database, each with a name, on a movable clock."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from domain.kernel.money import Schedule
from domain.kernel.outbox import LEASE, Delivery, Event, OutboxRow
from domain.kernel.settings import Rates
from domain.kernel.store import Store, UnitOfWork
from domain.operations.task import Task
from domain.ports.ports import Ports
from server.adapters.system_clock import MovableClock
from server.workers.outbox_relay import Relay
from tests.support.field_codecs import CODEC

HAPPENED = Event("/job", "job.updated", dict)
USERS = ("usr_a", "usr_b", "usr_c")
RATES = Rates(Schedule(1000, 2000), ("USD",))


class RecordedTask(Task, frozen=True, tag="work"):
    """Records its run in `runs`, then runs its entry in `behaviors`."""

    runs: ClassVar[list[tuple[str, int]]] = []
    behaviors: ClassVar[dict[str, Callable[[], Any]]] = {}

    about: str
    number: int = 0

    async def run(self, ports: Ports) -> None:
        RecordedTask.runs.append((self.about, self.number))
        if self.about in RecordedTask.behaviors:
            await RecordedTask.behaviors[self.about]()


class OtherTask(Task, frozen=True, tag="other"):
    """A second type of task, to test that rows carry the type."""

    about: str

    async def run(self, ports: Ports) -> None:
        RecordedTask.runs.append((f"other {self.about}", 0))


class RelayCluster:
    """Relays on one database, each with its own name and connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = MovableClock()
        self.pushed: list[tuple[Delivery, dict[str, int]]] = []
        self.before_push: Callable[[Delivery], Any] = _no_trouble
        self.stores: list[Store] = []
        self.relays: list[Relay] = []

    def store(self, worker: str) -> Store:
        """A process that writes but runs no relay, like one that dies after its commit."""
        self.stores.append(store := Store(self.url, self.clock, RATES, CODEC, worker))
        return store

    def relay(self, worker: str, *, start: bool = True) -> Relay:
        store = self.store(worker)
        unused: dict[str, Any] = dict.fromkeys(Ports.__struct_fields__)
        ports = Ports(**unused | {"store": store, "clock": self.clock, "public_url": ""})
        relay = Relay(RecordedTask | OtherTask, self._push)
        relay._ports = ports
        if start:
            relay.start(ports)
            self.relays.append(relay)
        return relay

    async def _push(
        self, delivery: Delivery, at: datetime, seqs: dict[str, int], row_id: str
    ) -> None:
        await self.before_push(delivery)
        self.pushed.append((delivery, seqs))

    async def rows(self, **where: Any) -> list[OutboxRow]:
        return await self.stores[0].single().all(OutboxRow, where, (("_id", 1),))

    async def wait_until(self, reached: Callable[[], Any], seconds: float = 10) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = reached()
            if await found if asyncio.iscoroutine(found) else found:
                return
            assert asyncio.get_running_loop().time() < deadline, (
                await self.rows(),
                RecordedTask.runs,
            )
            await asyncio.sleep(0.01)

    async def wait_until_empty(self) -> None:
        async def nothing_left() -> bool:
            return not await self.rows(dead=False)

        await self.wait_until(nothing_left)

    def expire_leases(self) -> None:
        self.clock.ahead += LEASE + timedelta(seconds=1)

    async def close(self) -> None:
        await asyncio.gather(*(relay.stop(0) for relay in self.relays))
        for store in self.stores:
            store.close()


async def _no_trouble(delivery: Delivery) -> None:
    return None


async def enqueue(store: Store, *tasks: Task, at: datetime | None = None) -> None:
    async def work(uow: UnitOfWork) -> None:
        for task in tasks:
            uow.later(task, at=at)

    await store.transact(work)


async def publish(
    store: Store, number: int, *, to: tuple[str, ...] = USERS, room: str = ""
) -> None:
    async def work(uow: UnitOfWork) -> None:
        uow.publish(HAPPENED, {"number": number}, to=to, room=room or None)

    await store.transact(work)
