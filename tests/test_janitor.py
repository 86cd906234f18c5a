"""What has lost its task is asked of Stripe again, and both sides hear of a hold that ends."""

from datetime import timedelta

import pytest

from domain import janitor
from domain.deal import Offer, Payment
from domain.janitor import Watch
from domain.outbox import OutboxRow
from domain.transfers import Reversal, Transfer
from domain.wallets import Withdrawal
from tests.work import PATIENCE, Work


@pytest.fixture
async def work(market, server):
    await server.web.scheduler.stop()
    return await Work(market, server).begin()


async def lose_tasks(work, kind):
    """The task is gone, and the record it was about is some minutes old."""
    await work.server.web.relay.stop(0)
    uow = work.server.store.single()
    assert await uow.remove(OutboxRow, {"lane": "stripe"})
    work.server.web.relay.start(work.server.ports)
    await age(work, kind)


async def age(work, *kinds, minutes=2):
    past = work.server.ports.clock.now() - timedelta(minutes=minutes)
    for kind in kinds:
        collection = work.server.store.database[kind.COLLECTION]
        await collection.update_many({}, {"$set": {"updated_at": past}})


async def test_a_capture_that_was_forgotten(market, server):
    """Guard: `Kind(Payment, ...)`, with `Capture` for what is being captured."""
    await server.web.scheduler.stop()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    await market.settled(PATIENCE)
    work = Work(market, server)
    server.store.committed = lambda rows: None
    await contractor.call("/bidding", "accept", {"offer_id": offer["id"]})
    await lose_tasks(work, Payment)
    assert await janitor.ask_again(server.ports) == 1
    await customer.push("/bidding", "offer.accepted", lambda o: True, PATIENCE)


async def test_a_transfer_a_refund_and_a_payout_that_were_forgotten(work):
    """Guard: the kinds of transfers, refunds, reversals and withdrawals in `janitor.KINDS`."""
    ports = work.server.ports
    await work.market.settled(PATIENCE)
    work.server.store.committed = lambda rows: None
    await work.complete()
    await lose_tasks(work, Transfer)
    assert await janitor.ask_again(ports) == 1
    assert await work.books() == (30_000, 0)
    work.server.store.committed = lambda rows: None
    await work.market.withdraw(work.contractor, 10_000)
    await work.refund(50_000)
    await lose_tasks(work, Withdrawal)
    await age(work, Offer)
    assert await janitor.ask_again(ports) == 2
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", PATIENCE
    )
    await work.market.settled(PATIENCE)
    work.server.store.committed = lambda rows: None
    await work.admin(
        "adjust", user_id=work.contractor.id, amount=-1000, currency="USD", reason="Test"
    )
    await lose_tasks(work, Reversal)
    assert await janitor.ask_again(ports) == 1
    await work.books()


async def test_a_hold_whose_release_was_forgotten(market, server):
    """Guard: `_release_closed`; without it the customer's money stays blocked for a week."""
    await server.web.scheduler.stop()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    await market.settled(PATIENCE)
    server.store.committed = lambda rows: None
    await customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
    work = Work(market, server)
    await lose_tasks(work, Payment)
    assert await janitor.ask_again(server.ports) == 1
    await customer.push(
        "/payment", "payment.updated", lambda p: p["status"] == "canceled", PATIENCE
    )


async def test_it_asks_more_rarely_and_then_tells(market, server):
    """Guard: `AGES` and `TELL_AT` in `janitor._ask`."""
    await server.web.scheduler.stop()
    work = await Work(market, server).begin(onboarded=False)
    admin = await market.admin()
    await work.complete()
    await age(work, Transfer)
    ports, uow = server.ports, server.store.single()
    spans = []
    for times in range(1, janitor.TELL_AT + 1):
        assert await janitor.ask_again(ports) == 1
        assert await janitor.ask_again(ports) == 0
        watch = (await market.rows(Watch))[0]
        assert watch.asked == times
        spans.append(round((watch.next_at - watch.updated_at) / timedelta(minutes=1)))
        await uow.change(Watch, watch.id, next_at=ports.clock.now())
    assert spans == [4, 55, 1440, 1440, 1440]
    await admin.push("/admin", "alert", lambda a: a["kind"] == "left_unknown", PATIENCE)


async def test_both_sides_hear_that_the_hold_ends(market, server):
    """Guard: `warn_of_ends`, once, and not for an offer that was short from the beginning."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    other = await market.contractor("Otto")
    await market.application(other, job)
    await market.offer(customer, other, job, expires_in_hours=2)
    assert await janitor.warn_of_ends(server.ports) == 1  # the short one, without a word
    now = server.ports.clock.now()
    soon, long_ago = now + timedelta(hours=23), now - timedelta(days=2)
    await server.store.single().change(Offer, offer["id"], expires_at=soon, created_at=long_ago)
    assert await janitor.warn_of_ends(server.ports) == 1
    assert await janitor.warn_of_ends(server.ports) == 0
    for party, kind in ((customer, "hold_ends_soon"), (contractor, "offer_ends_soon")):
        await party.push(
            "/account", "notification", lambda n, kind=kind: n["kind"] == kind, PATIENCE
        )
    assert not [p for p in other.pushes if p.data.get("kind") == "offer_ends_soon"]
