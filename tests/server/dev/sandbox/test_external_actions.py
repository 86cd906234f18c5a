"""External actions: cardholders, banks and Stripe staff act; events are held and replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from .conftest import Inbox, Shop, free_port, wait_until, wait_until_equal
from .test_payments import refusal

DAY = 86_400


async def dispute(shop: Shop, charge: str, **more: Any) -> Any:
    """A cardholder disputes a charge."""
    return (await shop.control("POST", "disputes", {"charge": charge, **more}))["dispute"]


async def verdict(shop: Shop, dispute: Any, status: str, **more: Any) -> Any:
    """The bank changes the status of a dispute."""
    body = {"dispute": dispute["id"], "status": status, **more}
    return await shop.control("POST", "verdicts", body)


async def events_about(shop: Shop, kind: str) -> list[str]:
    """The event types so far that contain `kind`, such as `dispute`."""
    return [event for event in await shop.events() if kind in event]


# -- refunds -----------------------------------------------------------------------------------


async def test_a_refund_emits_all_of_its_events(sandbox_shop: Shop) -> None:
    """Fails without `_add_bank_reference` in `refunds.create`."""
    paid = await sandbox_shop.pay()
    refund = await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id, "amount": 1})
    assert refund.destination_details.card.reference_status == "available"
    assert await events_about(sandbox_shop, "refund") == [
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "charge.refund.updated",
    ]


@pytest.mark.parametrize(
    ("card", "before", "after", "left"),
    [("refundFail", "succeeded", "failed", 9_680), ("pendingRefund", "pending", "succeeded", -320)],
)
async def test_test_cards_decide_the_outcome_of_refunds(
    sandbox_shop: Shop, card: str, before: str, after: str, left: int
) -> None:
    """Fails without `PLAN_BY_TEST_CARD` in `refunds._plan_outcome`."""
    paid = await sandbox_shop.pay(f"pm_card_{card}")
    refund = await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id})
    assert (refund.status, await sandbox_shop.available()) == (before, left)
    assert (await sandbox_shop.v1.refunds.retrieve_async(refund.id)).status == after
    assert ("refund.failed" in await sandbox_shop.events()) == (after == "failed")


async def test_a_pending_refund_can_fail(sandbox_shop: Shop) -> None:
    """Fails when `refunds.fail` returns money that was never taken, or does not lower what the
    charge counts as refunded."""
    paid = await sandbox_shop.pay()
    for reason in ("insufficient_funds", "processing"):
        await sandbox_shop.fault(refund="usd", pending_reason=reason, delay=DAY)
        refund = await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id})
        body = {"refund": refund.id, "status": "failed", "reason": "declined"}
        failed = await sandbox_shop.control("POST", "refunds", body)
        assert (failed["status"], failed["failure_reason"]) == ("failed", "declined")
        assert await sandbox_shop.available() == 9_680
    charge = await sandbox_shop.v1.charges.retrieve_async(paid.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    entries = await sandbox_shop.v1.balance_transactions.list_async({"limit": 10})
    assert [entry.type for entry in entries.data] == ["refund_failure", "refund", "charge"]


# -- disputes ----------------------------------------------------------------------------------


async def test_a_dispute_emits_all_of_its_events(sandbox_shop: Shop) -> None:
    """Fails without the events of `disputes._set_status` and `disputes.change_status`. A
    bank may decide again."""
    paid = await sandbox_shop.pay()
    made = await dispute(sandbox_shop, paid.latest_charge, amount=4_000, reason="duplicate")
    assert await sandbox_shop.available() == 9_680 - 4_000 - 1_500
    await verdict(sandbox_shop, made, "under_review")
    await verdict(sandbox_shop, made, "won")
    assert await sandbox_shop.available() == 9_680 - 1_500
    await verdict(sandbox_shop, made, "lost")
    assert await sandbox_shop.available() == 9_680 - 4_000 - 1_500
    await verdict(sandbox_shop, made, "won", fee_back=True)
    assert await sandbox_shop.available() == 9_680
    assert [event.split(".")[-1] for event in await events_about(sandbox_shop, "dispute")] == [
        "created",
        "funds_withdrawn",
        "updated",
        "funds_reinstated",
        "closed",
        "funds_withdrawn",
        "closed",
        "funds_reinstated",
        "closed",
    ]


async def test_an_inquiry_moves_no_money(sandbox_shop: Shop) -> None:
    """Fails without the states of inquiries in `disputes._set_status`."""
    paid = await sandbox_shop.pay()
    made = await dispute(sandbox_shop, paid.latest_charge, inquiry=True)
    assert (made["status"], made["is_charge_refundable"]) == ("warning_needs_response", True)
    assert (await sandbox_shop.available(), made["balance_transactions"]) == (9_680, [])
    await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id, "amount": 4_000})
    assert (await sandbox_shop.v1.disputes.retrieve_async(made["id"])).status == made["status"]
    await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id})
    found = await sandbox_shop.v1.disputes.retrieve_async(made["id"])
    assert (found.status, await sandbox_shop.available()) == ("warning_closed", -320)
    endings = [event.split(".")[-1] for event in await events_about(sandbox_shop, "dispute")]
    assert endings == ["created", "closed"]


async def test_an_inquiry_becomes_a_dispute(sandbox_shop: Shop) -> None:
    """Fails without `INQUIRY_EVIDENCE_OUTCOMES`: Stripe's test text escalates."""
    paid = await sandbox_shop.pay("pm_card_createDisputeInquiry")
    found = (await sandbox_shop.v1.disputes.list_async()).data[0]
    assert found.status == "warning_needs_response"
    evidence: Any = {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}}
    found = await sandbox_shop.v1.disputes.update_async(found.id, evidence)
    assert found.status == "warning_under_review"
    found = await sandbox_shop.v1.disputes.retrieve_async(found.id)
    assert (found.status, found.charge) == ("needs_response", paid.latest_charge)
    assert await sandbox_shop.available() == 9_680 - 10_000 - 1_500
    assert found.payment_method_details.card.case_type == "chargeback"


async def test_disputes_never_exceed_the_charge(sandbox_shop: Shop) -> None:
    """Fails without the bounds of `disputes.open_dispute`; what was refunded can be disputed."""
    paid = await sandbox_shop.pay()
    await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id, "amount": 3_000})
    first = await dispute(sandbox_shop, paid.latest_charge, amount=2_000)
    second = await dispute(sandbox_shop, paid.latest_charge)
    assert second["amount"] == 10_000 - 3_000 - 2_000
    third = await dispute(sandbox_shop, paid.latest_charge, amount=3_000)
    with pytest.raises(AssertionError, match="cannot be disputed"):
        await dispute(sandbox_shop, paid.latest_charge, amount=1)
    for each, word in ((second, "lost"), (third, "won"), (first, "won")):
        await verdict(sandbox_shop, each, word)
    assert await sandbox_shop.available() == 9_680 - 3_000 - 5_000 - 3 * 1_500
    refund = sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id, "amount": 1})
    assert (await refusal(refund)).code == "charge_disputed"


async def test_a_charge_is_refundable_after_a_won_dispute(sandbox_shop: Shop) -> None:
    """Fails without `is_charge_refundable` in `disputes._set_status`."""
    paid = await sandbox_shop.pay()
    await verdict(sandbox_shop, await dispute(sandbox_shop, paid.latest_charge), "won")
    refund = await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id})
    assert refund.status == "succeeded"


@pytest.mark.parametrize(("inquiry", "end"), [(False, "lost"), (True, "warning_closed")])
async def test_a_dispute_without_a_response_is_closed(
    sandbox_shop: Shop, inquiry: bool, end: str
) -> None:
    """Fails without the `overdue` timer."""
    paid = await sandbox_shop.pay()
    made = await dispute(sandbox_shop, paid.latest_charge, inquiry=inquiry)
    due = datetime.fromtimestamp(made["evidence_details"]["due_by"], UTC)
    assert due.time().isoformat() == "23:59:59"
    await sandbox_shop.advance(10 * DAY)
    found = await sandbox_shop.v1.disputes.retrieve_async(made["id"])
    assert (found.status, found.evidence_details.past_due) == (end, True)


async def test_only_captured_cards_are_disputed(sandbox_shop: Shop) -> None:
    """Fails without the first guard of `disputes.open_dispute`."""
    held = await sandbox_shop.hold()
    coins = await sandbox_shop.pay("pm_crypto_usdc")
    for intent in (held, coins):
        with pytest.raises(AssertionError, match="Only captured charges"):
            await dispute(sandbox_shop, intent.latest_charge)


# -- accounts and payouts ----------------------------------------------------------------------


async def test_an_account_is_disabled_enabled_and_closed(
    sandbox_shop: Shop, sandbox_connect_inbox: Inbox
) -> None:
    """Fails without the events of `connect._set_capabilities` and `connect.close`."""
    account = await sandbox_shop.contractor()
    for state in ("inactive", "active", "closed"):
        await sandbox_shop.control("POST", "accounts", {"account": account, "state": state})
    types = await sandbox_connect_inbox.types(7)
    assert sorted(types) == [
        "account.application.deauthorized",
        *["account.updated"] * 3,
        *["capability.updated"] * 3,
    ]
    assert {event.account for event in sandbox_connect_inbox.received} == {account}
    error = await refusal(sandbox_shop.v1.balance.retrieve_async({}, {"stripe_account": account}))
    assert error.http_status == 403
    assert error.json_body["error"]["code"] == "account_invalid"
    assert (await sandbox_shop.v1.accounts.list_async()).data == []


async def test_a_paid_payout_can_fail(sandbox_shop: Shop) -> None:
    """Fails without `payouts.return_by_bank`."""
    await sandbox_shop.pay()
    made = await sandbox_shop.v1.payouts.create_async({"amount": 9_680, "currency": "usd"})
    await sandbox_shop.advance(10)
    assert (await sandbox_shop.v1.payouts.retrieve_async(made.id)).status == "paid"
    body = {"payout": made.id, "failure_code": "no_account"}
    assert (await sandbox_shop.control("POST", "payouts", body))["status"] == "failed"
    assert await sandbox_shop.available() == 9_680
    with pytest.raises(AssertionError, match="failed"):
        await sandbox_shop.control("POST", "payouts", body)
    assert (await sandbox_shop.events())[-1] == "payout.failed"


async def test_entries_without_an_object_change_the_balance(sandbox_shop: Shop) -> None:
    """Fails without `balances.book_standalone` changing the balance."""
    line = {"type": "stripe_fee", "amount": -700, "currency": "usd"}
    assert (await sandbox_shop.control("POST", "entries", line))["source"] is None
    assert await sandbox_shop.available() == -700
    with pytest.raises(AssertionError, match="`type` is in lower case"):
        await sandbox_shop.control("POST", "entries", {**line, "type": "Stripe fee"})


# -- events ------------------------------------------------------------------------------------


async def test_held_events_are_released_in_any_order(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails without `hold` in `webhook_deliveries.enqueue`, or the order of
    `webhook_deliveries.release`."""
    await sandbox_shop.fault(webhook="customer.*", hold=True, times=100)
    customer = await sandbox_shop.v1.customers.create_async()
    await sandbox_shop.v1.customers.update_async(customer.id, {"name": "A"})
    await sandbox_shop.pay()
    await wait_until(lambda: len(sandbox_inbox.received) == 4)
    assert not any(event.type.startswith("customer") for event in sandbox_inbox.received)
    body = {"order": "newest", "gap": 0.3}
    assert (await sandbox_shop.control("POST", "releases", body))["released"] == 2
    types = await sandbox_inbox.types(6)
    assert types[4:] == ["customer.updated", "customer.created"]
    assert (await sandbox_shop.control("GET", "faults"))["data"] == []


async def test_an_event_is_replayed(sandbox_shop: Shop, sandbox_inbox: Inbox) -> None:
    """Fails without `webhook_deliveries.replay`."""
    await sandbox_shop.v1.customers.create_async()
    await sandbox_inbox.types(1)
    first = sandbox_inbox.received[0]
    await sandbox_shop.control("POST", "replays", {"event": first.id, "times": 3})
    assert await sandbox_inbox.types(4) == ["customer.created"] * 4
    assert {event.id for event in sandbox_inbox.received} == {first.id}
    assert sandbox_inbox.received[3].data.object.id == first.data.object.id


async def test_a_replay_with_an_old_signature_is_tried_once(
    sandbox_shop: Shop, sandbox_inbox: Inbox
) -> None:
    """Fails without `signed_at`; a signature of another time is tried once."""
    await sandbox_shop.v1.customers.create_async()
    await sandbox_inbox.types(1)
    event = sandbox_inbox.received[0].id
    await sandbox_shop.control("POST", "replays", {"event": event, "age": 3_600})

    async def last() -> Any:
        row = (await sandbox_shop.control("GET", "deliveries"))["data"][-1]
        return row["status"], row["attempts"], row["code"]

    await wait_until_equal(last, ("refused", 1, 500))
    assert len(sandbox_inbox.received) == 1


async def test_a_tenant_ends_with_its_log(sandbox_shop: Shop) -> None:
    """Guard: `ControlApi.end_deployment`: what was not delivered is not tried again, and no timer
    runs. `add_deployment` registers the endpoint and answers with its secret."""
    url = f"http://127.0.0.1:{free_port()}/hooks"
    endpoint = {"url": url, "enabled_events": ["*"]}
    named = {"publishable_keys": [], "endpoints": [endpoint], "destinations": []}
    [secret] = (await sandbox_shop.control("POST", "deployments", named))["secrets"]
    assert secret.startswith("whsec_")
    await sandbox_shop.hold()
    log = await sandbox_shop.control("DELETE", "deployments")
    assert [each["path"] for each in log["requests"]] == ["/v1/payment_intents"]
    assert {each["status"] for each in log["deliveries"]} == {"pending"}
    assert (await sandbox_shop.control("GET", "clock"))["undelivered"] == 0
    await sandbox_shop.advance(30 * 86_400)
    assert (await sandbox_shop.control("GET", "deliveries"))["data"] == []
