"""Milestones: each is delivered, approved and paid separately, and completes automatically."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from domain.deals.offer import Offer, change_offer
from domain.fulfillment import auto_completion
from domain.kernel.errors import Conflict
from domain.notifications.text import date_text
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.worlds import World

DAY, WEEK = timedelta(days=1), timedelta(days=7)

THREE = [{"title": t, "amount": a} for t, a in (("A", 50_000), ("B", 30_001), ("C", 19_999))]


@pytest.fixture(scope="session")
def world_of_milestones():
    return World(JobInProgress, partial(JobInProgress.start, milestones=THREE))


@pytest.fixture
async def work(world_of_milestones, market, server):
    await server.web.scheduler.stop()  # the test calls its jobs
    return await world_of_milestones.enter(market, server)


async def test_each_milestone_is_paid_by_itself(work):
    """Guard: `earned = before.earnable if last else ...` in
    `fulfillment.work.complete_milestones`; with the whole each time the first milestone pays for
    all."""
    await work.deliver(milestone=2, note="The second.")
    done = await work.complete(milestone=2)
    assert (done["split"]["amount"], done["split"]["contractor_amount"]) == (30_001, 21_001)
    assert done["job"]["status"] == "in_progress"
    assert await work.platform_and_escrow() == (10_000 + 6000, 100_000 - 10_000 - 30_001 + 3000)
    assert await work.wallet("available") == (21_001,)
    again = {"job_id": work.job["id"], "milestone": 2}
    await work.assert_refused(work.customer, "/job", "complete", again, "milestone_not_standing")
    done = await work.complete()
    assert done["job"]["status"] == "completed"
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)
    assert len(await work.stripe_list("transfers")) == 3
    states = [milestone.status for milestone in (await work.stored_offer()).milestones]
    assert states == ["completed"] * 3


async def test_long_notes_do_not_fill_the_offer(market, server):
    """Guard: MAX_MILESTONES_BYTES in `fulfillment.work.deliver`: one note is written to every
    milestone, and each change of the offer pushes all of them."""
    parts = [{"title": str(n), "amount": 5000} for n in range(20)]
    work = await JobInProgress(market, server).start(milestones=parts)
    fields = {"job_id": work.job["id"], "note": "\U0001f600" * 4000}
    await work.assert_refused(work.contractor, "/job", "deliver", fields, "invalid")
    await work.deliver(milestone=1, note=fields["note"])


async def test_milestones_completed_concurrently_are_paid_once(work):
    """Guard: `only_if={"version": ...}` and the snapshot of `offer.change_offer`; without them two
    completions read the same remaining money and book it twice."""
    orders = [work.complete(milestone=n) for n in (1, 2, 3, 3, 2, 1)]
    answers = await asyncio.gather(*orders, return_exceptions=True)
    paid = [a["split"]["amount"] for a in answers if isinstance(a, dict)]
    assert sorted(paid) == [19_999, 30_001, 50_000]
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available", "pending") == (70_000, 0)
    assert (await work.current_job())["status"] == "completed"


async def test_an_offer_that_has_changed_since_it_was_read_is_not_changed(work):
    """Guard: `only_if={"version": ...}` in `offer.change_offer`."""
    read = await work.stored_offer()
    uow = work.server.store.single()
    changed = await uow.change(Offer, read.id, due_at=None)
    with pytest.raises(Conflict):
        await change_offer(uow, read, completed_amount=1)
    assert await work.stored_offer() == changed


INVALID_MILESTONES = {
    # name: (milestones, code)
    "sum": ([{"title": "A", "amount": 99_999}], "invalid"),
    "small": (
        [{"title": "A", "amount": 99_999}, {"title": "B", "amount": 1}],
        "amount_not_payable",
    ),
    "many": ([{"title": "A", "amount": 5000}] * 21, "invalid"),
    "title": ([{"title": " ", "amount": 100_000}], "invalid"),
    "status": ([{"title": "A", "amount": 100_000, "status": "completed"}], "invalid"),
}


async def test_invalid_milestones_are_refused(market, server):
    """Guard: `_check_milestones` in `offers.create` and the limits of `MilestoneTerms`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    fields = {
        "job_id": job["id"],
        "contractor_id": contractor.id,
        "amount": 100_000,
        "currency": "USD",
        "description": "As discussed.",
        "timeline_days": 5,
    }
    before = await market.traces()
    for name, (milestones, code) in INVALID_MILESTONES.items():
        answer = await customer.ack("/bidding", "create", {**fields, "milestones": milestones})
        assert answer["ok"] is False and answer["error"]["code"] == code, (name, answer)
    assert await market.traces() == before


async def test_delivered_work_completes_automatically(work):
    """Guard: `due_at` of `fulfillment.work.deliver` and `change_offer`; without it a customer who
    does not answer keeps the money for ever. Guard: `m.due_at <= uow.now`; without it all delivered
    milestones complete with the first."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    offer = await work.stored_offer()
    assert offer.due_at == offer.milestones[0].due_at
    assert timedelta(days=6) < offer.due_at - ports.clock.now() <= timedelta(days=7)
    assert await auto_completion.complete_due(ports) == 0
    await work.pass_time(WEEK - DAY)
    assert await auto_completion.announce_due(ports) == 1
    await work.deliver(milestone=3)
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "pending", "delivered"]
    assert (await work.stored_offer()).due_at == (await work.stored_offer()).milestones[2].due_at
    await work.platform_and_escrow()
    assert await work.wallet("available") == (35_000,)


async def states(work):
    return [milestone.status for milestone in (await work.stored_offer()).milestones]


async def announced(work, count):
    """The texts of the notifications about work that completes soon."""
    await work.market.settled(TIMEOUT)
    rows = [p.data for p in work.customer.received("/account", "notification")]
    notices = [row for row in rows if row["kind"] == "completes_soon"]
    assert len(notices) == count
    return notices


async def test_each_milestone_is_announced_with_its_own_amount(work):
    """Guard: `announced_at` of a milestone, and `announce_at`, which forgets those announced.
    Guard: `offer.open_amount(numbers)` in `auto_completion._announce_milestones`."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    await work.pass_time(DAY)
    await work.deliver(milestone=2)
    assert await auto_completion.announce_due(ports) == 0
    for days in (5, 1):
        await work.pass_time(days * DAY)
        assert [await auto_completion.announce_due(ports) for _ in range(2)] == [1, 0]
    first, second = await announced(work, 2)
    assert "“A” of “Paint the fence”" in first["title"] and "500.00 USD" in first["text"]
    assert "“B” of “Paint the fence”" in second["title"] and "300.01 USD" in second["text"]
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "delivered", "pending"]


async def test_milestones_announced_together_share_one_notification(work):
    """Guard: `max(...)` in `auto_completion._announce_milestones`; without it a customer receives a
    mail for each of twenty milestones."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    await work.pass_time(timedelta(minutes=30))
    await work.deliver(milestone=2)
    await work.pass_time(WEEK - DAY)
    assert await auto_completion.announce_due(ports) == 1
    (notice,) = await announced(work, 1)
    assert "“A”, “B” of" in notice["title"] and "800.01 USD" in notice["text"]
    first, second, _ = (await work.stored_offer()).milestones
    assert first.due_at == second.due_at and date_text(first.due_at) in notice["title"]


async def test_unannounced_work_does_not_complete(work):
    """Guard: `m.announced_at` in `auto_completion._complete_due`; without it work that fell due
    during an outage completes as soon as the servers start."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    await work.pass_time(WEEK + DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["delivered", "pending", "pending"]
    (notice,) = await announced(work, 1)
    due = (await work.stored_offer()).due_at
    assert due - ports.clock.now() > DAY - timedelta(minutes=5)
    assert date_text(due) in notice["title"]
    assert await auto_completion.complete_due(ports) == 0
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "pending", "pending"]


async def test_a_completion_missed_in_an_outage_is_announced_again(work):
    """Guard: `MISSED_AFTER` in `auto_completion._complete_due`; customers cannot object during an
    outage."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    await work.pass_time(WEEK - DAY)
    assert await auto_completion.announce_due(ports) == 1
    await work.pass_time(3 * DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["delivered", "pending", "pending"]
    await announced(work, 2)
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "pending", "pending"]


async def test_after_a_chargeback_completion_is_announced_again(work):
    """Guard: `announced_at=None` in `chargeback_booking._change_contested_amount`; without it work
    completes at the end of a chargeback, during which the customer could not object."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    await work.pass_time(WEEK - DAY)
    assert await auto_completion.announce_due(ports) == 1
    chargeback = await work.open_chargeback()
    assert (await work.stored_offer()).due_at is (await work.stored_offer()).announce_at is None
    await work.decide_chargeback(chargeback, won=True)
    await work.market.settled(TIMEOUT)
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["delivered", "pending", "pending"]
    await announced(work, 2)
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "pending", "pending"]
    await work.platform_and_escrow()


async def test_an_offer_without_announcement_fields_is_announced_when_due(work):
    """Guard: the defaults of `announced_at` and `announce_at`, for offers stored without these
    fields."""
    ports = work.server.ports
    await work.deliver(milestone=1)
    fields = {"announce_at": "", **{f"milestones.{n}.announced_at": "" for n in range(3)}}
    await work.server.store.database["offers"].update_one(
        {"_id": work.offer["id"]}, {"$unset": fields, "$set": {"reminded_at": ports.clock.now()}}
    )
    await work.pass_time(WEEK)
    assert await auto_completion.complete_due(ports) == 1
    await announced(work, 1)
    await work.pass_time(DAY)
    assert await auto_completion.complete_due(ports) == 1
    assert await states(work) == ["completed", "pending", "pending"]


async def test_what_a_refund_took_is_not_paid_out(work):
    """Guard: `min(milestone.amount, before.earnable)`; without it the last milestones pay out
    what the customer has back."""
    await work.refund(40_000)
    await work.market.settled(TIMEOUT)
    paid = [(await work.complete(milestone=n))["split"]["amount"] for n in (1, 2, 3)]
    assert paid == [50_000, 10_000, 0]
    assert await work.platform_and_escrow() == (18_000, 0)
    assert await work.wallet("available", "pending") == (42_000, 0)
