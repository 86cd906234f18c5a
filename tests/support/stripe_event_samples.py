"""Stripe events for tests: created, signed, posted, and queued without being processed."""

import json
import time

import stripe

from domain.kernel.outbox import LEASE, MAX_ATTEMPTS, OutboxRow
from domain.stripe_events.inbox import WebhookEvent


def make_event(id="evt_1", **fields):
    thing = {"id": "pi_none", "object": "payment_intent", "status": "succeeded"}
    return {
        "id": id,
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "data": {"object": thing},
        **fields,
    }


def sign(payload, secret, at):
    return stripe.WebhookSignature._compute_signature(f"{at}.{payload}", secret)


async def post_event(market, body, *, secret=None, at=None, signature=None):
    """Post an event, signed as Stripe does. Returns the status. `signature` is a header template
    with {at} and {made}."""
    payload = json.dumps(body) if not isinstance(body, bytes) else body.decode()
    secret, at = secret or market.settings.stripe_webhook_secrets[0], at or int(time.time())
    header = "t={at},v1={made}" if signature is None else signature
    made = header.format(at=at, made=sign(payload, secret, at), now=int(time.time()))
    url, headers = f"{market.url}/webhooks/stripe", {"Stripe-Signature": made}
    async with market.web.post(url, data=payload, headers=headers) as response:
        return response.status


async def stored_events(market):
    return await market.rows(WebhookEvent)


async def stop_relay(server):
    """Stop the relay: events are stored and not processed."""
    await server.web.relay.stop(0)
    server.store.committed = lambda rows: None


async def exhaust_attempts(store, row_id, error="ValueError: no"):
    """Set an outbox row to have failed all its attempts."""
    uow = store.single()
    await uow.change(
        OutboxRow,
        row_id,
        attempts=MAX_ATTEMPTS,
        lease_until=uow.now - LEASE,
        owner="",
        last_error=error,
    )


async def make_dead_letters(market, server, *ids):
    """Create events whose tasks are out of attempts. Returns the ids of the outbox rows."""
    await stop_relay(server)
    for id in ids:
        assert (
            await post_event(market, make_event(id, data={"object": {"id": id, "object": "other"}}))
            == 200
        )
    rows = await market.tasks("process_stripe_event")
    for row in rows:
        await exhaust_attempts(server.store, row.id)
    server.web.relay.start(server.ports)
    return [row.id for row in rows]
