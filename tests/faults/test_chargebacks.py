"""The bank takes a payment back after everybody has been paid."""

from tests.faults.outcome import told
from tests.support.job_in_progress import PATIENCE

FEE = 1500


async def test_chargeback_after_payout_won(done):
    """Guard: `_win`: what was held is free again; the fee is the platform's."""
    await done.withdraw(30_000)
    chargeback = await done.charge_back()
    await done.market.settled(PATIENCE)
    assert await done.wallet("available", "held") == (0, 40_000)
    await done.refuses(
        done.contractor, "/wallet", "withdraw", {"amount": 1000}, "insufficient_funds"
    )
    await done.decide(chargeback, won=True)
    assert await done.books() == (30_000 - FEE, 0)
    assert await done.wallet("available", "held", "debt") == (40_000, 0, 0)


async def test_chargeback_after_payout_lost(done):
    """Guard: `_lose`: each gives back their part, and what was paid out becomes debt."""
    await done.withdraw(70_000)
    await done.decide(await done.charge_back(), won=False)
    assert await done.books() == (-FEE, 0)
    assert await done.wallet("available", "held", "debt") == (0, 0, -70_000)


async def test_chargeback_after_payout_won_and_lost_in_any_order(done):
    """Guard: `STEPS` has a way from each state to each other; the last word counts, and nothing
    is booked twice on the way. A part of the money is at the contractor's bank already: that part
    is owed while it is lost."""
    order = ("won", "lost", "under_review", "lost", "won", "under_review", "won")
    parts = {"won": (40_000, 0, 0), "lost": (0, 0, -30_000), "under_review": (0, 40_000, 0)}
    platform = {"won": 30_000 - FEE, "lost": -FEE, "under_review": 30_000 - FEE}
    await done.withdraw(30_000)
    charge = (await done.payment()).charge_id
    dispute = await done.sandbox.dispute(charge)
    await done.market.settled(PATIENCE)
    for state in order:
        await done.sandbox.move_dispute(dispute["id"], state)
        assert await done.books() == (platform[state], 0)
        available, held, pending, debt = await done.wallet("available", "held", "pending", "debt")
        assert (available, held + pending, debt) == parts[state], state
    steps = ["open", *(state.replace("under_review", "open") for state in order)]
    for party in (done.customer, done.contractor):
        assert await told(party, "chargeback.updated", "status") == steps
    first, *_ = await done.listed("transfers")
    assert (first["amount"], first["amount_reversed"]) == (70_000, 40_000)
