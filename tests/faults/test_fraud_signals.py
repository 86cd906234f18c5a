"""Early fraud warnings and reviews: the release is held until an administrator decides."""

from datetime import timedelta

from domain.reconciliation.runs import compare_books
from domain.stripe_events.inbox import WebhookEvent
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT


async def warned(work, admin, kind="fraud_warning"):
    """A warning or a review of the payment, once administrators are alerted."""
    charge = (await work.stored_payment()).charge_id
    signal = work.sandbox.warn_of_fraud if kind == "fraud_warning" else work.sandbox.review
    made = await signal(charge)
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == kind, TIMEOUT)
    assert alert["subject"] == work.offer["payment_id"]
    assert alert["urgent"]
    return made, alert


async def payment_of(work, admin):
    fields = {"payment_id": work.offer["payment_id"]}
    return (await admin.call("/admin", "payment", fields))["payment"]


async def test_a_warning_holds_the_release_until_it_is_cleared(work):
    """Guard: `release_held_at` in `transfer_tasks._is_blocked`; without it the contractor withdraws
    the money before the chargeback comes."""
    admin = await work.market.admin()
    made, alert = await warned(work, admin)
    assert "made_with_stolen_card" in alert["message"]
    assert "1,000.00 USD" in alert["message"]
    await work.complete()
    await work.market.settled(TIMEOUT)
    assert await work.stripe_list("transfers") == []
    assert await work.wallet("available", "pending") == (0, 70_000)
    seen = await payment_of(work, admin)
    assert [(each["id"], each["kind"]) for each in seen["fraud_signals"]] == [
        (made["id"], "warning")
    ]
    assert seen["release_held_at"]
    kinds = await feed_values(work.contractor, "notification", "kind")
    assert kinds.count("payment_under_check") == 1
    for party in (work.customer, work.contractor):
        shown = await party.call("/payment", "get", {"payment_id": work.offer["payment_id"]})
        assert not shown.keys() & {"fraud_signals", "release_held_at"}
    fields = {"payment_id": work.offer["payment_id"], "reason": "They are known"}
    await admin.call("/admin", "fraud_clear", fields)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)
    assert (await payment_of(work, admin))["release_held_at"] is None
    assert "payment_checked" in await feed_values(work.contractor, "notification", "kind")
    await work.assert_refused(admin, "/admin", "fraud_clear", fields, "conflict")


async def test_both_signals_must_be_cleared_and_each_is_told_once(work):
    """Guard: `all` in `fraud._store`: an approved review does not end a warning. And
    `signal == known` in `fraud.settle_fraud_signal`; a cleared signal stays cleared, however often
    it comes."""
    admin = await work.market.admin()
    await warned(work, admin)
    made, _ = await warned(work, admin, "fraud_review")
    await work.sandbox.api("POST", f"reviews/{made['id']}/approve")
    await work.market.settled(TIMEOUT)
    seen = await payment_of(work, admin)
    assert {each["kind"]: each["cleared"] for each in seen["fraud_signals"]} == {
        "warning": False,
        "review": True,
    }
    assert seen["release_held_at"]
    fields = {"payment_id": work.offer["payment_id"], "reason": "They are known"}
    await admin.call("/admin", "fraud_clear", fields)
    [event] = await work.sandbox.events("radar.early_fraud_warning.created")
    await work.sandbox.replay(event["id"], times=2)
    await work.market.settled(TIMEOUT)
    assert (await payment_of(work, admin))["release_held_at"] is None
    alerts = await admin.call("/admin", "alerts", {"kind": "fraud_warning"})
    assert [each["count"] for each in alerts["items"]] == [1]


async def test_a_transfer_under_way_becomes_available_after_the_decision(completed_work):
    """Guard: `_is_blocked` in `transfer_tasks.make_available`; what has arrived stays available,
    and the alert says so."""
    work = completed_work
    admin = await work.market.admin()
    _, alert = await warned(work, admin)
    assert "What has arrived is in the wallet" in alert["message"]
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)


async def test_a_review_ends_when_it_is_approved_at_stripe(work):
    """Guard: `APPROVED` in `fraud.settle_fraud_signal`: a person of the platform has decided."""
    admin = await work.market.admin()
    made, _ = await warned(work, admin, "fraud_review")
    await work.complete()
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "pending") == (0, 70_000)
    await work.sandbox.api("POST", f"reviews/{made['id']}/approve")
    closed = await admin.push(
        "/admin", "alert", lambda a: a["kind"] == "fraud_review_closed", TIMEOUT
    )
    assert not closed["urgent"]
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)


async def test_a_review_that_ends_otherwise_waits_for_an_administrator(work):
    """Guard: as above: only an approval releases the money."""
    admin = await work.market.admin()
    made, _ = await warned(work, admin, "fraud_review")
    await work.complete()
    await work.sandbox.close_review(made["id"], "disputed")
    closed = await admin.push(
        "/admin", "alert", lambda a: a["kind"] == "fraud_review_closed", TIMEOUT
    )
    assert closed["urgent"]
    assert "held until you decide" in closed["message"]
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "pending") == (0, 70_000)
    fields = {"payment_id": work.offer["payment_id"], "reason": "Fraud"}
    await admin.call("/admin", "refund", fields)
    assert await work.platform_and_escrow() == (0, 0)
    assert await work.wallet("available", "pending", "debt") == (0, 0, 0)


async def test_signals_whose_events_were_lost_are_found(work):
    """Guard: `compare_fraud_signals`. Stripe lists no closed reviews: one that is open here is read
    again. A repeat changes nothing."""
    admin = await work.market.admin()
    charge = (await work.stored_payment()).charge_id
    for lost in ("radar.*", "review.*"):
        await work.sandbox.fault(webhook=lost, drop=True, times=10)
    await work.sandbox.warn_of_fraud(charge)
    review = await work.sandbox.review(charge)
    now = work.server.ports.clock.now()
    span = (now - timedelta(hours=1), now + timedelta(hours=1))
    for _ in range(2):
        found = await compare_books(work.server.ports, *span)
        assert (found.compared["fraud_warning"], found.compared["fraud_review"]) == (1, 1)
        for kind in ("fraud_warning", "fraud_review"):
            alerts = await admin.call("/admin", "alerts", {"kind": kind})
            assert [each["count"] for each in alerts["items"]] == [1]
    assert len((await payment_of(work, admin))["fraud_signals"]) == 2
    fields = {"payment_id": work.offer["payment_id"], "reason": "They are known"}
    await work.sandbox.close_review(review["id"], "approved")
    await compare_books(work.server.ports, *span)
    seen = {each["kind"]: each for each in (await payment_of(work, admin))["fraud_signals"]}
    assert seen["review"]["closed_reason"] == "approved" and seen["review"]["cleared"]
    assert not seen["warning"]["cleared"]
    assert (await admin.call("/admin", "fraud_clear", fields))["id"] == work.offer["payment_id"]


async def test_a_signal_about_another_charge_ends_quietly(work):
    """Guard: `NotOurs` in `inbox._process_fraud_signal`."""
    intent = await work.sandbox.api(
        "POST",
        "payment_intents",
        amount=1000,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        **{
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
        },
    )
    await work.sandbox.warn_of_fraud(intent["latest_charge"])
    await work.market.settled(TIMEOUT)
    rows = await work.market.rows(WebhookEvent)
    [found] = [row for row in rows if row.type == "radar.early_fraud_warning.created"]
    assert found.status == "not_ours"
    assert (await work.stored_payment()).release_held_at is None
