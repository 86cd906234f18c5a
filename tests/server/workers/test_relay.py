"""The outbox relay: each row done once, by whoever holds its lease, in order, through crashes."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.kernel.actor import Actor, Role
from domain.kernel.errors import TooOld
from domain.kernel.outbox import LEASE, MAX_ATTEMPTS, Delivery, OutboxRow
from domain.kernel.rooms import role_room
from domain.notifications.feed import FeedRow, Sync, read_head, sync
from domain.operations.task import TryAgain
from domain.ports.payment_gateway import GatewayUnknown
from server.workers import outbox_relay as relays
from server.workers.outbox_relay import Relay, backoff
from tests.conftest import Installation
from tests.support.relay_fixture import USERS, Office, Other, Work, ask, tell


@pytest.fixture
async def office(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(relays, "POLL_SECONDS", 0.03)
    monkeypatch.setattr(Work, "done", [])
    monkeypatch.setattr(Work, "behave", {})
    office = Office(installation.settings.mongo_url)
    await office.store("desk").prepare([OutboxRow, FeedRow])
    yield office
    await office.close()


# -- leases ----------------------------------------------------------------------------------


async def test_a_committed_task_runs_at_once_here(office: Office, monkeypatch: Any) -> None:
    """Fails when `start` does not set `store.committed`: only the poll would find the row."""
    monkeypatch.setattr(relays, "POLL_SECONDS", 60)
    relay = office.relay("a")
    await ask(relay._store, Work("x"))
    assert await relay.settled("x", 5)
    assert Work.done == [("x", 0)]
    await office.empty()


async def test_of_two_relays_one_does_a_left_row(office: Office, monkeypatch: Any) -> None:
    """Fails when `_claim` reads due rows without taking them by a guarded update."""
    monkeypatch.setattr(relays, "POLL_SECONDS", 60)  # a relay itself never claims twice at once
    desk = office.stores[0]
    for number in range(60):
        await ask(desk, Work("x", number))
    one, two = office.relay("a"), office.relay("b")
    await asyncio.sleep(0.1)
    assert Work.done == []  # the lease of the writer still runs
    office.let_leases_run_out()
    claimed = await asyncio.gather(*(r._claim() for r in (one, two, one, two)))
    for relay, rows in zip((one, two, one, two), claimed, strict=True):
        relay.take(rows)
    await office.empty()
    assert sorted(Work.done) == [("x", number) for number in range(60)]


@pytest.mark.parametrize("end", ["done", "failed", "again"])
async def test_a_late_worker_changes_nothing(office: Office, end: str) -> None:
    """Fails without `owner` in the guards of `_done` and `_put_back`."""
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()
        if end == "failed":
            raise RuntimeError("late")
        if end == "again":
            raise TryAgain("late", Other("x"), office.clock.now())

    Work.behave["x"] = slow
    first = office.relay("a")
    await ask(first._store, Work("x"))
    await office.until(lambda: Work.done)
    office.let_leases_run_out()
    second = office.relay("b", start=False)
    (mine,) = await second._claim()
    gate.set()
    assert await first.settled("x", 5)
    (row,) = await office.rows()
    assert (row.owner, row.body, row.lease_until) == ("b", mine.body, mine.lease_until)
    second.take([mine])
    await office.until(lambda: len(Work.done) >= 2)


async def test_a_long_task_keeps_its_lease(office: Office, monkeypatch: Any) -> None:
    """Fails without `_renew_loop`: whoever polls next would do the same work a second time."""
    monkeypatch.setattr(relays, "RENEW_SECONDS", 0.02)
    gate = asyncio.Event()
    Work.behave["x"] = gate.wait
    first = office.relay("a")
    await ask(first._store, Work("x"))
    before = office.clock.now() + LEASE
    office.clock.ahead += LEASE / 2

    async def renewed() -> bool:
        return (await office.rows())[0].lease_until > before

    await office.until(renewed)
    office.clock.ahead += LEASE / 2 + timedelta(seconds=1)
    assert await office.relay("b", start=False)._claim() == []
    gate.set()
    await office.empty()
    assert Work.done == [("x", 0)]


# -- attempts --------------------------------------------------------------------------------


async def test_a_row_that_kills_its_worker_ends_as_a_dead_letter(office: Office) -> None:
    """Fails when `_claim` does not count: a crash leaves no other mark."""
    await ask(office.stores[0], Work("x"))
    claims = 0
    for number in range(MAX_ATTEMPTS + 3):
        office.let_leases_run_out()
        claims += len(await office.relay(f"w{number}", start=False)._claim())
    assert claims == MAX_ATTEMPTS
    (row,) = await office.rows()
    assert (row.dead, row.attempts) == (True, MAX_ATTEMPTS)
    assert Work.done == []


async def test_a_task_that_always_fails_ends_as_a_dead_letter(office: Office) -> None:
    """Fails without the limit in `_claim`, or when `_put_back` does not keep the reason."""

    async def fail() -> None:
        raise RuntimeError("broken")

    Work.behave["x"] = fail
    relay = office.relay("a")
    await ask(relay._store, Work("x"), Work("y"))

    async def dead() -> bool:
        office.clock.ahead += timedelta(minutes=11)
        return bool(await office.rows(dead=True))

    with capture_logs() as logs:
        await office.until(dead, 30)
    assert logs[-1]["event"] == "work is given up"
    (row,) = await office.rows()
    assert "broken" in (row.last_error or "")
    assert Work.done.count(("x", 0)) == 1 + MAX_ATTEMPTS  # at once, and after each claim
    assert Work.done.count(("y", 0)) == 1  # others are not held up


async def test_waiting_for_stripe_takes_days_and_not_attempts(office: Office) -> None:
    """Fails when `_put_back` does not give the attempt back: half an hour's outage of Stripe
    would bury refunds and transfers."""

    async def fail() -> None:
        raise GatewayUnknown("no answer")

    Work.behave["x"] = fail
    relay = office.relay("a")
    await ask(relay._store, Work("x"))

    async def tried_often() -> bool:
        office.clock.ahead += timedelta(minutes=11)
        return Work.done.count(("x", 0)) > 2 * MAX_ATTEMPTS

    await office.until(tried_often, 30)
    (row,) = await office.rows()
    assert not row.dead and row.attempts <= 1

    async def dead() -> bool:
        office.clock.ahead += timedelta(days=1)
        return bool(await office.rows(dead=True))

    await office.until(dead, 30)


def test_the_wait_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when `backoff` is constant, unbounded, or without jitter."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    longest = [backoff(attempts).total_seconds() for attempts in range(MAX_ATTEMPTS + 1)]
    assert longest[:4] == [1.5, 2.5, 4.5, 8.5]
    assert longest[-1] == 600.5
    monkeypatch.setattr(random, "random", lambda: 0.0)
    assert backoff(9) == timedelta(seconds=0.5)


async def test_a_failed_row_waits_longer_each_time(office: Office, monkeypatch: Any) -> None:
    """Fails when `_put_back` does not use the row's own attempts."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    waits = []

    async def fail() -> None:
        raise RuntimeError("broken")

    Work.behave["x"] = fail
    relay = office.relay("a", start=False)
    await ask(office.stores[0], Work("x"))
    for _ in range(5):
        office.clock.ahead += timedelta(minutes=11)
        with capture_logs():
            relay.take(await relay._claim())
            assert await relay.settled("x", 5)
        (row,) = await office.rows()
        waits.append((row.lease_until - row.updated_at).total_seconds())
        assert row.owner == ""
    assert waits == [2.5, 4.5, 8.5, 16.5, 32.5]


async def test_try_again_can_change_the_task(office: Office) -> None:
    """Fails when `_put_back` drops the new body, or its tag that says which kind it is."""

    async def again() -> None:
        raise TryAgain("another way", Other("x"))

    Work.behave["x"] = again
    relay = office.relay("a")
    await ask(relay._store, Work("x"))
    await office.until(lambda: Work.done)
    office.clock.ahead += timedelta(minutes=1)
    await office.empty()
    assert Work.done == [("x", 0), ("other x", 0)]


async def test_waiting_for_a_time_is_not_failing(office: Office) -> None:
    """Fails when `_put_back` counts a wait as an attempt, or does not wait until `at`."""

    async def wait() -> None:
        raise TryAgain("not yet", at=office.clock.now() + timedelta(hours=1))

    Work.behave["x"] = wait
    relay = office.relay("a", start=False)
    await ask(office.stores[0], Work("x"))
    for _ in range(MAX_ATTEMPTS * 2):
        office.clock.ahead += timedelta(hours=1, seconds=1)
        relay.take(await relay._claim())
        assert await relay.settled("x", 5)
        office.clock.ahead += timedelta(minutes=55)
        assert await relay._claim() == []
    (row,) = await office.rows()
    assert (len(Work.done), row.dead, row.attempts) == (MAX_ATTEMPTS * 2, False, 0)


async def test_scheduled_work_runs_at_its_time(office: Office) -> None:
    """Fails when `UnitOfWork._after` gives a scheduled row an owner, or `take` does not look."""
    relay = office.relay("a")
    await ask(relay._store, Work("x"), at=office.clock.now() + timedelta(hours=1))
    office.clock.ahead += timedelta(minutes=59)
    await asyncio.sleep(0.2)
    assert Work.done == []
    office.clock.ahead += timedelta(minutes=2)
    await office.empty()
    assert Work.done == [("x", 0)]


# -- pushes and feeds ------------------------------------------------------------------------


async def test_pushes_leave_in_the_order_of_their_commits(office: Office) -> None:
    """Fails when every push gets a task of its own."""

    async def slow(delivery: Delivery) -> None:
        await asyncio.sleep(random.random() / 200)

    office.trouble = slow
    relay = office.relay("a")
    for number in range(60):
        await tell(relay._store, number)
    await office.empty()
    assert [delivery.data["number"] for delivery, _ in office.pushed] == list(range(60))


async def test_a_failed_push_comes_later_under_its_own_number(office: Office) -> None:
    """Fails without `_deliver_singly` (a bad row holds up all), or when a row gets a new number."""
    failed: list[int] = []

    async def trouble(delivery: Delivery) -> None:
        number = delivery.data["number"]
        if number % 7 == 0 and failed.count(number) < 2:  # in its batch, and then by itself
            failed.append(number)
            raise ConnectionError("the connection was lost")

    office.trouble = trouble
    relay = office.relay("a")
    with capture_logs():
        for number in range(30):
            await tell(relay._store, number)
        await office.empty()
    numbers = {delivery.data["number"]: seqs["usr_a"] for delivery, seqs in office.pushed}
    assert numbers == {number: number + 1 for number in range(30)}
    assert not await office.rows()


async def check_feeds(office: Office, events: int) -> None:
    for user in USERS:
        rows = (
            await office.stores[0]
            .single()
            .all(FeedRow, {"user_id": user, "seq": {"$gt": 0}}, (("seq", 1),))
        )
        assert [row.seq for row in rows] == list(range(1, events + 1))
        assert len({row.event for row in rows}) == events
        assert await read_head(office.stores[0].single(), user) == events
        told = [seqs[user] for delivery, seqs in office.pushed if user in delivery.to]
        assert set(told) == set(range(1, events + 1))
        numbers = {delivery.data["number"]: seqs[user] for delivery, seqs in office.pushed}
        stored = {row.data["number"]: row.seq for row in rows}
        assert numbers == stored


async def test_feeds_have_no_gaps_under_two_relays(office: Office) -> None:
    """Fails without the unique (user, seq) of FeedRow, or with an unordered insert in `append`."""
    one, two = office.relay("a"), office.relay("b")

    async def talk(relay: Relay, numbers: range) -> None:
        for number in numbers:
            await tell(relay._store, number)

    await asyncio.gather(
        talk(one, range(0, 40)),
        talk(two, range(100, 140)),
        talk(one, range(200, 240)),
        talk(two, range(300, 340)),
    )
    await office.empty()
    await check_feeds(office, 160)


async def test_a_repeated_delivery_keeps_its_numbers(office: Office) -> None:
    """Fails without the unique (user, event) of FeedRow: after a crash between the feed and the
    outbox an event would be in the feed twice."""
    desk = office.stores[0]
    for number in range(20):
        await tell(desk, number)
    rows = await office.rows()
    one, two = office.relay("a", start=False), office.relay("b", start=False)
    await one._deliver(rows[:5])
    await asyncio.gather(
        one._deliver(rows), two._deliver(rows), two._deliver(rows[3:9]), one._deliver(rows[8:])
    )
    await two._deliver(rows[::-1])
    await check_feeds(office, 20)
    assert len(await office.rows()) == 20  # both were late: the rows are the desk's


async def test_the_head_outlives_the_rows(office: Office) -> None:
    """Fails when `read_head` looks at the rows only, or `stop` does not `_keep_heads`: numbers
    would begin again, and `sync` would not say that it has nothing to give."""
    relay, desk = office.relay("a"), office.stores[0]
    await tell(relay._store, 1)
    await tell(relay._store, 2)
    await office.empty()
    await relay.stop()
    await desk.single().remove(FeedRow, {"seq": {"$gt": 0}})
    actor = Actor("usr_a", Role.CUSTOMER, "ses")
    with pytest.raises(TooOld):
        await sync(Sync(since=0), actor, desk.single())
    assert (await sync(Sync(since=2), actor, desk.single())).items == []
    later = office.relay("b")  # which knows no heads yet
    await tell(later._store, 3)
    await office.empty()
    assert [row.seq for row in (await sync(Sync(since=2), actor, desk.single())).items] == [3]


async def test_what_goes_to_a_room_only_has_no_number(office: Office) -> None:
    """Fails when `_deliver` writes feed rows for a delivery without users."""
    relay = office.relay("a")
    await tell(relay._store, 1, to=(), room=role_room(Role.CONTRACTOR))
    await office.empty()
    ((delivery, seqs),) = office.pushed
    assert (delivery.room, delivery.to, seqs) == (role_room(Role.CONTRACTOR), (), {})
    assert await relay._store.single().count(FeedRow, {}) == 0


async def test_stopping_finishes_what_is_in_hand(office: Office) -> None:
    """Fails when `stop` cancels before the rows in hand are done."""
    gate = asyncio.Event()
    Work.behave["x"] = gate.wait
    relay = office.relay("a")
    await ask(relay._store, Work("x"))
    await tell(relay._store, 1)
    await office.until(lambda: Work.done)
    stopping = asyncio.create_task(relay.stop(5))
    await asyncio.sleep(0.05)
    gate.set()
    await stopping
    assert await office.rows() == []
    assert len(office.pushed) == 1
