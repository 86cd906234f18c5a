"""Disputes with several balance lines: what is lost is their sum, not the disputed amount."""

from datetime import timedelta

import pytest

from domain import ledger
from domain.deals.chargeback import Chargeback
from domain.reconciliation.runs import compare_stripe
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT

FEE = 1500


async def dispute(work, amount=None, **options):
    """A dispute at Stripe, once it is booked here."""
    made = await work.sandbox.dispute((await work.stored_payment()).charge_id, amount, **options)
    await work.market.settled(TIMEOUT)
    return made


async def chargeback(work):
    [found] = await work.market.rows(Chargeback)
    return found


async def losses(work):
    """The balance of the losses, which has no row: the sum of the journal."""
    rows = await work.market.rows(ledger.Transaction)
    moved = [posting for row in rows for posting in row.postings]
    into = sum(posting.amount for posting in moved if posting.destination == ledger.LOSSES)
    return into - sum(posting.amount for posting in moved if posting.source == ledger.LOSSES)


async def no_difference_to_stripe(work):
    now = work.server.ports.clock.now()
    day = timedelta(days=1)
    result = await compare_stripe(work.server.ports, now - day, now + day, repairs=False)
    assert result.differences == []


async def test_a_dispute_after_a_refund_gives_the_refunded_part_back(completed_work):
    """Guard: `withdrawn_amount` in `chargeback_booking.book_change`; by `amount` x status the 30.00
    that the bank gave back would be lost for ever."""
    work = completed_work
    await work.refund(30_000)
    await work.market.settled(TIMEOUT)
    made = await dispute(work, 100_000)
    assert (await work.stored_offer()).contested_amount == 100_000
    await work.sandbox.close_dispute(made["id"], won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await losses(work) == -30_000
    await work.sandbox.dispute_line(made["id"], 30_000)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await losses(work) == 0
    assert await work.wallet("available", "held", "debt") == (0, 0, 0)
    found = await chargeback(work)
    assert (found.status, found.amount, found.withdrawn_amount) == ("lost", 100_000, 70_000)
    offer = await work.stored_offer()
    assert (offer.charged_back_amount, offer.contested_amount, offer.net_amount) == (70_000, 0, 0)
    alerts = await work._admin.call("/admin", "alerts", {"kind": "chargeback_amount"})
    assert "gave 300.00 USD back" in alerts["items"][0]["message"]
    assert not alerts["items"][0]["urgent"]
    seen = await work.customer.call("/payment", "chargebacks")
    assert seen["items"][0]["withdrawn_amount"] == 70_000
    pushed = await feed_values(work.customer, "chargeback.updated", "withdrawn_amount")
    assert pushed[-1] == 70_000
    await no_difference_to_stripe(work)


async def test_the_part_comes_back_before_the_decision(completed_work):
    """Guard: `change_of_hold` releases what is not contested any more."""
    work = completed_work
    await work.refund(30_000)
    await work.market.settled(TIMEOUT)
    made = await dispute(work, 100_000)
    assert await work.wallet("available", "held") == (0, 49_000)
    await work.sandbox.dispute_line(made["id"], 30_000)
    await work.market.settled(TIMEOUT)
    assert (await work.stored_payment()).disputed_amount == 70_000
    assert await work.wallet("available", "held") == (0, 49_000)
    await work.sandbox.dispute_line(made["id"], 20_000)
    assert await work.platform_and_escrow() == (21_000 - FEE, 0)
    assert await work.wallet("available", "held") == (14_000, 35_000)
    await work.sandbox.close_dispute(made["id"], won=False)
    assert await work.platform_and_escrow() == (6000 - FEE, 0)
    assert await work.wallet("available", "held", "debt") == (14_000, 0, 0)
    await no_difference_to_stripe(work)


async def test_two_lines_are_their_sum(completed_work):
    """Guard: as above: lines of -100.00 and -1.20 are 101.20, of which 1.20 is the platform's loss,
    because it is not paid."""
    work = completed_work
    made = await dispute(work)
    await work.sandbox.dispute_line(made["id"], -120)
    await work.market.settled(TIMEOUT)
    assert (await chargeback(work)).withdrawn_amount == 100_120
    assert (await work.stored_offer()).contested_amount == 100_120
    await work.sandbox.close_dispute(made["id"], won=False)
    assert await work.platform_and_escrow() == (-FEE, 0)
    assert await losses(work) == -120
    assert (await work.stored_offer()).charged_back_amount == 100_120
    await no_difference_to_stripe(work)


async def test_a_won_dispute_stays_frozen_until_its_money_is_back(completed_work):
    """Guard: `Chargeback.contested`: after a decision for us a line may still be missing, which is
    no money of ours yet."""
    work = completed_work
    made = await dispute(work)
    await work.sandbox.dispute_line(made["id"], -120)
    await work.market.settled(TIMEOUT)
    await work.sandbox.close_dispute(made["id"], won=True)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    await work.sandbox.dispute_line(made["id"], -500)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    found = await chargeback(work)
    assert (found.status, found.withdrawn_amount, found.contested_amount) == ("won", 500, 500)
    await work.sandbox.dispute_line(made["id"], 500)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert (await work.stored_payment()).disputed_amount == 0
    assert await work.wallet("available", "held", "debt") == (70_000, 0, 0)
    await no_difference_to_stripe(work)


async def test_an_inquiry_with_lines_freezes_their_sum(completed_work):
    """Guard: the sum decides, not the status: some networks withdraw money for an inquiry."""
    work = completed_work
    made = await dispute(work, inquiry=True)
    assert (await work.stored_offer()).contested_amount == 0
    await work.sandbox.dispute_line(made["id"], -40_000)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert await work.wallet("available", "held") == (42_000, 28_000)
    assert (await chargeback(work)).status == "inquiry"
    await work.sandbox.move_dispute(made["id"], "warning_closed")
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert await work.wallet("available", "held") == (70_000, 0)
    await no_difference_to_stripe(work)


async def test_evidence_is_under_review_before_it_wins(work):
    """Guard: the sandbox decides later, as Stripe does: the answer to evidence is no verdict."""
    admin = await work.market.admin()
    opened = await work.open_chargeback()
    await work.decide_chargeback(opened, won=True)
    await work.market.settled(TIMEOUT)
    events = await work.sandbox.events("charge.dispute.*")
    seen = [event["data"]["object"]["status"] for event in events]
    assert seen[-3:] == ["under_review", "won", "won"]
    kinds = await feed_values(work.customer, "chargeback.updated", "status")
    assert (kinds[0], kinds[-1]) == ("open", "won")
    lines = (await work.sandbox.api("GET", "balance_transactions", type="adjustment"))["data"]
    assert [line["reporting_category"] for line in lines] == ["dispute_reversal", "dispute"]
    await admin.push("/admin", "alert", lambda alert: alert["kind"] == "chargeback_won", TIMEOUT)
    assert await work.platform_and_escrow() == (10_000 - FEE, 90_000)


@pytest.mark.parametrize("won", [True, False])
async def test_a_payout_that_comes_back_during_a_dispute_is_held(completed_work, won):
    """Guard: `holds.settle_available` in `withdrawals._return_to_wallet`; without it the contractor
    withdraws the returned money again, and a lost dispute becomes debt."""
    work = completed_work
    await work.sandbox.settings(payout_delay_seconds=3600)
    await work.market.withdraw(work.contractor, 70_000)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "in_transit", TIMEOUT
    )
    made = await dispute(work)
    assert await work.wallet("available", "held", "in_transit") == (0, 0, 70_000)
    [payout] = (await work.sandbox.api("GET", "payouts", account=await account_of(work)))["data"]
    await work.sandbox.fail_payout(payout["id"])
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "held", "in_transit") == (0, 70_000, 0)
    withdraw = {"amount": 1000}
    await work.assert_refused(
        work.contractor, "/wallet", "withdraw", withdraw, "insufficient_funds"
    )
    assert "money_held" in await feed_values(work.contractor, "notification", "kind")
    await work.sandbox.close_dispute(made["id"], won=won)
    assert await work.platform_and_escrow() == ((30_000 if won else 0) - FEE, 0)
    assert await work.wallet("available", "held", "debt") == (70_000 * won, 0, 0)


async def account_of(work):
    [transfer] = await work.stripe_list("transfers")
    return transfer["destination"]


async def test_what_arrives_during_a_dispute_is_held_up_to_the_risk(two_jobs):
    """Guard: `settle_available` in `transfer_tasks.make_available`."""
    work = two_jobs
    await work.withdraw(50_000)
    made = await dispute(work)
    assert await work.wallet("available", "held") == (0, 20_000)
    await work.market.complete(work.customer, work.later_job)
    await work.market.settled(TIMEOUT)
    assert await work.wallet("available", "held") == (90_000, 70_000)
    await work.sandbox.close_dispute(made["id"], won=False)
    assert await work.platform_and_escrow() == (60_000 - FEE, 0)
    assert await work.wallet("available", "held", "debt") == (90_000, 0, 0)


async def test_a_record_without_lines_is_read_as_before(completed_work):
    """Guard: None in `Chargeback.withdrawn`: records from before lines were kept are not booked
    twice."""
    work = completed_work
    made = await dispute(work)
    uow = work.server.store.single()
    await uow.change(Chargeback, (await chargeback(work)).id, withdrawn_amount=None)
    await work.sandbox.close_dispute(made["id"], won=True)
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert (await chargeback(work)).withdrawn_amount == 0
