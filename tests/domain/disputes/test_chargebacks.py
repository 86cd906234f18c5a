"""Chargebacks: money is frozen until the bank decides, and then released or divided."""

import pytest

from domain import ledger
from domain.deals.chargeback import Chargeback
from domain.deals.payment import Payment
from domain.disputes.chargebacks import refresh_dispute
from domain.operations.task import TryAgain
from domain.payouts.transfer import Transfer
from tests.support.job_in_progress import TIMEOUT, JobInProgress

FEE = 1500


async def test_a_chargeback_freezes_the_payment(work):
    """Guard: `contested_amount` in `require_not_frozen`, `Offer.refundable` and
    `transfer_tasks.start_sending`."""
    chargeback = await work.open_chargeback()
    assert (chargeback["amount"], chargeback["fee_amount"]) == (100_000, FEE)
    assert (await work.stored_payment()).disputed_amount == 100_000
    assert await work.platform_and_escrow() == (10_000 - FEE, 90_000)
    job = {"job_id": work.job["id"]}
    await work.assert_refused(work.customer, "/job", "complete", job, "payment_disputed")
    admin = await work.market.admin()
    fields = {"payment_id": work.offer["payment_id"], "reason": "Now"}
    await work.assert_refused(admin, "/admin", "refund", fields, "not_refundable")


async def test_a_won_chargeback_restores_the_balances(work):
    """Guard: `chargeback_booking._book_withdrawn`; Stripe keeps its fee."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    chargeback = await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "held") == (0, 70_000)
    await work.decide_chargeback(chargeback, won=True)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert await work.wallet("available", "held", "debt") == (70_000, 0, 0)
    assert (await work.stored_payment()).disputed_amount == 0
    await work.withdraw(70_000)


async def test_a_lost_chargeback_is_divided_like_a_refund(work):
    """Guard: `rebook` in `chargeback_booking._book_lost`: the platform returns its fees, the
    contractor the held money."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await work.wallet("available", "held", "debt") == (0, 0, 0)
    assert [t["amount_reversed"] for t in await work.stripe_list("transfers")] == [70_000]


async def test_a_chargeback_lost_after_the_payout_becomes_debt(work):
    """Guard: `wallet.available` in `holds.change_of_hold`, and the debt in
    `allocation.claw_back`."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.withdraw(50_000)
    chargeback = await work.open_chargeback()
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "held") == (0, 20_000)
    await work.decide_chargeback(chargeback, won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await work.wallet("available", "held", "debt") == (0, 0, -50_000)
    later = await JobInProgress(work.market, work.server).start_and_complete(
        customer=work.customer, contractor=work.contractor
    )
    assert await later.wallet("available", "debt") == (20_000, 0)


async def test_a_chargeback_lost_before_completion_ends_the_job(work):
    """Guard: `fulfillment.work.cancel_open_milestones` in `resolution.end_after_full_loss`; without
    it the job continues without money."""
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert (await work.current_job())["status"] == "cancelled"


async def test_a_lost_chargeback_ends_the_dispute(work):
    """Guard: `resolution.end_after_full_loss`; without it a dispute about no money waits for an
    administrator, and the job stays in dispute."""
    dispute = await work.open_dispute()
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    resolved = await work.customer.call("/payment", "dispute", {"dispute_id": dispute["id"]})
    assert (resolved["status"], resolved["refund_amount"]) == ("resolved", 100_000)
    assert (resolved["timeline"][-1]["kind"], resolved["timeline"][-1]["by"]) == (
        "resolve",
        "system",
    )
    job = await work.current_job()
    assert (job["status"], job["dispute_id"]) == ("cancelled", None)


async def win_after_loss(work):
    """A chargeback is lost and then won. Returns the dispute that an administrator has to
    decide."""
    admin = await work.market.admin()
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    (found,) = await work.market.rows(Chargeback)
    await work.sandbox.close_dispute(found.stripe_id, won=True)
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == "dispute_escalated", TIMEOUT)
    return await work.customer.call("/payment", "dispute", {"dispute_id": alert["subject"]})


async def test_a_chargeback_won_after_the_job_ended_opens_a_dispute(work):
    """Guard: `resolution.dispute_recovered_money` in `chargeback_booking._continue`; without it the
    money stays in escrow. Guard: `is_open` in `resolution._end_milestones`: cancelled milestones
    stay cancelled."""
    dispute = await win_after_loss(work)
    assert (dispute["status"], dispute["amount"]) == ("escalated", 100_000)
    assert await work.platform_and_escrow() == (10_000 - FEE, 90_000)
    await work.as_admin("resolve", dispute_id=dispute["id"], refund_amount=40_000, reason="Begun")
    assert await work.platform_and_escrow() == (6000 + 12_000 - FEE, 0)
    assert await work.wallet("available", "pending") == (42_000, 0)
    job = await work.current_job()
    assert (job["status"], job["dispute_id"]) == ("cancelled", None)
    assert [each.status for each in (await work.stored_offer()).milestones] == ["cancelled"]


async def test_a_late_dispute_is_about_cancelled_milestones_only(market, server):
    """Guard: `MilestoneStatus.CANCELLED` in `resolution.dispute_recovered_money`; without it
    completed milestones are paid twice."""
    parts = [{"title": "A", "amount": 60_000}, {"title": "B", "amount": 40_000}]
    work = await JobInProgress(market, server).start(milestones=parts)
    await work.complete(milestone=1)
    await market.settled(TIMEOUT)
    dispute = await win_after_loss(work)
    assert (dispute["milestones"], dispute["amount"]) == ([2], 40_000)
    await work.as_admin(
        "resolve", dispute_id=dispute["id"], refund_amount=40_000, reason="Not done"
    )
    assert await work.platform_and_escrow() == (18_000 - FEE, 0)
    assert await work.wallet("available", "pending", "debt") == (42_000, 0, 0)


async def test_a_transfer_waits_for_the_decision(market, server):
    """Guard: the offer's `contested_amount` in `transfer_tasks.start_sending`; without it contested
    money is transferred and would have to be reversed."""
    work = await JobInProgress(market, server).start(onboarded=False)
    await work.complete()
    chargeback = await work.open_chargeback()
    await market.onboard(work.contractor)
    await market.settled(TIMEOUT)
    assert await work.stripe_list("transfers") == []
    assert await work.wallet("pending", "available") == (70_000, 0)
    await work.decide_chargeback(chargeback, won=True)
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)


async def test_a_chargeback_of_a_payment_without_intent_id(work):
    """Guard: the metadata in `charges.payment_of_intent`; without it the event is done, and the
    chargeback is missed until the next reconciliation."""
    payment = await work.stored_payment()
    uow = work.server.store.single()
    await work.sandbox.fault(webhook="*", drop=True, times=100)
    made = await work.sandbox.dispute(payment.charge_id)
    await uow.change(Payment, payment.id, intent_id=None, captured_amount=0)
    with pytest.raises(TryAgain):
        await refresh_dispute(work.server.ports, made["id"])
    await uow.change(Payment, payment.id, captured_amount=payment.captured_amount)
    await refresh_dispute(work.server.ports, made["id"])
    await uow.change(Payment, payment.id, intent_id=payment.intent_id)
    assert [found.status for found in await work.market.rows(Chargeback)] == ["open"]
    assert await work.platform_and_escrow() == (10_000 - FEE, 90_000)


async def test_a_dispute_first_seen_after_its_decision(work):
    """Guard: `_book_withdrawn` in `chargeback_booking.book_change`; without it the books of a
    dispute that is first seen as decided lack the withdrawn amount."""
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.sandbox.fault(webhook="charge.dispute.*", drop=True, times=100)
    charge = (await work.stored_payment()).charge_id
    made = await work.sandbox.control("POST", "disputes", {"charge": charge})
    id = made["data"][0]["id"]
    await work.sandbox.api(
        "POST", f"disputes/{id}", **{"evidence[uncategorized_text]": "losing_evidence"}
    )
    for _ in range(2):
        await refresh_dispute(work.server.ports, id)
    assert await work.platform_and_escrow() == (-FEE, 0)
    found = (await work.market.rows(Chargeback))[0]
    assert (found.status, found.steps) == ("lost", 1)
    kinds = [row.kind for row in await work.market.rows(ledger.Transaction)]
    assert kinds.count("chargeback_opened") == kinds.count("chargeback_lost") == 1
    assert (await work.market.rows(Transfer))[0].status == "reversed"


async def test_evidence_is_read_again(work):
    """Guard: `ChargebackEvidence` in `chargebacks.evidence`, and `chargebacks.chargeback`: drafts
    and what the bank got are kept, the newest first."""
    opened = await work.open_chargeback()
    id = {"chargeback_id": opened["id"]}
    for text, submit in (("First words", False), ("It was painted", True)):
        await work.as_admin("evidence", **id, uncategorized_text=text, submit=submit)
    await work.market.settled(TIMEOUT)
    seen = await work.as_admin("chargeback", **id)
    assert [(each["uncategorized_text"], each["submit"]) for each in seen["evidence"]] == [
        ("It was painted", True),
        ("First words", False),
    ]
    assert seen["evidence"][0]["by"] == work._admin.id
    assert set(seen["names"]) == {work.customer.id, work.contractor.id, work._admin.id}
    assert seen["stripe_id"].startswith("dp_") and "steps" not in seen
    stored = await work.server.store.database["chargeback_evidence"].find_one()
    assert "painted" not in str(stored)
