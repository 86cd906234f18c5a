"""The inbox of Stripe events: verification, quarantine, and duplicates."""

import asyncio
import time
from datetime import timedelta

import msgspec
import pytest

from domain.kernel.outbox import LEASE
from domain.stripe_events import inbox, replay
from domain.stripe_events.inbox import ALERT_INTERVAL, EventStatus, ProcessEvent, WebhookEvent
from domain.stripe_events.payloads import WebhookPayload
from tests.support.job_in_progress import TIMEOUT
from tests.support.one_server import one_server, own_server
from tests.support.stripe_event_samples import make_event, post_event, stop_relay, stored_events

pytestmark = one_server

SIGNATURES = {
    # name: (change, status)
    "good": ({}, 200),
    "secret": ({"secret": "whsec_wrong"}, 400),
    "unsigned": ({"signature": ""}, 400),
    "old": ({"at": int(time.time()) - 3600}, 400),
    "new": ({"at": int(time.time()) + 3600}, 400),
    "new-in-disguise": (
        {"at": int(time.time()) + 3600, "signature": "t={at},v1={made},t={now}"},
        400,
    ),
    "not-ascii": ({"signature": "t={at},v1=é"}, 400),
    "more": ({"signature": "t={at},v1={made},more"}, 200),
}


async def test_which_signatures_are_accepted(market, server):
    """Guard: `StripeWebhooks.verify`; the SDK checks the age of the stamp only. Guard: `stamp`, the
    one that the SDK has checked. Guard: `TypeError`, for a header that is not ASCII."""
    for name, (change, status) in SIGNATURES.items():
        assert await post_event(market, make_event(f"evt_{name}"), **change) == status, name
    stored = {event.id for event in await stored_events(market)}
    assert stored == {f"evt_{name}" for name, (_, status) in SIGNATURES.items() if status == 200}


async def test_every_signing_secret_is_accepted(market, server):
    """Guard: `for secret in self._secrets`: during a rotation two secrets are valid."""
    first, second = market.settings.stripe_webhook_secrets[:2]
    assert await post_event(market, make_event("evt_1"), secret=first) == 200
    assert await post_event(market, make_event("evt_2"), secret=second) == 200


async def test_the_size_limit_of_events(market, server):
    """Guard: `MAX_EVENT` in the handler, with and without Content-Length. Guard: the handler reads
    the body itself: `request.read()` applies the limit for commands, and Stripe would retry for
    days."""
    assert await post_event(market, make_event("evt_1", padding="x" * 250_000)) == 200
    assert await post_event(market, make_event("evt_2", padding="x" * 262_144)) == 413
    assert [row.id for row in await stored_events(market)] == ["evt_1"]

    async def parts():
        yield b"x" * 200_000
        yield b"x" * 200_000

    async with market.web.post(f"{market.url}/webhooks/stripe", data=parts()) as response:
        assert (response.status, (await response.json())["code"]) == (413, "too_large")


SHAPELESS = {
    "empty": {},
    "list": [1],
    "text": "event",
    "null": None,
    "number": 7,
    "no-json": b"event",
    "deep": b"[" * 5000,
    "thin": make_event("evt_thin", data=None, object="v2.core.event"),
    "no-object": make_event("evt_no_object", data={}),
    "object-text": make_event("evt_object_text", data={"object": "text"}),
    "no-kind": make_event("evt_no_kind", data={"object": {"id": "pi_1"}}),
    "mode": make_event("evt_mode", livemode="no"),
    "account": make_event("evt_account", account={"$ne": None}),
    "long-id": make_event("e" * 256),
}


async def test_a_malformed_event_is_quarantined(market, server, monkeypatch):
    """Guard: `_malformed` in `inbox._record_of`, and `return None` in `StripeWebhooks.verify`;
    without them Stripe retries for days and then disables the endpoint."""
    monkeypatch.setattr(inbox, "ALERT_INTERVAL", timedelta(0))  # several have the same reason
    admin = await market.admin()
    for name, body in SHAPELESS.items():
        for _ in range(2):
            assert await post_event(market, body) == 200, name
        (row,) = await stored_events(market)
        assert (row.status, row.attempts, row.account) == ("quarantined", 0, None), name
        assert "not the shape of an event" in row.reason, name
        await admin.push("/admin", "alert", lambda a, id=row.id: a["subject"] == id, TIMEOUT)
        # An administrator replays it, so it is done.
        await admin.call("/admin", "replay", {"event_id": row.id})
        await market.settled()
        assert [row.status for row in await stored_events(market)] == ["done"], name
        # All bodies that are not JSON have the same record.
        for kind in (WebhookEvent, WebhookPayload):
            await server.store.single().remove(kind, {"_id": row.id})
        admin.clear_pushes()


async def test_a_wrong_endpoint_causes_one_alert(market, server):
    """Guard: `ALERT_INTERVAL` in `inbox._alert_quarantined`: an endpoint of the other mode sends
    thousands of events, and every alert is mailed to every administrator."""
    admin = await market.admin()
    for number in range(5):
        assert await post_event(market, make_event(f"evt_{number}", livemode=True)) == 200
    assert await post_event(market, {"id": "evt_other"}) == 200
    await admin.push("/admin", "alert", lambda a: a["subject"] == "evt_other", TIMEOUT)
    await market.settled()
    subjects = [alert.data["subject"] for alert in admin.received("/admin", "alert")]
    assert subjects == ["evt_0", "evt_other"]
    old = {"updated_at": server.ports.clock.now() - ALERT_INTERVAL - LEASE}
    await server.store.database[WebhookEvent.COLLECTION].update_many({}, {"$set": old})
    assert await post_event(market, make_event("evt_later", livemode=True)) == 200
    await admin.push("/admin", "alert", lambda a: a["subject"] == "evt_later", TIMEOUT)


async def test_an_event_of_the_other_mode_is_quarantined(market, server):
    """Guard: `is not ports.webhooks.live` in `inbox._record_of`. An administrator may replay it."""
    admin = await market.admin()
    assert await post_event(market, make_event(livemode=True)) == 200
    await admin.push("/admin", "alert", lambda a: a["kind"] == "event_quarantined", TIMEOUT)
    assert [(row.status, row.attempts) for row in await stored_events(market)] == [
        ("quarantined", 0)
    ]
    listed = await admin.call("/admin", "webhook_events", {"status": "quarantined"})
    assert "live mode" in listed["items"][0]["reason"]
    await admin.call("/admin", "replay", {"event_id": "evt_1"})
    await market.settled()
    assert [row.status for row in await stored_events(market)] == ["not_ours"]


async def test_an_event_of_an_unknown_account_is_not_ours(market, server, monkeypatch):
    """Guard: `_check_account` in `ProcessEvent`; for some minutes the account may still become
    known."""
    monkeypatch.setattr("domain.stripe_events.inbox.UNKNOWN_ACCOUNT_GRACE", -LEASE)
    assert await post_event(market, make_event(account="acct_stranger")) == 200
    await market.settled()
    assert [row.status for row in await stored_events(market)] == ["not_ours"]


@own_server
async def test_duplicate_events_read_the_object_once(market, server):
    """Guard: `_unprocessed_duplicate` in `receive_event`: the first event was not processed yet
    when the second arrives."""
    await stop_relay(server)
    assert await post_event(market, make_event("evt_1")) == 200
    assert await post_event(market, make_event("evt_2")) == 200
    assert await post_event(market, make_event("evt_2")) == 200
    assert [row.status for row in await stored_events(market)] == ["received", "done"]
    await ProcessEvent("evt_1").run(server.ports)
    assert await post_event(market, make_event("evt_3")) == 200  # it may be about a newer state
    assert [row.status for row in await stored_events(market)] == ["not_ours", "done", "received"]


@own_server
async def test_application_events_of_two_accounts_are_no_duplicates(market, server):
    """Guard: `body.account` in the digest of `inbox._record_of`: the object of these events is our
    own application, for every account."""
    await stop_relay(server)
    application = {"id": "ca_1", "object": "application", "name": "JobSphere"}
    for number in (1, 2):
        assert (
            await post_event(
                market,
                make_event(
                    f"evt_{number}",
                    type="account.application.deauthorized",
                    account=f"acct_{number}",
                    data={"object": application},
                ),
            )
            == 200
        )
    assert [row.status for row in await stored_events(market)] == ["received", "received"]


@own_server
async def test_a_repeated_state_is_processed_after_another_one(market, server):
    """Guard: `_unprocessed_duplicate` matches only unprocessed events: in the sequence on, off, on
    the third event equals the first, which was processed before the account changed again."""
    await stop_relay(server)

    def account_event(id, status):
        thing = {"id": "acct_none", "object": "capability", "status": status}
        return make_event(id, type="capability.updated", data={"object": thing})

    first = inbox._record_of(
        server.store.single(), account_event("evt_0", "active"), live=server.ports.webhooks.live
    )
    working = msgspec.structs.replace(first, status=EventStatus.WORKING)
    await server.store.single().add(working)
    for id, status in (("evt_1", "active"), ("evt_2", "inactive"), ("evt_3", "active")):
        assert await post_event(market, account_event(id, status)) == 200
    rows = {row.id: row.status for row in await stored_events(market)}
    assert rows == {"evt_0": "working", "evt_1": "received", "evt_2": "received", "evt_3": "done"}


@own_server
async def test_the_latest_attempt_decides_the_status(market, server, monkeypatch):
    """Guard: `latest` in `inbox._change_own`: a slow worker read the object before the replay,
    whose read another event may rely on."""
    await stop_relay(server)
    assert await post_event(market, make_event("evt_1")) == 200
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(ports, event):
        looking.set()
        await go_on.wait()

    monkeypatch.setattr(inbox, "HANDLERS", {"payment_intent": slow})
    first = asyncio.create_task(ProcessEvent("evt_1").run(server.ports))
    await looking.wait()
    uow = server.store.single()
    await uow.change(WebhookEvent, "evt_1", status=EventStatus.DONE)  # by another worker
    row = await uow.get(WebhookEvent, "evt_1")
    await server.store.transact(lambda uow: replay.requeue(uow, row))
    go_on.set()
    await first
    assert [row.status for row in await stored_events(market)] == ["received"]
    await ProcessEvent("evt_1").run(server.ports)
    assert [(row.status, row.attempts) for row in await stored_events(market)] == [("done", 2)]


@own_server
async def test_a_failed_event_shows_its_error(market, server, monkeypatch):
    """Guard: `last_error=problem` in `ProcessEvent.run`, which success clears."""
    await stop_relay(server)
    admin = await market.admin()
    assert await post_event(market, make_event("evt_1")) == 200

    async def broken(ports, event):
        raise ValueError("no such thing")

    monkeypatch.setattr(inbox, "HANDLERS", {"payment_intent": broken})
    with pytest.raises(ValueError, match="no such thing"):
        await ProcessEvent("evt_1").run(server.ports)
    found = {"status": "working", "type": "payment_intent.succeeded"}
    (shown,) = (await admin.call("/admin", "webhook_events", found))["items"]
    assert (shown["last_error"], shown["attempts"]) == ("ValueError: no such thing", 1)
    assert "digest" not in shown
    monkeypatch.setattr(inbox, "HANDLERS", {})
    await ProcessEvent("evt_1").run(server.ports)
    (row,) = await stored_events(market)
    assert (row.status, row.last_error, row.attempts) == ("done", None, 2)
    assert row.processed_at
