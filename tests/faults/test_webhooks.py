"""Stripe's news: doubled, lost, early, late, out of order, forged, poisoned."""

import asyncio
import random

from domain.audit import audit
from domain.ledger import Transaction
from domain.outbox import OutboxRow
from domain.webhooks import Process, WebhookEvent
from tests.scenes import PATIENCE
from tests.test_payments import SECURE
from tests.test_webhooks import LOST, Post


async def test_webhook_before_our_record(scene):
    """Guard: `payment_id` of the metadata in `webhooks._payment`: the answer that tells our record
    the id of its payment is lost, so the event comes to one that does not know it."""
    await scene.sandbox.fault(
        path="/v1/payment_intents", method="POST", when="after", drop=True, times=1
    )
    offer = await scene.pending()
    payment = await scene.customer.call("/payment", "get", {"payment_id": offer["payment_id"]})
    assert payment["status"] == "authorized"
    await scene.market.settled(PATIENCE)
    assert len((await scene.sandbox.api("GET", "payment_intents"))["data"]) == 1
    assert (await audit(scene.server.ports)).differences == []


async def test_duplicate_event_50_times_at_once(scene):
    """Guard: `await uow.add(WebhookEvent(id=event["id"], ...))` in `webhooks.receive`, whose id is
    unique; with an id of our own every delivery is worked on. Guard: `move_payment` is guarded in
    `settlement.held`; without it the contractor is told as often as the events come."""
    post = Post(scene)
    await scene.sandbox.fault(**LOST)
    answer = await scene.offers(SECURE)
    await scene.sandbox.challenge(answer["payment"]["redirect_url"])
    (held,) = await post.lost("payment_intent.amount_capturable_updated")
    answers = await asyncio.gather(*(post.send(held) for _ in range(50)))
    assert [status for status, _ in answers] == [200] * 50
    assert sum(body["fresh"] for _, body in answers) == 1
    await scene.told(scene.contractor, "offer.created", answer["offer"])
    await scene.market.settled(PATIENCE)
    assert len(scene.contractor.received("/bidding", "offer.created")) == 1
    assert len(await scene.market.rows(WebhookEvent)) == 1
    assert await post.send(held) == (200, {"received": True, "fresh": False})


async def test_two_events_for_one_fact(scene):
    """Guard: facts are booked once, by the unique `fact` of the journal: `charge.updated` and
    `payment_intent.succeeded` both tell of one capture."""
    post = Post(scene)
    await scene.sandbox.fault(**LOST)
    offer = await scene.pending()
    await scene.market.accept(scene.contractor, offer)
    events = [e for e in await post.lost() if e["data"]["object"]["object"] != "application"]
    twins = [{**event, "id": f"{event['id']}twin"} for event in events]
    await asyncio.gather(*(post.send(event) for event in (*events, *twins)))
    await scene.market.settled(PATIENCE)
    kinds = [row.kind for row in await scene.market.rows(Transaction)]
    assert kinds == ["captured", "accepted"]
    assert len(scene.contractor.received("/bidding", "offer.accepted")) == 1
    assert (await audit(scene.server.ports)).differences == []


async def test_events_out_of_order(work):
    """Guard: every handler reads the object again; taken at its word, an old event would undo
    what a newer one said."""
    post = Post(work)
    await work.sandbox.fault(**LOST)
    await work.complete()
    await work.refund(30_000)
    await work.market.settled(PATIENCE)
    charge = (await work.payment()).charge_id
    dispute = await work.sandbox.dispute(charge)
    await work.sandbox.close_dispute(dispute["id"], won=True)
    events = await post.lost()
    random.Random(3).shuffle(events)
    for event in (*events, *reversed(events)):
        assert (await post.send(event))[0] == 200
    await work.market.settled(PATIENCE)
    assert (await work.payment()).status == "partially_refunded"
    assert await work.wallet("available", "held", "debt") == (49_000, 0, 0)
    assert await work.books() == (21_000 - 1500, 0)


async def test_handler_crashed_after_storing(scene):
    """Guard: `uow.later(Process(...))` in the transaction that stores the event: the process dies
    with its answer, and another one finds the work."""
    post = Post(scene)
    await scene.sandbox.fault(**LOST)
    answer = await scene.offers(SECURE)
    await scene.sandbox.challenge(answer["payment"]["redirect_url"])
    (held,) = await post.lost("payment_intent.amount_capturable_updated")
    await scene.market.settled(PATIENCE)
    scene.server.store.committed = lambda rows: None  # nothing after the commit
    assert (await post.send(held))[0] == 200
    rows = await scene.market.rows(OutboxRow)
    assert [row.body["type"] for row in rows] == [Process.__name__]
    uow = scene.server.store.single()
    await uow.change(OutboxRow, rows[0].id, owner="dead", lease_until=uow.now)
    await scene.told(scene.contractor, "offer.created", answer["offer"])


async def test_webhook_from_the_past(scene):
    """Guard: the tolerance in `StripeWebhooks.verify`."""
    await _stamped(scene, -301)


async def test_webhook_from_the_future(scene):
    """Guard: `made_at <=` in `StripeWebhooks.verify`, which the SDK does not look at."""
    await _stamped(scene, 310)


async def _stamped(scene, seconds):
    post = Post(scene)
    await scene.sandbox.fault(**LOST)
    await scene.pending()
    event = (await post.lost("payment_intent.amount_capturable_updated"))[0]
    before = await scene.market.traces()
    status, answer = await post.send(event, at=seconds)
    assert (status, answer["code"]) == (400, "invalid_signature")
    assert await scene.market.traces() == before


async def test_replayed_webhook(done):
    """Guard: the event's id is unique, also long after it was worked on; an admin's replay looks
    again, and finds nothing new."""
    post = Post(done)
    rows = await done.sandbox.deliveries("payment_intent.succeeded")
    before = await done.books()
    for _ in range(3):
        assert await post.send(rows[0]["body"]) == (200, {"received": True, "fresh": False})
    await done.admin("replay", event_id=rows[0]["body"]["id"])
    assert await done.books() == before
    assert len(await done.listed("transfers")) == 1


async def test_poison_event_does_not_stop_the_others(scene, monkeypatch):
    """Guard: each row is worked on by itself in the relay; one that raises waits and counts its
    attempts."""
    poison = "evt_poison"
    run = Process.run

    async def raising(self, ports):
        if self.event_id == poison:
            raise ValueError("poison")
        await run(self, ports)

    monkeypatch.setattr(Process, "run", raising)
    post = Post(scene)
    await scene.sandbox.fault(**LOST)
    answer = await scene.offers(SECURE)
    await scene.sandbox.challenge(answer["payment"]["redirect_url"])
    (held,) = await post.lost("payment_intent.amount_capturable_updated")
    bad = {**held, "id": poison, "type": "payment_intent.processing"}
    assert [(await post.send(event))[0] for event in (bad, held)] == [200, 200]
    await scene.told(scene.contractor, "offer.created", answer["offer"])
    row = next(r for r in await scene.market.rows(OutboxRow) if r.body.get("event_id") == poison)
    assert "ValueError: poison" in (row.last_error or "") or row.owner
