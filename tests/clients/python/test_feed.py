"""The Python client's feed: in order, once, without gaps; slow readers; sessions that go on."""

import asyncio
from typing import Any

import pytest
from jobsphere import Client, Missed

from domain.notifications.feed import FeedRow
from tests.conftest import Server
from tests.support.feed_rows import store_events
from tests.support.one_server import one_server
from tests.support.python_clients import (
    JOB,
    WAIT_SECONDS,
    PythonClients,
    eventually,
    push_unreliably,
    session_of,
    take,
)

pytestmark = one_server


async def post(client: Any, *titles: str) -> None:
    for title in titles:
        await client.job.create(**JOB | {"title": title})


async def test_a_lost_push_comes_by_sync_before_the_next_one(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: the jump in `Feed.take`, and `Feed._sync`."""
    push_unreliably(server, monkeypatch, {"Lost fence": 0})
    carla = await clients.customer()
    jobs = carla.job.pushes("job.updated")
    await post(carla, "First fence", "Lost fence", "Third fence")
    pushes = await take(jobs, 3)
    assert [push.data["title"] for push in pushes] == ["First fence", "Lost fence", "Third fence"]
    assert [push.seq for push in pushes] == [1, 2, 3]
    assert [push.way for push in pushes[:2]] == ["push", "sync"]
    assert carla.counts["jumps"] == 1 and carla.seq == 3


async def test_a_push_that_comes_twice_is_delivered_once(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: the numbers up to `seq` in `Feed.take`."""
    push_unreliably(server, monkeypatch, {"Double fence": 2})
    carla = await clients.customer()
    jobs = carla.job.pushes("job.updated")
    await post(carla, "Double fence", "Other fence")
    assert [push.data["title"] for push in await take(jobs, 2)] == ["Double fence", "Other fence"]
    assert carla.counts["duplicates"] == 1


async def test_a_head_beyond_the_last_push_is_synced(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Feed.reached`, which `account.seen` of another device calls as well."""
    push_unreliably(server, monkeypatch, {"Lost fence": 0})
    party = await clients.market.customer(connect=False)
    carla, other = await clients.of(party), await clients.of(party)
    jobs = carla.job.pushes("job.updated")
    await post(carla, "Lost fence")
    await clients.market.settled()
    await other.account.seen(seq=1)
    (push,) = await take(jobs, 1)
    assert (push.seq, push.way) == (1, "sync")


async def test_what_came_while_the_client_was_away(clients: PythonClients) -> None:
    """Guard: `Incoming.catch_up` at each opening, and `since` of a stored session."""
    party = await clients.market.customer(connect=False)
    carla = await clients.of(party)
    await post(carla, "First fence")
    await carla.close()
    again = clients.new()
    jobs = again.job.pushes("job.updated")
    other = await clients.of(party)
    await post(other, "Second fence")
    await again.resume(session_of(party), since=0)
    pushes = await take(jobs, 2)
    assert [push.data["title"] for push in pushes] == ["First fence", "Second fence"]
    again.cut()
    await post(other, "Third fence")
    (third,) = await take(jobs, 1)
    assert (third.seq, third.data["title"]) == (3, "Third fence")
    await eventually(lambda: again.counts["connections"] == 2)


async def test_an_event_that_comes_while_the_feed_begins(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Feed._begin`: it is delivered, although the head that is read includes it."""
    party = await clients.market.customer(connect=False)
    other, read, asked = await clients.of(party), Client._read, []

    async def post_before(self: Client, namespace: str, name: str, fields: Any) -> Any:
        if (namespace, name) == ("/account", "sync") and not asked:
            asked.append(fields)
            await post(other, "First fence")
            await clients.market.settled()
        return await read(self, namespace, name, fields)

    monkeypatch.setattr(Client, "_read", post_before)
    carla = clients.new()
    jobs = carla.job.pushes("job.updated")
    await carla.resume(session_of(party))
    await post(other, "Second fence")
    assert [push.seq for push in await take(jobs, 2)] == [1, 2]


async def test_events_that_are_kept_no_longer(clients: PythonClients) -> None:
    """Guard: `too_old` in `Feed._catch_up`: the reader is told, and the feed goes on."""
    party = await clients.market.customer(connect=False)
    await store_events(clients.market.store, party, 5)
    rows = clients.market.store.database[FeedRow.COLLECTION]
    await rows.delete_many({"user_id": party.id, "seq": {"$lt": 4}})
    carla = clients.new()
    jobs = carla.job.pushes("job.updated")
    await carla.resume(session_of(party), since=1)
    with pytest.raises(Missed, match="too_old"):
        await take(jobs, 1)
    assert carla.seq == 5
    await post(carla, "Next fence")
    (push,) = await take(jobs, 1)
    assert (push.seq, push.data["title"]) == (6, "Next fence")


async def test_a_slow_reader_misses_nothing(clients: PythonClients) -> None:
    """Guard: `Subscriptions.room_for` in `Feed._sync`: what does not fit waits on the server."""
    party = await clients.market.customer(connect=False)
    await store_events(clients.market.store, party, 230)
    carla = clients.new()
    jobs = carla.pushes(size=3)
    await carla.resume(session_of(party), since=0)
    assert [push.seq for push in await take(jobs, 230)] == list(range(1, 231))


async def test_a_reader_that_stops_is_told_what_it_misses(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `READER_SECONDS`, the overflow in `Subscription.offer`, and `Subscription.holds_up`:
    other readers go on, and wait once."""
    monkeypatch.setattr("jobsphere.pushes.READER_SECONDS", 0.05)
    carla = await clients.customer()
    stopped, reading = carla.pushes(size=2), carla.job.pushes("job.updated")
    await post(carla, "First fence", "Second fence", "Third fence")
    pushes = await take(reading, 3)
    assert [push.seq for push in pushes] == [1, 2, 3]
    assert stopped.full and not stopped.holds_up(pushes[0])
    with pytest.raises(Missed, match="overflow"):
        await take(stopped, 1)
    assert [push.seq for push in await take(stopped, 1)] == [3]


async def test_a_push_that_may_be_missed_empties_no_subscription(clients: PythonClients) -> None:
    """Guard: pushes without a number in `Subscription.offer`."""
    carla, colin = await clients.customer(), await clients.contractor()
    full = carla.pushes(size=1)
    job = await carla.job.create(**JOB)
    await eventually(lambda: full.waiting)
    viewers = carla.job.pushes("job.viewers")
    await carla.job.watch(job_id=job["id"])
    await colin.job.watch(job_id=job["id"])
    await viewers.first(lambda push: push["viewers"] == 2)
    (push,) = await take(full, 1)
    assert (push.seq, push.data["id"]) == (1, job["id"])


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("fault", [ValueError("a fault of the bot"), asyncio.CancelledError()])
async def test_a_handler_that_fails_gets_the_next_push(
    clients: PythonClients, at_once: bool, fault: BaseException
) -> None:
    """Guard: the exceptions in `pushes.handle`, also of a handler that is no coroutine function."""
    carla = await clients.customer()
    seen = []

    async def handler(push: Any) -> None:
        seen.append(push.seq)
        raise fault

    def failing(push: Any) -> Any:
        seen.append(push.seq)
        raise fault

    carla.on(carla.job.pushes("job.updated"), failing if at_once else handler)
    await post(carla, "First fence", "Second fence")
    await eventually(lambda: seen == [1, 2])


async def test_a_handler_may_close_the_client(clients: PythonClients) -> None:
    """Guard: `Client.close`, which does not wait for the handler that calls it."""
    carla = await clients.customer()
    closed = []

    async def handler(push: Any) -> None:
        await carla.close()
        closed.append(push.seq)

    handling = carla.on(carla.job.pushes("job.updated"), handler)
    posting = asyncio.create_task(post(carla, "First fence"))
    await asyncio.wait({handling}, timeout=WAIT_SECONDS)
    await asyncio.gather(posting, return_exceptions=True)
    assert closed == [1] and not carla.connected
