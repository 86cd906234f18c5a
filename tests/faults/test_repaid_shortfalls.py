"""A payout that was not requested here took money that was promised elsewhere. Its owner has repaid
that from later earnings, and then the promise is kept or falls away: the money is theirs again."""

import asyncio
from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.payouts.refills import RefillAccount
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.reconciliation.follow_up import follow_up_recent
from domain.reconciliation.runs import compare_books
from tests.support.job_in_progress import TIMEOUT

SHARE = 70_000
PAYOUTS = {"path": "/v1/payouts", "method": "POST"}
REVERSALS = {"path": "/v1/transfers/*/reversals", "method": "POST"}
PARTS = "available", "stranded", "pending", "debt"


@pytest.fixture
async def account(two_jobs):
    user = await two_jobs.server.store.single().get(User, two_jobs.contractor.id)
    await two_jobs.sandbox.settings(payout_delay_seconds=0.1)
    await two_jobs.sandbox.add_funds(200_000)
    return user.connect_id


async def paid(work, *, unasked):
    await work.contractor.push(
        "/wallet",
        "withdrawal.updated",
        lambda w: (w["status"], w["unasked"]) == ("paid", unasked),
        TIMEOUT,
    )


async def repaid(work, account):
    """Stripe pays out all that is promised elsewhere; the next job pays that, and as much more."""
    await work.sandbox.pay_out_everything(account)
    await paid(work, unasked=True)
    await work.market.complete(work.customer, work.later_job)
    async with asyncio.timeout(TIMEOUT):
        while await work.wallet("available", "debt") != (SHARE, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def settled(work):
    """All is done, and the books agree with Stripe."""
    await work.platform_and_escrow()
    now = work.server.ports.clock.now()
    span = now - timedelta(hours=1), now + timedelta(hours=1)
    assert (await compare_books(work.server.ports, *span)).differences == []


async def followed_up(work):
    """What Stripe lacks is looked at a minute later."""
    await work.market.settled(TIMEOUT)
    minutes_ago = work.server.ports.clock.now() - timedelta(minutes=2)
    collection = work.server.store.database[Shortfall.COLLECTION]
    await collection.update_many({}, {"$set": {"updated_at": minutes_ago}})
    await follow_up_recent(work.server.ports)
    await refilled(work)


async def refilled(work):
    await settled(work)
    assert [row.amount for row in await work.market.rows(Shortfall)] == [0]


async def followed_up_too_early(work, amount):
    """While the promise stands nothing is sent: what keeps it would be paid out again."""
    uow = work.server.store.single()
    [lacking] = await work.market.rows(Shortfall)
    await RefillAccount(lacking.user_id, lacking.currency).run(work.server.ports)
    assert (await uow.get(Shortfall, lacking.id)).amount == amount


async def can_be_withdrawn(work, account, amount):
    assert await work.wallet(*PARTS) == (amount, 0, 0, 0)
    assert (await work.sandbox.money_of(account))["USD"] == amount
    await work.withdraw(amount)
    await settled(work)
    assert await work.wallet(*PARTS) == (0, 0, 0, 0)


async def test_a_reversal_took_later_earnings(two_jobs, account):
    """Guard: `refill_later` in `read_reversals`; without it the reversal takes what the debt has
    paid already, and the wallet offers money that is not at Stripe."""
    work = two_jobs
    await work.sandbox.fault(**REVERSALS, drop=True, times=1000)
    await work.refund()
    async with asyncio.timeout(TIMEOUT):
        while not await work.market.rows(Reversal):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await repaid(work, account)
    await work.sandbox.clear_faults()
    async with asyncio.timeout(TIMEOUT):
        while await work.market.rows(Reversal, done=False):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await refilled(work)
    await can_be_withdrawn(work, account, SHARE)


async def test_a_withdrawal_took_later_earnings(two_jobs, account):
    """Guard: `RefillAccount` in the follow-up, for a withdrawal that Stripe paid in the end."""
    work = two_jobs
    await work.sandbox.fault(**PAYOUTS, drop=True, times=1000)
    await work.market.withdraw(work.contractor, SHARE)
    await repaid(work, account)
    await followed_up_too_early(work, SHARE)
    await work.sandbox.clear_faults()
    await paid(work, unasked=False)
    await followed_up(work)
    await can_be_withdrawn(work, account, SHARE)


async def test_a_withdrawal_that_is_refused_is_there_again(two_jobs, account):
    """Guard: `refill_later` in `_return_to_wallet`: what came back to the wallet is at Stripe when
    its owner tries again."""
    work = two_jobs
    await work.sandbox.fault(**PAYOUTS, drop=True, times=1000)
    await work.market.withdraw(work.contractor, SHARE)
    await repaid(work, account)
    refusal = {"type": "invalid_request_error", "code": "bank_account_unusable", "message": "No."}
    await work.sandbox.clear_faults()
    await work.sandbox.fault(**PAYOUTS, status=400, error=refusal)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    await settled(work)
    await can_be_withdrawn(work, account, 2 * SHARE)


async def test_an_unasked_payout_that_comes_back_pays_its_debt(two_jobs, account):
    """Guard: `available` in `settle_shortfalls`; without it the debt is collected at Stripe, and
    the withdrawal that it was promised to is refused."""
    work = two_jobs
    await work.sandbox.fault(**PAYOUTS, drop=True, times=1000)
    await work.market.withdraw(work.contractor, SHARE)
    await work.sandbox.pay_out_everything(account)
    await paid(work, unasked=True)
    assert await work.wallet("available", "in_transit", "debt") == (0, SHARE, -SHARE)
    [payout] = (await work.sandbox.api("GET", "payouts", account))["data"]
    await work.sandbox.fail_payout(payout["id"])
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    assert await work.wallet("available", "in_transit", "debt") == (0, SHARE, 0)
    await work.sandbox.clear_faults()
    await paid(work, unasked=False)
    await refilled(work)
    assert await work.wallet(*PARTS) == (0, 0, 0, 0)
    assert await work.market.rows(Reversal) == []
    assert await work.sandbox.money_of(account) == {"USD": 0}


async def test_a_chargeback_that_was_won(two_jobs, account):
    """Guard: `refill_later` in `_book_withdrawn`, for what a bank's decision frees."""
    work = two_jobs
    chargeback = await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    await repaid(work, account)
    await work.decide_chargeback(chargeback, won=True)
    await refilled(work)
    await can_be_withdrawn(work, account, 2 * SHARE)


async def test_a_chargeback_that_was_won_after_the_account_was_closed(two_jobs, account):
    """Guard: `_replace` in `RefillAccount`: it is not stranded, since the closed account never had
    it; it goes to the next one."""
    work = two_jobs
    chargeback = await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    await repaid(work, account)
    await work.sandbox.close_account(account)
    await work.contractor.push("/account", "account.updated", lambda u: True, TIMEOUT)
    await work.decide_chargeback(chargeback, won=True)
    await refilled(work)
    assert await work.wallet(*PARTS) == (0, SHARE, SHARE, 0)
    assert (await work.sandbox.money_of(account))["USD"] == SHARE
    [waiting] = await work.market.rows(Transfer, status=TransferStatus.WAITING)
    assert (waiting.amount, waiting.refill) == (SHARE, False)
    title = "700.00 USD of your old account at Stripe is on its way to your wallet again"
    await work.contractor.push("/account", "notification", lambda n: n["title"] == title)
