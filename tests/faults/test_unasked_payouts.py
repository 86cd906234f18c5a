"""Payouts of a contractor's account that were not requested here: by a schedule, from the
dashboard, or after Stripe's limit for holding funds."""

from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal
from domain.reconciliation.runs import compare_books
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus
from tests.support.job_in_progress import TIMEOUT

DAY = 86_400


@pytest.fixture
async def account(completed_work):
    return await account_of(completed_work)


async def account_of(work):
    user = await work.server.store.single().get(User, work.contractor.id)
    await work.sandbox.settings(payout_delay_seconds=0.1)
    return user.connect_id


async def paid(work):
    """Wait until the payout is paid. Returns the withdrawal as the contractor has it."""
    withdrawal = await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    await work.market.settled(TIMEOUT)
    return withdrawal


async def parts(work):
    return await work.wallet("available", "in_transit", "debt")


async def clean(work, platform=30_000, escrow=0):
    """The books agree with Stripe, by the audit and by a reconciliation."""
    assert await work.platform_and_escrow() == (platform, escrow)
    assert (await compared(work)).differences == []


async def compared(work):
    """A reconciliation."""
    now = work.server.ports.clock.now()
    return await compare_books(work.server.ports, now - timedelta(days=1), now)


async def test_an_automatic_schedule_empties_the_wallet(completed_work, account):
    """Guard: `settle_payouts` in the inbox; without it the wallet offers money that is gone."""
    admin = await completed_work.market.admin()
    await completed_work.sandbox.set_payout_schedule("daily", account)
    await completed_work.sandbox.advance(DAY + 1)
    withdrawal = await paid(completed_work)
    assert (withdrawal["unasked"], withdrawal["amount"]) == (True, 70_000)
    assert await parts(completed_work) == (0, 0, 0)
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == "payout_unasked", TIMEOUT)
    assert alert["subject"] == completed_work.contractor.id and alert["urgent"]
    assert "schedule" in alert["message"] and "owed" not in alert["message"]
    notice = await completed_work.contractor.push(
        "/account", "notification", lambda n: n["kind"] == "withdrawal_paid", TIMEOUT
    )
    assert notice["text"].startswith("Stripe paid it out by itself")
    await completed_work.assert_refused(
        completed_work.contractor, "/wallet", "withdraw", {"amount": 1000}, "insufficient_funds"
    )
    await clean(completed_work)


async def test_a_refund_afterwards_is_owed(completed_work, account):
    """Guard: as above; today the reversal is tried forever, with a debt of 0."""
    await completed_work.sandbox.pay_out_everything(account)
    await paid(completed_work)
    await completed_work.sandbox.add_funds(100_000)
    await completed_work.refund()
    await completed_work.market.settled(TIMEOUT)
    assert await parts(completed_work) == (0, 0, -70_000)
    assert await completed_work.market.rows(Reversal) == []
    await clean(completed_work, 0)


async def test_a_refund_before_it_is_known_is_owed(two_jobs):
    """Guard: `give_up_reversal`: the reversal that Stripe refuses ends as a debt, once."""
    work, account = two_jobs, await account_of(two_jobs)
    await work.sandbox.hold_events("payout.*")
    await work.sandbox.pay_out_everything(account)
    await work.refund()
    await work.market.settled(TIMEOUT)
    assert await parts(work) == (0, 0, 0)
    [reversal] = await work.market.rows(Reversal)
    assert not reversal.done
    await work.sandbox.release_events("payout.*", newest_first=True)
    await paid(work)
    assert await parts(work) == (0, 0, -70_000)
    [reversal] = await work.market.rows(Reversal)
    assert reversal.done and reversal.amount == 0
    owed = await work.contractor.push(
        "/account", "notification", lambda n: n["kind"] == "debt_due", TIMEOUT
    )
    assert owed["title"] == "You owe 700.00 USD"
    await clean(work, 20_000, 180_000)
    await work.market.complete(work.customer, work.later_job)
    await work.market.settled(TIMEOUT)
    assert await parts(work) == (70_000, 0, 0)
    await clean(work, 60_000)


async def test_lost_events_are_found_by_the_reconciliation(completed_work, account):
    """Guard: `journal_lines._book_unasked`; repeated it changes nothing."""
    await completed_work.sandbox.fault(webhook="payout.*", drop=True, times=100)
    await completed_work.sandbox.api("POST", "payouts", account, amount=50_000, currency="usd")
    await completed_work.market.settled(TIMEOUT)
    assert await parts(completed_work) == (70_000, 0, 0)
    for booked in (1, 0):
        found = await compared(completed_work)
        assert (found.booked, found.differences) == (booked, [])
    assert sum(await parts(completed_work)) == 20_000
    await clean(completed_work)


async def test_a_payout_that_the_bank_returns_pays_what_it_left_owed(completed_work, account):
    """Guard: `collect_debt` after a return: the money is there again, and is taken back then."""
    await completed_work.sandbox.hold_events("payout.*")
    [payout] = await completed_work.sandbox.pay_out_everything(account)
    await completed_work.sandbox.add_funds(100_000)
    await completed_work.refund(50_000)
    await completed_work.market.settled(TIMEOUT)
    await completed_work.sandbox.release_events("payout.*")
    await paid(completed_work)
    assert await parts(completed_work) == (0, 0, -35_000)
    await completed_work.sandbox.fail_payout(payout["id"])
    await completed_work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await parts(completed_work) == (35_000, 0, 0)
    await clean(completed_work, 15_000)


async def test_a_withdrawal_that_waits_comes_back_and_pays(completed_work, account):
    """Guard: what was promised to a withdrawal is owed until that fails; then nothing is."""
    await completed_work.sandbox.fault(path="/v1/payouts", method="POST", status=500, times=1)
    await completed_work.sandbox.hold_events("payout.*")
    await completed_work.sandbox.pay_out_everything(account)
    await completed_work.market.withdraw(completed_work.contractor, 70_000)
    await completed_work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    await completed_work.sandbox.release_events("payout.*")
    await paid(completed_work)
    assert await parts(completed_work) == (0, 0, 0)
    await clean(completed_work)


@pytest.mark.parametrize("won", [True, False])
async def test_a_payout_of_what_a_chargeback_holds(completed_work, account, won):
    """Guard: `Shortfall` outlives the payout: what the chargeback takes or frees later is settled
    with it, and Stripe is not asked for money that is not there."""
    chargeback = await completed_work.open_chargeback()
    await completed_work.market.settled(TIMEOUT)
    await completed_work.sandbox.pay_out_everything(account)
    await completed_work.market.settled(TIMEOUT)
    await completed_work.decide_chargeback(chargeback, won=won)
    await clean(completed_work, 30_000 - 1500 if won else -1500)
    available, in_transit, debt = await parts(completed_work)
    assert available + in_transit + debt == (0 if won else -70_000)


async def test_a_payout_that_is_known_late_is_no_difference(completed_work, account):
    """Guard: `payout_state` in `compare_payouts`: it was made days before its withdrawal, and is
    not among the payouts since that."""
    await completed_work.sandbox.pay_out_everything(account)
    withdrawal = await paid(completed_work)
    now = completed_work.server.ports.clock.now()
    later = {"created_at": now + timedelta(days=3)}
    await completed_work.server.store.single().change(Withdrawal, withdrawal["id"], **later)
    span = (now - timedelta(hours=1), now + timedelta(hours=1))
    found = await compare_books(completed_work.server.ports, *span)
    assert (found.compared["withdrawal"], found.differences) == (1, [])


async def test_repeated_and_reordered_events_book_once(completed_work, account):
    """Guard: the id of the withdrawal is made of the payout's."""
    await completed_work.sandbox.fault(webhook="payout.*", duplicate=2, times=10)
    await completed_work.sandbox.hold_events("payout.*")
    await completed_work.sandbox.pay_out_everything(account)
    await completed_work.sandbox.release_events("payout.*", newest_first=True)
    await paid(completed_work)
    [withdrawal] = await completed_work.market.rows(Withdrawal)
    assert withdrawal.status is WithdrawalStatus.PAID and withdrawal.unasked
    assert await parts(completed_work) == (0, 0, 0)
    assert await completed_work.market.rows(Shortfall) == []
    await clean(completed_work)


async def test_our_own_payouts_are_not_unasked(completed_work, account):
    """Guard: `withdrawal_id_of` reads the metadata, before the response has the payout's id."""
    await completed_work.withdraw(70_000)
    [withdrawal] = await completed_work.market.rows(Withdrawal)
    assert not withdrawal.unasked
    await clean(completed_work)
