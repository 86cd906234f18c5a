"""`server seed`: a short history on a server of the test, and what it refuses."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from domain.audit_trail import verification
from domain.bidding.offers import Offer
from domain.chat.conversation import Message
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.job import Job
from domain.kernel.record import ANY_TIME
from domain.kernel.store import UnitOfWork
from domain.monitor.bucket import SeriesBucket, Step
from domain.reconciliation.books_audit import Report
from server.adapters.system_clock import MovableClock
from server.cli.audit import all_lines
from server.container import CannotServe
from server.dev.seed import run as seeding
from server.dev.seed import timeline
from server.dev.seed.sandbox import Sandbox
from tests.conftest import Installation, Server, running_server

JOBS, DAYS = 6, 10
HOURS = 12  # between two runs of the periodic jobs; a real history has them at least hourly
ESCROW = re.compile("escrow:").match


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LONGEST_STEP", "LAST_STEP"):
        monkeypatch.setattr(timeline, name, timedelta(hours=HOURS))
    monkeypatch.setattr(timeline, "HOURS", dict.fromkeys(timeline.HOURS, HOURS))


@pytest.fixture
async def server(installation: Installation, clock: MovableClock) -> AsyncIterator[Server]:
    async with running_server(installation, clock, jobs=()) as server:
        yield server


@pytest.fixture
async def sandbox(installation: Installation) -> AsyncIterator[Sandbox]:
    mine = installation.sandbox
    control = mine.control_headers["Sandbox-Control-Key"]
    sandbox = Sandbox(mine.base, mine.key, mine.publishable_key, control)
    yield sandbox
    await sandbox.close()


async def statuses(uow: UnitOfWork, kind: type) -> set[str]:
    return set(await uow.distinct(kind, "status", {}))


async def test_a_history_is_spread_over_its_days_and_its_books_are_exact(
    server: Server,
    clock: MovableClock,
    sandbox: Sandbox,
    books: Callable[[], Awaitable[Report]],
) -> None:
    """Guard: `timeline.Timeline`, `mongo_client.move_ids`, `ControlApi.advance_clock`: what happens
    has the time of its story in its ids, here and at Stripe, and the audit finds nothing."""
    began = datetime.now(UTC)
    told = await seeding.play(server.web, clock, sandbox, JOBS, DAYS)
    assert told.failures == []
    assert clock.ahead == timedelta()
    assert (await sandbox.control("clock"))["shift"] == 0

    uow = server.store.single()
    jobs = await uow.all(Job, {}, (("_id", 1),))
    assert len(jobs) > JOBS  # one more is by somebody who is banned then
    span = jobs[-1].created_at - jobs[0].created_at
    assert began - timedelta(days=DAYS) < jobs[0].created_at < began - timedelta(days=8)
    assert timedelta(days=6) < span < timedelta(days=DAYS)
    for record in (*jobs, *await uow.all(Message, {})):
        second = int(record.id.partition("_")[2][:8], 16)
        assert abs(second - record.created_at.timestamp()) < 60, record
    assert await statuses(uow, Job) >= {"open", "in_progress", "completed"}
    assert await statuses(uow, Offer) >= {"pending", "countered", "accepted"}
    assert await statuses(uow, Dispute) == {"proposed"}

    captured = await uow.all(Payment, {"captured_at": ANY_TIME})
    days = await uow.all(SeriesBucket, {"step": Step.DAY.value})
    assert sum(day.values.get("payments_captured", 0) for day in days) == len(captured) > 2
    assert len([day for day in days if day.values.get("messages")]) > 3
    assert len([day for day in days if any(map(ESCROW, day.values))]) > 3

    assert (await books()).differences == []
    lines = await all_lines(server.web)
    assert lines.count == 0
    assert lines.compared["transfer"] > 2
    assert (await verification.verify(server.ports)).findings == []
    with pytest.raises(CannotServe, match="has jobs already"):
        await seeding.play(server.web, clock, sandbox, JOBS, DAYS)


async def test_the_clock_waits_for_every_story_that_has_begun(
    server: Server, clock: MovableClock, sandbox: Sandbox
) -> None:
    """Guard: `timeline.Timeline`: a story that begins after all others came to rest is in the
    middle of a step, too. The clock had moved under it, and its records were of two times."""
    end = datetime.now(UTC)
    moments: list[datetime] = []
    async with timeline.Timeline(server.web, clock, sandbox, end - timedelta(days=2), end) as told:

        async def rests() -> None:
            await told.until(told.begin + timedelta(hours=12))

        async def acts() -> None:
            for _ in range(20):
                moments.append(told.now)
                await server.store.single().find(Job, {})

        told.tell("rests", rests())
        await told._until_all_rest()
        told.tell("acts", acts())
        await told.run()
    assert told.failures == []
    assert len(moments) == 20
    assert moments[-1] - moments[0] < timedelta(minutes=1)


def test_a_history_is_played_on_own_stores_only() -> None:
    """Guard: `run.refuse_foreign`: nobody's database gets people whom nobody knows."""
    seeding.refuse_foreign({"DATA_DIR": "here", "PORT": "1"})
    for name in ("MONGO_URL", "REDIS_URL", "STRIPE_SECRET_KEY"):
        with pytest.raises(CannotServe, match=name):
            seeding.refuse_foreign({name: "elsewhere"})
