"""One process at a time does scheduled work, whoever dies and whatever clocks do."""

import asyncio
from datetime import timedelta

import pytest

from domain import leases
from domain.leases import LENGTH, Lease
from server.scheduler import Job, Scheduler
from tests.office import Office


@pytest.fixture
async def office(installation):
    office = Office(installation.env["MONGO_URL"])
    await office.store("setup").prepare([Lease])
    yield office
    await office.close()


async def test_one_of_many_gets_the_lease(office):
    """Guard: `except Duplicate` and `over` in `leases.hold`."""
    stores = [office.store(f"w{n}") for n in range(8)]
    taken = await asyncio.gather(*(leases.hold(store, "job") for store in stores))
    assert sum(lease is not None for lease in taken) == 1
    holder = stores[[lease is not None for lease in taken].index(True)]
    office.clock.ahead += LENGTH / 2
    assert await leases.hold(holder, "job")  # renewed
    office.clock.ahead += LENGTH * 0.75
    assert [bool(await leases.hold(s, "job")) for s in stores].count(True) == 1


async def test_a_dead_holder_is_replaced_and_one_that_goes_frees_it_at_once(office):
    """Guard: `{"until": {"$lte": now}}` in `leases.hold`; the fence tells the two apart."""
    one, two = office.store("one"), office.store("two")
    first = await leases.hold(one, "job")
    assert await leases.hold(two, "job") is None
    office.clock.ahead += LENGTH + timedelta(seconds=1)
    second = await leases.hold(two, "job")
    assert (first.fence, second.fence) == (1, 2)
    assert await leases.hold(one, "job") is None
    await leases.release(two, "job")
    assert (await leases.hold(one, "job")).fence == 3


async def test_a_clock_that_jumps_back_an_hour_stops_nobody(office):
    """Guard: `2 * LENGTH` in `leases.hold`; without it a lease of the old clock lasts an hour.
    Guard: `timedelta() <=` in `ran_within`."""
    one, two = office.store("one"), office.store("two")
    await leases.hold(one, "job")
    await leases.finished(one, "job")
    office.clock.ahead -= timedelta(hours=1)
    lease = await leases.hold(two, "job")
    assert lease
    assert not lease.ran_within(timedelta(days=1), two.clock.now())


async def test_work_runs_once_among_many_processes(office):
    """Guard: `_is_ours`; without `ran_within` every process does the work of the hour."""
    ran = []

    async def work(ports):
        ran.append(ports.store.worker)
        await asyncio.sleep(0.05)

    async def often(ports):
        often.count += 1

    often.count = 0
    jobs = [Job("rare", 0.05, work), Job("frequent", 0.01, often)]
    schedulers = [Scheduler(office.relay(f"w{n}", start=False)._ports, jobs) for n in range(3)]
    for scheduler in schedulers:
        scheduler.start()
    await office.until(lambda: len(ran) >= 3 and often.count >= 10)
    assert len(set(ran)) == 1  # it holds the lease as long as it lives
    await schedulers[int(ran[0][1:])].stop()
    await office.until(lambda: len(set(ran)) == 2)
    for scheduler in schedulers:
        await scheduler.stop()
