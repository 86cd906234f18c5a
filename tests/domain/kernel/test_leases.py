"""Leases: one process at a time runs a job, also after crashes and with clocks that differ."""

import asyncio
from collections import Counter
from datetime import timedelta

import msgspec
import pytest

from domain.jobs.job import Job as PostedJob
from domain.jobs.saved_searches import renew_anchors
from domain.kernel import leases
from domain.kernel.errors import Unavailable
from domain.kernel.leases import LEASE_TIME, Lease
from domain.ports.job_index import JobQuery
from server.adapters.job_index.absent import NoJobIndex
from server.adapters.job_index.index import TantivyJobIndex
from server.workers.scheduler import JOBS, Job, Scheduler
from tests.support.relay_cluster import RelayCluster


@pytest.fixture
async def cluster(installation):
    cluster = RelayCluster(installation.env["MONGO_URL"])
    await cluster.store("setup").prepare([Lease])
    yield cluster
    await cluster.close()


async def test_one_of_many_gets_the_lease(cluster):
    """Guard: `except Duplicate`, `is_free` and `unchanged` in `leases.hold`."""
    stores = [cluster.store(f"w{n}") for n in range(8)]
    taken = await asyncio.gather(*(leases.hold(store, "job") for store in stores))
    assert sum(lease is not None for lease in taken) == 1
    holder = stores[[lease is not None for lease in taken].index(True)]
    cluster.clock.ahead += LEASE_TIME / 2
    assert await leases.hold(holder, "job")  # renewed
    cluster.clock.ahead += LEASE_TIME * 0.75
    assert [bool(await leases.hold(s, "job")) for s in stores].count(True) == 1
    cluster.clock.ahead += LEASE_TIME * 1.25
    taken = await asyncio.gather(*(leases.hold(store, "job") for store in stores))
    assert sum(lease is not None for lease in taken) == 1


async def test_a_dead_holder_is_replaced_and_a_stopped_one_frees_its_lease(cluster):
    """Guard: `now < self.until` in `Lease.is_free`; `fence` distinguishes the two holders."""
    one, two = cluster.store("one"), cluster.store("two")
    first = await leases.hold(one, "job")
    assert await leases.hold(two, "job") is None
    cluster.clock.ahead += LEASE_TIME + timedelta(seconds=1)
    second = await leases.hold(two, "job")
    assert (first.fence, second.fence) == (1, 2)
    assert await leases.hold(one, "job") is None
    await leases.release(two, "job")
    assert (await leases.hold(one, "job")).fence == 3


async def test_a_clock_that_jumps_back_an_hour_stops_no_job(cluster):
    """Guard: `2 * LEASE_TIME` in `Lease.is_free`; without it a lease of the old clock lasts an
    hour. Guard: `timedelta() <=` in `ran_within`."""
    one, two = cluster.store("one"), cluster.store("two")
    await leases.hold(one, "job")
    await leases.mark_finished(one, "job")
    cluster.clock.ahead -= timedelta(hours=1)
    lease = await leases.hold(two, "job")
    assert lease
    assert not lease.ran_within(timedelta(days=1), two.clock.now())


async def test_a_job_runs_once_among_many_processes(cluster):
    """Guard: `Scheduler._acquire`; without `ran_within` every process does the work of the hour."""
    ran = []

    async def work(ports):
        ran.append(ports.store.worker)
        await asyncio.sleep(0.05)

    async def often(ports):
        often.count += 1

    often.count = 0
    jobs = [Job("rare", 0.05, work), Job("frequent", 0.01, often)]
    schedulers = [Scheduler(cluster.relay(f"w{n}", start=False)._ports, jobs) for n in range(3)]
    for scheduler in schedulers:
        scheduler.start()
    await cluster.wait_until(lambda: len(ran) >= 3 and often.count >= 10)
    assert len(set(ran)) == 1  # it holds the lease as long as it lives
    await schedulers[int(ran[0][1:])].stop()
    await cluster.wait_until(lambda: len(set(ran)) == 2)
    for scheduler in schedulers:
        await scheduler.stop()


async def test_a_frequent_job_renews_its_lease_at_the_end_of_each_run(cluster, monkeypatch):
    """Guard: `kept` in `Scheduler._repeat`, and `until` in `leases.mark_finished`: it asks for its
    lease before the first run only, and keeps it from others."""
    asked, hold, ran, asked_before = [], leases.hold, [], []

    async def counted_hold(store, name, **more):
        asked.append(name)
        return await hold(store, name, **more)

    async def work(ports):
        asked_before.append(len(asked))
        ran.append(await leases.find(cluster.stores[0], "frequent"))

    monkeypatch.setattr(leases, "hold", counted_hold)
    job = Job("frequent", 0.01, work)
    scheduler = Scheduler(cluster.relay("w0", start=False)._ports, [job])
    scheduler.start()
    await cluster.wait_until(lambda: len(ran) >= 5)
    assert (len(set(asked_before)), ran[0].until < ran[4].until) == (1, True)
    # As after a long pause of this process.
    await cluster.stores[0].single().change(Lease, "frequent", holder="another")
    before = len(asked)
    await cluster.wait_until(lambda: len(asked) > before)
    runs = len(ran)
    await cluster.wait_until(lambda: len(asked) > before + 2)
    assert len(ran) == runs
    await scheduler.stop()


async def test_a_job_that_searches_runs_where_the_index_answers(cluster, tmp_path):
    """Guard: `ready` in `Scheduler._repeat`: a worker has no index, and a web process builds its
    own for a while. And the interval of `renew_anchors`: no job is pushed for the searches of an
    older version before it has run."""
    (renewal,) = (job for job in JOBS if job.run is renew_anchors)
    assert (renewal.searches, renewal.seconds) == (True, 60)
    ran, looks, stores = [], Counter(), [cluster.store(f"w{n}") for n in range(2)]
    await stores[0].prepare([PostedJob])
    index = TantivyJobIndex(stores[1], tmp_path)

    async def search(ports):
        await ports.job_index.count(JobQuery())
        ran.append(ports.store.worker)

    async def look(ports):
        looks[ports.store.worker] += 1

    schedulers = []
    for store, has in zip(stores, (NoJobIndex(), index), strict=True):
        ports = msgspec.structs.replace(
            cluster.relay(store.worker, start=False)._ports, job_index=has
        )
        jobs = [Job("renew", 0.01, search, searches=True), Job(f"look{store.worker}", 0.01, look)]
        schedulers.append(Scheduler(ports, jobs))
        schedulers[-1].start()
    await cluster.wait_until(lambda: min(looks["w0"], looks["w1"]) >= 5)
    assert await leases.find(stores[0], "renew") is None
    await index.start()
    await cluster.wait_until(lambda: len(ran) >= 3)
    assert set(ran) == {"w1"}
    for scheduler in schedulers:
        await scheduler.stop()
    await index.stop()


@pytest.fixture
async def hourly(cluster, monkeypatch):
    """Two processes that check an hourly job continuously."""
    monkeypatch.setattr("server.workers.scheduler.LOOK_SECONDS", 0.02)
    ran, reads, find = [], Counter(), leases.find

    async def work(ports):
        ran.append(ports.store.worker)

    async def counted_find(store, name):
        reads[store.worker] += 1
        return await find(store, name)

    monkeypatch.setattr(leases, "find", counted_find)
    ports = [cluster.relay(f"w{n}", start=False)._ports for n in range(2)]
    schedulers = [Scheduler(each, [Job("hourly", 3600, work)]) for each in ports]
    yield schedulers, ran, reads
    for scheduler in schedulers:
        await scheduler.stop()


async def lease(cluster, **fields):
    """How often the hourly job has run."""
    uow = cluster.stores[0].single()
    changed = await uow.change(Lease, "hourly", **fields)
    assert changed, "no process has checked the job yet"
    return changed


async def test_a_rare_job_is_not_delayed_by_restarts_or_a_dead_holder(cluster, hourly):
    """Guard: `LOOK_SECONDS`; without it the next look is an hour after each start."""
    (one, two), ran, _ = hourly
    now = cluster.clock.now()
    await leases.hold(cluster.stores[0], "hourly")
    # It had begun, and was killed.
    await lease(
        cluster, holder="dead", until=now - timedelta(seconds=1), ran_at=now - timedelta(hours=1)
    )
    one.start()
    two.start()
    await cluster.wait_until(lambda: ran)
    await asyncio.sleep(0.3)
    assert len(ran) == 1  # and not by both


async def test_a_rare_job_does_not_run_at_every_start(cluster, hourly):
    """Guard: `self.ran_at or self.created_at` in `ran_within`."""
    (one, two), ran, lease_reads = hourly
    one.start()
    await cluster.wait_until(lambda: lease_reads["w0"] >= 3)
    assert ran == []
    cluster.clock.ahead += timedelta(hours=1)
    await cluster.wait_until(lambda: ran)
    two.start()
    await cluster.wait_until(lambda: lease_reads["w1"] >= 3)
    assert len(ran) == 1


async def test_clocks_that_differ_do_not_make_a_rare_job_frequent(cluster, hourly):
    """Guard: `time.monotonic()` in `_repeat`; each would undo what the other has noted."""
    (one, _), ran, lease_reads = hourly
    now = cluster.clock.now()
    await leases.hold(cluster.stores[0], "hourly")
    await lease(cluster, created_at=now - timedelta(hours=2), until=now)
    one.start()
    for _ in range(5):
        await cluster.wait_until(lambda: ran)
        # another process, whose clock is an hour behind
        await lease(cluster, ran_at=now - timedelta(hours=1))
    reads = lease_reads["w0"]
    await asyncio.sleep(0.2)
    assert (len(ran), lease_reads["w0"]) == (1, reads)


async def test_a_lease_survives_a_short_failure_of_the_database(cluster, monkeypatch):
    """Guard: `except Exception` in `_renew`."""
    monkeypatch.setattr("server.workers.scheduler.RENEW_SECONDS", 0.02)
    asked, working, hold = [], asyncio.Event(), leases.hold

    async def away_for_a_moment(store, name, **more):
        if working.is_set():
            asked.append(name)
            if len(asked) == 1:
                raise Unavailable
        return await hold(store, name, **more)

    async def long(ports):
        working.set()
        await asyncio.sleep(60)

    monkeypatch.setattr("domain.kernel.leases.hold", away_for_a_moment)
    scheduler = Scheduler(cluster.relay("w0", start=False)._ports, [Job("long", 0.01, long)])
    scheduler.start()
    await cluster.wait_until(lambda: len(asked) >= 3)
    await scheduler.stop()
