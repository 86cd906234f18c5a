"""Payouts: accounts that cannot receive, banks that return money, and amounts that do not
divide."""

import pytest

from domain.accounts.user import User
from domain.kernel.money import CURRENCIES, Schedule, holdings
from server.config import ConfigError, load
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.property_sizes import size


async def fail_payout(work):
    """The bank returns the last payout."""
    user = await work.server.store.single().find(User, {"_id": work.contractor.id})
    payout = (await work.sandbox.api("GET", "payouts", user.connect_id))["data"][0]
    work.contractor.clear_pushes()
    await work.sandbox.fail_payout(payout["id"])
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )


async def test_payout_paid_then_failed(completed_work):
    """Guard: `WithdrawalStatus.PAID: (WithdrawalStatus.FAILED,)` in the state table of withdrawals;
    the money is booked back from the bank. And `collect_debt` in `withdrawals._return_to_wallet`;
    without it the money can be withdrawn again although it is owed."""
    await completed_work.withdraw(70_000)
    await fail_payout(completed_work)
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    assert await completed_work.wallet("available", "in_transit") == (70_000, 0)
    # A payout that fails late pays a debt first.
    completed_work.contractor.clear_pushes()
    await completed_work.withdraw(70_000)
    await completed_work.refund(50_000)
    await completed_work.market.settled(TIMEOUT)
    assert await completed_work.wallet("debt") == (-35_000,)
    await fail_payout(completed_work)
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await completed_work.wallet("available", "debt") == (35_000, 0)


async def test_transfers_inactive_at_completion(market, server, work):
    """Guard: `_active_account` in `SendTransfer.run`, and `send_transfers(...)` in
    `apply_account`."""
    user = await server.store.single().find(User, {"_id": work.contractor.id})
    await server.sandbox.deactivate(user.connect_id, "individual.verification.document")
    await work.contractor.push(
        "/account", "account.updated", lambda u: not u["transfers_active"], TIMEOUT
    )
    await work.complete()
    await market.settled(TIMEOUT)
    assert await work.wallet("pending", "available") == (70_000, 0)
    assert await work.stripe_list("transfers") == []
    await server.sandbox.activate(user.connect_id)
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000, 0)


async def test_rounding(market, server):
    """Guard: both fees round down in `money.Schedule`, and every booking is a difference of
    `holdings`. A refund leaves so small an amount."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    platform = earned = 0
    for amount in (1, 2, 3, 7, 9, 10, 11):
        kept = holdings(amount, 0, amount, Schedule(1000, 2000))
        assert kept.platform + kept.contractor == amount
        assert kept.platform == amount // 10 + amount * 2 // 10
    for amount in (7, 9)[-size(1, deep=2) :]:  # 30 % would be 2
        kept = holdings(amount, 0, amount, Schedule(1000, 2000))
        work = await JobInProgress(market, server).start(
            1000, customer=customer, contractor=contractor
        )
        await work.refund(1000 - amount)
        await market.settled(TIMEOUT)
        await work.complete()
        platform, earned = platform + kept.platform, earned + kept.contractor
        assert await work.platform_and_escrow() == (platform, 0)
        assert await work.wallet("available", "pending") == (earned, 0)


async def test_currencies_without_two_decimals(market, server):
    """Guard: the steps of `money.CURRENCIES` in `allocation.allocate` and `check_chargeable`."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    currencies = ("JPY", 1237), ("ISK", 12_300), ("KWD", 1230)
    for currency, amount in currencies[: size(2, deep=3)]:  # test_small_units.py has KWD
        work = await JobInProgress(market, server).start(
            amount, currency=currency, customer=customer, contractor=contractor
        )
        await work.complete()
        await work.platform_and_escrow()
        share = amount - amount // 10 - amount * 2 // 10
        wallets = (await contractor.call("/wallet", "balance"))["others"]
        wallet = next(wallet for wallet in wallets if wallet["currency"] == currency)
        step = CURRENCIES[currency].step
        held = (wallet["available"], wallet["pending"])
        assert held == (share // step * step, share % step), currency
        await market.withdraw(contractor, share // step * step, currency)
        await contractor.push(
            "/wallet",
            "withdrawal.updated",
            lambda w, currency=currency: (w["currency"], w["status"]) == (currency, "paid"),
            TIMEOUT,
        )
        await work.refund(amount // 2 // step * step)
        await work.platform_and_escrow()


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
