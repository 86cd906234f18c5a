"""Stripe's webhook events: duplicated, lost, early, late, out of order, forged, poisoned."""

import asyncio
import random

import pytest

from domain.kernel.outbox import MAX_ATTEMPTS, OutboxRow
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import WebhookEvent
from tests.domain.payments.test_payments import SECURE
from tests.domain.stripe_events.test_webhooks import LOST, Post
from tests.faults.outcome import (
    count_booked,
    expire_leases,
    feed_values,
    requests_to,
    until,
    waits_only_for,
)
from tests.support.negotiation import TIMEOUT


@pytest.mark.usefixtures("prompt_retries")
async def test_webhook_before_our_record(negotiation):
    """Guard: `payment_id` of the metadata in `inbox._process_payment`: while the response with the
    payment's id has not arrived, the metadata is the only link between event and record."""
    every = {"path": "/v1/payment_intents", "method": "POST", "when": "after", "drop": True}
    await negotiation.sandbox.fault(**every, times=1000)
    offer = (await negotiation.create_offer())["offer"]
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", offer)
    payment = await negotiation.customer.call(
        "/payment", "get", {"payment_id": offer["payment_id"]}
    )
    assert payment["status"] == "authorized"
    kind = "payment_intent.amount_capturable_updated"
    await until(lambda: negotiation.market.rows(WebhookEvent, type=kind, status="done"))
    await negotiation.sandbox.clear_faults()
    await negotiation.market.accept(negotiation.contractor, offer)
    await negotiation.market.settled(TIMEOUT)
    assert len((await negotiation.sandbox.api("GET", "payment_intents"))["data"]) == 1
    assert [row.kind for row in await negotiation.market.rows(Transaction)] == [
        "captured",
        "accepted",
    ]
    assert (await audit(negotiation.server.ports)).differences == []
    for party in (negotiation.customer, negotiation.contractor):
        assert await feed_values(party, "offer.created") == [offer["id"]]


async def test_duplicate_event_many_times_at_once(negotiation):
    """Guard: `await uow.add(WebhookEvent(id=event["id"], ...))` in `inbox.receive_event`, whose id
    is unique; with an id of our own every delivery is worked on. Guard: `move_payment` is guarded
    in `processing.settle_hold`; without it the contractor is notified once for each event."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    answer = await negotiation.create_offer(SECURE)
    await negotiation.sandbox.answer_challenge(answer["payment"]["redirect_url"])
    (held,) = await post.lost("payment_intent.amount_capturable_updated")
    answers = await asyncio.gather(*(post.send(held) for _ in range(15)))
    assert [status for status, _ in answers] == [200] * 15
    assert sum(body["fresh"] for _, body in answers) == 1
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", answer["offer"])
    await negotiation.market.settled(TIMEOUT)
    assert len(negotiation.contractor.received("/bidding", "offer.created")) == 1
    assert len(await negotiation.market.rows(WebhookEvent)) == 1
    assert await post.send(held) == (200, {"received": True, "fresh": False})


async def test_two_events_for_one_fact(negotiation):
    """Guard: the unique `fact` of the journal: `charge.updated` and `payment_intent.succeeded` both
    report one capture."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    offer = await negotiation.pending_offer()
    await negotiation.market.accept(negotiation.contractor, offer)
    events = [e for e in await post.lost() if e["data"]["object"]["object"] != "application"]
    twins = [{**event, "id": f"{event['id']}twin"} for event in events]
    await asyncio.gather(*(post.send(event) for event in (*events, *twins)))
    await negotiation.market.settled(TIMEOUT)
    kinds = [row.kind for row in await negotiation.market.rows(Transaction)]
    assert kinds == ["captured", "accepted"]
    assert len(negotiation.contractor.received("/bidding", "offer.accepted")) == 1
    assert (await audit(negotiation.server.ports)).differences == []


async def test_events_out_of_order(work):
    """Guard: every handler reads the object again; the data of an older event would undo a newer
    one. Guard: `booking._beside_debts`: the refund is booked while its transfer arrives, and leaves
    no debt beside the money."""
    post = Post(work)
    await work.sandbox.fault(**LOST)
    await work.complete()
    await work.refund(30_000)
    await work.market.settled(TIMEOUT)
    charge = (await work.stored_payment()).charge_id
    dispute = await work.sandbox.dispute(charge)
    await work.sandbox.close_dispute(dispute["id"], won=True)
    events = await post.lost()
    random.Random(3).shuffle(events)
    for event in (*events, *reversed(events)):
        assert (await post.send(event))[0] == 200
    await work.market.settled(TIMEOUT)
    assert (await work.stored_payment()).status == "partially_refunded"
    assert await work.wallet("available", "held", "debt") == (49_000, 0, 0)
    assert await work.platform_and_escrow() == (21_000 - 1500, 0)
    for party in (work.customer, work.contractor):
        back = await feed_values(party, "payment.updated", "refunded_amount")
        assert back == sorted(back) and back[-1] == 30_000
        statuses = await feed_values(party, "chargeback.updated", "status")
        assert statuses[-1] == "won" and len(statuses) == len(set(statuses))
        assert (await feed_values(party, "job.updated", "status")).count("completed") == 1


async def test_handler_crashed_after_storing(processes, books):
    """Guard: `uow.later(ProcessEvent(...))` in the transaction that stores the event: the process
    is killed before it reads the object, and another process runs the task."""
    web, market = await processes.web(), processes.market
    deal = await market.accepted_job()
    await market.settled(TIMEOUT)
    [charge] = (await market.sandbox.api("GET", "charges"))["data"]
    await market.sandbox.fault(**LOST)
    await market.sandbox.refund_in_dashboard(charge["payment_intent"], 30_000)
    post = Post(processes)
    (back,) = await post.lost("charge.refunded")
    await market.sandbox.fault(method="GET", path="/v1/*", delay=60, times=1000)
    assert await post.send(back) == (200, {"received": True, "fresh": True})
    await until(lambda: market.rows(WebhookEvent, status="working"))
    await until(lambda: waits_only_for(market, "process_stripe_event"))
    await web.kill()
    assert [row.kind for row in await market.rows(Transaction)] == ["captured", "accepted"]
    await market.sandbox.clear_faults()
    asked = await requests_to(market, "refunds")

    await expire_leases(market)
    await processes.web()
    await until(lambda: count_booked(market, "refunded"))
    await market.settled(TIMEOUT)
    [event] = await market.rows(WebhookEvent, type="charge.refunded")
    assert (event.status, event.attempts) == ("done", 2)
    assert await requests_to(market, "refunds") == asked == 1  # the dashboard's own
    report = await books()
    assert report.differences == []
    assert report.totals["platform"] == {"USD": 7000}
    for party in (deal.customer, deal.contractor):
        back = await feed_values(party, "payment.updated", "refunded_amount")
        assert [amount for amount in back if amount] == [30_000]


async def test_webhook_from_the_past_or_the_future(negotiation):
    """Guard: the tolerance in `StripeWebhooks.verify`; and the comparison of `stamp` in
    `StripeWebhooks._fits`, which the SDK does not check."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    await negotiation.pending_offer()
    event = (await post.lost("payment_intent.amount_capturable_updated"))[0]
    before = await negotiation.market.traces()
    for seconds in (-301, 310):
        status, answer = await post.send(event, at=seconds)
        assert (status, answer.get("code")) == (400, "invalid_signature"), seconds
    assert await negotiation.market.traces() == before


async def test_replayed_webhook(completed_work):
    """Guard: the unique id of the event, also long after it was processed; an admin's replay reads
    the object again and changes nothing."""
    post = Post(completed_work)
    rows = await completed_work.sandbox.deliveries("payment_intent.succeeded")
    before = await completed_work.platform_and_escrow()
    for _ in range(3):
        assert await post.send(rows[0]["body"]) == (200, {"received": True, "fresh": False})
    await completed_work.as_admin("replay", event_id=rows[0]["body"]["id"])
    assert await completed_work.platform_and_escrow() == before
    assert len(await completed_work.stripe_list("transfers")) == 1


async def test_poison_event_does_not_stop_the_others(processes, books):
    """Guard: the relay runs each row on its own; a row that raises waits, counts its attempts, and
    finally becomes a dead letter, which alerts the admins.

    The event is about a payment of ours and names one that Stripe does not have. It fails three
    times or more; most of the attempts between are counted without being made.
    """
    await processes.web()
    market, post = processes.market, Post(processes)
    admin, customer, contractor = (
        await market.admin(),
        await market.customer(),
        await market.contractor(),
    )
    job = await market.job(customer)
    await market.application(contractor, job)
    await market.sandbox.fault(**LOST)
    answer = await customer.call(
        "/bidding",
        "create",
        {
            "job_id": job["id"],
            "contractor_id": contractor.id,
            "amount": 100_000,
            "currency": "USD",
            "description": "Yours",
            "timeline_days": 3,
            "payment_method": SECURE,
        },
    )
    await market.sandbox.answer_challenge(answer["payment"]["redirect_url"])
    (held,) = await post.lost("payment_intent.amount_capturable_updated")
    unknown = {"object": {**held["data"]["object"], "id": "pi_0"}}
    poison = {**held, "id": "evt_poison", "data": unknown}
    assert [(await post.send(event))[0] for event in (poison, held)] == [200, 200]
    await contractor.push("/bidding", "offer.created", seconds=TIMEOUT)

    mine = {"subject": "evt_poison"}
    [row] = await until(lambda: market.rows(OutboxRow, **mine, owner="", last_error={"$ne": None}))
    await market.store.single().change(OutboxRow, row.id, attempts=MAX_ATTEMPTS - 2)

    async def given_up():
        await expire_leases(market, **mine, owner="")
        return await market.rows(OutboxRow, dead=True)

    [row] = await until(given_up)
    assert (row.body["event_id"], row.attempts) == ("evt_poison", MAX_ATTEMPTS)
    [event] = await market.rows(WebhookEvent, _id="evt_poison")
    assert event.status == "dead" and event.attempts >= 3 and "pi_0" in event.last_error
    alert = await admin.push("/admin", "alert", seconds=TIMEOUT)
    assert (alert["kind"], alert["subject"]) == ("dead_letter", row.id)
    await market.accept(contractor, answer["offer"])
    await admin.call("/admin", "discard", {"row_id": row.id, "reason": "No such payment"})
    await market.settled(TIMEOUT)
    assert await market.rows(OutboxRow) == []
    assert [row.kind for row in await market.rows(Transaction)] == ["captured", "accepted"]
    assert (await books()).differences == []
    assert await requests_to(market, "payment_intents") == 1
    for party in (customer, contractor):
        assert await feed_values(party, "offer.accepted") == [answer["offer"]["id"]]
