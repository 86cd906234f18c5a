"""Stripe reverses no funds that are pending: a reversal waits until they are available."""

from domain.kernel.outbox import OutboxRow
from domain.payouts.transfer import Reversal
from tests.support.job_in_progress import TIMEOUT, JobInProgress


async def test_a_reversal_waits_for_the_funds_of_its_charge(market, server):
    """Guard: `_when_available`; tried every ten minutes it is a dead letter after two hours."""
    await server.sandbox.settings(available_delay_seconds=3600)
    work = await JobInProgress(market, server).start()
    await work.complete()
    await market.settled(TIMEOUT)
    await work.sandbox.add_funds(100_000)
    await work.refund(50_000)
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("pending", "available", "debt") == (35_000, 0, 0)
    [waiting] = await market.tasks("reverse_transfer")
    assert waiting.lease_until == (await work.stored_payment()).available_on
    assert not (await market.rows(Reversal))[0].done
    await server.sandbox.advance(3601)
    uow = server.store.single()
    await uow.change(OutboxRow, waiting.id, lease_until=uow.now)
    assert await work.platform_and_escrow() == (15_000, 0)
    [reversal] = await market.rows(Reversal)
    assert reversal.done and reversal.amount == 35_000
    [transfer] = await work.stripe_list("transfers")
    assert transfer["amount_reversed"] == 35_000
