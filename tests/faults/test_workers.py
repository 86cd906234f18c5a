"""Workers that claim the same rows, or return too late: each payment is requested once."""

import asyncio

from domain.kernel.outbox import OutboxRow
from domain.kernel.store import UnitOfWork
from domain.payouts.transfer import Transfer, TransferStatus
from tests.faults.outcome import (
    PATIENCE,
    expire_leases,
    feed_values,
    requests_to,
    until,
    waits_only_for,
)

PARTS = 6
POLL_SECONDS = "server.workers.outbox_relay.POLL_SECONDS"
SENT = {"path": "/v1/transfers", "method": "POST"}
NEWS_LOST = {"webhook": "*", "drop": True, "times": 1000}


async def test_two_workers_and_one_row(processes, books):
    """Guard: `over` in the guard of the relay's claim: of two workers that have read the same rows
    one claims them, so that Stripe is asked once for each transfer.

    Both pause until the rows of a dead process are due; then they read them, and cannot claim them
    until an open transaction has released them.
    """
    web, market = await processes.web(), processes.market
    workers = await asyncio.gather(processes.worker(), processes.worker())
    for worker in workers:
        worker.pause()
    customer, contractor, job = await milestones(market, PARTS)
    await market.sandbox.fault(**SENT, drop=True, times=1000)
    await market.complete(customer, job)
    await until(lambda: has_all(market, TransferStatus.SENDING))
    await until(lambda: waits_only_for(market, "send_transfer"))
    await web.kill()
    await market.sandbox.clear_faults()
    await market.sandbox.fault(**SENT, when="after", delay=1, times=1000)
    await market.sandbox.fault(**NEWS_LOST)
    asked = await requests_to(market, "transfers")
    await expire_leases(market)
    async with await market.store.client.start_session() as session:
        session.start_transaction()
        await UnitOfWork(market.store, session).change_all(OutboxRow, {}, last_error="locked")
        for worker in workers:
            worker.resume()
        await asyncio.sleep(3 * processes.constants[POLL_SECONDS])
        await session.abort_transaction()
    await until(lambda: has_all(market, TransferStatus.AVAILABLE))
    await market.settled(PATIENCE)
    assert await requests_to(market, "transfers") == asked + PARTS
    await market.sandbox.clear_faults()
    await processes.web()
    await paid_once(market, contractor, books, PARTS)


async def test_stale_worker_writes_are_refused(processes, books):
    """Guard: `owner` in the guards of the relay's `_delete` and `_retry_later`, and the states in
    `transfer_tasks.settle_transfer`: a worker that paused beyond its lease neither finishes nor
    puts back rows that another one has claimed, and a result that both receive is booked once.

    Of its two transfers, Stripe reports one as made, and does not answer for the other.
    """
    late, market = await processes.web(), processes.market
    customer, contractor, job = await milestones(market, 2)
    await market.sandbox.fault(**NEWS_LOST)
    await market.sandbox.fault(**SENT, when="after", delay=60)
    await market.sandbox.fault(**SENT, when="after", delay=60, status=429)
    await market.complete(customer, job)
    await until(lambda: transfers(market, 2))
    late.pause()
    stale = {row.owner for row in await tasks(market)}
    await market.sandbox.clear_faults()  # answers both requests
    await market.sandbox.fault(**NEWS_LOST)
    await market.sandbox.fault(**SENT, when="after", delay=60, times=2)
    worker = await processes.worker()
    await expire_leases(market)

    async def taken():
        rows = await tasks(market)
        return rows if len(rows) == 2 and not {"", *stale} & {r.owner for r in rows} else []

    rows = await until(taken)
    worker.pause()
    late.resume()
    await late.stop()
    assert await tasks(market) == rows
    states = sorted(transfer.status for transfer in await market.rows(Transfer))
    assert states == [TransferStatus.AVAILABLE, TransferStatus.SENDING]
    await market.sandbox.clear_faults()
    await market.sandbox.fault(**NEWS_LOST)
    worker.resume()
    await until(lambda: has_all(market, TransferStatus.AVAILABLE))
    await market.settled(PATIENCE)
    await market.sandbox.clear_faults()
    await processes.web()
    await paid_once(market, contractor, books, 2)


async def milestones(market, count):
    """A job in progress with this many milestones."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    job = await market.job(customer)
    await market.application(contractor, job)
    parts = [{"title": f"Part {n}", "amount": 60_000 // count} for n in range(count)]
    offer = await market.offer(customer, contractor, job, 60_000, milestones=parts)
    await market.accept(contractor, offer)
    await market.start(contractor, job)
    await market.settled(PATIENCE)
    return customer, contractor, job


async def transfers(market, count):
    """Stripe's transfers, once there are this many."""
    made = (await market.sandbox.api("GET", "transfers"))["data"]
    return made if len(made) >= count else []


async def has_all(market, status):
    made = await market.rows(Transfer)
    return made and all(transfer.status is status for transfer in made)


async def tasks(market):
    """The outbox rows that request the transfers."""
    return await market.tasks("send_transfer")


async def paid_once(market, contractor, books, parts):
    """Books, Stripe and the contractor agree."""
    made = await transfers(market, parts)
    assert [transfer["amount"] for transfer in made] == [42_000 // parts] * parts
    report = await books()
    assert report.differences == []
    assert report.totals["wallet:available"] == {"USD": 42_000}
    assert (await feed_values(contractor, "job.updated", "status")).count("completed") == 1
    wallets = await feed_values(contractor, "wallet.updated", "available")
    steps = sorted({amount for amount in wallets if amount})
    assert steps == [42_000 // parts * n for n in range(1, parts + 1)]
