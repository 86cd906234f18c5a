"""Work in parts: each delivered, approved and paid by itself; and what completes by itself."""

import asyncio
from datetime import timedelta

import pytest

from domain import completion
from domain.deal import Offer
from tests.work import PATIENCE, Work

THREE = [{"title": t, "amount": a} for t, a in (("A", 50_000), ("B", 30_001), ("C", 19_999))]


@pytest.fixture
async def work(market, server):
    return await Work(market, server).begin(milestones=THREE)


async def test_each_milestone_is_paid_by_itself(work):
    """Guard: `earned = before.uncompleted if last else ...` in `completion.complete_milestones`;
    with the whole each time the first milestone pays for all."""
    await work.deliver(milestone=2, note="The second.")
    done = await work.complete(milestone=2)
    assert (done["split"]["amount"], done["split"]["contractor_amount"]) == (30_001, 21_001)
    assert done["job"]["status"] == "in_progress"
    assert await work.books() == (10_000 + 6000, 100_000 - 10_000 - 30_001 + 3000)
    assert await work.wallet("available") == (21_001,)
    again = {"job_id": work.job["id"], "milestone": 2}
    await work.refuses(work.customer, "/job", "complete", again, "milestone_not_standing")
    done = await work.complete()
    assert done["job"]["status"] == "completed"
    assert await work.books() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)
    assert len(await work.listed("transfers")) == 3
    states = [milestone.status for milestone in (await work.stored()).milestones]
    assert states == ["completed"] * 3


async def test_milestones_completed_at_once_are_paid_once(work):
    """Guard: `only_if={"version": ...}` and the snapshot of `deal.change_offer`; without them two
    completions both read the money that is left, and book it twice."""
    orders = [work.complete(milestone=n) for n in (1, 2, 3, 3, 2, 1)]
    answers = await asyncio.gather(*orders, return_exceptions=True)
    paid = [a["split"]["amount"] for a in answers if isinstance(a, dict)]
    assert sorted(paid) == [19_999, 30_001, 50_000]
    assert await work.books() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)
    assert (await work.job_now())["status"] == "completed"


@pytest.mark.parametrize(
    ("milestones", "code"),
    [
        ([{"title": "A", "amount": 99_999}], "invalid"),
        ([{"title": "A", "amount": 99_999}, {"title": "B", "amount": 1}], "amount_not_payable"),
        ([{"title": "A", "amount": 5000}] * 21, "invalid"),
        ([{"title": " ", "amount": 100_000}], "invalid"),
        ([{"title": "A", "amount": 100_000, "status": "completed"}], "invalid"),
    ],
    ids=["sum", "small", "many", "title", "status"],
)
async def test_milestones_that_are_refused(market, server, milestones, code):
    """Guard: `_check_milestones` in `offers.create` and the limits of `MilestoneTerms`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    fields = {
        "job_id": job["id"], "contractor_id": contractor.id, "amount": 100_000, "currency": "USD",
        "description": "As discussed.", "timeline_days": 5, "milestones": milestones,
    }  # fmt: skip
    await Work(market, server).refuses(customer, "/bidding", "create", fields, code)


async def test_delivered_work_completes_by_itself(work):
    """Guard: `due_at` of `completion.deliver` and `change_offer`; without it a customer who is
    silent keeps the contractor's money for ever. Guard: `milestone.due_at <= uow.now`; without it
    everything delivered completes with the first."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    offer = await work.stored()
    assert offer.due_at == offer.milestones[0].due_at
    assert timedelta(days=6) < offer.due_at - ports.clock.now() <= timedelta(days=7)
    assert await completion.complete_due(ports) == 0
    await work.deliver(milestone=3)
    await _let_pass(work, 0)
    assert await completion.complete_due(ports) == 1
    states = [milestone.status for milestone in (await work.stored()).milestones]
    assert states == ["completed", "pending", "delivered"]
    assert (await work.stored()).due_at == (await work.stored()).milestones[2].due_at
    await work.books()
    assert await work.wallet("available") == (35_000,)


async def _let_pass(work, place, **fields):
    """As if the days had passed: the due time lies behind."""
    offer = await work.stored()
    past = work.server.ports.clock.now() - timedelta(seconds=1)
    await work.server.store.single().change(
        Offer, offer.id, due_at=past, **{f"milestones.{place}.due_at": past}, **fields
    )


async def test_the_customer_is_told_before(work):
    """Guard: `completion.remind_due`, once: `reminded_at`."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    assert await completion.remind_due(ports) == 0
    soon = ports.clock.now() + timedelta(hours=23)
    await work.server.store.single().change(Offer, work.offer["id"], due_at=soon)
    assert await completion.remind_due(ports) == 1
    assert await completion.remind_due(ports) == 0
    await work.customer.push(
        "/account", "notification", lambda notice: notice["kind"] == "completes_soon", PATIENCE
    )


async def test_what_a_refund_took_is_not_paid_out(work):
    """Guard: `min(milestone.amount, before.uncompleted)`; without it the last milestones pay out
    what the customer has back."""
    await work.refund(40_000)
    await work.market.settled(PATIENCE)
    paid = [(await work.complete(milestone=n))["split"]["amount"] for n in (1, 2, 3)]
    assert paid == [50_000, 10_000, 0]
    assert await work.books() == (18_000, 0)
    assert await work.wallet("available", "pending") == (42_000, 0)
