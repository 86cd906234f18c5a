"""Money and debts of people who are banned or deleted: paid out, held or written off."""

from domain import ledger
from domain.accounts.user import User
from domain.notifications.alerts import AlertRecord
from domain.reconciliation.books_audit import audit
from domain.reconciliation.ownerless_money import find_ownerless
from tests.support.job_in_progress import TIMEOUT
from tests.support.parties import PASSWORD

REASON = "Agreed on with them by letter"


async def delete(work):
    status, answer = await work.contractor.http(
        "POST", "/api/account/delete", {"password": PASSWORD}
    )
    assert status == 200, answer
    await work.market.settled(TIMEOUT)


async def fail_payout(work):
    """The bank returns the paid withdrawal."""
    user = await work.server.store.single().get(User, work.contractor.id)
    payout = (await work.sandbox.api("GET", "payouts", user.connect_id))["data"][-1]
    await work.sandbox.fail_payout(payout["id"])
    await work.market.settled(TIMEOUT)


async def balances(work):
    uow = work.server.store.single()
    wallet = await ledger.wallet_of(uow, work.contractor.id, "USD")
    return wallet.available, wallet.in_transit, wallet.debt


async def alerts(work, kind):
    return [each for each in await work.market.rows(AlertRecord) if each.kind == kind]


async def losses(work):
    return (await ledger.balance_of(work.server.store.single(), ledger.LOSSES)).get("USD", 0)


def fields(work, amount=70_000, **more):
    return {
        "user_id": work.contractor.id,
        "currency": "USD",
        "amount": amount,
        "reason": REASON,
        **more,
    }


async def test_it_is_listed_held_paid_out_and_written_off(completed_work):
    """70,000 come back from the bank after their owner deleted the account.

    Guard: `gone` in `payout_failure`: today it says that the owner has been notified; and
    `ownerless` in `books_audit.audit`, which is no difference. `admin.hold`: the reason outlives
    the hourly walk. `admin.pay_out`; the bank account that they had is still at Stripe.
    `admin.write_off`: the money is reversed at Stripe, and the books stay exact."""
    work, admin = completed_work, await completed_work.market.admin()
    await work.withdraw(70_000)
    await delete(work)
    await fail_payout(work)
    assert await balances(work) == (70_000, 0, 0)
    [alert] = await alerts(work, "payout_failed")
    assert "cannot withdraw it" in alert.message and "notified" not in alert.message
    report = await audit(work.server.ports)
    assert report.differences == []
    [found] = report.ownerless
    assert (found.kind, found.subject, found.amount) == (
        "wallet_closed",
        work.contractor.id,
        70_000,
    )

    # It is held.
    await find_ownerless(work.server.ports)
    [row] = (await admin.call("/admin", "ownerless"))["items"]
    assert (row["held_by"], row["held_reason"]) == (None, "")
    held = await admin.call("/admin", "hold", {"ownerless_id": row["id"], "reason": REASON})
    await find_ownerless(work.server.ports)
    [row] = (await admin.call("/admin", "ownerless"))["items"]
    assert (row["held_by"], row["held_at"]) == (admin.id, held["held_at"])
    assert row["held_reason"] == REASON
    unknown = {"ownerless_id": "own_none", "reason": REASON}
    await work.assert_refused(admin, "/admin", "hold", unknown, "not_found")
    # A part is paid out.
    paid = await admin.call("/admin", "pay_out", fields(work, 40_000))
    assert (paid["status"], paid["amount"]) == ("requested", 40_000)
    await work.market.settled(TIMEOUT)
    await work.sandbox.advance(10)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await balances(work) == (30_000, 0, 0)
    [row] = await work.market.trail(operation="admin.pay_out")
    assert row.actor_id == admin.id and REASON in row.detail
    await work.assert_refused(
        admin, "/admin", "pay_out", fields(work, 30_001), "insufficient_funds"
    )

    # The rest is written off.
    await admin.call("/admin", "write_off", fields(work, 30_000, what="money"))
    assert await work.platform_and_escrow() == (30_000, 0)
    assert (await balances(work), await losses(work)) == ((0, 0, 0), 30_000)
    assert (await audit(work.server.ports)).ownerless == []
    for what in ("money", "debt"):
        given = fields(work, 1, what=what)
        await work.assert_refused(admin, "/admin", "write_off", given, "insufficient_funds")


async def test_a_chargeback_after_the_deletion_is_owed_by_nobody(completed_work):
    """Guard: `is_gone` in `notify_debt_due`, and `WrittenOff.DEBT`."""
    await completed_work.withdraw(70_000)
    await delete(completed_work)
    chargeback = await completed_work.open_chargeback()
    await completed_work.decide_chargeback(chargeback, won=False)
    assert await completed_work.platform_and_escrow() == (-1500, 0)
    assert await balances(completed_work) == (0, 0, -70_000)
    [alert] = await alerts(completed_work, "debt_ownerless")
    assert alert.subject == completed_work.contractor.id and "700.00 USD" in alert.message
    await completed_work.as_admin("write_off", **fields(completed_work, what="debt"))
    assert await completed_work.platform_and_escrow() == (-1500, 0)
    assert await balances(completed_work) == (0, 0, 0)
    assert await losses(completed_work) == -70_000


async def test_a_banned_person_is_gone_too_and_others_are_not(completed_work):
    """Guard: `_gone`: nobody decides about the money of people who can do that themselves."""
    admin = await completed_work.market.admin()
    for event, more in (("pay_out", {}), ("write_off", {"what": "money"})):
        given = fields(completed_work, **more)
        await completed_work.assert_refused(admin, "/admin", event, given, "conflict")
    ban = {"user_id": completed_work.contractor.id, "reason": "Fraud"}
    await admin.call("/admin", "ban", ban)
    await completed_work.market.settled(TIMEOUT)
    await admin.call("/admin", "write_off", fields(completed_work, 20_000, what="money"))
    assert await completed_work.platform_and_escrow() == (30_000, 0)
    assert await balances(completed_work) == (50_000, 0, 0)
