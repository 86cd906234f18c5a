"""Jobs on the wire: post, update, read, start and deliver."""

import asyncio
from typing import Any

import pytest

from domain.jobs.job import Job, JobStatus
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Json, Party, Refused

pytestmark = one_server

BERLIN = {"lon": 13.405, "lat": 52.52, "label": "Berlin"}


async def assign(market: Market, job: Json, contractor: Party, status: str = "assigned") -> None:
    """Put the job into the state after the acceptance of an offer."""
    await market.store.single().change(
        Job, job["id"], status=JobStatus(status), contractor_id=contractor.id
    )


async def titles(party: Party, event: str = "list", **fields: Any) -> list[str]:
    page = await party.call("/job", event, fields)
    return [job["title"] for job in page["items"]]


# -- posting ---------------------------------------------------------------------------------


async def test_a_posted_job_is_pushed_to_contractors(market: Market) -> None:
    """Fails without `market=True` in `create`, or when a private field is pushed."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, location=BERLIN, skills=["Painting", "Wood"])
    assert job["status"] == "open" and job["version"] == 1
    assert job["customer_name"] == customer.name and job["location"] == BERLIN
    assert job["skills"] == ["Painting", "Wood"]
    assert not Job.PRIVATE & job.keys()
    push = await contractor.pushed("/job", "job.updated")
    public = {**job, "location": {"lon": 13.4, "lat": 52.52, "label": ""}}
    assert push.data == public and push.seq is None
    own = await customer.pushed("/job", "job.updated")
    assert (own.seq, own.data) == (1, job)
    assert await contractor.call("/job", "get", {"job_id": job["id"]}) == public


BAD_FIELDS: list[tuple[Json, str, str]] = [
    ({"budget_min_amount": 2, "budget_max_amount": 1}, "invalid", "budget_max_amount"),
    ({"currency": "XYZ"}, "currency_not_supported", "currency"),
    ({"currency": "US"}, "invalid", "currency"),
    ({"budget_min_amount": 0}, "invalid", "budget_min_amount"),
    ({"budget_max_amount": 10.5}, "invalid", "budget_max_amount"),
    ({"title": "  "}, "invalid", "title"),
    ({"location": {"lon": 181, "lat": 0}}, "invalid", "location.lon"),
    ({"status": "completed"}, "invalid", "status"),
]


async def test_a_job_with_bad_fields_is_refused_without_a_trace(market: Market) -> None:
    """Fails without the checks in `_check_and_derive` and the limits on `Create`."""
    customer = await market.customer()
    before = await market.traces()
    for fields, code, field in BAD_FIELDS:
        with pytest.raises(Refused) as refused:
            await market.job(customer, **fields)
        assert (refused.value.code, refused.value.details["field"]) == (code, field), fields
    assert await market.traces() == before


async def test_only_customers_post(market: Market) -> None:
    """Fails without the role on `job.create`."""
    with pytest.raises(Refused, match="forbidden"):
        await market.job(await market.contractor())


async def test_a_change_is_pushed_and_found_by_its_new_words(market: Market) -> None:
    """Fails when `update` does not derive the terms and the point again."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, location=BERLIN)
    changed = await customer.call(
        "/job", "update", {"job_id": job["id"], "title": "Varnish the gate", "location": None}
    )
    assert changed["version"] == 2 and changed["location"] is None
    assert changed["description"] == job["description"]
    push = await contractor.push("/job", "job.updated", lambda pushed: pushed["version"] == 2)
    assert push == changed
    assert await titles(contractor, q="varnishing") == ["Varnish the gate"]
    assert await titles(contractor, near={"lon": 13.4, "lat": 52.5}) == []


async def test_an_update_cannot_put_the_minimum_above_the_maximum(market: Market) -> None:
    """Fails when `update` checks only the fields that are given."""
    customer = await market.customer()
    job = await market.job(customer, budget_min_amount=100, budget_max_amount=200)
    with pytest.raises(Refused, match="budget_max_amount"):
        await customer.call("/job", "update", {"job_id": job["id"], "budget_min_amount": 201})


async def test_an_assigned_job_cannot_be_changed(market: Market) -> None:
    """Fails without the guard of `update`."""
    customer = await market.customer()
    states: list[tuple[dict[str, Any], str]] = [
        ({"accepting_offer_id": "o"}, "job_taken"),
        ({"status": JobStatus.ASSIGNED, "accepting_offer_id": None}, "job_not_open"),
    ]
    job = await market.job(customer)
    for state, code in states:
        await market.store.single().change(Job, job["id"], **state)
        before = await market.traces()
        with pytest.raises(Refused, match=code):
            await customer.call("/job", "update", {"job_id": job["id"], "title": "Other"})
        assert await market.traces() == before, state


async def test_only_its_customer_changes_a_job(market: Market) -> None:
    """Fails when `update` reads the job without its owner."""
    job = await market.job(await market.customer())
    other = await market.customer("Other Customer")
    with pytest.raises(Refused, match="not_found"):
        await other.call("/job", "update", {"job_id": job["id"], "title": "Mine"})


# -- reading ---------------------------------------------------------------------------------


async def test_a_taken_job_is_readable_for_its_sides_and_applicants(market: Market) -> None:
    """Fails without the last three lines of `read_job`, or when lists ignore the actor."""
    customer, winner = await market.customer(), await market.contractor()
    applicant, stranger = await market.contractor("Applicant"), await market.contractor("Stranger")
    job = await market.job(customer)
    await market.application(applicant, job)
    await assign(market, job, winner)
    for reader in (customer, winner, applicant, await market.admin()):
        assert (await reader.call("/job", "get", {"job_id": job["id"]}))["status"] == "assigned"
    for outsider in (stranger, await market.customer("Other Customer")):
        with pytest.raises(Refused, match="not_found"):
            await outsider.call("/job", "get", {"job_id": job["id"]})
        assert await titles(outsider, status="assigned") == []
    assert await titles(winner, status="assigned") == [job["title"]]
    assert await titles(customer, status="assigned") == [job["title"]]
    assert await titles(stranger) == []


async def test_mine_lists_posted_or_assigned_jobs(market: Market) -> None:
    """Guard: `visibility.owned_by`."""
    customer, contractor = await market.customer(), await market.contractor()
    first, second = await market.job(customer, title="First"), await market.job(customer)
    await market.job(await market.customer("Other Customer"), title="Foreign")
    await assign(market, first, contractor)
    assert await titles(customer, "mine") == [second["title"], "First"]
    assert await titles(customer, "mine", status="open") == [second["title"]]
    assert await titles(contractor, "mine") == ["First"]
    assert await titles(contractor, "mine", status="open") == []


# -- the work --------------------------------------------------------------------------------


@own_server
async def test_the_work_is_started_and_delivered(market: Market) -> None:
    """Fails when `start` or `deliver` do not push the job, or `deliver` leaves `in_progress`."""
    customer, contractor, job, *_ = await market.accepted_job(onboarded=False)
    started = await market.start(contractor, job)
    assert started["status"] == "in_progress" and started["delivered_at"] is None
    delivered = await market.deliver(contractor, job, "See the photos.")
    assert delivered["status"] == "in_progress" and delivered["delivered_at"]
    for side in (customer, contractor):
        push = await side.push("/job", "job.updated", lambda pushed: pushed["delivery_note"])
        assert push == delivered
    again = await market.deliver(contractor, job, "Second coat.")
    assert again["delivery_note"] == "Second coat." and again["version"] == delivered["version"] + 1


OUT_OF_ORDER = {
    # status: {event: code}
    "assigned": {"deliver": "job_not_in_progress"},
    "in_progress": {"start": "job_not_assigned"},
    "completed": {"start": "job_not_assigned", "deliver": "job_not_in_progress"},
    "cancelled": {"start": "job_not_assigned", "deliver": "job_not_in_progress"},
}


async def test_steps_out_of_order_are_refused_without_a_trace(market: Market) -> None:
    """Fails without the guards of `start` and `deliver`."""
    contractor = await market.contractor()
    job = await market.job(await market.customer())
    for status, steps in OUT_OF_ORDER.items():
        await assign(market, job, contractor, status)
        before = await market.traces()
        for event, code in steps.items():
            answer = await contractor.ack("/job", event, {"job_id": job["id"]})
            assert (answer["ok"] or answer["error"]["code"]) == code, (status, event)
        assert await market.traces() == before, status


async def test_only_the_assigned_contractor_starts_work(market: Market) -> None:
    """Fails when `start` reads the job without its contractor."""
    job = await market.job(await market.customer())
    await assign(market, job, await market.contractor())
    other = await market.contractor("Other Contractor")
    for event in ("start", "deliver"):
        with pytest.raises(Refused, match="not_found"):
            await other.call("/job", event, {"job_id": job["id"]})


async def test_two_concurrent_starts_become_one(market: Market) -> None:
    """Fails when `start` reads and then writes without a guard."""
    contractor = await market.contractor()
    job = await market.job(await market.customer())
    await assign(market, job, contractor)
    tries = [contractor.http("POST", f"/api/job/{job['id']}/start") for _ in range(5)]
    assert sorted(status for status, _ in await asyncio.gather(*tries)) == [200, 409, 409, 409, 409]


# -- HTTP ------------------------------------------------------------------------------------


async def test_the_same_over_http(market: Market) -> None:
    """Fails when `/api/job/mine` is routed as a job's id, or a filter cannot be put in a query."""
    customer, contractor = await market.customer(), await market.contractor()
    fields = {
        "title": "Fix the roof",
        "description": "Some tiles are loose.",
        "category": "Roofing",
        "budget_min_amount": 100,
        "budget_max_amount": 300,
        "currency": "EUR",
        "location": BERLIN,
        "skills": ["Roofing"],
    }
    status, job = await customer.http("POST", "/api/job", fields)
    assert status == 200
    path = f"/api/job/{job['id']}"
    assert await customer.http("PATCH", path, {"title": "Fix my roof"}) == (
        200,
        await customer.push("/job", "job.updated", lambda pushed: pushed["version"] == 2),
    )
    assert (await contractor.http("GET", path))[1]["title"] == "Fix my roof"
    status, page = await customer.http("GET", "/api/job/mine?limit=1&status=open")
    assert status == 200 and [item["id"] for item in page["items"]] == [job["id"]]
    query = [
        ("q", "tile"),
        ("skills", "tiling"),
        ("skills", "roofing"),
        ("category", "roofing"),
        ("near", '{"lon": 13.4, "lat": 52.5}'),
        ("radius_km", "12.5"),
        ("limit", "5"),
        ("budget", '{"min_amount": 300, "currency": "EUR"}'),
        ("sort", "budget"),
    ]
    status, page = await contractor.http("GET", "/api/job", params=query)
    assert status == 200 and [item["id"] for item in page["items"]] == [job["id"]]
    await assign(market, job, contractor)
    assert (await contractor.http("POST", f"{path}/start"))[0] == 200
    status, problem = await contractor.http("POST", f"{path}/start")
    assert (status, problem["code"]) == (409, "job_not_assigned")
