"""Transfers that are reversed here and in Stripe's dashboard at the same time: Stripe refuses ours
for its amount, so what the dashboard took is subtracted, and what is left is reversed."""

import asyncio
from datetime import timedelta

import pytest

from domain.kernel.outbox import OutboxRow
from domain.payouts.external_reversals import settle_external_reversal
from domain.payouts.transfer import Reversal, Transfer
from domain.reconciliation.follow_up import follow_up_recent
from domain.reconciliation.runs import compare_books
from tests.support.job_in_progress import TIMEOUT

SHARE, TAKEN = 70_000, 63_000
REVERSALS = "/v1/transfers/*/reversals"


async def transfer_of(work):
    [transfer] = await work.stripe_list("transfers")
    return transfer["id"]


async def used(work, fault):
    """Wait until a request has met this fault, beside those that hold events."""
    async with asyncio.timeout(TIMEOUT):
        while fault["id"] in [each["id"] for each in await work.sandbox.faults()]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def reversals(work, *, done=True):
    return sorted(row.amount for row in await work.market.rows(Reversal, done=done))


async def ours_are(work, *amounts):
    """Wait until the reversals that are not known as made are of these amounts."""
    async with asyncio.timeout(TIMEOUT):
        while await reversals(work, done=False) != [*amounts]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def refunded(work):
    """Stripe may keep the refund until the reversal has arrived."""
    await work.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 100_000, TIMEOUT
    )


async def all_is_taken_back(work, *made):
    """The transfer is reversed in full, nothing is left under way, and no person has to help."""
    await ours_are(work)
    await refunded(work)
    assert await work.platform_and_escrow() == (0, 0)
    assert await reversals(work) == sorted(made or (SHARE - TAKEN, TAKEN))
    assert await work.wallet("available", "pending", "in_transit", "debt") == (0, 0, 0, 0)
    [transfer] = await work.stripe_list("transfers")
    assert transfer["amount_reversed"] == SHARE
    assert await work.market.rows(OutboxRow, dead=True) == []


async def test_a_reversal_that_was_reduced_while_it_was_asked_for(completed_work):
    """Guard: `amount` in the guard of `_settle_refused`; without it the refusal of the old amount
    makes a dead letter."""
    work = completed_work
    paused = await work.sandbox.fault(path=REVERSALS, method="POST", delay=60)
    await work.refund()
    await used(work, paused)
    await work.sandbox.reverse_transfer(await transfer_of(work), TAKEN)
    await ours_are(work, SHARE - TAKEN)
    await work.sandbox.clear_faults()
    await all_is_taken_back(work)


async def test_a_reversal_that_was_reduced_while_its_refusal_was_looked_up(completed_work):
    """Guard: as above; all reversals are known by the time they are compared with Stripe's."""
    work = completed_work
    await work.sandbox.hold_events("transfer.*")
    await work.sandbox.reverse_transfer(await transfer_of(work), TAKEN)
    paused = await work.sandbox.fault(path=REVERSALS, method="GET", delay=60)
    await work.refund()
    await used(work, paused)
    await work.sandbox.release_events("transfer.*")
    await ours_are(work, SHARE - TAKEN)
    await work.sandbox.clear_faults()
    await all_is_taken_back(work)


@pytest.mark.parametrize("read", ["with ours", "before ours"])
async def test_a_reversal_whose_answer_is_late_is_not_reduced(completed_work, read):
    """Guard: `settle_reversal`: what the dashboard took is subtracted from the reversals that are
    not made yet, in any order of the answers; else the other one is refused forever."""
    work, server = completed_work, completed_work.server
    [ours] = await work.market.rows(Transfer)
    await work.sandbox.hold_events("transfer.*")
    late = await work.sandbox.fault(path=REVERSALS, method="POST", when="after", delay=60)
    await work.refund(10_000)
    await used(work, late)
    made = await work.sandbox.reverse_transfer(ours.stripe_id, TAKEN - 7000)
    await work.refund()
    await ours_are(work, 7000, SHARE - 7000)
    if read == "before ours":
        listed = await server.ports.gateway.reversals(ours.stripe_id)
        [external] = [each for each in listed if each.id == made["id"]]
        await server.store.transact(lambda uow: settle_external_reversal(uow, ours.id, external))
        await ours_are(work, 14_000)
    else:
        await work.sandbox.release_events("transfer.*")
        await ours_are(work)
    await work.sandbox.clear_faults()
    await all_is_taken_back(work, 7000, 7000, TAKEN - 7000)
    await work.sandbox.release_events("transfer.*")


async def test_a_refused_reversal_follows_one_whose_event_is_lost(completed_work):
    """Guard: `ReadReversals` in the rule for reversals in `follow_up.RULES`; without it ours is
    tried again for days, and then becomes a dead letter."""
    work = completed_work
    await work.sandbox.fault(webhook="transfer.*", drop=True, times=10)
    await work.sandbox.reverse_transfer(await transfer_of(work), TAKEN)
    await work.refund()
    await work.market.settled(TIMEOUT)
    assert await reversals(work, done=False) == [SHARE]
    minutes_ago = work.server.ports.clock.now() - timedelta(minutes=2)
    collection = work.server.store.database[Reversal.COLLECTION]
    await collection.update_many({}, {"$set": {"updated_at": minutes_ago}})
    assert await follow_up_recent(work.server.ports) == 1
    await all_is_taken_back(work)


@pytest.mark.parametrize("asked_at", ["earlier", "later"])
async def test_a_lost_event_is_made_good_by_the_reconciliation(completed_work, asked_at):
    """Guard: `ReadReversals` in `stripe_lines._compare_reversal`; without it the wallet offers
    money that Stripe has taken back, and every reconciliation reports it."""
    work = completed_work
    await work.sandbox.fault(webhook="transfer.*", drop=True, times=10)
    await work.sandbox.reverse_transfer(await transfer_of(work), TAKEN)
    now = work.server.ports.clock.now()
    span = now - timedelta(hours=1), now + timedelta(hours=1)
    if asked_at == "earlier":
        await work.refund()
        await work.market.settled(TIMEOUT)
    [lost] = (await compare_books(work.server.ports, *span)).differences
    assert (lost.what, lost.expected, lost.found) == ("reversal", None, TAKEN)
    await work.market.settled(TIMEOUT)
    if asked_at == "later":
        assert await work.wallet("available", "pending") == (SHARE - TAKEN, TAKEN)
        assert (await compare_books(work.server.ports, *span)).differences == []
        await work.refund()
        await refunded(work)
        await work.market.settled(TIMEOUT)
        assert await reversals(work) == [SHARE - TAKEN, TAKEN]
        assert await work.wallet("available", "pending", "in_transit", "debt") == (0, 0, 0, 0)
    else:
        await all_is_taken_back(work)
    assert (await compare_books(work.server.ports, *span)).differences == []
