"""Money without an owner is found, kept since then, and removed when that is over."""

from datetime import timedelta

import msgspec

from domain.accounts.user import User
from domain.deals.offer import MilestoneStatus, Offer
from domain.payouts.transfer import UNSENT, Transfer
from domain.reconciliation.ownerless_money import find_ownerless
from tests.support.job_in_progress import TIMEOUT, JobInProgress


async def found(work, **fields):
    await find_ownerless(work.server.ports)
    listed = (await work.as_admin("ownerless", **fields))["items"]
    return {(row["kind"], row["subject"], row["amount"]) for row in listed}


async def test_escrow_and_wallets_of_nobody(market, server, work):
    """Guard: `_escrow`, `_is_over` and `_wallets` in `ownerless_money`, and the removal of what is
    over."""
    done = await JobInProgress(market, server).start_and_complete()
    assert await found(work) == set()
    uow = server.store.single()
    offer = await uow.get(Offer, work.offer["id"])
    ended = tuple(
        msgspec.structs.replace(each, status=MilestoneStatus.CANCELLED) for each in offer.milestones
    )
    await uow.change(Offer, offer.id, milestones=ended)
    assert await found(work) == {("escrow_ended", offer.id, 90_000)}
    await uow.change(Offer, offer.id, milestones=offer.milestones)
    await uow.change(User, done.contractor.id, banned_at=uow.now)
    wallet = ("wallet_closed", done.contractor.id, 70_000)
    assert await found(work) == await found(work, kind="wallet_closed") == {wallet}
    assert await found(work, kind="debt_closed") == set()
    [row] = (await work.as_admin("ownerless"))["items"]
    assert row["found_at"] < row["last_seen_at"] and "run" not in row
    taken = await work.as_admin("assign", subject=row["id"], to=work._admin.id)
    assert taken["assignee_id"] == work._admin.id


async def test_a_refund_that_came_back_and_a_transfer_that_is_not_sent(market, server):
    """Guard: `_refunds` and `_transfers` in `ownerless_money`: a refund that was made again, and a
    transfer that waits for less than a week, are not listed."""
    work = await JobInProgress(market, server).start(onboarded=False)
    await work.complete()
    await market.settled(TIMEOUT)
    assert await found(work) == set()
    await server.sandbox.fault(refund="usd", delay=0)
    await work.refund(10_000)
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT)
    await market.settled(TIMEOUT)
    assert await found(work) == {("refund_failed", work.offer["id"], 10_000)}
    await work.decide_refund("again")
    await market.settled(TIMEOUT)
    assert await found(work) == set()
    waiting = [each for each in await market.rows(Transfer) if each.status in UNSENT]
    old = {"updated_at": server.store.single().now - timedelta(days=8)}
    await server.store.database["transfers"].update_many({}, {"$set": old})
    assert await found(work) == {("transfer_waits", each.id, each.net) for each in waiting} != set()
