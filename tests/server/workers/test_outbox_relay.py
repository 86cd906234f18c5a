"""The outbox relay: each row is done once, by the holder of its lease, in order, also with
crashes."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.kernel.actor import Actor, Role
from domain.kernel.errors import TooOld, Unavailable
from domain.kernel.outbox import LEASE, MAX_ATTEMPTS, Delivery, OutboxRow
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.notifications.feed import FeedRow, Sync, read_head, sync
from domain.operations.task import TryAgain
from domain.ports.payment_gateway import GatewayUnknown
from server.workers import outbox_relay as relays
from server.workers.outbox_relay import Relay, backoff
from tests.conftest import Installation
from tests.support.relay_cluster import (
    USERS,
    OtherTask,
    RecordedTask,
    RelayCluster,
    enqueue,
    publish,
)


@pytest.fixture
async def cluster(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RelayCluster]:
    monkeypatch.setattr(relays, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(RecordedTask, "runs", [])
    monkeypatch.setattr(RecordedTask, "behaviors", {})
    cluster = RelayCluster(installation.settings.mongo_url)
    await cluster.store("desk").prepare([OutboxRow, FeedRow])
    yield cluster
    await cluster.close()


# -- leases ----------------------------------------------------------------------------------


async def test_a_committed_task_runs_at_once_here(cluster: RelayCluster, monkeypatch: Any) -> None:
    """Fails when `start` does not set `store.committed`: only the poll would find the row."""
    monkeypatch.setattr(relays, "POLL_SECONDS", 60)
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"))
    assert await relay.settled("x", 5)
    assert RecordedTask.runs == [("x", 0)]
    await cluster.wait_until_empty()


async def test_rows_that_finish_during_a_request_are_deleted_by_the_next(
    cluster: RelayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `self._deleting` and `self._finished` in `Relay._delete`: rows of a failed request are
    deleted by the next."""
    requests: list[int] = []
    remove = UnitOfWork.remove

    async def removing(uow: UnitOfWork, kind: Any, where: Any) -> int:
        requests.append(len(where["_id"]))
        if requests == [1]:
            async with asyncio.timeout(20):
                while len(relay._finished) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        if requests == [1, 3]:
            raise Unavailable
        return await remove(uow, kind, where)

    monkeypatch.setattr(UnitOfWork, "remove", removing)
    relay = cluster.relay("a", start=False)
    await enqueue(relay._store, *(RecordedTask(str(number)) for number in range(4)))
    first, *last = await cluster.rows()
    deleting = (relay._delete([first]), *(relay._delete([row]) for row in last))
    results = await asyncio.gather(*deleting, return_exceptions=True)
    assert [type(result) for result in results].count(Unavailable) == 1
    assert requests == [1, 3, 3]
    assert (await cluster.rows(), relay._finished) == ([], [])


async def test_a_row_that_cannot_be_read_stops_no_others(
    cluster: RelayCluster, monkeypatch: Any
) -> None:
    """Guard: `Relay._readable`; rows under a key that was removed would end every poll."""
    monkeypatch.setattr(relays, "BATCH", 1)
    desk = cluster.stores[0]
    await enqueue(desk, RecordedTask("unreadable"))
    await desk.database["outbox"].update_many({}, {"$set": {"body": b"another key's"}})
    cluster.relay("a")
    await enqueue(desk, RecordedTask("x"))
    cluster.expire_leases()
    async with asyncio.timeout(20):
        while RecordedTask.runs != [("x", 0)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        while await desk.database["outbox"].count_documents({}) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    [left] = await desk.database["outbox"].find({}).to_list(None)
    assert left["body"] == b"another key's"


async def test_of_two_relays_one_does_a_left_row(cluster: RelayCluster, monkeypatch: Any) -> None:
    """Fails when `_claim` reads due rows without taking them by a guarded update."""
    monkeypatch.setattr(relays, "POLL_SECONDS", 60)  # a relay itself never claims twice at once
    desk = cluster.stores[0]
    for number in range(24):
        await enqueue(desk, RecordedTask("x", number))
    one, two = cluster.relay("a"), cluster.relay("b")
    await asyncio.sleep(0.1)
    assert RecordedTask.runs == []  # the lease of the writer still runs
    cluster.expire_leases()
    claimed = await asyncio.gather(*(r._claim() for r in (one, two, one, two)))
    for relay, rows in zip((one, two, one, two), claimed, strict=True):
        relay.take(rows)
    await cluster.wait_until_empty()
    assert sorted(RecordedTask.runs) == [("x", number) for number in range(24)]


@pytest.mark.parametrize("end", ["done", "failed", "again"])
async def test_a_late_worker_changes_nothing(cluster: RelayCluster, end: str) -> None:
    """Fails without `owner` in the guards of `_delete` and `_retry_later`."""
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()
        if end == "failed":
            raise RuntimeError("late")
        if end == "again":
            raise TryAgain("late", OtherTask("x"), cluster.clock.now())

    RecordedTask.behaviors["x"] = slow
    first = cluster.relay("a")
    await enqueue(first._store, RecordedTask("x"))
    await cluster.wait_until(lambda: RecordedTask.runs)
    cluster.expire_leases()
    second = cluster.relay("b", start=False)
    (mine,) = await second._claim()
    gate.set()
    assert await first.settled("x", 5)
    (row,) = await cluster.rows()
    assert (row.owner, row.body, row.lease_until) == ("b", mine.body, mine.lease_until)
    second.take([mine])
    await cluster.wait_until(lambda: len(RecordedTask.runs) >= 2)


async def test_a_long_task_keeps_its_lease(cluster: RelayCluster, monkeypatch: Any) -> None:
    """Fails without `_renew_loop`: the next process that polls would do the same work again."""
    monkeypatch.setattr(relays, "RENEW_SECONDS", 0.02)
    gate = asyncio.Event()
    RecordedTask.behaviors["x"] = gate.wait
    first = cluster.relay("a")
    await enqueue(first._store, RecordedTask("x"))
    before = cluster.clock.now() + LEASE
    cluster.clock.ahead += LEASE / 2

    async def renewed() -> bool:
        return (await cluster.rows())[0].lease_until > before

    await cluster.wait_until(renewed)
    cluster.clock.ahead += LEASE / 2 + timedelta(seconds=1)
    assert await cluster.relay("b", start=False)._claim() == []
    gate.set()
    await cluster.wait_until_empty()
    assert RecordedTask.runs == [("x", 0)]


# -- attempts --------------------------------------------------------------------------------


async def test_a_row_that_kills_its_worker_ends_as_a_dead_letter(cluster: RelayCluster) -> None:
    """Fails when `_claim` does not count: a crash leaves no other mark."""
    await enqueue(cluster.stores[0], RecordedTask("x"))
    claims = 0
    for number in range(MAX_ATTEMPTS + 3):
        cluster.expire_leases()
        claims += len(await cluster.relay(f"w{number}", start=False)._claim())
    assert claims == MAX_ATTEMPTS
    (row,) = await cluster.rows()
    assert (row.dead, row.attempts) == (True, MAX_ATTEMPTS)
    assert RecordedTask.runs == []


async def test_a_task_that_always_fails_ends_as_a_dead_letter(cluster: RelayCluster) -> None:
    """Fails without the limit in `_claim`, or when `_retry_later` does not keep the reason."""

    async def fail() -> None:
        raise RuntimeError("broken")

    RecordedTask.behaviors["x"] = fail
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"), RecordedTask("y"))

    async def dead() -> bool:
        cluster.clock.ahead += timedelta(minutes=11)
        return bool(await cluster.rows(dead=True))

    with capture_logs() as logs:
        await cluster.wait_until(dead, 30)
    assert logs[-1]["event"] == "rows become dead letters"
    (row,) = await cluster.rows()
    assert "broken" in (row.last_error or "")
    assert RecordedTask.runs.count(("x", 0)) == 1 + MAX_ATTEMPTS  # at once, and after each claim
    assert RecordedTask.runs.count(("y", 0)) == 1  # others are not held up


async def test_waiting_for_stripe_takes_days_and_not_attempts(cluster: RelayCluster) -> None:
    """Fails when `_retry_later` does not give the attempt back: half an hour's outage of Stripe
    would bury refunds and transfers."""

    async def fail() -> None:
        raise GatewayUnknown("no answer")

    RecordedTask.behaviors["x"] = fail
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"))

    async def tried_often() -> bool:
        cluster.clock.ahead += timedelta(minutes=11)
        return RecordedTask.runs.count(("x", 0)) > 2 * MAX_ATTEMPTS

    await cluster.wait_until(tried_often, 30)
    (row,) = await cluster.rows()
    assert not row.dead and row.attempts <= 1

    async def dead() -> bool:
        cluster.clock.ahead += timedelta(days=1)
        return bool(await cluster.rows(dead=True))

    await cluster.wait_until(dead, 30)


def test_the_wait_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when `backoff` is constant, unbounded, or without jitter."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    longest = [backoff(attempts).total_seconds() for attempts in range(MAX_ATTEMPTS + 1)]
    assert longest[:4] == [1.5, 2.5, 4.5, 8.5]
    assert longest[-1] == 600.5
    monkeypatch.setattr(random, "random", lambda: 0.0)
    assert backoff(9) == timedelta(seconds=0.5)


async def test_a_failed_row_waits_longer_each_time(cluster: RelayCluster, monkeypatch: Any) -> None:
    """Fails when `_retry_later` does not use the row's own attempts."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    waits = []

    async def fail() -> None:
        raise RuntimeError("broken")

    RecordedTask.behaviors["x"] = fail
    relay = cluster.relay("a", start=False)
    await enqueue(cluster.stores[0], RecordedTask("x"))
    for _ in range(5):
        cluster.clock.ahead += timedelta(minutes=11)
        with capture_logs():
            relay.take(await relay._claim())
            assert await relay.settled("x", 5)
        (row,) = await cluster.rows()
        waits.append((row.lease_until - row.updated_at).total_seconds())
        assert row.owner == ""
    assert waits == [2.5, 4.5, 8.5, 16.5, 32.5]


async def test_try_again_can_change_the_task(cluster: RelayCluster) -> None:
    """Fails when `_retry_later` drops the new body, or its tag that says which kind it is."""

    async def again() -> None:
        raise TryAgain("another way", OtherTask("x"))

    RecordedTask.behaviors["x"] = again
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"))
    await cluster.wait_until(lambda: RecordedTask.runs)
    cluster.clock.ahead += timedelta(minutes=1)
    await cluster.wait_until_empty()
    assert RecordedTask.runs == [("x", 0), ("other x", 0)]


async def test_waiting_for_a_time_is_not_failing(cluster: RelayCluster) -> None:
    """Fails when `_retry_later` counts a wait as an attempt, or does not wait until `at`."""

    async def wait() -> None:
        raise TryAgain("not yet", at=cluster.clock.now() + timedelta(hours=1))

    RecordedTask.behaviors["x"] = wait
    relay = cluster.relay("a", start=False)
    await enqueue(cluster.stores[0], RecordedTask("x"))
    for _ in range(MAX_ATTEMPTS * 2):
        cluster.clock.ahead += timedelta(hours=1, seconds=1)
        relay.take(await relay._claim())
        assert await relay.settled("x", 5)
        cluster.clock.ahead += timedelta(minutes=55)
        assert await relay._claim() == []
    (row,) = await cluster.rows()
    assert (len(RecordedTask.runs), row.dead, row.attempts) == (MAX_ATTEMPTS * 2, False, 0)


async def test_scheduled_work_runs_at_its_time(cluster: RelayCluster) -> None:
    """Fails when `UnitOfWork._after` gives a scheduled row an owner, or `take` does not look."""
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"), at=cluster.clock.now() + timedelta(hours=1))
    cluster.clock.ahead += timedelta(minutes=59)
    await asyncio.sleep(0.2)
    assert RecordedTask.runs == []
    cluster.clock.ahead += timedelta(minutes=2)
    await cluster.wait_until_empty()
    assert RecordedTask.runs == [("x", 0)]


# -- pushes and feeds ------------------------------------------------------------------------


async def test_pushes_leave_in_the_order_of_their_commits(cluster: RelayCluster) -> None:
    """Fails when every push gets a task of its own."""

    async def slow(delivery: Delivery) -> None:
        await asyncio.sleep(random.random() / 200)

    cluster.before_push = slow
    relay = cluster.relay("a")
    for number in range(24):
        await publish(relay._store, number)
    await cluster.wait_until_empty()
    assert [delivery.data["number"] for delivery, _ in cluster.pushed] == list(range(24))


async def test_a_failed_push_comes_later_under_its_own_number(
    cluster: RelayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `_deliver_singly` (a bad row holds up all), or when a row gets a new number."""
    monkeypatch.setattr(relays, "LEAST_DELAY", 0.02)
    monkeypatch.setattr(relays, "FIRST_DELAY", 0.02)
    failed: list[int] = []

    async def trouble(delivery: Delivery) -> None:
        number = delivery.data["number"]
        if number % 7 == 0 and failed.count(number) < 2:  # in its batch, and then alone
            failed.append(number)
            raise ConnectionError("the connection was lost")

    cluster.before_push = trouble
    relay = cluster.relay("a")
    with capture_logs():
        for number in range(30):
            await publish(relay._store, number)
        await cluster.wait_until_empty()
    numbers = {delivery.data["number"]: seqs["usr_a"] for delivery, seqs in cluster.pushed}
    assert numbers == {number: number + 1 for number in range(30)}
    assert not await cluster.rows()


async def check_feeds(cluster: RelayCluster, events: int) -> None:
    for user in USERS:
        rows = (
            await cluster.stores[0]
            .single()
            .all(FeedRow, {"user_id": user, "seq": {"$gt": 0}}, (("seq", 1),))
        )
        assert [row.seq for row in rows] == list(range(1, events + 1))
        assert len({row.event for row in rows}) == events
        assert await read_head(cluster.stores[0].single(), user) == events
        numbers = [seqs[user] for delivery, seqs in cluster.pushed if user in delivery.to]
        assert set(numbers) == set(range(1, events + 1))
        numbers = {delivery.data["number"]: seqs[user] for delivery, seqs in cluster.pushed}
        stored = {row.data["number"]: row.seq for row in rows}
        assert numbers == stored


async def test_feeds_have_no_gaps_under_two_relays(cluster: RelayCluster) -> None:
    """Fails without the unique (user, seq) of FeedRow, or with an unordered insert in `append`."""
    one, two = cluster.relay("a"), cluster.relay("b")

    async def talk(relay: Relay, numbers: range) -> None:
        for number in numbers:
            await publish(relay._store, number)

    await asyncio.gather(
        talk(one, range(0, 40)),
        talk(two, range(100, 140)),
        talk(one, range(200, 240)),
        talk(two, range(300, 340)),
    )
    await cluster.wait_until_empty()
    await check_feeds(cluster, 160)


async def test_a_repeated_delivery_keeps_its_numbers(cluster: RelayCluster) -> None:
    """Fails without the unique (user, event) of FeedRow: after a crash between the feed and the
    outbox an event would be in the feed twice."""
    desk = cluster.stores[0]
    for number in range(20):
        await publish(desk, number)
    rows = await cluster.rows()
    one, two = cluster.relay("a", start=False), cluster.relay("b", start=False)
    await one._deliver(rows[:5])
    await asyncio.gather(
        one._deliver(rows), two._deliver(rows), two._deliver(rows[3:9]), one._deliver(rows[8:])
    )
    await two._deliver(rows[::-1])
    await check_feeds(cluster, 20)
    assert len(await cluster.rows()) == 20  # both were late: the rows are the desk's


async def test_the_head_outlives_the_rows(cluster: RelayCluster) -> None:
    """Fails when `read_head` looks at the rows only, or `stop` does not `_save_heads`: numbers
    would begin again, and `sync` would not say that it has nothing to give."""
    relay, desk = cluster.relay("a"), cluster.stores[0]
    await publish(relay._store, 1)
    await publish(relay._store, 2)
    await cluster.wait_until_empty()
    await relay.stop()
    await desk.single().remove(FeedRow, {"seq": {"$gt": 0}})
    actor = Actor("usr_a", Role.CUSTOMER, "ses")
    with pytest.raises(TooOld):
        await sync(Sync(since=0), actor, desk.single())
    assert (await sync(Sync(since=2), actor, desk.single())).items == []
    later = cluster.relay("b")  # which knows no heads yet
    await publish(later._store, 3)
    await cluster.wait_until_empty()
    assert [row.seq for row in (await sync(Sync(since=2), actor, desk.single())).items] == [3]


async def test_what_goes_to_a_room_only_has_no_number(cluster: RelayCluster) -> None:
    """Fails when `_deliver` writes feed rows for a delivery without users."""
    relay = cluster.relay("a")
    await publish(relay._store, 1, to=(), room=role_room(Role.CONTRACTOR))
    await cluster.wait_until_empty()
    ((delivery, seqs),) = cluster.pushed
    assert (delivery.room, delivery.to, seqs) == (role_room(Role.CONTRACTOR), (), {})
    assert await relay._store.single().count(FeedRow, {}) == 0


async def test_stopping_finishes_what_is_in_hand(cluster: RelayCluster) -> None:
    """Fails when `stop` cancels before the rows in hand are done."""
    gate = asyncio.Event()
    RecordedTask.behaviors["x"] = gate.wait
    relay = cluster.relay("a")
    await enqueue(relay._store, RecordedTask("x"))
    await publish(relay._store, 1)
    await cluster.wait_until(lambda: RecordedTask.runs)
    stopping = asyncio.create_task(relay.stop(5))
    await asyncio.sleep(0.05)
    gate.set()
    await stopping
    assert await cluster.rows() == []
    assert len(cluster.pushed) == 1
