"""Money that was moving when its account at Stripe was closed or rejected: payouts that were not
requested here, reversals, withdrawals and transfers."""

import asyncio

import pytest

from domain.accounts.user import User
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus
from tests.support.job_in_progress import TIMEOUT

SHARE = 70_000
STEPS = "available", "stranded", "in_transit", "debt"
PAYOUTS = {"path": "/v1/payouts", "method": "POST"}


@pytest.fixture
async def account(completed_work):
    user = await completed_work.server.store.single().get(User, completed_work.contractor.id)
    await completed_work.sandbox.settings(payout_delay_seconds=0.1)
    await completed_work.sandbox.add_funds(100_000)
    return user.connect_id


async def close(work, account):
    await work.sandbox.close_account(account)
    await work.contractor.push("/account", "account.updated", lambda u: True, TIMEOUT)


async def wallet_changes(work, **values):
    """Wait until the parts of the wallet have these values."""
    is_it = lambda w: all(w[part] == value for part, value in values.items())  # noqa: E731
    await work.contractor.push("/wallet", "wallet.updated", is_it, TIMEOUT)


async def ends(work, account, stranded, debt=0):
    """All is settled: the wallet has this, the account at Stripe has what is stranded here, and
    nothing is left to be taken from it."""
    await work.platform_and_escrow()
    assert await work.wallet(*STEPS) == (0, stranded, 0, debt)
    assert (await work.sandbox.money_of(account)).get("USD", 0) == stranded
    assert [row.amount for row in await work.market.rows(Shortfall) if row.amount] == []
    assert all(reversal.done for reversal in await work.market.rows(Reversal))


async def paid_unasked(work, account):
    """Stripe pays out all that is there, and the books know of it."""
    await work.sandbox.pay_out_everything(account)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["unasked"] and w["status"] == "paid", TIMEOUT
    )


async def test_a_reversal_of_what_was_paid_out_is_owed_once(completed_work, account):
    """Guard: `give_up_reversal` before `strand_reversal`; its owner owed the same money twice, and
    it was stranded on an account that no longer had it."""
    work = completed_work
    refusing = {"path": "/v1/transfers/*/reversals", "method": "POST", "status": 500}
    await work.sandbox.fault(**refusing, times=50)
    await work.refund()
    async with asyncio.timeout(TIMEOUT):
        while not await work.market.rows(Reversal):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await paid_unasked(work, account)
    await close(work, account)
    await work.sandbox.clear_faults()
    await ends(work, account, 0, -SHARE)


async def test_a_payout_known_after_a_rejection_takes_what_is_stranded(completed_work, account):
    """Guard: `arrival` in `_book_unasked`; booked against the empty available balance it was owed,
    and the money that had left stayed stranded."""
    work = completed_work
    await work.sandbox.hold_events("payout.*")
    await work.sandbox.pay_out_everything(account)
    await work.sandbox.reject(account)
    await wallet_changes(work, stranded=SHARE)
    await work.sandbox.release_events("payout.*")
    await ends(work, account, 0)
    [withdrawal] = await work.market.rows(Withdrawal)
    assert withdrawal.unasked and withdrawal.status is WithdrawalStatus.PAID


async def test_a_payout_read_before_the_close_takes_what_is_stranded(completed_work, account):
    """Guard: as above, for an answer that is late: the account is closed when it is booked."""
    work = completed_work
    await work.sandbox.settings(payout_delay_seconds=600)
    await work.sandbox.fault(path="/v1/payouts/*", method="GET", when="after", delay=3)
    await work.sandbox.pay_out_everything(account)
    async with asyncio.timeout(TIMEOUT):
        while await work.sandbox.faults():  # noqa: ASYNC110 - until the late answer is on its way
            await asyncio.sleep(0.01)
    await close(work, account)
    await wallet_changes(work, in_transit=SHARE)
    await work.sandbox.advance(601)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    await ends(work, account, 0)


async def test_payouts_of_a_closed_account_are_booked_by_their_events(completed_work, account):
    """Guard: `PayoutState`: Stripe shows nothing of the account any more. In any order of the
    events; one that an administrator may have settled already is left to them."""
    work = completed_work
    await work.sandbox.hold_events("payout.*")
    payouts = [
        await work.sandbox.api("POST", "payouts", account, amount=amount, currency="usd")
        for amount in (SHARE - 20_000, 20_000)
    ]
    await work.sandbox.advance(1)
    await work.sandbox.fail_payout(payouts[1]["id"])
    await close(work, account)
    await wallet_changes(work, stranded=SHARE)
    await work.sandbox.release_events("payout.*", newest_first=True)
    await ends(work, account, 20_000)
    found = {row.amount: (row.status, row.unasked) for row in await work.market.rows(Withdrawal)}
    assert found == {
        SHARE - 20_000: (WithdrawalStatus.PAID, True),
        20_000: (WithdrawalStatus.FAILED, True),
    }


async def test_a_payout_that_was_settled_by_hand_is_not_booked_again(completed_work, account):
    """Guard: `_may_be_settled`."""
    work = completed_work
    await work.sandbox.hold_events("payout.*")
    await work.sandbox.pay_out_everything(account)
    await close(work, account)
    await wallet_changes(work, stranded=SHARE)
    user = {"user_id": work.contractor.id, "currency": "USD", "reason": "As the dashboard says"}
    await work.as_admin("stranded_settle", **user, amount=SHARE, outcome="paid_out")
    await work.sandbox.release_events("payout.*")
    alert = await work._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "payout_unexplained", TIMEOUT
    )
    assert "700.00 USD" in alert["message"]
    await ends(work, account, 0)
    assert await work.market.rows(Withdrawal) == []


async def test_a_withdrawal_whose_answer_was_lost_is_not_stranded(completed_work, account):
    """Guard: `_is_taken_for_refused`: the closed account refuses the repeated request, and the
    event says that the first one had paid."""
    work = completed_work
    await work.sandbox.hold_events("payout.*")
    await work.sandbox.fault(**PAYOUTS, drop=True, when="after")
    await work.sandbox.fault(**PAYOUTS, drop=True, times=1000)  # a repeat gets the first answer
    await work.market.withdraw(work.contractor, SHARE)
    async with asyncio.timeout(TIMEOUT):
        while (await work.sandbox.money_of(account)).get("USD"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await work.sandbox.advance(1)  # every event of the payout is held: clearing ends the hold
    await close(work, account)
    await work.sandbox.clear_faults()
    await wallet_changes(work, stranded=SHARE)
    await work.sandbox.release_events("payout.*")
    await ends(work, account, 0)
    found = {row.unasked: row.status for row in await work.market.rows(Withdrawal)}
    assert found == {False: WithdrawalStatus.FAILED, True: WithdrawalStatus.PAID}


async def test_a_withdrawal_of_what_was_paid_out_ends_with_the_account(completed_work, account):
    """Guard: `settle_shortfalls` in `_return_to_wallet`; the withdrawal came back as stranded, and
    was owed as well."""
    work = completed_work
    await work.sandbox.fault(**PAYOUTS, drop=True, times=1000)
    await work.market.withdraw(work.contractor, SHARE)
    await paid_unasked(work, account)
    await close(work, account)
    await work.sandbox.clear_faults()
    await ends(work, account, 0)


@pytest.mark.parametrize("won", [True, False])
async def test_what_a_chargeback_held_was_paid_out(completed_work, account, won):
    """Guard: `settle_shortfalls` in `_book_withdrawn`: what a decision frees is not stranded, since
    its owner has it."""
    work = completed_work
    chargeback = await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    await paid_unasked(work, account)
    await close(work, account)
    await work.decide_chargeback(chargeback, won=won)
    await ends(work, account, 0, 0 if won else -SHARE)


async def test_a_transfer_whose_answer_was_lost_is_found(market, server, work):
    """Guard: `_find_sent`; without an account that receives transfers nothing looked for it."""
    user = await server.store.single().get(User, work.contractor.id)
    await work.sandbox.fault(path="/v1/transfers", method="POST", drop=True, when="after")
    await work.complete()
    async with asyncio.timeout(TIMEOUT):
        while await work.sandbox.faults():  # noqa: ASYNC110 - until the transfer was made
            await asyncio.sleep(0.01)
    await close(work, user.connect_id)
    await wallet_changes(work, stranded=SHARE)
    [transfer] = await market.rows(Transfer)
    assert transfer.status is TransferStatus.AVAILABLE
    await ends(work, user.connect_id, SHARE)
