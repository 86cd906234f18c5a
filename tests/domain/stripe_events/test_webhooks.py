"""Webhooks: only signed events, each processed once, in any order, also before the object is
known."""

import asyncio
import json
import random
import time

import pytest

from domain.kernel.outbox import OutboxRow
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer
from domain.payouts.transfer_tasks import SendTransfer
from domain.ports.payment_gateway import GatewayUnknown
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import WebhookEvent
from server.dev.stripe_sandbox.webhook_sender import sign
from tests.domain.payments.test_payments import SECURE
from tests.support.job_in_progress import JobInProgress
from tests.support.negotiation import TIMEOUT

LOST = {"webhook": "*", "drop": True, "times": 100}


class Post:
    """Delivers events by hand, signed with the installation's own secret."""

    def __init__(self, negotiation):
        self.market = negotiation.market
        self.secret = negotiation.market.settings.stripe_webhook_secrets[0]

    async def send(self, event, *, at=0, secret=None, signature=None, tampered=False):
        """Returns status and body. `at` shifts the stamp of the signature, in seconds."""
        body = json.dumps(event)
        signature = signature or sign(secret or self.secret, body, int(time.time()) + at)
        headers = {"Stripe-Signature": signature} if signature != "none" else {}
        async with self.market.web.post(
            f"{self.market.url}/webhooks/stripe",
            headers=headers,
            data=(body.replace("evt_", "evt_x") if tampered else body).encode(),
        ) as response:
            return response.status, await response.json()

    async def lost(self, kind=""):
        """The events that were not delivered."""
        rows = await self.market.sandbox.deliveries(kind)
        return [row["body"] for row in rows if row["status"] == "dropped"]


async def test_late_events_in_any_order_change_nothing(negotiation):
    """Guard: an event is processed by reading its object (`gateway.intent` in
    `inbox._process_payment`); if its content were used, an old event would reopen a closed
    payment."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    offer = await negotiation.pending_offer()
    await negotiation.market.accept(negotiation.contractor, offer)
    await negotiation.market.start(negotiation.contractor, negotiation.job)
    await negotiation.market.complete(negotiation.customer, negotiation.job)
    before = await negotiation.market.traces()
    events = await post.lost() * 3
    assert {"payment_intent.succeeded", "payment_intent.amount_capturable_updated"} <= {
        event["type"] for event in events
    }
    random.Random(7).shuffle(events)
    await asyncio.gather(*(post.send(event) for event in events))
    after = await negotiation.market.traces()
    assert len(after["webhook_events"]) == len(events) // 3
    own = {"webhook_events", "webhook_payloads", "outbox"}
    assert {k: v for k, v in after.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }
    assert all(event.status == "done" for event in await negotiation.market.rows(WebhookEvent))


async def test_events_in_reverse_order_suffice(negotiation):
    """Guard: as above; the newest event arrives first and the others change nothing."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    answer = await negotiation.create_offer(SECURE)
    await negotiation.sandbox.answer_challenge(answer["payment"]["redirect_url"])
    for event in reversed(await post.lost()):
        assert (await post.send(event))[0] == 200
    await negotiation.wait_for_push(negotiation.contractor, "offer.created", answer["offer"])
    await negotiation.market.settled(TIMEOUT)
    assert len(negotiation.contractor.received("/bidding", "offer.created")) == 1


async def test_lost_repeated_and_reordered_events(negotiation):
    """Guard: each fact is booked once (`fact` is unique in the journal) and states never
    regress."""
    for kind in ("payment_intent.*", "charge.*"):
        await negotiation.sandbox.fault(webhook=kind, duplicate=4, delay=0.3, times=20)
    offer = await negotiation.pending_offer()
    await negotiation.market.accept(negotiation.contractor, offer)
    await negotiation.customer.call("/job", "cancel", {"job_id": negotiation.job["id"]})
    await negotiation.market.settled(TIMEOUT)
    kinds = [row.kind for row in await negotiation.market.rows(Transaction)]
    assert kinds == ["captured", "accepted", "refunded"]
    assert (await audit(negotiation.server.ports)).differences == []


async def test_an_event_about_an_unknown_object_is_not_ours(negotiation):
    """Guard: `if payment is None` in `inbox.ProcessEvent`; without it the event of a payment of
    another system under the same key becomes a dead letter."""
    await negotiation.sandbox.api(
        "POST",
        "payment_intents",
        amount=1000,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        **{"payment_method_types[]": "card"},
    )
    await negotiation.market.settled(TIMEOUT)
    events = await negotiation.market.rows(WebhookEvent)
    assert "payment_intent.succeeded" in {event.type for event in events}
    statuses = {event.type: event.status for event in events}
    assert statuses["payment_intent.succeeded"] == "not_ours"
    assert set(statuses.values()) <= {"done", "not_ours"}
    assert await negotiation.market.rows(Transaction) == []


FORGERIES = [
    {"signature": "none"},
    {"signature": "t=1,v1="},
    {"signature": "v1=00"},
    {"signature": "nonsense"},
    {"secret": "whsec_somebody_else"},
    {"at": -301},
    {"at": 310},
    {"tampered": True},
]


async def test_an_unsigned_event_is_refused(negotiation):
    """Guard: `ports.webhooks.verify(...)` in the endpoint; without it anyone can post events.
    Guard: `tolerance=` and the comparison of `stamp` in `StripeWebhooks._fits`; without them a
    recorded event can be replayed later."""
    post = Post(negotiation)
    await negotiation.sandbox.fault(**LOST)
    await negotiation.pending_offer()
    (event, *_) = await post.lost("payment_intent.amount_capturable_updated")
    before = await negotiation.market.traces()
    for forgery in FORGERIES:
        status, answer = await post.send(event, **forgery)
        assert (status, answer.get("code")) == (400, "invalid_signature"), forgery
    assert await negotiation.market.traces() == before
    assert await negotiation.market.rows(WebhookEvent) == []
    assert await post.send(event, at=-290) == (200, {"received": True, "fresh": True})
    assert await post.send(event, secret=negotiation.market.settings.stripe_webhook_secrets[1]) == (
        200,
        {"received": True, "fresh": False},
    )


async def test_a_reversal_of_a_transfer_with_a_lost_response(market, server):
    """Guard: `settle_transfer` in `external_reversals.read_reversals`; without it the event is
    done, and the wallet shows money that Stripe has taken back."""
    await server.web.scheduler.stop()
    work = await JobInProgress(market, server).start()
    await market.settled(TIMEOUT)
    committed, server.store.committed = server.store.committed, lambda rows: None
    await work.complete()
    (transfer,) = await market.rows(Transfer)
    await server.sandbox.fault(path="/v1/transfers", method="POST", when="after", status=500)
    with pytest.raises(GatewayUnknown):
        await SendTransfer(transfer.id).run(server.ports)
    server.store.committed = committed
    transfers = tuple(row.id for row in await market.tasks("send_transfer"))
    await server.store.single().remove(OutboxRow, {"_id": transfers})
    committed(await market.rows(OutboxRow))  # what else was left: otherwise its lease has to end
    (there,) = await work.stripe_list("transfers")
    await server.sandbox.reverse_transfer(there["id"], 30_000)
    await market.settled(TIMEOUT)
    (row, parked) = await market.rows(Transfer)
    assert (row.stripe_id, row.net, parked.amount) == (there["id"], 40_000, 30_000)
    await SendTransfer(transfer.id).run(server.ports)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (40_000, 30_000)
