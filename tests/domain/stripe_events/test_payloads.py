"""The list of events by time of receipt, and what Stripe sent with each, for 30 days."""

from datetime import UTC, datetime, timedelta

import msgspec

from domain.stripe_events.inbox import RECEIVED_LAST, EventStatus, WebhookEvent
from domain.stripe_events.payloads import KEPT, LEFT_OUT, WebhookPayload
from tests.support.one_server import one_server, own_server
from tests.support.stripe_event_samples import make_event, post_event, stop_relay, stored_events

pytestmark = one_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# In the order of their receipt, which is not the order of their ids.
IDS = ["evt_m", "evt_b", "evt_z", "evt_a", "evt_y"]
PERSON = {"name": "Quentin Quincewood", "email": "q@orchard.example", "phone": None}


def charge(**fields):
    thing = {"id": "ch_1", "object": "charge", "amount": 100_000, "payment_intent": "pi_none"}
    return make_event("evt_1", type="charge.updated", data={"object": thing | fields})


async def test_the_last_received_comes_first(market, server):
    """Guard: RECEIVED_LAST in `replay.list_events`; ids of Stripe's are in no order. A page stays
    where it was when others are received meanwhile."""
    admin = await market.admin()
    uow = server.store.single()
    made = uow.new(
        WebhookEvent,
        id="",
        type="payout.paid",
        account=None,
        object_type="payout",
        object_id="po_1",
        digest="",
        status=EventStatus.DONE,
    )
    # The last two are received in the same millisecond.
    ats = [NOON + timedelta(minutes=min(n, 3)) for n in range(len(IDS))]
    await uow.add_all(
        [
            msgspec.structs.replace(made, id=id, created_at=at)
            for id, at in zip(IDS, ats, strict=True)
        ]
    )
    for fields in ({}, {"status": "done"}, {"type": "payout.paid", "status": "done"}):
        found, cursor = [], None
        while not found or cursor:
            asked = {**fields, "limit": 2, **({"cursor": cursor} if cursor else {})}
            page = await admin.call("/admin", "webhook_events", asked)
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            newer = msgspec.structs.replace(made, id=f"evt_new{len(found)}{len(fields)}")
            await uow.add(newer)
        assert [id for id in found if id in IDS] == IDS[::-1]
        assert [id for id in found[:2] if id in IDS] == found[:2] or fields
        await uow.remove(WebhookEvent, {"created_at": {"$gt": max(ats)}})


async def test_the_order_comes_from_an_index(server):
    """Guard: the INDEXES of WebhookEvent: one for each filter, in this order."""
    for where in ({}, {"status": "done"}, {"type": "a"}, {"status": "done", "type": "a"}):
        find = {"find": WebhookEvent.COLLECTION, "filter": where, "sort": dict(RECEIVED_LAST)}
        explained = await server.store.database.command(
            {"explain": find, "verbosity": "queryPlanner"}
        )
        plan = str(explained["queryPlanner"]["winningPlan"])
        keys = {**dict.fromkeys(where, 1), **dict(RECEIVED_LAST)}
        assert f"'keyPattern': {keys}" in plan, (where, plan)


@own_server
async def test_an_administrator_reads_what_stripe_sent(market, server):
    """Guard: `packed` in `inbox.receive_event`, and PERSONAL in `payloads`."""
    await stop_relay(server)
    admin = await market.admin()
    sent = charge(
        customer="cus_1", billing_details=PERSON, client_secret="pi_secret_1", metadata={"a": "b"}
    )
    assert await post_event(market, sent) == 200
    status, shown = await admin.http("GET", "/api/admin/webhook_events/evt_1")
    assert (status, shown["status"], shown["type"]) == (200, "received", "charge.updated")
    thing = shown["payload"]["data"]["object"]
    assert (thing["amount"], thing["metadata"]) == (100_000, {"a": "b"})
    assert thing["customer"] == thing["billing_details"] == thing["client_secret"] == LEFT_OUT
    assert "digest" not in shown
    stored = await server.store.database[WebhookPayload.COLLECTION].find_one({"_id": "evt_1"})
    assert b"ch_1" not in str(stored).encode()
    status, problem = await admin.http("GET", "/api/admin/webhook_events/evt_2")
    assert (status, problem["code"]) == (404, "not_found")


@own_server
async def test_events_about_persons_have_no_payload(market, server):
    """Guard: WITH_PAYLOAD in `inbox`; a malformed event has one, to be looked into."""
    await stop_relay(server)
    admin = await market.admin()
    thing = {"id": "cus_1", "object": "customer", **PERSON}
    assert await post_event(market, make_event("evt_1", data={"object": thing})) == 200
    assert await post_event(market, {"id": "evt_2", "odd": [PERSON]}) == 200
    shown = [
        await admin.call("/admin", "webhook_event", {"event_id": id}) for id in ("evt_1", "evt_2")
    ]
    left = {**PERSON, "name": LEFT_OUT, "email": LEFT_OUT}
    assert [each["payload"] for each in shown] == [None, {"id": "evt_2", "odd": [left]}]


async def test_an_event_is_replayed_without_its_payload(market, server):
    """Guard: `ProcessEvent.run` reads the object from Stripe; a payload ends after 30 days."""
    [index] = [each for each in WebhookPayload.INDEXES if each.ttl_seconds]
    assert timedelta(seconds=index.ttl_seconds or 0) == KEPT == timedelta(days=30)
    admin = await market.admin()
    assert await post_event(market, charge()) == 200
    await market.settled()
    await server.store.single().remove(WebhookPayload, {"_id": "evt_1"})
    assert (await admin.call("/admin", "webhook_event", {"event_id": "evt_1"}))["payload"] is None
    await admin.call("/admin", "replay", {"event_id": "evt_1"})
    await market.settled()
    [row] = await stored_events(market)
    assert (row.status, row.attempts) == ("not_ours", 2)
