"""The locks of a killed process are released when its heartbeat expires."""

import asyncio
from datetime import timedelta

import pytest

from domain.kernel import process_registry
from domain.kernel.leases import Lease
from domain.kernel.process_registry import HEARTBEAT_TTL, ProcessHeartbeat
from tests.support.relay_cluster import RelayCluster


@pytest.fixture
async def cluster(installation):
    cluster = RelayCluster(installation.env["MONGO_URL"])
    await cluster.store("setup").prepare([Lease, ProcessHeartbeat])
    yield cluster
    await cluster.close()


async def hang(store, row, end):
    """Change a row in a transaction that never ends, like one of a killed process."""
    changed = asyncio.Event()

    async def work(uow):
        await uow.change(Lease, row.id, holder=store.worker)
        changed.set()
        await end.wait()
        return None

    hanging = asyncio.create_task(store.transact(work))
    await changed.wait()
    return hanging


async def test_another_process_ends_the_transactions_of_a_killed_one(cluster):
    """Guard: `end_sessions` in `process_registry.end_dead_sessions`, and `sessions` in
    `Store._transact`. A live process keeps what it has open: `over` in `end_dead_sessions`. A
    damaged heartbeat stops nothing: `first_readable` in it, `readable` in `known_processes`."""
    dead, ports = cluster.store("dead"), cluster.relay("other", start=False)._ports
    other = ports.store
    now = other.clock.now()
    row = Lease(id="row", created_at=now, updated_at=now, holder="none", until=now)
    await other.single().add(row)
    end = asyncio.Event()
    hanging = await hang(dead, row, end)
    await process_registry.send_heartbeat(dead)
    await process_registry.send_heartbeat(other)
    damaged = {"_id": "damaged", "ended_at": None, "alive_until": now - timedelta(days=1)}
    await other.single().put(ProcessHeartbeat, [damaged])

    async def change(uow):
        return await uow.change(Lease, row.id, holder=other.worker)

    waiting = asyncio.create_task(other.transact(change))
    await process_registry.end_dead_sessions(ports.store)
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    cluster.clock.ahead += HEARTBEAT_TTL + timedelta(seconds=1)
    await process_registry.send_heartbeat(other)
    await process_registry.end_dead_sessions(ports.store)
    async with asyncio.timeout(8):  # the database itself takes a minute
        assert (await waiting).holder == "other"
    known = await process_registry.known_processes(other.single())
    assert [(each.id, each.lost, each.sessions != ()) for each in known] == [
        ("other", False, True),
        ("dead", True, False),
    ]
    end.set()
    await asyncio.wait([hanging])


async def test_a_stopped_process_is_remembered_as_ended(cluster):
    """Guard: `send_heartbeat` and `end_heartbeat` in the relay; `ended_at=None` in the first: what
    was only suspended runs again."""
    relay = cluster.relay("one")
    store = cluster.store("reader")

    async def known():
        return await store.single().find(ProcessHeartbeat, {"_id": "one"})

    async with asyncio.timeout(5):
        while await known() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await relay.stop()
    (row,) = await process_registry.known_processes(store.single())
    assert row.ended_at and not row.lost
    await process_registry.send_heartbeat(relay._ports.store)
    assert (await known()).ended_at is None
