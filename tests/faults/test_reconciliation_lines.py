"""Every kind of line of Stripe's books is booked, or kept as not ours until somebody assigns it."""

from datetime import timedelta

import pytest

from domain import ledger
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.notifications.alerts import AlertRecord
from domain.reconciliation.book_difference import keep_audited
from domain.reconciliation.books_audit import audit
from domain.reconciliation.foreign_lines import FOREIGN_KINDS, URGENT_KINDS, ForeignLine
from domain.reconciliation.runs import compare_books
from domain.reconciliation.stripe_lines import COMPARISONS
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.stripe_oracle import spec

REASON = "Found in Stripe's dashboard"
PAID_ELSEWHERE = {
    "amount": 777,
    "currency": "usd",
    "confirm": "true",
    "payment_method": "pm_card_bypassPending",
    "payment_method_types[]": "card",
}


async def compared(work):
    await work.market.settled(TIMEOUT)
    now = work.server.ports.clock.now()
    day = timedelta(days=1)
    return await compare_books(work.server.ports, now - day, now + day)


async def lines(work):
    return (await work.as_admin("foreign_lines"))["items"]


def test_the_whole_enumeration_of_stripe_is_known():
    """Guard: `FOREIGN_KINDS` and `COMPARISONS`: each type of Stripe's description is in one."""
    types = spec()["components"]["schemas"]["balance_transaction"]["properties"]["type"]
    assert set(types["enum"]) - set(COMPARISONS) == set(FOREIGN_KINDS)
    assert not set(FOREIGN_KINDS) & set(COMPARISONS)
    assert set(FOREIGN_KINDS) >= URGENT_KINDS


KEPT = [  # types of lines, and the alerts of each
    ("reserve_hold", []),
    ("connect_collection_transfer", ["foreign_line"]),
    ("payment_failure_refund", ["foreign_line"]),
    ("reserve_release", ["unknown_line"]),  # a type that Stripe has added since
]


async def test_a_line_that_nothing_books_is_kept_once(work, monkeypatch):
    """Guard: `keep_foreign_line`; today such a line is a difference for ever."""
    monkeypatch.delitem(FOREIGN_KINDS, "reserve_release")
    known = set()
    for count, (type, alerted) in enumerate(KEPT, 1):
        await work.sandbox.add_balance_entry(type, -4000, "usd")
        for _ in range(2):
            found = await compared(work)
            assert (found.differences, found.foreign) == ([], count)
        [line] = [each for each in await lines(work) if each["type"] not in dict(KEPT[: count - 1])]
        assert (line["type"], line["net"], line["status"]) == (type, -4000, "open")
        assert line["what"] == FOREIGN_KINDS.get(type, "of a type that is not known here")
        alerts = [each for each in await work.market.rows(AlertRecord) if each.id not in known]
        kinds = [each.kind for each in alerts if each.kind.endswith("_line")]
        assert kinds == alerted, type
        known |= {each.id for each in alerts}
    await work.as_admin("reconcile")
    await work.market.settled(TIMEOUT)
    [report] = (await work.as_admin("reconciliations"))["items"]
    assert (report["status"], report["foreign_count"]) == ("clean", len(KEPT))


async def test_an_administrator_assigns_a_line(work):
    """Guard: `foreign_lines._assign`, once; the books agree afterwards."""
    for owner, platform, losses in (
        ("platform", 6_000, 0),
        ("losses", 6_000, -4_000),
        ("not_ours", 6_000, -4_000),
    ):
        await work.sandbox.add_balance_entry("reserve_hold", -4000, "usd")
        await compared(work)
        [line] = [each for each in await lines(work) if each["status"] == "open"]
        given = {"line_id": line["id"], "owner": owner, "reason": REASON}
        done = await work.as_admin("line_assign", **given)
        assert (done["status"], done["owner"], done["reason"]) == ("assigned", owner, REASON)
        await work.assert_refused(work._admin, "/admin", "line_assign", given, "conflict")
        assert (await compared(work)).differences == []
        assert await work.platform_and_escrow() == (platform, 90_000), owner
        lost = await ledger.balance_of(work.server.store.single(), ledger.LOSSES)
        assert lost.get("USD", 0) == losses, owner
        [*_, row] = await work.market.trail(operation="admin.line_assign")
        assert row.actor_id == work._admin.id and line["id"] in row.detail


@pytest.mark.books_differ("Stripe has a charge that the books lack")
async def test_payments_refunds_and_disputes_of_other_business(work):
    """Guard: `_is_foreign_charge` and its siblings: an integration beside ours is no difference.
    And `payment_id` in it: what was made here is never other business."""
    paid = await work.sandbox.api("POST", "payment_intents", **PAID_ELSEWHERE)
    await work.sandbox.api("POST", "refunds", payment_intent=paid["id"], amount=100)
    await work.sandbox.fault(webhook="*", drop=True, times=20)
    await work.sandbox.dispute(paid["latest_charge"], 200)
    found = await compared(work)
    assert (found.differences, found.foreign) == ([], 3)
    assert {line.what.partition(" of ")[0] for line in await work.market.rows(ForeignLine)} == {
        "a payment",
        "a refund",
        "a dispute",
    }
    # A payment of ours that is not known here stays a difference.
    made_here = {"metadata[payment_id]": "pay_none"}
    await work.sandbox.api("POST", "payment_intents", **PAID_ELSEWHERE, **made_here)
    found = await compared(work)
    assert [each.what for each in found.differences] == ["charge"]


# -- differences of the audit --------------------------------------------------------------------


async def audited(work):
    """What `server audit` finds and keeps: (what, subject) of each difference."""
    uow = work.server.store.single()
    start = uow.now
    report = await audit(work.server.ports)
    await keep_audited(uow, start, report.differences)
    return [(each.what, each.subject) for each in report.differences]


async def correct(work, **given):
    [row] = (await work.as_admin("differences", status="open"))["items"]
    return await work.as_admin("correct", difference_id=row["id"], reason=REASON, **given)


async def test_a_missing_booking_is_booked(market, server):
    """Guard: `corrections._book`: the fee that the journal lacks, in two accounts of the chart."""
    await server.sandbox.settings(fee_bps=290, fee_fixed=30)
    other = await JobInProgress(market, server).start()
    await market.settled(TIMEOUT)
    await server.store.database[Transaction.COLLECTION].delete_one({"kind": "stripe_fee"})
    assert await audited(other) == [("Stripe's fees", "USD")]
    accounts = {"source": ledger.PLATFORM, "destination": ledger.STRIPE_FEES}
    await correct(other, amount=2930, currency="USD", **accounts)
    assert await audited(other) == []
    [row] = [each for each in await other.market.rows(Transaction) if each.kind == "corrected"]
    assert (row.currency, row.postings[0].amount) == ("USD", 2930)
    [trail] = await other.market.trail(operation="admin.correct")
    assert trail.actor_id == other._admin.id


@pytest.mark.books_differ("an explained difference changes")
async def test_a_wrong_balance_is_counted_again_and_other_differences_are_explained(work):
    """Guard: `count_again`: the journal is right, and the row of the balance was not. And
    `Report.known`: an explained difference is counted, and named again when its values change."""
    await work.market.settled(TIMEOUT)
    name = f"escrow:{work.offer['id']}|USD"
    await work.server.store.database[Balance.COLLECTION].update_one(
        {"_id": name}, {"$set": {"balance": 1}}
    )
    assert await audited(work) == [("balance", name)]
    done = await correct(work)
    assert (done["status"], done["closed_by"]) == ("explained", work._admin.id)
    assert await audited(work) == []
    assert (await work.market.rows(Balance, _id=name))[0].balance == 90_000
    # A difference that nothing can be booked for.
    payments = work.server.store.database["payments"]
    await payments.update_one({}, {"$set": {"refunded_amount": 1}})
    payment = (await work.stored_payment()).id
    assert await audited(work) == [("refunded", payment)]
    await correct(work)
    assert await audited(work) == []
    assert (await audit(work.server.ports)).explained == 1
    await payments.update_one({}, {"$set": {"refunded_amount": 2}})
    assert await audited(work) == [("refunded", payment)]
    [row] = (await work.as_admin("differences", status="open"))["items"]
    assert (row["found"], row["seen_count"]) == (2, 2)


WRONG = [
    ({"amount": 5}, "invalid"),
    ({"amount": 5, "currency": "USD", "source": "platform"}, "invalid"),
    ({"amount": 5, "currency": "USD", "source": "losses", "destination": "losses"}, "invalid"),
    (
        {"amount": 5, "currency": "USD", "source": "losses", "destination": "wallet:usr_x:held"},
        "invalid",
    ),
    (
        {"amount": 5, "currency": "USD", "source": "escrow:{offer}:a", "destination": "losses"},
        "invalid",
    ),
]


async def test_corrections_that_are_refused(work):
    """Guard: `_existing` and `_book`: accounts that the chart does not have are never booked."""
    await work.market.settled(TIMEOUT)
    await work.server.store.database["payments"].update_one({}, {"$set": {"refunded_amount": 1}})
    await audited(work)
    admin = await work.market.admin()
    [row] = (await admin.call("/admin", "differences"))["items"]
    for given, code in WRONG:
        fields = {"difference_id": row["id"], "reason": REASON, **given}
        await work.assert_refused(admin, "/admin", "correct", fields, code)
    fields = {"difference_id": row["id"], "reason": REASON}
    await admin.call("/admin", "correct", fields)
    await work.assert_refused(admin, "/admin", "correct", fields, "conflict")
