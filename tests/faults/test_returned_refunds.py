"""A refund that the customer's bank returns is parked until an administrator decides."""

import pytest

from domain import ledger
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.worlds import World

FEE = 1500  # of a dispute


async def let_return(work, amount):
    """A refund that was made and that the bank returned; as administrators see it."""
    await work.refund(amount)
    await work.market.settled(TIMEOUT)
    [*_, made] = await work.stripe_list("refunds")
    await work.sandbox.fail_refund(made["id"])
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "refund_failed", TIMEOUT)
    await work.market.settled(TIMEOUT)
    work.refunded = await parked(work)


async def parked(work):
    details = await work.as_admin("payment", payment_id=work.offer["payment_id"])
    [found] = [refund for refund in details["refunds"] if refund["parked"]]
    return found


async def return_a_part(work):
    await work.start_and_complete()
    await let_return(work, 50_000)


async def return_it_all(work):
    await work.start()
    await let_return(work, 100_000)


@pytest.fixture(scope="session")
def world_of_returned_part():
    return World(JobInProgress, return_a_part)


@pytest.fixture
async def returned(world_of_returned_part, market, server):
    """A completed job, half of whose payment was refunded and came back."""
    return await world_of_returned_part.enter(market, server)


@pytest.fixture(scope="session")
def world_of_returned_payment():
    return World(JobInProgress, return_it_all)


@pytest.fixture
async def ended(world_of_returned_payment, market, server):
    """A job that was cancelled, and whose whole payment was refunded and came back."""
    return await world_of_returned_payment.enter(market, server)


async def decide(work, refund, decision):
    return await work.as_admin(
        "refund_decide",
        payment_id=work.offer["payment_id"],
        refund_id=refund["id"],
        decision=decision,
        reason="The card is closed",
        expected_amount=refund["amount"],
    )


async def test_nobody_gets_the_money_before_it_is_undone(returned):
    """Guard: `parked` and `returned_amount` in `refunds._settle_returned`; without them the
    contractor has the money at once, and a second refund becomes their debt. And `undo_refund`,
    which restores the completed work for the sides of the job."""
    work, refund = returned, returned.refunded
    assert (refund["status"], refund["failure"]) == ("failed", "lost_or_stolen_card")
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("available", "pending", "debt") == (35_000, 0, 0)
    offer = await work.stored_offer()
    assert (offer.refunded_amount, offer.returned_amount, offer.net_amount) == (0, 50_000, 50_000)
    payment = await work.stored_payment()
    assert (payment.status, payment.refunded_amount) == ("captured", 0)
    alerts = await work.as_admin("alerts", kind="refund_failed")
    assert "The money is parked" in alerts["items"][0]["message"]
    kinds = await feed_values(work.customer, "notification", "kind")
    assert "refund_failed" in kinds
    admin, fields = work._admin, {"payment_id": work.offer["payment_id"], "reason": "Again"}
    too_much = {**fields, "amount": 60_000}
    await work.assert_refused(admin, "/admin", "refund", too_much, "amount_not_payable")
    await decide(work, refund, "undo")
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending", "debt") == (70_000, 0, 0)
    offer = await work.stored_offer()
    assert (offer.returned_amount, offer.completed_amount) == (0, 100_000)
    for party in (work.customer, work.contractor):
        assert "refund_undone" in await feed_values(party, "notification", "kind")


async def test_it_is_made_again_from_the_parked_money(returned):
    """Guard: `again` in `refunds._settle_made`: the second refund takes nothing from the
    contractor. `parked=refund.again` in `refunds._settle_refused`, and `_settle_returned`: money
    that comes back again is parked again."""
    work, refund = returned, returned.refunded
    await decide(work, refund, "again")
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("available", "pending", "debt") == (35_000, 0, 0)
    offer = await work.stored_offer()
    assert (offer.refunded_amount, offer.returned_amount) == (50_000, 0)
    assert [each.status for each in offer.refunds] == ["failed", "made"]
    assert (await work.stored_payment()).refunded_amount == 50_000
    again = {"payment_id": work.offer["payment_id"], "refund_id": refund["id"]}
    fields = {**again, "decision": "again", "reason": "Twice"}
    await work.assert_refused(work._admin, "/admin", "refund_decide", fields, "conflict")
    unknown = {**fields, "refund_id": "rfd_none"}
    await work.assert_refused(work._admin, "/admin", "refund_decide", unknown, "not_found")

    # The bank returns it as well, and Stripe refuses the next.
    [*_, made] = await work.stripe_list("refunds")
    await work.sandbox.fail_refund(made["id"])
    await work.market.settled(TIMEOUT)
    second = await parked(work)
    assert second["id"] != refund["id"]
    await work.sandbox.fault(
        path="/v1/refunds", method="POST", status=400, error={"code": "charge_disputed"}
    )
    await decide(work, second, "again")
    await work.market.settled(TIMEOUT)
    third = await parked(work)
    assert third["id"] not in (refund["id"], second["id"])
    assert await work.platform_and_escrow() == (15_000, 0)
    await decide(work, third, "undo")
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending", "debt") == (70_000, 0, 0)


async def test_it_is_undone_after_a_lost_chargeback(completed_work):
    """Guard: `undo_by_chargebacks` in `restore_completed`: what the money does not reach for is the
    contractor's again when the bank gives it back."""
    work = completed_work
    await let_return(work, 60_000)
    dispute = await work.sandbox.dispute((await work.stored_payment()).charge_id, 50_000)
    await work.sandbox.move_dispute(dispute["id"], "lost")
    await work.platform_and_escrow()
    assert (await work.stored_offer()).completed_amount == 0
    await decide(work, work.refunded, "undo")
    assert await work.platform_and_escrow() == (15_000 - FEE, 0)
    await work.sandbox.move_dispute(dispute["id"], "won")
    assert await work.platform_and_escrow() == (30_000 - FEE, 0)
    assert (await work.stored_offer()).completed_amount == 100_000


async def test_the_customer_is_paid_in_another_way(returned):
    """Guard: `settle_otherwise`: the platform has the parked money, and the offer has less."""
    work = returned
    await decide(work, work.refunded, "paid_otherwise")
    assert await work.platform_and_escrow() == (15_000 + 50_000, 0)
    assert await work.wallet("available", "pending", "debt") == (35_000, 0, 0)
    offer = await work.stored_offer()
    assert (offer.returned_amount, offer.paid_otherwise_amount) == (0, 50_000)
    assert (offer.net_amount, offer.refundable) == (50_000, 50_000)
    assert "refund_paid_otherwise" in await feed_values(work.customer, "notification", "kind")
    await work.refund()
    assert await work.platform_and_escrow() == (50_000, 0)


async def test_a_refund_in_the_dashboard_uses_the_parked_money(returned):
    """Guard: `same` in `refunds._with_external_refund`; without it the contractor pays for the
    second refund."""
    work = returned
    intent = (await work.stored_payment()).intent_id
    await work.sandbox.refund_in_dashboard(intent, 50_000)
    assert await work.platform_and_escrow() == (15_000, 0)
    assert await work.wallet("available", "pending", "debt") == (35_000, 0, 0)
    offer = await work.stored_offer()
    assert (offer.refunded_amount, offer.returned_amount) == (50_000, 0)


async def test_an_undone_refund_of_an_ended_job_is_divided_by_an_administrator(ended):
    """Guard: `resolution.dispute_recovered_money` in `refund_decisions._decide`; without it the
    money stays in escrow of a job without work."""
    work = ended
    assert (await work.current_job())["status"] == "cancelled"
    assert await work.platform_and_escrow() == (0, 0)
    await decide(work, work.refunded, "undo")
    await work._admin.push("/admin", "alert", lambda a: a["kind"] == "dispute_escalated", TIMEOUT)
    assert await work.platform_and_escrow() == (10_000, 90_000)


@pytest.mark.parametrize("decision", ["again", "paid_otherwise"])
async def test_the_refund_of_an_offer_that_was_never_accepted(ended, decision):
    """Guard: `accepted_at` in `undo_refund`: only the customer can have that money."""
    work = ended
    uow = work.server.store.single()
    rows = await work.market.rows(ledger.Transaction)
    assert [row.kind for row in rows].count("refund_failed") == 1
    await decide(work, work.refunded, decision)
    await work.platform_and_escrow()
    assert (await work.stored_offer()).returned_amount == 0
    assert (await ledger.total_of(uow, "escrow")).get("USD", 0) == 0
