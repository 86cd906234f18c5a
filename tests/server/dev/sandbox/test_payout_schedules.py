"""Payouts that the sandbox makes by itself, and reversals that it refuses, as Stripe does."""

from typing import Any

import pytest
import stripe

from tests.server.dev.sandbox.conftest import Shop

DAY = 86_400


async def transferred(shop: Shop, account: str, amount: int = 5_000) -> Any:
    paid = await shop.pay("pm_card_bypassPending")
    return await shop.v1.transfers.create_async(
        {
            "amount": amount,
            "currency": "usd",
            "destination": account,
            "source_transaction": paid.latest_charge,
        }
    )


async def set_interval(shop: Shop, account: str, interval: Any) -> None:
    schedule = {"payouts": {"schedule": {"interval": interval}}}
    await shop.v1.accounts.update_async(account, {"settings": schedule})


async def test_a_schedule_pays_out_what_is_available(sandbox_shop: Shop) -> None:
    """Fails without `payout_schedules.run`, or when a manual schedule pays out as well."""
    account = await sandbox_shop.contractor()
    await transferred(sandbox_shop, account)
    await sandbox_shop.advance(3 * DAY)
    assert await sandbox_shop.available(account) == 5_000
    await set_interval(sandbox_shop, account, "daily")
    await sandbox_shop.advance(DAY + 1)
    assert await sandbox_shop.available(account) == 0
    of_account: Any = {"stripe_account": account}
    [payout] = (await sandbox_shop.v1.payouts.list_async({}, of_account)).data
    assert (payout.amount, payout.automatic, payout.metadata.to_dict()) == (5_000, True, {})
    await transferred(sandbox_shop, account)
    await sandbox_shop.advance(DAY + 1)
    assert await sandbox_shop.available(account) == 0
    await set_interval(sandbox_shop, account, "manual")
    await transferred(sandbox_shop, account)
    await sandbox_shop.advance(3 * DAY)
    assert await sandbox_shop.available(account) == 5_000


async def test_funds_are_not_held_for_ever(sandbox_shop: Shop) -> None:
    """Fails without `holding` in the timers: Stripe pays out by itself after 730 days in the US."""
    account = await sandbox_shop.contractor()
    await transferred(sandbox_shop, account)
    await sandbox_shop.advance(729 * DAY)
    assert await sandbox_shop.available(account) == 5_000
    await sandbox_shop.advance(2 * DAY)
    assert await sandbox_shop.available(account) == 0


async def test_the_platform_has_a_schedule_too(sandbox_shop: Shop) -> None:
    """Fails without `account` in `change_payout_schedule` being the platform's by default."""
    own = await sandbox_shop.v1.accounts.retrieve_current_async()
    assert own.settings and own.settings.payouts
    assert own.settings.payouts.schedule.interval == "manual"
    await sandbox_shop.pay("pm_card_bypassPending")
    await sandbox_shop.control("POST", "schedules", {"interval": "daily"})
    await sandbox_shop.advance(DAY + 1)
    assert await sandbox_shop.available() == 0
    [payout] = (await sandbox_shop.v1.payouts.list_async({})).data
    assert payout.automatic


async def test_nothing_is_reversed_from_a_closed_account(sandbox_shop: Shop) -> None:
    """Fails without the check of the destination in `transfers.reverse`."""
    account = await sandbox_shop.contractor()
    made = await transferred(sandbox_shop, account)
    await sandbox_shop.control("POST", "accounts", {"account": account, "state": "closed"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox_shop.v1.transfers.reversals.create_async(made.id, {"amount": 1_000})
    assert refused.value.code == "account_invalid"
