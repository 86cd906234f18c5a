"""Accounts at Stripe that are closed or rejected while money is on them or on its way from them."""

import pytest

from domain.accounts.user import User
from domain.payouts.transfer import Reversal
from domain.wallet.withdrawals import Withdrawal
from tests.support.job_in_progress import TIMEOUT

REASON = "Looked up in Stripe's dashboard"


@pytest.fixture
async def account(completed_work):
    user = await completed_work.server.store.single().get(User, completed_work.contractor.id)
    return user.connect_id


async def close(work, account):
    await work.sandbox.close_account(account)
    await work.contractor.push("/account", "account.updated", lambda u: True, TIMEOUT)
    await work.market.settled(TIMEOUT)


async def parts(work):
    return await work.wallet("available", "stranded", "in_transit", "debt")


async def notice_of(work, kind):
    is_it = lambda n: n["kind"] == kind  # noqa: E731
    return await work.contractor.push("/account", "notification", is_it, TIMEOUT)


async def settle(work, outcome, amount=70_000):
    user = {"user_id": work.contractor.id, "currency": "USD"}
    await work.as_admin("stranded_settle", **user, amount=amount, outcome=outcome, reason=REASON)
    await work.market.settled(TIMEOUT)


async def test_money_on_a_closed_account_is_not_offered(completed_work, account):
    """Guard: `strand_available` in `_unlink_closed_account`; today the wallet offers it, and the
    next account's payout would take other money."""
    admin = await completed_work.market.admin()
    await close(completed_work, account)
    assert await parts(completed_work) == (0, 70_000, 0, 0)
    waiting = (await completed_work.contractor.call("/wallet", "waiting"))["items"]
    assert [(each["kind"], each["reason"], each["amount"]) for each in waiting] == [
        ("stranded", "administrator", 70_000)
    ]
    assert "closed" in (await notice_of(completed_work, "account_closed"))["title"]
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == "account_closed", TIMEOUT)
    assert "stranded" in alert["message"]
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    await completed_work.market.onboard(completed_work.contractor)
    await completed_work.assert_refused(
        completed_work.contractor, "/wallet", "withdraw", {"amount": 1000}, "insufficient_funds"
    )


async def test_a_refund_of_it_is_owed(completed_work, account):
    """Guard: `closed` in `_reverse_available`: nothing is reversed from a closed account."""
    await close(completed_work, account)
    await completed_work.sandbox.add_funds(100_000)
    await completed_work.refund(50_000)
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await parts(completed_work) == (0, 70_000, 0, -35_000)
    assert await completed_work.market.rows(Reversal) == []
    await settle(completed_work, "replaced")
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await completed_work.wallet("pending", "stranded", "debt") == (35_000, 0, 0)


async def test_a_reversal_under_way_is_given_up(completed_work, account):
    """Guard: `strand_reversal`; without it Stripe is asked forever."""
    await completed_work.sandbox.hold_events("account.*")
    await completed_work.sandbox.fault(path="/v1/transfers/*/reversals", status=500, times=1)
    await completed_work.sandbox.close_account(account)
    await completed_work.sandbox.add_funds(100_000)
    await completed_work.refund(50_000)
    await completed_work.sandbox.release_events("account.*")
    await completed_work.contractor.push("/account", "account.updated", lambda u: True, TIMEOUT)
    await completed_work.contractor.push(
        "/wallet", "wallet.updated", lambda w: w["debt"] == -35_000, TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await parts(completed_work) == (0, 70_000, 0, -35_000)


async def test_the_events_of_a_payout_end_it(completed_work, account):
    """Guard: `PayoutState`: the account cannot be read any more, so what the event says is used."""
    await completed_work.sandbox.settings(payout_delay_seconds=600)
    await completed_work.market.withdraw(completed_work.contractor, 70_000)
    await completed_work.market.settled(TIMEOUT)
    await close(completed_work, account)
    assert await parts(completed_work) == (0, 0, 70_000, 0)
    await completed_work.sandbox.advance(601)
    await completed_work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    [withdrawal] = await completed_work.market.rows(Withdrawal)
    await completed_work.sandbox.fail_payout(withdrawal.payout_id)
    await completed_work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    assert await parts(completed_work) == (0, 70_000, 0, 0)


async def test_an_administrator_ends_a_payout_whose_events_are_lost(completed_work, account):
    """Guard: `admin.withdrawal_end`; an open account is asked instead."""
    await completed_work.sandbox.settings(payout_delay_seconds=600)
    for amount in (40_000, 30_000):
        await completed_work.market.withdraw(completed_work.contractor, amount)
    await completed_work.market.settled(TIMEOUT)
    admin = await completed_work.market.admin()
    ends = [
        {"withdrawal_id": withdrawal.id, "outcome": outcome, "reason": REASON}
        for withdrawal, outcome in zip(
            await completed_work.market.rows(Withdrawal), ("paid", "failed"), strict=True
        )
    ]
    for end in ends:
        await completed_work.assert_refused(admin, "/admin", "withdrawal_end", end, "conflict")
    await close(completed_work, account)
    listed = (await admin.call("/admin", "withdrawals"))["items"]
    assert [each["account_closed"] for each in listed] == [True, True]
    for end, there in zip(ends, ((0, 30_000), (30_000, 0)), strict=True):
        ended = await admin.call("/admin", "withdrawal_end", end)
        assert ended["status"] == end["outcome"]
        assert await completed_work.platform_and_escrow() == (30_000, 0)
        assert await completed_work.wallet("stranded", "in_transit") == there
        await completed_work.assert_refused(admin, "/admin", "withdrawal_end", end, "conflict")
    rows = await completed_work.market.trail(operation="admin.withdrawal_end")
    assert [row.actor_id for row in rows] == [admin.id] * 2


async def test_what_became_of_it_is_booked(completed_work, account):
    """Guard: `stranded_money._settle`, each outcome; no more is settled than is there."""
    await close(completed_work, account)
    await settle(completed_work, "paid_out", 20_000)
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    await settle(completed_work, "returned", 30_000)
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    assert await completed_work.wallet("pending", "stranded") == (30_000, 20_000)
    told = await notice_of(completed_work, "stranded_settled")
    assert told["title"].startswith("200.00 USD went to your bank")
    fields = {"user_id": completed_work.contractor.id, "currency": "USD", "reason": REASON}
    await completed_work.assert_refused(
        completed_work._admin,
        "/admin",
        "stranded_settle",
        fields | {"amount": 20_001, "outcome": "replaced"},
        "insufficient_funds",
    )


async def test_a_rejected_account_is_like_a_closed_one(completed_work, account):
    """Guard: `FollowRejection`. Stripe still reverses from it, so a refund is not owed."""
    await completed_work.sandbox.reject(account)
    await completed_work.contractor.push(
        "/wallet", "wallet.updated", lambda w: w["stranded"] == 70_000, TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    await completed_work.assert_refused(
        completed_work.contractor, "/wallet", "withdraw", {"amount": 1000}, "not_onboarded"
    )
    await completed_work.sandbox.add_funds(100_000)
    await completed_work.refund(50_000)
    assert await completed_work.platform_and_escrow() == (15_000, 0)
    assert await parts(completed_work) == (0, 35_000, 0, 0)
    await completed_work.sandbox.activate(account)
    await completed_work.contractor.push(
        "/wallet", "wallet.updated", lambda w: w["available"] == 35_000, TIMEOUT
    )
    assert await completed_work.platform_and_escrow() == (15_000, 0)


async def test_money_that_arrives_after_the_end(early, market, server):
    """Guard: `arrival` in `make_available`: a transfer to the closed account becomes stranded, and
    later ones go to the next account."""
    work = early
    await work.complete()
    await market.settled(TIMEOUT)
    user = await server.store.single().get(User, work.contractor.id)
    await close(work, user.connect_id)
    assert await work.wallet("pending", "stranded") == (70_000, 0)
    await work.sandbox.add_funds(100_000)
    await work.refund(50_000)
    await market.settled(TIMEOUT)
    assert await work.wallet("pending", "debt") == (70_000, -35_000)
    assert await market.rows(Reversal) == []
    assert await work.platform_and_escrow() == (15_000, 0)
