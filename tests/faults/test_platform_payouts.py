"""Payouts of the platform's own balance at Stripe, in which the money in escrow lies as well."""

import pytest

from domain.ledger.transaction import Transaction
from domain.notifications.alerts import AlertRecord
from domain.wallet.platform_payouts import check_schedule
from server.workers.scheduler import JOBS
from tests.support.job_in_progress import TIMEOUT

DAY = 86_400


@pytest.fixture
async def work(world_of_work, market, server):
    """A job in progress: of 1,000.00, the platform has earned 100.00, and 900.00 are in escrow."""
    work = await world_of_work.enter(market, server)
    await server.sandbox.settings(payout_delay_seconds=0.1)
    return work


async def alerts(work, kind):
    return [each for each in await work.market.rows(AlertRecord) if each.kind == kind]


async def test_a_schedule_is_noticed_once(work):
    """Guard: `check_schedule`, hourly under the lease of a job; a manual schedule is no alert."""
    await check_schedule(work.server.ports)
    assert await alerts(work, "payout_schedule") == []
    admin = await work.market.admin()
    await work.sandbox.set_payout_schedule("weekly")
    for _ in range(3):
        await check_schedule(work.server.ports)
    pushed = await admin.push("/admin", "alert", lambda a: a["kind"] == "payout_schedule", TIMEOUT)
    assert pushed["urgent"] and "(weekly)" in pushed["message"] and "manual" in pushed["message"]
    [kept] = await alerts(work, "payout_schedule")
    assert (kept.count, kept.open, kept.subject) == (1, True, "platform")
    await admin.call("/admin", "alert_close", {"alert_id": kept.id, "reason": "It is manual now"})
    await work.sandbox.set_payout_schedule("manual")
    await check_schedule(work.server.ports)
    assert len(await alerts(work, "payout_schedule")) == 1


def test_the_schedule_is_read_every_hour():
    """Guard: `check_payout_schedule` in the jobs of the scheduler."""
    assert [job.seconds for job in JOBS if job.run is check_schedule] == [3600]


async def test_escrow_that_was_paid_out_is_urgent_and_booked(work):
    """Guard: `book_platform_payout` in the inbox; without it the platform seems to have what its
    bank has, and the next refund fails at Stripe."""
    admin = await work.market.admin()
    await work.sandbox.set_payout_schedule("daily")
    await work.sandbox.advance(DAY + 1)
    pushed = await admin.push("/admin", "alert", lambda a: a["kind"] == "escrow_paid_out", TIMEOUT)
    assert pushed["urgent"]
    assert pushed["message"].startswith(
        "1,000.00 USD went to the platform's bank, which is 900.00 USD more than the platform had "
        "earned: escrow was paid out."
    )
    assert await work.platform_and_escrow() == (10_000 - 100_000, 90_000)


async def test_a_payout_of_earnings_is_booked_without_an_alert(work):
    """Guard: `_warn_of_escrow` compares with what was earned; repeats and returns are booked once
    each."""
    await work.sandbox.fault(webhook="payout.*", duplicate=2, times=20)
    payout = await work.sandbox.api("POST", "payouts", amount=10_000, currency="usd")
    await work.market.settled(TIMEOUT)
    assert await work.platform_and_escrow() == (0, 90_000)
    assert await alerts(work, "escrow_paid_out") == []
    await work.sandbox.fail_payout(payout["id"])
    assert await work.platform_and_escrow() == (10_000, 90_000)
    kinds = [row.kind for row in await work.market.rows(Transaction)]
    assert kinds.count("platform_withdrew") == 2


async def test_lost_events_are_found_by_the_reconciliation(work):
    """Guard: `book_platform_payout` in `stripe_lines._book_payout`; it alerts as well."""
    await work.sandbox.fault(webhook="payout.*", drop=True, times=100)
    await work.sandbox.pay_out_everything()
    await work.market.settled(TIMEOUT)
    assert await work.platform_and_escrow() == (10_000, 90_000)
    await work.as_admin("reconcile")
    await work.market.settled(TIMEOUT)
    [report] = (await work.as_admin("reconciliations"))["items"]
    assert (report["booked_count"], report["difference_count"]) == (1, 0)
    assert await work.platform_and_escrow() == (10_000 - 100_000, 90_000)
    [alert] = await alerts(work, "escrow_paid_out")
    assert alert.open
