"""The inbox of Stripe's events, and what failed too often: quarantine, dead letters, replays."""

import json
import time

import msgspec
import pytest
import stripe

from domain.errors import Invalid
from domain.outbox import MAX_ATTEMPTS, OutboxRow
from domain.store import LEASE
from domain.webhooks import EventStatus, Process, WebhookEvent, receive
from server import replaying
from tests.work import PATIENCE, Work


def event(id="evt_1", **fields):
    thing = {"id": "pi_none", "object": "payment_intent", "status": "succeeded"}
    return {
        "id": id, "object": "event", "type": "payment_intent.succeeded", "livemode": False,
        "data": {"object": thing}, **fields,
    }  # fmt: skip


async def post(market, body, *, secret=None, at=None, signature=None):
    """The answer's status to an event that was signed as Stripe does."""
    payload = json.dumps(body) if not isinstance(body, bytes) else body.decode()
    secret, at = secret or market.settings.stripe_webhook_secrets[0], at or int(time.time())
    made = stripe.WebhookSignature._compute_signature(f"{at}.{payload}", secret)
    headers = {"Stripe-Signature": f"t={at},v1={made}" if signature is None else signature}
    url = f"{market.url}/webhooks/stripe"
    async with market.web.post(url, data=payload, headers=headers) as response:
        return response.status


async def stored(market):
    return await market.rows(WebhookEvent)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"secret": "whsec_wrong"}, 400),
        ({"signature": ""}, 400),
        ({"at": int(time.time()) - 3600}, 400),
        ({"at": int(time.time()) + 3600}, 400),
    ],
    ids=["good", "secret", "unsigned", "old", "new"],
)
async def test_what_is_let_in(market, server, change, status):
    """Guard: `StripeWebhooks.verify`; the SDK looks at one side of the time only."""
    assert await post(market, event(), **change) == status
    assert len(await stored(market)) == (status == 200)


async def test_every_signing_secret_opens(market, server):
    """Guard: `for secret in self._secrets`: while secrets are rotated both are in use."""
    first, second = market.settings.stripe_webhook_secrets[:2]
    assert await post(market, event("evt_1"), secret=first) == 200
    assert await post(market, event("evt_2"), secret=second) == 200


async def test_large_and_broken_bodies(market, server):
    """Guard: `MAX_EVENT` in the handler, and `raise Invalid` in `receive`."""
    assert await post(market, {**event(), "padding": "x" * 300_000}) == 413
    assert await post(market, {"id": "evt_1", "livemode": False}) == 422
    assert await post(market, []) == 422
    assert await stored(market) == []
    with pytest.raises(Invalid):
        await receive(server.ports, {"id": "evt_1", "data": {"object": "text"}})


async def test_another_mode_is_put_in_quarantine(market, server):
    """Guard: `is not ports.webhooks.live` in `webhooks._row`. An admin may replay it."""
    admin = await market.admin()
    assert await post(market, event(livemode=True)) == 200
    await admin.push("/admin", "alert", lambda a: a["kind"] == "event_quarantined", PATIENCE)
    assert [(row.status, row.attempts) for row in await stored(market)] == [("quarantined", 0)]
    listed = await admin.call("/admin", "webhook_events", {"status": "quarantined"})
    assert "live mode" in listed["items"][0]["reason"]
    await admin.call("/admin", "replay", {"event_id": "evt_1"})
    await market.settled()
    assert [row.status for row in await stored(market)] == ["done"]


async def test_an_account_that_nobody_has_is_put_in_quarantine(market, server, monkeypatch):
    """Guard: `_is_ours` in `Process`; the account may still become known for some minutes."""
    monkeypatch.setattr("domain.webhooks.STRANGER_FOR", -LEASE)
    assert await post(market, event(account="acct_stranger")) == 200
    await market.settled()
    assert [row.status for row in await stored(market)] == ["quarantined"]


async def test_two_events_for_one_fact_cost_one_look(market, server):
    """Guard: `_waiting` in `receive`: the first has not looked yet when the second comes."""
    await stop_working(server)
    assert await post(market, event("evt_1")) == 200
    assert await post(market, event("evt_2")) == 200
    assert await post(market, event("evt_2")) == 200
    assert [row.status for row in await stored(market)] == ["received", "done"]
    await Process("evt_1").run(server.ports)
    assert await post(market, event("evt_3")) == 200  # it may tell of something newer
    assert [row.status for row in await stored(market)] == ["done", "done", "received"]


async def stop_working(server):
    await server.web.relay.stop(0)
    server.store.committed = lambda rows: None


async def dead(market, server, event_id="evt_1"):
    """An event whose work has failed too often."""
    await stop_working(server)
    assert await post(market, event(event_id)) == 200
    uow = server.store.single()
    row = (await uow.all(OutboxRow, {"body.type": "Process"}))[0]
    await uow.change(
        OutboxRow, row.id, attempts=MAX_ATTEMPTS, lease_until=uow.now - LEASE, owner="",
        last_error="ValueError: no",
    )  # fmt: skip
    server.web.relay.start(server.ports)
    return row.id


async def test_a_dead_letter_is_told_and_retried(market, server):
    """Guard: `letters.bury` in the relay; `attempts=0` in `letters.retry`."""
    admin = await market.admin()
    id = await dead(market, server)
    told = await admin.push("/admin", "alert", lambda a: a["kind"] == "dead_letter", PATIENCE)
    assert told["subject"] == id
    letter = (await admin.call("/admin", "dead_letters"))["items"][0]
    assert (letter["kind"], letter["subject"]) == ("Process", "evt_1")
    assert [row.status for row in await stored(market)] == [EventStatus.DEAD]
    await admin.call("/admin", "retry", {"row_id": id})
    await market.settled()
    assert [row.status for row in await stored(market)] == [EventStatus.DONE]
    assert (await admin.call("/admin", "dead_letters"))["items"] == []
    await Work(market, server).refuses(admin, "/admin", "retry", {"row_id": id}, "not_found")


async def test_a_dead_letter_is_discarded_for_a_reason(market, server):
    """Guard: `reason` of `letters.Discard`, which the trail keeps."""
    admin = await market.admin()
    id = await dead(market, server)
    await admin.push("/admin", "alert", lambda a: a["kind"] == "dead_letter", PATIENCE)
    work = Work(market, server)
    await work.refuses(admin, "/admin", "discard", {"row_id": id, "reason": " "}, "invalid")
    await admin.call("/admin", "discard", {"row_id": id, "reason": "A test"})
    assert await market.rows(OutboxRow, dead=True) == []
    trail = (await admin.call("/admin", "audit", {"operation": "admin.discard"}))["items"]
    assert trail[0]["detail"]["fields"]["reason"] == "A test"
    assert msgspec.json.encode(trail)


async def test_the_command_line_replays(market, server):
    """Guard: `queue_again` in `replaying`; it is in the trail."""
    await stop_working(server)
    for id in ("evt_1", "evt_2"):
        assert await post(market, event(id, livemode=True)) == 200
    quarantined = [EventStatus.QUARANTINED]
    assert await replaying.run(market.settings, [], quarantined, None) == 2
    assert await replaying.run(market.settings, [], quarantined, None) == 0
    assert [row.status for row in await stored(market)] == ["received", "received"]
    assert await replaying.run(market.settings, ["evt_1"], [], None) == 1  # it waits already
    rows = await market.rows(OutboxRow)
    assert sum(row.body["type"] == "Process" for row in rows) == 2
