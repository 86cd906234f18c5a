"""Snapshots: another tenant takes over what one had."""

import pytest

from .conftest import Inbox, Sandbox, Shop, wait_until


async def test_a_tenant_takes_a_snapshot_over(
    sandbox_server: Sandbox, sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Guard: `Snapshots.restore`: objects, balances, timers, idempotency keys, logs, the clock and
    settings are those of the snapshot, and webhooks go to the endpoints of the tenant itself."""
    first = Shop(sandbox_server, sandbox_shop.http)
    await first.charge_fees()
    await first.advance(3600)
    paid = await first.pay()
    held = await first.hold()
    customer = await first.v1.customers.create_async(
        {"email": "a@shop.test"}, {"idempotency_key": "one"}
    )
    events, log = await first.events(), await first.log()
    snapshot = await first.control("POST", "snapshots")
    await first.pay()
    for shop in (Shop(sandbox_server, sandbox_shop.http), sandbox_shop, sandbox_shop):
        await shop.control("POST", "restores", snapshot)
        assert await shop.log() == log
        assert await shop.events() == events
        assert await shop.available() == 9_680
        assert (await shop.control("GET", "clock"))["shift"] == 3600
        found = await shop.v1.customers.list_async({"email": "a@shop.test"})
        assert [each.id for each in found.data] == [customer.id]
        again = await shop.v1.customers.create_async(
            {"email": "a@shop.test"}, {"idempotency_key": "one"}
        )
        assert again.id == customer.id
        await shop.v1.payment_intents.capture_async(held.id)
        refund = await shop.v1.refunds.create_async({"payment_intent": paid.id})
        assert (refund.status, await shop.available()) == ("succeeded", 9_360)
    assert await first.events() == []
    about = {held.id, refund.id}
    await wait_until(lambda: about <= {event.data.object.id for event in sandbox_inbox.received})


async def test_an_unknown_snapshot_is_refused(sandbox_shop: Shop) -> None:
    """Guard: the check in `Snapshots.restore`, before the tenant's own state is deleted."""
    paid = await sandbox_shop.pay()
    with pytest.raises(AssertionError, match="No such snapshot"):
        await sandbox_shop.control("POST", "restores", {"snapshot": "unknown"})
    assert (await sandbox_shop.v1.payment_intents.retrieve_async(paid.id)).id == paid.id
