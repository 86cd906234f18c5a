"""The page of one payment: everything that is known about its money."""

from datetime import datetime

import msgspec
import pytest

from domain.payments.refunds import SendRefund
from domain.stripe_events.inbox import WebhookEvent
from tests.support.job_in_progress import JobInProgress
from tests.support.parties import Refused


async def test_a_payment_is_shown_with_all_records_about_it(completed_work: JobInProgress) -> None:
    """Guard: each list of `payment_details.payment_details`, and `payment_timeline.timeline`."""
    work = completed_work
    assert (await work.refund(20_000))["id"] == work.offer["payment_id"]
    await work.market.settled()
    await work.open_chargeback()
    await work.market.settled()
    page = await work.as_admin("payment", payment_id=work.offer["payment_id"])
    stored, offer = await work.stored_payment(), await work.stored_offer()

    assert (page["payment"]["intent_id"], page["payment"]["charge_id"]) == (
        stored.intent_id,
        stored.charge_id,
    )
    names = (page["customer_name"], page["contractor_name"], page["job_title"])
    assert names == (work.customer.name, work.contractor.name, work.job["title"])
    assert page["offer"]["refundable_amount"] == offer.refundable
    [refund] = page["refunds"]
    assert (refund["amount"], refund["stripe_id"]) == (20_000, offer.refunds[0].stripe_id)
    [transfer], [reversal, *_] = page["transfers"], page["reversals"]
    assert reversal["transfer_id"] == transfer["id"] and reversal["stripe_id"].startswith("trr_")
    [chargeback] = page["chargebacks"]
    assert (chargeback["status"], chargeback["stripe_id"][:3]) == ("open", "dp_")
    kinds = {row["kind"] for row in page["transactions"]}
    assert {"captured", "accepted", "completed", "refunded", "chargeback_fee"} <= kinds
    about = {event["object_id"] for event in page["events"]}
    assert {stored.intent_id, stored.charge_id, transfer["stripe_id"]} <= about
    assert chargeback["stripe_id"] in about
    assert (page["disputes"], page["tasks"]) == ([], [])
    assert "admin.refund" in {row["operation"] for row in page["audit"]}

    facts = page["timeline"]
    times = [datetime.fromisoformat(fact["at"]) for fact in facts]
    assert times == sorted(times)
    found = [(fact["source"], fact["what"]) for fact in facts]
    assert found[0] == ("offer", "created")
    story = [
        ("journal", "captured"),
        ("offer", "accepted"),
        ("journal", "completed"),
        ("transfer", "available"),
        ("administrator", "admin.refund"),
        ("refund", "made"),
        ("journal", "refunded"),
        ("chargeback", "opened"),
        ("stripe", "charge.dispute.created"),
    ]
    assert [entry for entry in story if entry not in found] == []
    path = f"/api/admin/payments/{work.offer['payment_id']}"
    status, over_http = await work._admin.http("GET", path)
    assert (status, over_http["timeline"]) == (200, facts)


async def test_queued_work_and_a_dispute_are_shown(work: JobInProgress) -> None:
    """Guard: `payment_details._tasks` and its disputes; an unknown payment is refused."""
    dispute = await work.open_dispute()
    store = work.server.store
    queued = store.single().row(SendRefund(work.offer["id"], "ref_1"), at=store.clock.now())
    row = msgspec.structs.replace(queued, dead=True)
    await store.single().add(row)
    page = await work.as_admin("payment", payment_id=work.offer["payment_id"])
    [shown] = page["disputes"]
    assert (shown["id"], shown["opened_by"]) == (dispute["id"], work.customer.id)
    [task] = page["tasks"]
    assert (task["id"], task["kind"], task["dead"]) == (row.id, "send_refund", True)
    assert ("dispute", "opened") in [(f["source"], f["what"]) for f in page["timeline"]]
    assert await store.single().count(WebhookEvent, {}) >= len(page["events"]) > 0
    with pytest.raises(Refused, match="not_found"):
        await work.as_admin("payment", payment_id="pay_none")
