"""Money on its way out: accounts that may not receive, banks that return it, odd amounts."""

import pytest

from domain.accounts.user import User
from domain.kernel.money import CURRENCIES, Schedule, holdings
from server.config import ConfigError, load
from tests.support.job_in_progress import PATIENCE, Work


async def test_payout_paid_then_failed(done):
    """Guard: `WithdrawalStatus.PAID: (WithdrawalStatus.FAILED,)` in the states of withdrawals,
    booked back from the bank."""
    await done.withdraw(70_000)
    user = await done.server.store.single().find(User, {"_id": done.contractor.id})
    payout = (await done.sandbox.api("GET", "payouts", user.connect_id))["data"][0]
    await done.sandbox.dead_payout(payout["id"])
    await done.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", PATIENCE
    )
    assert await done.books() == (30_000, 0)
    assert await done.wallet("available", "in_transit") == (70_000, 0)


async def test_payout_that_fails_late_pays_a_debt_first(done):
    """Guard: `collect_debt` in `settle_withdrawal`; without it the money may be taken out again
    although it is owed."""
    await done.withdraw(70_000)
    await done.refund(50_000)
    await done.market.settled(PATIENCE)
    assert await done.wallet("debt") == (-35_000,)
    user = await done.server.store.single().find(User, {"_id": done.contractor.id})
    payout = (await done.sandbox.api("GET", "payouts", user.connect_id))["data"][0]
    await done.sandbox.dead_payout(payout["id"])
    await done.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", PATIENCE
    )
    assert await done.books() == (15_000, 0)
    assert await done.wallet("available", "debt") == (35_000, 0)


async def test_transfers_inactive_at_completion(market, server):
    """Guard: `_ready_account` in `Send.run`, and `send(...)` in `account_changed`."""
    work = await Work(market, server).begin()
    user = await server.store.single().find(User, {"_id": work.contractor.id})
    await server.sandbox.deactivate(user.connect_id, "individual.verification.document")
    await work.contractor.push(
        "/account", "account.updated", lambda u: not u["transfers_active"], PATIENCE
    )
    await work.complete()
    await market.settled(PATIENCE)
    assert await work.wallet("pending", "available") == (70_000, 0)
    assert await work.listed("transfers") == []
    await server.sandbox.activate(user.connect_id)
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda purse: purse["available"] == 70_000, PATIENCE
    )
    assert await work.books() == (30_000, 0)


async def test_rounding(market, server):
    """Guard: both fees round down in `money.Schedule`, and every booking is a difference of
    `holdings`. So small a part is what a refund leaves of the work."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    platform = earned = 0
    for amount in (1, 2, 3, 7, 9, 10, 11):
        kept = holdings(amount, 0, amount, Schedule(1000, 2000))
        assert kept.platform + kept.contractor == amount
        assert kept.platform == amount // 10 + amount * 2 // 10
        work = await Work(market, server).begin(1000, customer=customer, contractor=contractor)
        await work.refund(1000 - amount)
        await market.settled(PATIENCE)
        await work.complete()
        platform, earned = platform + kept.platform, earned + kept.contractor
        assert await work.books() == (platform, 0)
        assert await work.wallet("available", "pending") == (earned, 0)


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 1237), ("KWD", 1230), ("ISK", 12_300)])
async def test_currencies_without_two_decimals(market, server, currency, amount):
    """Guard: the steps of `money.CURRENCIES` in `allocation.give` and `check_chargeable`."""
    work = await Work(market, server).begin(amount, currency=currency)
    await work.complete()
    await work.books()
    share = amount - amount // 10 - amount * 2 // 10
    purses = (await work.contractor.call("/wallet", "balance"))["others"]
    purse = next(purse for purse in purses if purse["currency"] == currency)
    step = CURRENCIES[currency].step
    assert (purse["available"], purse["pending"]) == (share // step * step, share % step)
    await work.market.withdraw(work.contractor, share // step * step, currency)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", PATIENCE
    )
    await work.refund(amount // 2 // step * step)
    await work.books()


def test_special_currencies_are_switched_on(installation_env):
    """Guard: `special` in `config._contradictions`."""
    env = {**installation_env, "CURRENCY": "USD,ISK", "SPECIAL_CURRENCIES": ""}
    with pytest.raises(ConfigError) as refused:
        load(env)
    assert "add ISK to SPECIAL_CURRENCIES" in str(refused.value)
    assert "ISK" in load(env | {"SPECIAL_CURRENCIES": "ISK"}).currencies


@pytest.fixture
def installation_env(installation):
    return installation.env
