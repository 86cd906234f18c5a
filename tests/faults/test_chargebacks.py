"""Chargebacks after all payouts have arrived."""

from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT

FEE = 1500


async def test_chargeback_after_payout_lost(completed_work):
    """Guard: `_book_lost`: each party returns its share, and what was paid out becomes debt."""
    await completed_work.withdraw(70_000)
    await completed_work.decide_chargeback(await completed_work.open_chargeback(), won=False)
    assert await completed_work.platform_and_escrow() == (-FEE, 0)
    assert await completed_work.wallet("available", "held", "debt") == (0, 0, -70_000)


async def test_chargeback_after_payout_won_and_lost_in_any_order(completed_work):
    """Guard: `chargeback_booking.book_change` leads from any state to any other; the last one
    counts, and nothing is booked twice on the way. A part of the money is at the contractor's bank
    already: it is owed while the chargeback is lost. And `_book_withdrawn`: when it is won, the
    held amount is available again; the platform bears the fee."""
    order = ("won", "lost", "under_review", "lost", "won", "under_review", "won")
    parts = {"won": (40_000, 0, 0), "lost": (0, 0, -30_000), "under_review": (0, 40_000, 0)}
    platform = {"won": 30_000 - FEE, "lost": -FEE, "under_review": 30_000 - FEE}
    await completed_work.withdraw(30_000)
    charge = (await completed_work.stored_payment()).charge_id
    dispute = await completed_work.sandbox.dispute(charge)
    await completed_work.market.settled(TIMEOUT)
    assert await completed_work.wallet("available", "held") == (0, 40_000)
    await completed_work.assert_refused(
        completed_work.contractor, "/wallet", "withdraw", {"amount": 1000}, "insufficient_funds"
    )
    for state in order:
        await completed_work.sandbox.move_dispute(dispute["id"], state)
        assert await completed_work.platform_and_escrow() == (platform[state], 0)
        available, held, pending, debt = await completed_work.wallet(
            "available", "held", "pending", "debt"
        )
        assert (available, held + pending, debt) == parts[state], state
    steps = ["open", *(state.replace("under_review", "open") for state in order)]
    for party in (completed_work.customer, completed_work.contractor):
        assert await feed_values(party, "chargeback.updated", "status") == steps
    first, *_ = await completed_work.stripe_list("transfers")
    assert (first["amount"], first["amount_reversed"]) == (70_000, 40_000)
