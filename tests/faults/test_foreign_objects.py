"""Other integrations on the same Stripe account, and a key that may not use a resource."""

from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.kernel.outbox import LEASE
from domain.ledger.transaction import Transaction
from domain.notifications.alerts import AlertRecord
from domain.reconciliation.books_audit import audit
from domain.reconciliation.runs import compare_books
from domain.stripe_events.inbox import EventStatus, WebhookEvent
from tests.faults.outcome import until
from tests.support.job_in_progress import TIMEOUT
from tests.support.stripe_event_samples import make_event, post_event

FORBIDDEN = {
    "status": 403,
    "error": {
        "type": "invalid_request_error",
        "message": "The provided key does not have the required permissions for this endpoint.",
    },
}


async def foreign_payment(work):
    """A charge that another integration made on the same account; returns its PaymentIntent."""
    return await work.sandbox.api(
        "POST",
        "payment_intents",
        amount=5000,
        currency="usd",
        payment_method="pm_card_visa",
        confirm="true",
        **{
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
        },
    )


async def account_of(work):
    return (await work.server.store.single().get(User, work.contractor.id)).connect_id


async def events_of(market, *types):
    return [row for row in await market.rows(WebhookEvent) if row.type in types]


async def test_each_kind_of_foreign_object_ends_quietly(work, monkeypatch):
    """Guard: `NotOurs` in `inbox.ProcessEvent`: an event about an object that no record names was
    tried twelve times and became a dead letter. No money is booked, and no alert is raised.

    Also of `is_foreign_intent` and its siblings in `books_audit`, and of `_reversed_transfer`:
    the books are clean."""
    monkeypatch.setattr("domain.stripe_events.inbox.UNKNOWN_ACCOUNT_GRACE", -LEASE)
    sandbox, market = work.sandbox, work.market
    booked = await market.rows(Transaction)
    alerts = await market.rows(AlertRecord)
    intent = await foreign_payment(work)
    charge = intent["latest_charge"]
    dispute = await sandbox.dispute(charge, 2000)
    await sandbox.close_dispute(dispute["id"], won=True)
    await sandbox.refund_in_dashboard(intent["id"], 1000)
    capable = {"transfers": {"requested": True}}
    express = {"type": "express", "country": "US", "capabilities": capable}
    stranger = await sandbox.onboarded_account(express, {"name": "Stranger"}, ["usd"])
    await sandbox.api("POST", f"accounts/{stranger['id']}", email="other@shop.test")
    transfer = await sandbox.api(
        "POST", "transfers", amount=500, currency="usd", destination=stranger["id"]
    )
    await sandbox.reverse_transfer(transfer["id"], 200)

    async def processed():
        await market.settled()
        kinds = {
            "payment_intent.succeeded",
            "charge.refunded",
            "charge.dispute.created",
            "charge.dispute.closed",
            "transfer.reversed",
        }
        ended = [row.type for row in await market.rows(WebhookEvent, status="not_ours")]
        return kinds <= set(ended)

    await until(processed, TIMEOUT)
    assert not await market.rows(WebhookEvent, status=EventStatus.DEAD)
    assert await market.rows(Transaction) == booked
    assert await market.rows(AlertRecord) == alerts
    reasons = {row.reason for row in await market.rows(WebhookEvent, status="not_ours")}
    assert all(reasons)
    ports = work.server.ports
    assert (await audit(ports)).differences == []
    now, day = ports.clock.now(), timedelta(days=1)
    compared = await compare_books(ports, now - day, now + day)
    assert (compared.differences, compared.foreign) == ([], 6)
    assert await market.rows(Transaction) == booked
    assert (await audit(work.server.ports)).differences == []


UNKNOWN = {
    "payment_intent": ("payment_intent.succeeded", "pi_unknown"),
    "charge": ("charge.refunded", "ch_unknown"),
    "refund": ("refund.updated", "re_unknown"),
    "dispute": ("charge.dispute.created", "dp_unknown"),
    "transfer": ("transfer.updated", "tr_unknown"),
    "account": ("account.updated", "acct_unknown"),
    "capability": ("capability.updated", "acct_unknown"),
}


async def test_objects_that_stripe_does_not_have(market, server):
    """Guard: `_read` in `inbox`: Stripe's `resource_missing` about an object that no record names
    is an answer and no failure."""
    for kind, (type, id) in UNKNOWN.items():
        object = {"id": id, "object": kind}
        event = make_event(f"evt_{kind}", type=type, data={"object": object})
        assert await post_event(market, event) == 200
    await market.settled(TIMEOUT)
    rows = await market.rows(WebhookEvent)
    assert {row.id for row in rows} == {f"evt_{kind}" for kind in UNKNOWN}
    for row in rows:
        assert (row.status, row.attempts, row.last_error) == ("not_ours", 1, None), row
        assert row.reason and row.processed_at
    assert not await market.rows(AlertRecord)


OWN = ("charge", "payment_intent", "dispute", "transfer", "refund")


async def test_what_a_connected_account_does_by_itself(work):
    """Guard: `event.account` in the handlers: charges of a connected account are its own; and
    `_read` in `inbox._process_payout`: the payout is unknown to Stripe and to us."""
    account = await account_of(work)

    async def post(type, **thing):
        event = make_event(f"evt_{type}", type=type, account=account, data={"object": thing})
        assert await post_event(work.market, event) == 200

    for kind in OWN:
        await post(f"{kind}.updated", id="xx_1", object=kind, payment_intent="pi_own")
    await post("payout.paid", id="po_unknown", object="payout")
    await work.market.settled(TIMEOUT)
    for type in (*(f"{kind}.updated" for kind in OWN), "payout.paid"):
        (row,) = await events_of(work.market, type)
        assert row.status == "not_ours", type
        assert row.attempts == 1 or type != "payout.paid"


async def test_an_account_of_another_platform(market, server, monkeypatch):
    """Guard: `_check_account` in `ProcessEvent`. It is shown, can be replayed, and
    raises no alert."""
    monkeypatch.setattr("domain.stripe_events.inbox.UNKNOWN_ACCOUNT_GRACE", -LEASE)
    admin = await market.admin()
    assert await post_event(market, make_event(account="acct_stranger")) == 200
    await market.settled(TIMEOUT)
    listed = await admin.call("/admin", "webhook_events", {"status": "not_ours"})
    assert listed["items"][0]["reason"] == "No contractor has the account acct_stranger."
    assert not await market.rows(AlertRecord)
    await admin.call("/admin", "replay", {"event_id": "evt_1"})
    await market.settled(TIMEOUT)
    assert [row.status for row in await market.rows(WebhookEvent)] == ["not_ours"]


# -- a key that may not use a resource ----------------------------------------------------------


async def forbid(sandbox, path, status=403):
    await sandbox.fault(path=path, method="POST", times=1000, **{**FORBIDDEN, "status": status})


async def alerts_of(market, kind, subject=None):
    rows = [row for row in await market.rows(AlertRecord) if row.kind == kind]
    return [row for row in rows if subject in (None, row.subject)]


async def told_of(market, resource):
    async def written():
        return await alerts_of(market, "stripe_forbidden", resource)

    (alert,) = await until(written, TIMEOUT)
    return alert


@pytest.mark.usefixtures("prompt_retries")
async def test_a_forbidden_capture_fails_nothing(negotiation):
    """Guard: `is_forbidden` in `_problem`: a 403 was a definite no, which failed the capture and
    the offer."""
    market = negotiation.market
    for status in (401, 403):
        offer = await negotiation.pending_offer()
        await forbid(negotiation.sandbox, "/v1/payment_intents/*/capture", status)
        await negotiation.contractor.call("/bidding", "accept", {"offer_id": offer["id"]})
        alert = await told_of(market, "payment_intents")
        assert "Stripe's dashboard" in alert.message and "required permissions" in alert.message
        shown = await negotiation.customer.call("/bidding", "get", {"offer_id": offer["id"]})
        assert shown["status"] == "accepting", status
        await negotiation.sandbox.clear_faults()
        await negotiation.wait_for_push(negotiation.contractor, "offer.accepted", offer)
        assert (await told_of(market, "payment_intents")).count == 1
        await negotiation.server.store.single().remove(AlertRecord, {"_id": alert.id})
        await negotiation.add_job()
    assert (await audit(negotiation.server.ports)).differences == []


@pytest.mark.usefixtures("prompt_retries")
async def test_a_forbidden_refund_transfer_and_payout_fail_nothing(work):
    """The refund waits and is made once the permission is there, then the transfer, and then the
    withdrawal, each with its alert."""
    await forbid(work.sandbox, "/v1/refunds")
    await work.refund(30_000)
    await told_of(work.market, "refunds")
    assert (await work.stored_payment()).refunded_amount == 0
    assert not await alerts_of(work.market, "refund_failed")
    await work.sandbox.clear_faults()
    await until(lambda: refunded(work))
    await forbid(work.sandbox, "/v1/transfers")
    await work.complete()
    await told_of(work.market, "transfers")
    await work.sandbox.clear_faults()
    await until(lambda: wallet_has(work, 49_000))
    await forbid(work.sandbox, "/v1/payouts")
    asked = await work.contractor.call("/wallet", "withdraw", {"amount": 49_000})
    await told_of(work.market, "payouts")
    shown = await work.contractor.call("/wallet", "withdrawal", {"withdrawal_id": asked["id"]})
    assert shown["status"] == "requested"
    await work.sandbox.clear_faults()
    await until(lambda: withdrawal_is(work, asked["id"], "paid"))
    assert (await audit(work.server.ports)).differences == []


async def refunded(work):
    return (await work.stored_payment()).refunded_amount == 30_000


async def wallet_has(work, amount):
    return (await work.wallet("available"))[0] == amount


async def withdrawal_is(work, id, status):
    shown = await work.contractor.call("/wallet", "withdrawal", {"withdrawal_id": id})
    return shown["status"] == status


async def test_a_closed_account_is_still_a_definite_answer(work):
    """Guard: `ACCOUNT_GONE`: the 403 of an account that was closed is about the account."""
    account = await account_of(work)
    await work.sandbox.close_account(account)
    await work.market.settled(TIMEOUT)
    assert (await work.server.ports.gateway.account(account)).closed
    assert not await alerts_of(work.market, "stripe_forbidden")
