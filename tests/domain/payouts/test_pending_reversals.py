"""Reversals of transfers whose funds are pending at Stripe."""

from domain.kernel.outbox import OutboxRow
from domain.payouts.transfer import Reversal
from tests.support.job_in_progress import TIMEOUT, JobInProgress

PENDING = {"type": "invalid_request_error", "code": "balance_insufficient", "message": "Pending."}


async def test_pending_funds_are_reversed(market, server):
    """Guard: `_claw_back_unarrived`. A reversal that Stripe refuses while they are pending waits
    until they are available, by `_when_available`; tried every ten minutes it is a dead letter
    after two hours."""
    await server.sandbox.settings(available_delay_seconds=3600)
    work = await JobInProgress(market, server).start()
    await work.complete()
    await market.settled(TIMEOUT)
    await work.sandbox.add_funds(100_000)
    await work.refund(20_000)
    assert await work.platform_and_escrow() == (24_000, 0)
    assert [reversal.done for reversal in await market.rows(Reversal)] == [True]
    refused = {"path": "/v1/transfers/*/reversals", "method": "POST", "status": 400}
    await work.sandbox.fault(**refused, error=PENDING)
    await work.refund(30_000)
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("pending", "available", "debt") == (35_000, 0, 0)
    [waiting] = await market.tasks("reverse_transfer")
    assert waiting.lease_until == (await work.stored_payment()).available_on
    await server.sandbox.advance(3601)
    uow = server.store.single()
    await uow.change(OutboxRow, waiting.id, lease_until=uow.now)
    assert await work.platform_and_escrow() == (15_000, 0)
    amounts = {reversal.amount: reversal.done for reversal in await market.rows(Reversal)}
    assert amounts == {14_000: True, 21_000: True}
    [transfer] = await work.stripe_list("transfers")
    assert transfer["amount_reversed"] == 35_000
