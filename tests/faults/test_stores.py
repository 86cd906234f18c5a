"""MongoDB steps down, Redis is away, clocks jump, workers come too late: money stays correct."""

import asyncio
from datetime import timedelta

import pytest

from domain import ledger
from domain.leases import Lease
from domain.outbox import OutboxRow
from server.config import load
from server.embedded.stores import Embedded
from tests.market import Market
from tests.office import Office, Work, ask
from tests.processes import Processes
from tests.scenes import PATIENCE
from tests.test_store import Failing


@pytest.fixture
def failing(market, installation):
    failing = Failing(installation.settings.mongo_url)
    yield failing
    failing.left()
    failing.client.close()


async def test_primary_step_down_inside_a_transaction(work, failing):
    """Guard: `_transient` in `Store.transact`: the body runs again, and nothing is done twice."""
    label = {"errorCode": 189, "errorLabels": ["TransientTransactionError"]}
    failing.order("insert", times=2, **label)
    await work.complete()
    failing.order("update", times=2, **label)
    assert await work.books() == (30_000, 0)
    assert len(await work.listed("transfers")) == 1


async def test_unknown_commit_result(work, failing):
    """Guard: `Store._commit` repeats the commit alone; the body must not run a second time."""
    label = {"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]}
    failing.order("commitTransaction", times=3, **label)
    await work.complete()
    assert await work.books() == (30_000, 0)
    rows = await work.market.rows(ledger.Transaction)
    assert [row.kind for row in rows].count("completed") == 1


async def test_two_workers_and_one_row(installation):
    """Guard: `over` in the relay's claim: one of two gets a row whose worker has died."""
    office = Office(installation.env["MONGO_URL"])
    await office.store("dead").prepare([OutboxRow, Lease])
    Work.done, Work.behave = [], {}
    await ask(office.stores[0], *(Work(f"job_{n}") for n in range(20)))
    office.let_leases_run_out()
    office.relay("one")
    office.relay("two")
    await office.empty()
    await office.close()
    assert sorted(about for about, _ in Work.done) == sorted(f"job_{n}" for n in range(20))


async def test_stale_worker_writes_are_refused(installation):
    """Guard: `owner` in the guard of `_done` and `_put_back`: a worker that has lost its lease
    changes nothing, however its work ends."""
    office = Office(installation.env["MONGO_URL"])
    await office.store("writer").prepare([OutboxRow, Lease])
    Work.done, Work.behave = [], {}
    late = office.relay("late", start=False)
    await ask(late._store, Work("job_1"))
    row = (await office.rows())[0]
    late._in_hand[row.id] = row
    await office.stores[0].single().change(OutboxRow, row.id, owner="another", attempts=5)
    await late._done([row])
    await late._put_back(row, "too late")
    (found,) = await office.rows()
    assert (found.owner, found.attempts, found.last_error) == ("another", 5, None)
    await office.close()


async def test_clock_jumping_back_an_hour(work, monkeypatch):
    """Guard: order comes from ids and numbers, states from guards, waiting from monotonic time;
    `leases.hold` distrusts a lease from the future."""
    clock = work.server.ports.clock
    now = type(clock).now
    monkeypatch.setattr(type(clock), "now", lambda self: now(self) - timedelta(hours=1))
    await work.deliver()
    await work.complete()
    assert await work.wallet("pending") == (70_000,)
    monkeypatch.undo()
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda purse: purse["available"] == 70_000, PATIENCE
    )
    assert await work.books() == (30_000, 0)
    feed = await work.contractor.call("/account", "sync", {"since": 0, "limit": 500})
    assert [item["seq"] for item in feed["items"]] == list(range(1, feed["head"] + 1))


async def test_redis_down_during_the_whole_story(stores, installation, tmp_path, books):
    """Guard: nothing about money waits for Redis: commands of people who are signed in already go
    on over HTTP, every event is in their feeds, and sockets learn of it when they sync."""
    own = Embedded(tmp_path / "redis", {"redis"})
    addresses = await asyncio.to_thread(own.start)
    try:
        env = {**installation.env, "REDIS_URL": str(addresses.redis_url)}
        market = Market(load(env), installation.url, installation.sandbox)
        processes = Processes(env, market, tmp_path)
        await processes.web()
        customer = await market.customer(connect=False)
        contractor = await market.contractor(connect=False)
        await onboard(market, contractor)
        await asyncio.to_thread(own.stop)
        await story(market, customer, contractor)
        report = await books()
        assert report.differences == []
        assert report.totals["platform"] == {"USD": 30_000}
        for party in (customer, contractor):
            _, feed = await party.http(
                "GET", "/api/account/feed", params={"since": 0, "limit": 500}
            )
            assert [i["seq"] for i in feed["items"]] == list(range(1, feed["head"] + 1))
            assert "offer.accepted" in {item["name"] for item in feed["items"]}
        await processes.close()
        await market.close()
    finally:
        await asyncio.to_thread(own.stop)


async def onboard(market, contractor):
    status, link = await contractor.http("POST", "/api/account/onboard", {})
    assert status == 200
    await market.sandbox.fill_in_onboarding(link["url"], contractor.name, "usd")
    await until(contractor, "/api/account/me", lambda me: me["payouts_enabled"])


async def until(party, path, reached):
    async with asyncio.timeout(PATIENCE):
        while True:
            status, body = await party.http("GET", path)
            if status == 200 and reached(body):
                return body
            await asyncio.sleep(0.1)


async def story(market, customer, contractor):
    """From the job to the money in the wallet, by HTTP alone."""

    async def do(party, path, **fields):
        status, body = await party.http("POST", path, fields)
        assert status == 200, (path, body)
        return body

    job = await do(
        customer, "/api/job", title="Fence", description="Paint it.", category="painting",
        budget_min_amount=1000, budget_max_amount=200_000, currency="USD",
    )  # fmt: skip
    await do(
        contractor, "/api/job-request", job_id=job["id"], cover_letter="I can.",
        proposed_amount=100_000, timeline_days=3,
    )  # fmt: skip
    made = await do(
        customer, "/api/bidding", job_id=job["id"], contractor_id=contractor.id, amount=100_000,
        currency="USD", description="Yours", timeline_days=3, payment_method="pm_card_visa",
    )  # fmt: skip
    offer = f"/api/bidding/{made['offer']['id']}"
    await until(contractor, offer, lambda found: found["status"] == "pending")
    await do(contractor, f"{offer}/accept")
    await until(contractor, offer, lambda found: found["status"] == "accepted")
    await do(contractor, f"/api/job/{job['id']}/start")
    await do(contractor, f"/api/job/{job['id']}/deliver")
    await do(customer, f"/api/job/{job['id']}/complete")
    await until(contractor, "/api/wallet", lambda wallet: wallet["available"] == 70_000)
    await market.settled(PATIENCE)
