"""Webhooks: signed, retried, doubled, delayed, dropped; and what a killed server keeps."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
import stripe

from tests.support import stripe_oracle

from .conftest import Inbox, Sandbox, Shop, free_port, wait_until, wait_until_equal
from .test_payments import refusal


async def test_events_arrive_signed(sandbox_shop: Shop, sandbox_inbox: Inbox) -> None:
    """Fails without `webhook_sender.sign`: the SDK refuses the payload."""
    held = await sandbox_shop.hold(metadata={"offer": "ofr_1"})
    types = await sandbox_inbox.types(3)
    assert sorted(types) == [
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
    ]
    received = next(event for event in sandbox_inbox.received if "capturable" in event.type)
    assert (received.data.object.id, received.data.object.status) == (held.id, "requires_capture")
    assert received["request"]["id"].startswith("req_")
    kept = await sandbox_shop.v1.events.retrieve_async(received.id)
    assert kept.data.object.id == held.id
    page = await sandbox_shop.v1.events.list_async({"type": "payment_intent.*"})
    assert len(page.data) == 2


async def test_a_signature_with_another_secret_is_refused(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails when the signature does not depend on the endpoint's secret."""
    await sandbox_shop.hold()
    await sandbox_inbox.types(1)
    delivery = (await sandbox_shop.control("GET", "deliveries"))["data"][0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header("{}", f"t={int(time.time())},v1=00", "whsec_x")
    assert delivery["status"] in ("pending", "succeeded")


async def test_a_refused_delivery_is_retried(sandbox_shop: Shop, sandbox_inbox: Inbox) -> None:
    """Fails without the retry that `WebhookSender._send` leaves behind."""
    sandbox_inbox.answers = [500, 302]
    await sandbox_shop.v1.customers.create_async()
    assert await sandbox_inbox.types(1) == ["customer.created"]

    async def state() -> tuple[str, int]:
        row = (await sandbox_shop.control("GET", "deliveries"))["data"][0]
        return row["status"], row["attempts"]

    await wait_until_equal(state, ("succeeded", 3))


async def test_what_is_due_happens_without_a_request(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Guard: `timers.next_due`, and `NEXT_DUE` in `WebhookSender.run`: both loops sleep until
    something is due."""
    await sandbox_shop.fault(webhook="payment_intent.canceled", delay=0.2, times=3)
    await sandbox_shop.control("POST", "settings", {"hold_seconds": 600})
    held = await sandbox_shop.hold()
    await sandbox_shop.advance(599.8)
    await is_canceled(sandbox_inbox, held)
    await sandbox_shop.control("POST", "settings", {"hold_seconds": 0.2})
    for _ in range(2):
        await is_canceled(sandbox_inbox, await sandbox_shop.hold())


async def is_canceled(inbox: Inbox, held: Any) -> None:
    """Wait until the inbox has the event."""

    def arrived() -> bool:
        ended = [event for event in inbox.received if event.type == "payment_intent.canceled"]
        return held.id in [event.data.object.id for event in ended]

    await wait_until(arrived)


async def test_a_dead_endpoint_does_not_block_others(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails when `WebhookSender._start_due` waits for one endpoint."""
    dead = f"http://127.0.0.1:{free_port()}/hook"
    await sandbox_shop.v1.webhook_endpoints.create_async({"url": dead, "enabled_events": ["*"]})
    for _ in range(10):
        await sandbox_shop.v1.customers.create_async()
    assert len(await sandbox_inbox.types(10)) == 10


async def test_faults_duplicate_drop_and_delay_deliveries(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails without `fault_injection.take_for_event` in `webhook_deliveries.enqueue`."""
    await sandbox_shop.fault(webhook="customer.created", duplicate=1, delay=0.3)
    await sandbox_shop.fault(webhook="customer.updated", drop=True)
    customer = await sandbox_shop.v1.customers.create_async()
    await sandbox_shop.v1.customers.update_async(customer.id, {"name": "A"})
    await sandbox_shop.v1.customers.update_async(customer.id, {"name": "B"})
    types = await sandbox_inbox.types(3)
    assert types == ["customer.updated", "customer.created", "customer.created"]
    assert sandbox_inbox.received[0].data.object.name == "B"
    assert sandbox_inbox.received[1].id == sandbox_inbox.received[2].id
    (lost,) = (await sandbox_shop.control("GET", "deliveries?status=dropped"))["data"]
    assert (lost["type"], lost["body"]["data"]["object"]["name"]) == ("customer.updated", "A")


async def test_events_of_connected_accounts_go_to_connect_endpoints(
    sandbox_shop: Shop, sandbox_inbox: Inbox, sandbox_connect_inbox: Inbox
) -> None:
    """Fails without the `_connect` guard in `webhook_deliveries.enqueue`."""
    account = await sandbox_shop.contractor()
    types = await sandbox_connect_inbox.types(2)
    assert sorted(types) == ["account.updated", "capability.updated"]
    assert {event.account for event in sandbox_connect_inbox.received} == {account}
    await sandbox_shop.pay()
    await sandbox_shop.v1.transfers.create_async(
        {"amount": 1_000, "currency": "usd", "destination": account}
    )
    await sandbox_shop.v1.payouts.create_async(
        {"amount": 1_000, "currency": "usd"}, {"stripe_account": account}
    )
    await sandbox_shop.advance(1)
    await wait_until(lambda: "payout.paid" in [e.type for e in sandbox_connect_inbox.received])
    assert "payout.created" in await sandbox_connect_inbox.types(5)
    await wait_until(lambda: "transfer.created" in [e.type for e in sandbox_inbox.received])
    assert not any(event.type.startswith("payout") for event in sandbox_inbox.received)


async def test_endpoints_filter_events_and_can_be_deleted(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails without `webhook_deliveries.is_subscribed`, or when an answer repeats the secret."""
    endpoints = sandbox_shop.v1.webhook_endpoints
    found = (await endpoints.list_async()).data[0]
    assert "secret" not in found
    await endpoints.update_async(found.id, {"enabled_events": ["customer.deleted"]})
    customer = await sandbox_shop.v1.customers.create_async()
    await sandbox_shop.v1.customers.delete_async(customer.id)
    assert await sandbox_inbox.types(1) == ["customer.deleted"]
    assert (await endpoints.delete_async(found.id)).deleted
    assert (await refusal(endpoints.retrieve_async(found.id))).http_status == 404
    assert (
        await refusal(endpoints.create_async({"url": "ftp://x", "enabled_events": ["*"]}))
    ).code == "url_invalid"


async def test_all_state_survives_a_sigkill(
    sandbox_own_server: Sandbox, sandbox_http: object
) -> None:
    """Fails without the one transaction of `ApiServer.answer`, or when deliveries live in
    memory."""
    shop = Shop(sandbox_own_server, sandbox_http, retries=1)  # type: ignore[arg-type]
    dead = f"http://127.0.0.1:{free_port()}/hook"
    await shop.v1.webhook_endpoints.create_async(
        {"url": dead, "enabled_events": ["charge.succeeded", "charge.captured"]}
    )
    await shop.charge_fees()
    await shop.fault(path="/v1/customers", status=500)
    await shop.advance(1_000)
    held = await shop.hold()
    taken = await shop.v1.payment_intents.capture_async(held.id, {}, {"idempotency_key": "cap"})
    before = await shop.control("GET", "deliveries")
    sandbox_own_server.end(signal.SIGKILL)
    sandbox_own_server.start()

    again = await shop.v1.payment_intents.capture_async(held.id, {}, {"idempotency_key": "cap"})
    assert again.to_dict() == taken.to_dict()
    assert await shop.available() == 9_680
    assert (await shop.control("GET", "clock"))["shift"] == 1_000
    assert len((await shop.control("GET", "faults"))["data"]) == 1
    after = await shop.control("GET", "deliveries")
    assert [row["id"] for row in after["data"]] == [row["id"] for row in before["data"]]
    waiting = len(after["data"])
    assert waiting == 2

    async def attempts() -> bool:
        rows = (await shop.control("GET", "deliveries"))["data"]
        return all(
            row["attempts"] > old["attempts"] for row, old in zip(rows, after["data"], strict=True)
        )

    await wait_until_equal(attempts, True)
    stripe_oracle.check_log(await shop.log())
