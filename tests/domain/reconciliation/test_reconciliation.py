"""Reconciliation: Stripe's balance transactions agree with our journal, and differences are
found."""

from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.ledger.transaction import Transaction
from domain.reconciliation import runs
from domain.reconciliation.runs import Reconciliation, compare_books
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.worlds import World


async def start_with_fees(work):
    await work.sandbox.settings(fee_bps=290, fee_fixed=30)
    await work.start()


@pytest.fixture(scope="session")
def world_of_fees():
    return World(JobInProgress, start_with_fees)


@pytest.fixture
async def work(world_of_fees, market, server):
    return await world_of_fees.enter(market, server)


async def compared(work):
    """Compare yesterday and tomorrow: the sandbox's clock may be ahead."""
    await work.market.settled(TIMEOUT)
    now = work.server.ports.clock.now()
    return await compare_books(work.server.ports, now - timedelta(days=1), now + timedelta(days=1))


def differences(found):
    return [(each.what, each.expected, each.found) for each in found.differences]


async def test_all_kinds_of_lines_reconcile(work):
    """Guard: each function in `stripe_lines.COMPARISONS`; without one its lines are differences."""
    await work.sandbox.add_funds(50_000)
    await work.complete()
    await work.refund(20_000)
    await work.market.settled(TIMEOUT)
    await work.sandbox.fault(refund="usd", delay=0)
    await work.refund(10_000)
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT)
    await work.market.settled(TIMEOUT)
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    found = await compared(work)
    assert differences(found) == []
    assert found.compared["charge"] == 1
    assert found.compared["refund"] == 2
    assert found.compared["refund_failure"] == 1
    assert found.compared["adjustment"] == 1
    assert found.compared["transfer_refund"] >= 2
    await work.platform_and_escrow()


async def test_a_refund_with_lost_events_is_found_and_refreshed(work):
    """Guard: `result.compare(...)` in `stripe_lines._compare_refund`, and `queue_refresh` after
    it."""
    await work.market.settled(TIMEOUT)
    await work.sandbox.fault(webhook="*", drop=True, times=100)
    intent = (await work.stored_payment()).intent_id
    await work.sandbox.api("POST", "refunds", payment_intent=intent, amount=25_000)
    assert [each[0] for each in differences(await compared(work))] == ["refund"]
    assert differences(await compared(work)) == []
    assert (await work.stored_payment()).refunded_amount == 25_000
    await work.platform_and_escrow()


@pytest.mark.books_differ("Stripe has a charge that the books lack")
async def test_an_unknown_charge_is_a_difference(work):
    """Guard: `result.compare("charge", ...)`."""
    await work.sandbox.api(
        "POST",
        "payment_intents",
        amount=777,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        **{"payment_method_types[]": "card", "metadata[payment_id]": "pay_none"},
    )
    assert differences(await compared(work)) == [("charge", None, 777)]


@pytest.mark.books_differ("the books have a charge that Stripe lacks")
async def test_a_booking_that_stripe_lacks_is_a_difference(work):
    """Guard: `journal_lines._is_at_stripe`."""
    await work.market.settled(TIMEOUT)
    rows = await work.market.rows(Transaction)
    row = next(row for row in rows if row.kind == "captured")
    await work.server.store.single().change(Transaction, row.id, fact="capture:pay_none")
    assert differences(await compared(work)) == [("captured at Stripe", True, False)]


async def test_a_platform_payout_is_booked(work):
    """Guard: `_book_payout`; the platform's earnings leave its account, and the audit agrees."""
    await work.complete()
    before = await work.platform_and_escrow()
    await work.sandbox.fault(webhook="payout.*", drop=True, times=10)
    await work.sandbox.api("POST", "payouts", amount=5000, currency="usd")
    found = await compared(work)
    assert (differences(found), found.booked) == ([], 1)
    assert (await compared(work)).booked == 0
    assert await work.platform_and_escrow() == (before[0] - 5000, 0)


@pytest.mark.books_differ("Stripe has a charge that the books lack")
async def test_an_administrator_starts_a_run(work):
    """Guard: `RunReconciliation` behind `admin.reconcile`, and the alert in `_complete_run`."""
    await work.sandbox.api(
        "POST",
        "payment_intents",
        amount=777,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        **{"payment_method_types[]": "card", "metadata[payment_id]": "pay_none"},
    )
    admin = await work.market.admin()
    end = (work.server.ports.clock.now() + timedelta(days=1)).isoformat()
    started = await admin.call("/admin", "reconcile", {"end": end})
    assert started["status"] == "running"
    done = await admin.push("/admin", "reconciliation.updated", lambda r: True, TIMEOUT)
    assert (done["id"], done["status"], done["difference_count"]) == (started["id"], "different", 1)
    alert = await admin.push(
        "/admin", "alert", lambda a: a["kind"] == "reconciliation_different", TIMEOUT
    )
    assert alert["subject"] == started["id"]
    listed = (await admin.call("/admin", "reconciliations"))["items"]
    assert [report["id"] for report in listed] == [started["id"]]
    for fields in ({"start": end, "end": end}, {"start": "2026-01-01T00:00:00"}):
        await work.assert_refused(admin, "/admin", "reconcile", fields, "invalid")


@pytest.mark.books_differ("the books have a charge that Stripe lacks")
async def test_differences_are_explained_or_gone(work):
    """Guard: `book_difference.keep_differences` and `differences.difference_close`: a difference
    that is found again counts, one that is not found any more is gone."""
    await work.market.settled(TIMEOUT)
    row = next(row for row in await work.market.rows(Transaction) if row.kind == "captured")
    journal, admin = work.server.store.single(), await work.market.admin()
    await journal.change(Transaction, row.id, fact="capture:pay_none")
    now = work.server.ports.clock.now()
    span = {
        "start": (now - timedelta(days=1)).isoformat(),
        "end": (now + timedelta(days=1)).isoformat(),
    }

    async def run():
        started = await admin.call("/admin", "reconcile", span)
        mine = lambda report: report["id"] == started["id"]  # noqa: E731
        report = await admin.push("/admin", "reconciliation.updated", mine, TIMEOUT)
        read = await admin.call("/admin", "reconciliation", {"reconciliation_id": report["id"]})
        assert read == report
        return report["id"], (await admin.call("/admin", "differences"))["items"]

    first, [found] = await run()
    assert (found["what"], found["expected"], found["found"]) == ("captured at Stripe", True, False)
    assert (found["status"], found["seen_count"], found["first_run"]) == ("open", 1, first)
    taken = await admin.call("/admin", "assign", {"subject": found["id"], "to": admin.id})
    assert taken["assignee_id"] == admin.id
    second, [again] = await run()
    assert (again["id"], again["seen_count"]) == (found["id"], 2)
    assert (again["first_run"], again["last_run"]) == (first, second)
    await journal.change(Transaction, row.id, fact=row.fact)
    _, [gone] = await run()
    assert (gone["status"], gone["seen_count"]) == ("gone", 2)
    close = {"difference_id": gone["id"], "reason": "A booking of the test"}
    await work.assert_refused(admin, "/admin", "difference_close", close, "conflict")
    await journal.change(Transaction, row.id, fact="capture:pay_none")
    _, [back] = await run()
    assert (back["status"], back["closed_at"], back["seen_count"]) == ("open", None, 3)
    closed = await admin.call("/admin", "difference_close", close)
    assert (closed["status"], closed["closed_by"]) == ("explained", admin.id)
    assert (await admin.call("/admin", "assignments"))["items"] == []
    _, [still] = await run()
    assert (still["status"], still["seen_count"]) == ("explained", 4)
    assert (await admin.call("/admin", "differences", {"status": "open"}))["items"] == []
    by_subject = await admin.call("/admin", "differences", {"subject": found["subject"]})
    assert by_subject["items"] == [still]


async def test_one_run_a_day(work):
    """Guard: `last.created_at <= ...` in `reconcile_daily`."""
    for _ in range(3):
        await runs.reconcile_daily(work.server.ports)
    await work.market.settled(TIMEOUT)
    reports = await work.market.rows(Reconciliation)
    assert [(report.by, report.status) for report in reports] == [("system", "clean")]


async def test_a_payout_without_a_withdrawal_is_booked(work):
    """Guard: `_book_unasked`; without it a payout that was made elsewhere, whose events were lost,
    is noticed only when the contractor withdraws."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.withdraw(20_000)
    assert differences(await compared(work)) == []
    user = await work.server.store.single().get(User, work.contractor.id)
    await work.sandbox.fault(webhook="payout.*", drop=True, times=100)
    await work.sandbox.api("POST", "payouts", user.connect_id, amount=50_000, currency="usd")
    found = await compared(work)
    assert (differences(found), found.booked) == ([], 1)


async def test_a_refused_withdrawal_reconciles(work):
    """Guard: `_payouts_by_withdrawal` returns an empty list for a withdrawal without a payout;
    without it the comparison raises."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    error = {"type": "invalid_request_error", "code": "payouts_not_allowed", "message": "No."}
    await work.sandbox.fault(path="/v1/payouts", method="POST", status=400, error=error)
    await work.market.withdraw(work.contractor, 20_000)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", TIMEOUT
    )
    found = await compared(work)
    assert differences(found) == [] and found.compared["withdrawal"] == 1


@pytest.mark.parametrize("ending", ["clean", "failed", "running"])
async def test_a_run_continues_where_the_last_one_ended(market, server, ending):
    """Guard: `start` in `reconcile_daily`; without it the time of a long outage, or of a failed
    run, is never compared."""
    uow = server.store.single()
    await server.web.scheduler.stop()
    await server.web.relay.stop(0)
    now = uow.now
    start, end = now - timedelta(days=9), now - timedelta(days=7)
    done = {"finished_at": end} if ending != "running" else {}
    await uow.add(
        Reconciliation(
            id="rec_1",
            created_at=end,
            updated_at=end,
            start=start,
            end=end,
            by="system",
            status=ending,
            **done,
        )
    )
    await runs.reconcile_daily(server.ports)
    (last, new) = await market.rows(Reconciliation)
    assert new.start == (end if ending == "clean" else start)
    assert new.end > now - timedelta(hours=2)
    assert last.status == ("clean" if ending == "clean" else "failed")
