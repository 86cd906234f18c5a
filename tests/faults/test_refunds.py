"""Refunds that race, come late, exceed what is there, or are sent back."""

import asyncio

from domain.ledger.transaction import Transaction
from tests.faults.outcome import told
from tests.support.job_in_progress import PATIENCE, Work


async def test_refund_webhook_before_the_api_reply(impatient, work):
    """Guard: `metadata["fact"]` in `refunds._is`: the event knows the refund before we know its
    id; taken for another one it would be booked twice."""
    await work.sandbox.fault(path="/v1/refunds", method="POST", when="after", delay=3)
    await work.refund(40_000)
    await work.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == 40_000, PATIENCE
    )
    assert await work.books() == (6000, 54_000)
    assert [row.kind for row in await work.market.rows(Transaction)].count("refunded") == 1
    assert len(await work.listed("refunds")) == 1


async def test_refund_after_transfer_with_balance(done):
    """Guard: `call_back` in `allocation.take`: the contractor's part is reversed at Stripe."""
    await done.refund()
    assert await done.books() == (0, 0)
    assert await done.wallet("available", "pending", "debt") == (0, 0, 0)
    assert [t["amount_reversed"] for t in await done.listed("transfers")] == [70_000]
    await refund_was_told(done)
    assert (await told(done.contractor, "wallet.updated", "available"))[-1] == 0


async def test_refund_after_transfer_without_balance(done):
    """Guard: the debt in `allocation.take`; later earnings pay it first (`repaid` in `give`)."""
    await done.withdraw(70_000)
    await done.refund()
    assert await done.books() == (0, 0)
    assert await done.wallet("available", "debt") == (0, -70_000)
    assert [t["amount_reversed"] for t in await done.listed("transfers")] == [0]
    await refund_was_told(done)
    assert (await told(done.contractor, "wallet.updated", "debt"))[-1] == -70_000
    later = await Work(done.market, done.server).done(
        customer=done.customer, contractor=done.contractor
    )
    assert await later.books() == (30_000, 0)
    assert await later.wallet("available", "pending", "debt") == (0, 0, 0)


async def refund_was_told(done):
    """Once, to both sides, with the whole amount."""
    for party in (done.customer, done.contractor):
        back = await told(party, "payment.updated", "refunded_amount")
        assert [amount for amount in back if amount] == [100_000]
        kinds = await told(party, "notification", "kind")
        assert kinds.count("refund_made") == 1


async def test_refund_failed(done):
    """Guard: `_returned` in `refunds.settle_refund`, its alert, and the transfer sent again."""
    await done.refund(50_000)
    await done.market.settled(PATIENCE)
    await done.sandbox.fail_refund((await done.listed("refunds"))[0]["id"])
    await done._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_failed", PATIENCE)
    assert await done.books() == (30_000, 0)
    assert await done.wallet("available", "pending", "debt") == (70_000, 0, 0)
    assert (await done.payment()).status == "captured"


async def test_refund_during_dispute(work):
    """Guard: `DisputeOpen` and `contested_amount` in `wallet_actions.refund`."""
    dispute = await work.dispute()
    admin = await work.market.admin()
    fields = {"payment_id": work.offer["payment_id"], "reason": "Now"}
    await work.refuses(admin, "/admin", "refund", fields, "dispute_open")
    await work.admin("resolve", dispute_id=dispute["id"], refund_amount=0, reason="Done well")
    await work.market.settled(PATIENCE)
    await work.charge_back()
    await work.market.settled(PATIENCE)
    await work.refuses(admin, "/admin", "refund", fields, "not_refundable")
    assert await work.listed("refunds") == []


async def test_refund_promised_when_the_card_is_disputed(work):
    """Guard: `_refused` in `refunds.settle_refund`: Stripe refunds no disputed charge."""
    await work.sandbox.fault(path="/v1/refunds", method="POST", status=500, times=1)
    await asyncio.gather(work.refund(30_000), work.charge_back())
    offer = await work.stored()
    await work.market.settled(PATIENCE)
    offer = await work.stored()
    assert offer.refunds[0].status in ("failed", "made")
    assert offer.refundable >= 0 or offer.contested_amount
    await work.books()
