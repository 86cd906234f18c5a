"""SIGKILL from outside at critical points: after the restart all work finishes."""

from datetime import timedelta
from typing import Any

import pytest

from domain.accounts.user import User
from domain.deals.offer import Offer, OfferStatus
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.feed import FeedRow
from tests.faults.outcome import (
    PATIENCE,
    expire_leases,
    feed_of,
    feed_values,
    until,
    waits_only_for,
)
from tests.support.market import Market
from tests.support.parties import Party

WEEK = 7 * 86_400


async def pending_offer(market: Market) -> tuple[Party, Party, dict[str, Any], dict[str, Any]]:
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    return customer, contractor, job, await market.offer(customer, contractor, job)


async def test_crash_between_capture_and_commit(processes, books):
    """Guard: the `CapturePayment` row that `offers.accept` writes in its own transaction.

    The capture is done at Stripe, its response never arrives, and no webhook is delivered: the
    restarted server repeats the request under the same key.
    """
    web = await processes.web()
    market = processes.market
    customer, contractor, job, offer = await pending_offer(market)
    await market.settled()
    await market.sandbox.fault(webhook="*", drop=True, times=100)
    await market.sandbox.fault(
        method="POST", path="/v1/payment_intents/*/capture", when="after", delay=60
    )
    assert (await contractor.call("/bidding", "accept", {"offer_id": offer["id"]}))["status"] == (
        "accepting"
    )

    async def taken() -> bool:
        found = await market.sandbox.api("GET", "payment_intents")
        return bool(found["data"][0]["status"] == "succeeded")

    await until(taken)
    await until(lambda: waits_only_for(market, "capture_payment"))
    await web.kill()
    assert await waits_only_for(market, "capture_payment")
    assert (await market.rows(Offer))[0].status is OfferStatus.ACCEPTING
    await market.sandbox.clear_faults()

    await expire_leases(market)
    await processes.web()
    await until(lambda: _status(market, OfferStatus.ACCEPTED))
    await customer.connect()
    await contractor.connect()
    await market.settled(30)
    for party in (customer, contractor):
        names = [item["name"] for item in await feed_of(party)]
        assert names.count("offer.accepted") == 1
    assert (await customer.call("/job", "get", {"job_id": job["id"]}))["status"] == "assigned"
    charges = await market.sandbox.api("GET", "charges")
    assert [charge["amount_captured"] for charge in charges["data"]] == [100_000]
    report = await books()
    assert report.differences == []
    assert report.totals["platform"] == {"USD": 10_000}


@pytest.mark.made_up
async def test_killed_after_commit_before_any_push(processes):
    """Guard: `UnitOfWork.flush`, which writes the outbox rows inside the transaction.

    An open transaction takes the next number of the customer's feed, so the relay waits; then the
    server is killed, and the number is taken.
    """
    web = await processes.web()
    market = processes.market
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.settled()
    head = (await customer.call("/account", "sync", {"since": 0}))["head"]
    seen = len(customer.pushes)
    async with await market.store.client.start_session() as session:
        session.start_transaction()
        await UnitOfWork(market.store, session).add(other_event(market, customer, head + 1))
        await market.application(contractor, job)
        await web.kill()
        await session.commit_transaction()
    assert [push.name for push in customer.pushes[seen:]] == []

    await expire_leases(market)
    await processes.web()
    await customer.connect()
    await contractor.connect()
    await market.settled(PATIENCE)
    items = (await customer.call("/account", "sync", {"since": head}))["items"]
    assert [(item["seq"], item["name"]) for item in items] == [
        (head + 1, "other"),
        (head + 2, "application.created"),
    ]
    await feed_of(customer)
    await feed_of(contractor)


async def _status(market: Market, status: OfferStatus) -> bool:
    return bool((await market.rows(Offer))[0].status is status)


def other_event(market: Market, party: Party, seq: int) -> FeedRow:
    now = market.store.clock.now()
    return FeedRow(
        id=new_id("evt"),
        created_at=now,
        updated_at=now,
        user_id=party.id,
        seq=seq,
        event="other",
        namespace="/account",
        name="other",
        data={},
        expires_at=now + timedelta(days=1),
    )


async def paid_job(market: Market) -> tuple[Party, Party, dict[str, Any], dict[str, Any]]:
    deal = await market.accepted_job()
    await market.start(deal.contractor, deal.job)
    return deal.customer, deal.contractor, deal.job, deal.offer


async def test_crash_between_refund_transfer_payout_and_commit(processes, books):
    """Guard: the rows `SendTransfer`, `SendPayout` and `SendRefund` of the commands' own
    transactions, and their idempotency keys.

    Stripe executes three requests, and the process dies before their responses arrive: a transfer
    for a completed job, a payout of another contractor, and the refund of a cancelled job.
    """
    web = await processes.web()
    market = processes.market
    customer, contractor, job, _ = await paid_job(market)
    other, earner, earned, _ = await paid_job(market)
    await market.complete(other, earned)
    await earner.push("/wallet", "wallet.updated", lambda p: p["available"] == 70_000, PATIENCE)
    dropped = await market.accepted_job()
    await market.settled(PATIENCE)
    await market.sandbox.settings(payout_delay_seconds=WEEK)
    await market.sandbox.fault(webhook="*", drop=True, times=1000)
    for path in ("transfers", "refunds", "payouts"):
        await market.sandbox.fault(method="POST", path=f"/v1/{path}", when="after", delay=60)
    await market.complete(customer, job)
    await market.withdraw(earner, 50_000)
    await dropped.customer.call("/job", "cancel", {"job_id": dropped.job["id"]})
    account = (await market.store.single().get(User, earner.id)).connect_id

    async def all_done() -> bool:
        api = market.sandbox.api
        return (
            len((await api("GET", "transfers"))["data"]) == 2
            and len((await api("GET", "refunds"))["data"]) == 1
            and len((await api("GET", "payouts", account))["data"]) == 1
        )

    await until(all_done)
    unheard = ("send_transfer", "send_refund", "send_payout")
    await until(lambda: waits_only_for(market, *unheard))
    await web.kill()
    assert await waits_only_for(market, *unheard)
    await market.sandbox.clear_faults()

    await expire_leases(market)
    await processes.web()
    await contractor.connect()
    await until(lambda: _has(contractor, 70_000))
    await market.settled(PATIENCE)
    await market.sandbox.advance(WEEK)  # the bank confirms the payout only now
    await market.settled(PATIENCE)
    assert await all_done()
    report = await books()
    assert report.differences == []
    assert report.totals["platform"] == {"USD": 60_000}
    assert report.totals["wallet:available"] == {"USD": 70_000 + 20_000}
    for party in (customer, contractor):
        assert (await feed_values(party, "job.updated", "status")).count("completed") == 1
    assert (await feed_values(contractor, "wallet.updated", "available"))[-1] == 70_000
    steps = await feed_values(earner, "withdrawal.updated", "status")
    assert [steps.count(step) for step in ("requested", "paid")] == [1, 1]
    assert (await feed_values(earner, "wallet.updated", "in_transit"))[-1] == 0
    for party in (dropped.customer, dropped.contractor):
        back = await feed_values(party, "payment.updated", "refunded_amount")
        assert [amount for amount in back if amount] == [100_000]
        assert (await feed_values(party, "job.updated", "status"))[-1] == "cancelled"


async def _has(contractor: Party, available: int) -> bool:
    wallet = await contractor.call("/wallet", "balance")
    return bool(wallet["available"] == available)
