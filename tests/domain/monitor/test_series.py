"""Figures over time: exact, repeatable, rolled up, and read in one query."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain import ledger
from domain.kernel import documents
from domain.kernel.process_figures import ProcessCounts, ProcessFigures, ProcessMinute
from domain.kernel.process_registry import HEARTBEAT_TTL, ProcessHeartbeat
from domain.kernel.store import UnitOfWork
from domain.monitor import bucket, tally, writer
from domain.monitor.bucket import SeriesBucket, SeriesPosition, Step, combined, floor
from tests.support.job_in_progress import JobInProgress
from tests.support.parties import Refused

MANY = ["payments_captured", "payments_failed", "captured", "commission", "arrival_seconds"]


@pytest.fixture
def at(server, monkeypatch):
    """Sets the time of the store."""
    clock, real = type(server.store.clock), server.store.clock.now

    def set_ahead(ahead):
        monkeypatch.setattr(clock, "now", lambda _: real() + ahead)

    return set_ahead


async def shown(admin, names, span=timedelta(hours=1), **fields):
    end = datetime.now(UTC) + timedelta(minutes=10)
    known = {"start": (end - span).isoformat(), "end": end.isoformat(), "names": names}
    return await admin.call("/admin", "series", known | fields)


def total(values, name):
    return sum(value or 0 for value in values["values"].get(name, []))


async def told_by(store, id, at, **counts):
    """A heartbeat of a process that did this in the minute `at`."""
    uow = store.single()
    figures = ProcessFigures(
        kind="worker", stripe_p95=0.5, minutes=(ProcessMinute(at, ProcessCounts(**counts)),)
    )
    alive = uow.now + HEARTBEAT_TTL
    row = uow.new(ProcessHeartbeat, id=id, alive_until=alive, sessions=(), figures=figures)
    await uow.add(row)


async def test_a_deal_appears_in_the_series(market, server, at):
    """Guard: `facts.FactsByMinute`, `writer.write_series` and `series.series`; what is written
    again, by another process or after it has settled, is the same."""
    admin = await market.admin()
    work = await JobInProgress(market, server).start_and_complete()
    other = await market.job(work.customer)
    await market.application(work.contractor, other)
    await work.customer.call(
        "/bidding",
        "create",
        {
            "job_id": other["id"],
            "contractor_id": work.contractor.id,
            "amount": 50_000,
            "currency": "USD",
            "description": "Two coats",
            "timeline_days": 2,
            "payment_method": "pm_card_chargeDeclined",
        },
    )
    await work.customer.push("/payment", "payment.updated", lambda p: p["status"] == "failed")
    await market.settled()
    async with asyncio.timeout(30):
        while not await server.ports.gauges.sockets():  # noqa: ASYNC110 - stored every second
            await asyncio.sleep(0.05)
    minute = floor(server.store.clock.now(), Step.MINUTE)
    await told_by(server.store, "worker_a", minute, commands=7, messages=1000)
    for ahead in (0, 0, 1, 4):  # minutes; then it is settled
        at(timedelta(minutes=ahead))
        await writer.write_series(server.ports)
    facts = await shown(admin, MANY)
    assert facts["step_seconds"] == 60
    assert total(facts, "payments_captured") == 1
    assert total(facts, "captured:USD") == 100_000
    assert total(facts, "commission:USD") == 30_000
    assert sum(total(facts, name) for name in facts["values"] if "failed:" in name) == 1
    assert total(facts, "arrival_seconds") > 0
    counts = await shown(admin, ["commands", "messages", "wallets", "sockets", "stripe_p95"])
    assert 1000 <= total(counts, "messages") < 1050 and total(counts, "commands") >= 7
    assert [value for value in counts["values"]["wallets:USD"] if value][-1] == 70_000
    assert max(value or 0 for value in counts["values"]["sockets"]) >= 1
    position = await server.store.single().get(SeriesPosition, writer.POSITION)
    assert position.upto > minute


@pytest.mark.books_differ("the journal is made up")
async def test_minutes_make_hours_and_days(market, server):
    """Guard: `bucket.roll_up`, `combined`; `count_again`, after which a day of history is counted
    in buckets; `PastBalances`, and `SPANS` in `series`."""
    admin, uow = await market.admin(), server.store.single()
    now = server.store.clock.now()
    old = floor(now - timedelta(days=3), Step.DAY)
    for number, (hours, amount) in enumerate(((1, 100), (1, 200), (5, 400))):
        created = old + timedelta(hours=hours, minutes=number)
        row = dict(fact=f"capture:pay_{number}", kind="captured", currency="USD")
        posting = ledger.Posting(ledger.STRIPE, f"escrow:ofr_{number}", amount)
        await uow.add(
            ledger.Transaction(
                id=f"txn_{number}",
                created_at=created,
                updated_at=created,
                postings=(posting,),
                accounts=(posting.destination, posting.source),
                **row,
            )
        )
    await writer.write_series(server.ports)
    await writer.count_again(uow, now)  # not later than before
    await writer.count_again(uow, old)
    await writer.write_series(server.ports)
    ((day, values),) = await bucket.read(uow, Step.DAY, old, old + timedelta(days=1))
    assert (day, values["captured:USD"]) == (old, 700)
    hours_of_day = await bucket.read(uow, Step.HOUR, old, old + timedelta(days=1))
    hours = [(at, values) for at, values in hours_of_day if "captured:USD" in values]
    assert [(at - old, values["captured:USD"]) for at, values in hours] == [
        (timedelta(hours=1), 300),
        (timedelta(hours=5), 400),
    ]
    escrow = [(at - old, values.get("escrow:USD")) for at, values in hours_of_day]
    assert escrow == [(timedelta(hours=each), 300 if each < 5 else 700) for each in range(1, 24)]
    for span, step_seconds, most in (
        (timedelta(days=1), 300, 300),
        (timedelta(days=30), 10_800, 300),
        (timedelta(days=30), 3600, 1500),
        (timedelta(days=365), 604_800, 60),
    ):
        found = await shown(admin, ["captured"], span, points=most)
        assert found["step_seconds"] == step_seconds
        assert len(found["values"]["captured:USD" if span.days > 1 else "captured"]) <= most
        assert total(found, "captured:USD") == (700 if span.days > 1 else 0)
    for fields in ({"names": ["nothing"]}, {"start": "2001-01-01T00:00:00Z"}, {"points": 1501}):
        with pytest.raises(Refused) as refused:
            await shown(admin, **{"names": ["captured"], **fields})
        assert refused.value.code == "invalid"
    assert await market.trail(operation="admin.series") == []


def test_figures_are_combined_by_their_kind():
    """Guard: `Combine` in `bucket.combined`; sums, last values and peaks."""
    parts = [
        {"captured:USD": 5, "wallets:USD": 9, "sockets": 3, "gone": 1},
        {"captured:USD": 6, "wallets:USD": 4, "sockets": 2},
    ]
    assert combined(parts) == {"captured:USD": 11, "wallets:USD": 4, "sockets": 3}


async def test_open_monitors_get_the_series_and_cheap_counts(market, server, at, monkeypatch):
    """Guard: `live.push(SERIES, ...)` in `writer.write_series`; FEW and `wanted_until` in `tally`:
    of many records, to look counts nothing, but lets the next run of the writer count again."""
    admin = await market.admin()
    first = await admin.call("/admin", "live")
    assert first["users"] == {"admin": 1} and first["waiting"]["alerts"] == 0
    await market.contractor(connect=False)
    assert (await admin.call("/admin", "overview"))["users"] == {"admin": 1, "contractor": 1}
    monkeypatch.setattr(tally, "FEW", 0)
    await market.customer()
    counted = {"admin": 1, "contractor": 1}
    assert (await admin.call("/admin", "overview"))["users"] == counted
    at(timedelta(hours=1))
    await writer.write_series(server.ports)
    assert (await admin.call("/admin", "overview"))["users"] == counted  # not read before
    await writer.write_series(server.ports)
    assert (await admin.call("/admin", "overview"))["users"] == counted | {"customer": 1}
    pushed = await admin.push("/admin", "series")
    assert pushed["step_seconds"] == 60 and "sockets" in pushed["buckets"][-1]["values"]


async def test_figures_are_read_from_indexes(market, server, monkeypatch):
    """Guard: the indexes that `facts`, `gauges`, `bucket` and `tally` use: a look at the overview
    reads documents by their ids, and a minute what happened in it."""
    asked = []
    for name in ("documents", "find", "count", "aggregate"):
        real = getattr(UnitOfWork, name)

        def ask(uow, kind, where, *rest, real=real, **named):
            asked.append((kind, where if isinstance(where, dict) else where[0]))
            return real(uow, kind, where, *rest, **named)

        monkeypatch.setattr(UnitOfWork, name, ask)
    admin = await market.admin()
    await tally.current(server.store.single())
    await writer.write_series(server.ports)
    await shown(admin, MANY)
    assert len(asked) > 50
    for kind, where in asked:
        where = documents.filtered(where.get("$match", where))
        if not where:
            continue  # the first one of an order
        explained = await server.store.database.command(
            {"explain": {"find": kind.COLLECTION, "filter": server.store.codec.where(kind, where)}}
        )
        plan = str(explained["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in plan, (kind, where)
    del asked[:]
    monkeypatch.setattr(tally, "FEW", 0)
    await tally.current(server.store.single())
    await bucket.read(server.store.single(), Step.DAY, *_day(server))
    assert [kind for kind, _ in asked] == [tally.Tally, SeriesBucket]


def _day(server):
    midnight = floor(server.store.clock.now(), Step.DAY)
    return midnight, midnight + timedelta(days=1)
