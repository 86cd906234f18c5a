"""The bank takes a payment back after everybody has been paid."""

from tests.work import PATIENCE

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


async def test_chargeback_won_and_lost_in_any_order(done):
    """Guard: `STEPS` has a way from each state to each other; the last word counts, and nothing
    is booked twice on the way."""
    order = ("won", "lost", "under_review", "lost", "won", "under_review", "won")
    charge = (await done.payment()).charge_id
    dispute = await done.sandbox.dispute(charge)
    for state in order:
        await done.sandbox.move_dispute(dispute["id"], state)
        await done.market.settled(PATIENCE)
        wallet = await done.wallet("available", "held", "pending", "debt")
        expected = {"won": (70_000, 0, 0, 0), "lost": (0, 0, 0, 0)}
        platform = {"won": 30_000 - FEE, "lost": -FEE, "under_review": 30_000 - FEE}
        assert await done.books() == (platform[state], 0)
        if state in expected:
            assert wallet == expected[state]
