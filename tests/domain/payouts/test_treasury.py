"""What an administrator can do with money, and the resulting books."""

from datetime import timedelta

from domain import ledger
from domain.accounts.user import User
from domain.payouts.transfer import Transfer
from domain.reconciliation.books_audit import audit
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import PASSWORD


async def test_a_frozen_wallet_neither_receives_nor_pays_out(work):
    """Guard: `user.frozen_at` in `transfer_tasks.start_sending` and in `withdrawals.withdraw`.
    Guard: `send_transfers(...)` in `wallet_actions.unfreeze`; without it the transfer waits ten
    minutes."""
    await work.as_admin("freeze", user_id=work.contractor.id, reason="Suspicious")
    await work.complete()
    await work.market.settled(TIMEOUT)
    assert await work.wallet("pending", "available") == (70_000, 0)
    assert await work.stripe_list("transfers") == []
    await work.assert_refused(
        work.contractor, "/wallet", "withdraw", {"amount": 1}, "wallet_frozen"
    )
    freeze = {"user_id": work.contractor.id, "reason": "Again"}
    await work.assert_refused(work._admin, "/admin", "freeze", freeze, "conflict")
    await work.as_admin("unfreeze", user_id=work.contractor.id, reason="Was nothing")
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000, 0)


async def test_adjustments_up_and_down(work):
    """Guard: `allocate` and `claw_back` in `wallet_actions.adjust`, which keep Stripe's balances
    equal to ours."""
    user = {"user_id": work.contractor.id, "currency": "USD"}
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.as_admin("adjust", **user, amount=-20_000, reason="Paid twice")
    assert await work.platform_and_escrow() == (50_000, 0)
    assert await work.wallet("available") == (50_000,)
    await work.withdraw(50_000)
    wallet = await work.as_admin("adjust", **user, amount=-10_000, reason="Paid twice")
    assert wallet["debt"] == -10_000
    await work.as_admin("adjust", **user, amount=15_000, reason="Sorry", account="losses")
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 5000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (60_000, 0)
    assert (await ledger.balance_of(work.server.store.single(), ledger.LOSSES)) == {"USD": -15_000}
    assert (await work.market.rows(Transfer))[-1].offer_id is None


async def test_an_adjustment_is_older_than_any_offer(market, server, monkeypatch):
    """Guard: `Transfer` in the start time of `books_audit._check_transfers`."""
    contractor = await market.contractor(onboarded=True)
    await server.sandbox.add_balance_entry("topup", 5000, "usd")
    user = {"user_id": contractor.id, "currency": "USD"}
    admin = await market.admin()
    await admin.call("/admin", "adjust", {**user, "amount": 5000, "reason": "Welcome"})
    await contractor.push("/wallet", "wallet.updated", lambda p: p["available"] == 5000, TIMEOUT)
    clock = type(server.ports.clock)
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda self: now(self) + timedelta(hours=1))
    assert (await audit(server.ports)).differences == []


REFUSED_ADJUSTMENTS = [
    ({"amount": 0}, "invalid"),
    ({"currency": "CHF"}, "invalid"),
    ({"user_id": "usr_none"}, "not_found"),
    ({"reason": "  "}, "invalid"),
]


async def test_adjustments_that_are_refused(market, server):
    """Guard: the checks of `wallet_actions.adjust`, the limits of its fields."""
    contractor, admin = await market.contractor(), await market.admin()
    given = {"user_id": contractor.id, "amount": 100, "currency": "USD", "reason": "Because"}
    before = await market.traces()
    for fields, code in REFUSED_ADJUSTMENTS:
        answer = await admin.ack("/admin", "adjust", given | fields)
        assert (answer["ok"] or answer["error"]["code"]) == code, fields
    assert await market.traces() == before


async def test_the_wallet_of_a_deleted_user_is_not_adjusted(market, server):
    """Guard: `deleted_at` in `wallet_actions.adjust`; without it money is booked to a wallet that
    has no owner."""
    contractor, admin = await market.contractor(), await market.admin()
    status, _ = await contractor.http("POST", "/api/account/delete", {"password": PASSWORD})
    assert status == 200
    await market.settled()
    given = {"user_id": contractor.id, "amount": 100, "currency": "USD", "reason": "Because"}
    await JobInProgress(market, server).assert_refused(
        admin, "/admin", "adjust", given, "not_found"
    )


async def test_a_transfer_reversed_at_stripe_is_parked_until_released(work):
    """Guard: `external_reversals.settle_external_reversal`; without it the wallet offers money
    that was reversed at Stripe. Guard: `parked=True`; sent at once it might be reversed again
    and again."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    admin = await work.market.admin()
    made = (await work.stripe_list("transfers"))[0]
    await work.sandbox.api("POST", f"transfers/{made['id']}/reversals", amount=30_000)
    await admin.push("/admin", "alert", lambda a: a["kind"] == "transfer_reversed", TIMEOUT)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (40_000, 30_000)
    listed = await admin.call("/admin", "transfers", {"status": "parked"})
    parked = listed["items"][0]
    await admin.call("/admin", "release", {"transfer_id": parked["id"], "reason": "Clarified"})
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000, 0)
    fields = {"transfer_id": parked["id"], "reason": "Again"}
    await work.assert_refused(admin, "/admin", "release", fields, "conflict")


async def test_money_waits_for_the_next_account_when_one_is_closed(work):
    """Guard: `account_invalid` in the gateway's `account` and `_unlink_closed_account`; without
    them the transfer is tried on the closed account forever."""
    user = await work.server.store.single().get(User, work.contractor.id)
    admin = await work.market.admin()
    await work.sandbox.api("DELETE", f"accounts/{user.connect_id}")
    await work.complete()
    await admin.push("/admin", "alert", lambda a: a["kind"] == "account_closed", TIMEOUT)
    await work.market.settled(TIMEOUT)
    assert await work.wallet("pending", "available") == (70_000, 0)
    work.contractor.clear_pushes()
    await work.market.onboard(work.contractor)
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000, 0)
