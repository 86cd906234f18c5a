"""Jobs on the wire: posting, changing, finding, and the way to delivery."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from domain.jobs import Job, JobStatus, List, selection
from domain.operation import Actor, Role
from domain.store import UnitOfWork
from tests.conftest import Server
from tests.market import Market
from tests.parties import Json, Party, Refused

BERLIN = {"lon": 13.405, "lat": 52.52, "label": "Berlin"}
POTSDAM = {"lon": 13.0645, "lat": 52.3906, "label": "Potsdam"}
MUNICH = {"lon": 11.582, "lat": 48.1351, "label": "Munich"}


async def give(market: Market, job: Json, contractor: Party, status: str = "assigned") -> None:
    """As the acceptance of an offer leaves the job."""
    await market.store.single().change(
        Job, job["id"], status=JobStatus(status), contractor_id=contractor.id
    )


async def titles(party: Party, event: str = "list", **fields: Any) -> list[str]:
    page = await party.call("/job", event, fields)
    return [job["title"] for job in page["items"]]


# -- posting ---------------------------------------------------------------------------------


async def test_a_posted_job_reaches_the_market(market: Market) -> None:
    """Fails without `market=True` in `create`, or when a private field leaves over the wire."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, location=BERLIN, skills=["Painting", "Wood"])
    assert job["status"] == "open" and job["version"] == 1
    assert job["customer_name"] == customer.name and job["location"] == BERLIN
    assert job["skills"] == ["Painting", "Wood"]
    assert not Job.PRIVATE & job.keys()
    told = await contractor.pushed("/job", "job.updated")
    assert told.data == job and told.seq is None
    assert (await customer.pushed("/job", "job.updated")).seq == 1
    assert await contractor.call("/job", "get", {"job_id": job["id"]}) == job


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"budget_min_amount": 2, "budget_max_amount": 1}, "invalid", "budget_max_amount"),
        ({"currency": "XYZ"}, "currency_not_supported", "currency"),
        ({"currency": "usd"}, "invalid", "currency"),
        ({"budget_min_amount": 0}, "invalid", "budget_min_amount"),
        ({"budget_max_amount": 10.5}, "invalid", "budget_max_amount"),
        ({"title": "  "}, "invalid", "title"),
        ({"location": {"lon": 181, "lat": 0}}, "invalid", "location.lon"),
        ({"status": "completed"}, "invalid", "status"),
    ],
)
async def test_a_job_with_bad_fields_is_refused_without_a_trace(
    market: Market, fields: Json, code: str, field: str
) -> None:
    """Fails without the checks in `_checked` and the limits on `Create`."""
    customer = await market.customer()
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await market.job(customer, **fields)
    assert (refused.value.code, refused.value.details["field"]) == (code, field)
    assert await market.traces() == before


async def test_only_customers_post(market: Market) -> None:
    """Fails without the role on `job.create`."""
    with pytest.raises(Refused, match="forbidden"):
        await market.job(await market.contractor())


async def test_a_change_is_told_and_found_by_its_new_words(market: Market) -> None:
    """Fails when `update` does not derive the terms and the point again."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, location=BERLIN)
    changed = await customer.call(
        "/job", "update", {"job_id": job["id"], "title": "Varnish the gate", "location": None}
    )
    assert changed["version"] == 2 and changed["location"] is None
    assert changed["description"] == job["description"]
    told = await contractor.push("/job", "job.updated", lambda pushed: pushed["version"] == 2)
    assert told == changed
    assert await titles(contractor, q="varnishing") == ["Varnish the gate"]
    assert await titles(contractor, near={"lon": 13.4, "lat": 52.5}) == []


async def test_a_change_may_not_turn_the_budget_upside_down(market: Market) -> None:
    """Fails when `update` checks only the fields that are given."""
    customer = await market.customer()
    job = await market.job(customer, budget_min_amount=100, budget_max_amount=200)
    with pytest.raises(Refused, match="budget_max_amount"):
        await customer.call("/job", "update", {"job_id": job["id"], "budget_min_amount": 201})


@pytest.mark.parametrize(
    ("state", "code"),
    [({"status": JobStatus.ASSIGNED}, "job_not_open"), ({"accepting_offer_id": "o"}, "job_taken")],
)
async def test_a_job_that_is_given_away_cannot_be_changed(
    market: Market, state: dict[str, Any], code: str
) -> None:
    """Fails without the guard of `update`."""
    customer = await market.customer()
    job = await market.job(customer)
    await market.store.single().change(Job, job["id"], **state)
    before = await market.traces()
    with pytest.raises(Refused, match=code):
        await customer.call("/job", "update", {"job_id": job["id"], "title": "Other"})
    assert await market.traces() == before


async def test_nobody_changes_the_job_of_another(market: Market) -> None:
    """Fails when `update` reads the job without its owner."""
    job = await market.job(await market.customer())
    other = await market.customer("Other Customer")
    with pytest.raises(Refused, match="not_found"):
        await other.call("/job", "update", {"job_id": job["id"], "title": "Mine"})


# -- reading ---------------------------------------------------------------------------------


async def test_a_taken_job_is_for_its_two_sides_and_applicants(market: Market) -> None:
    """Fails without the last three lines of `read_job`, or when lists ignore who asks."""
    customer, winner = await market.customer(), await market.contractor()
    applicant, stranger = await market.contractor("Applicant"), await market.contractor("Stranger")
    job = await market.job(customer)
    await market.application(applicant, job)
    await give(market, job, winner)
    for reader in (customer, winner, applicant, await market.admin()):
        assert (await reader.call("/job", "get", {"job_id": job["id"]}))["status"] == "assigned"
    for outsider in (stranger, await market.customer("Other Customer")):
        with pytest.raises(Refused, match="not_found"):
            await outsider.call("/job", "get", {"job_id": job["id"]})
        assert await titles(outsider, status="assigned") == []
    assert await titles(winner, status="assigned") == [job["title"]]
    assert await titles(customer, status="assigned") == [job["title"]]
    assert await titles(stranger) == []


async def test_mine_is_what_one_posted_or_was_given(market: Market) -> None:
    """Fails when `own` mixes up the sides."""
    customer, contractor = await market.customer(), await market.contractor()
    first, second = await market.job(customer, title="First"), await market.job(customer)
    await market.job(await market.customer("Other Customer"), title="Foreign")
    await give(market, first, contractor)
    assert await titles(customer, "mine") == [second["title"], "First"]
    assert await titles(customer, "mine", status="open") == [second["title"]]
    assert await titles(contractor, "mine") == ["First"]
    assert await titles(contractor, "mine", status="open") == []


# -- the work --------------------------------------------------------------------------------


async def test_the_work_is_started_and_delivered(market: Market) -> None:
    """Fails when `start` or `deliver` do not announce, or `deliver` leaves `in_progress`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await give(market, job, contractor)
    started = await market.start(contractor, job)
    assert started["status"] == "in_progress" and started["delivered_at"] is None
    delivered = await market.deliver(contractor, job, "See the photos.")
    assert delivered["status"] == "in_progress" and delivered["delivered_at"]
    for side in (customer, contractor):
        told = await side.push("/job", "job.updated", lambda pushed: pushed["delivery_note"])
        assert told == delivered
    again = await market.deliver(contractor, job, "Second coat.")
    assert again["delivery_note"] == "Second coat." and again["version"] == delivered["version"] + 1


@pytest.mark.parametrize(
    ("status", "event", "code"),
    [
        ("in_progress", "start", "job_not_assigned"),
        ("completed", "start", "job_not_assigned"),
        ("cancelled", "start", "job_not_assigned"),
        ("assigned", "deliver", "job_not_in_progress"),
        ("completed", "deliver", "job_not_in_progress"),
        ("cancelled", "deliver", "job_not_in_progress"),
    ],
)
async def test_steps_out_of_order_are_refused_without_a_trace(
    market: Market, status: str, event: str, code: str
) -> None:
    """Fails without the guards of `start` and `deliver`."""
    contractor = await market.contractor()
    job = await market.job(await market.customer())
    await give(market, job, contractor, status)
    before = await market.traces()
    with pytest.raises(Refused, match=code):
        await contractor.call("/job", event, {"job_id": job["id"]})
    assert await market.traces() == before


async def test_only_the_chosen_contractor_works(market: Market) -> None:
    """Fails when `start` reads the job without its contractor."""
    job = await market.job(await market.customer())
    await give(market, job, await market.contractor())
    other = await market.contractor("Other Contractor")
    for event in ("start", "deliver"):
        with pytest.raises(Refused, match="not_found"):
            await other.call("/job", event, {"job_id": job["id"]})


async def test_two_starts_at_once_are_one(market: Market) -> None:
    """Fails when `start` reads and then writes without a guard."""
    contractor = await market.contractor()
    job = await market.job(await market.customer())
    await give(market, job, contractor)
    tries = [contractor.http("POST", f"/api/job/{job['id']}/start") for _ in range(5)]
    assert sorted(status for status, _ in await asyncio.gather(*tries)) == [200, 409, 409, 409, 409]


# -- HTTP ------------------------------------------------------------------------------------


async def test_the_same_over_http(market: Market) -> None:
    """Fails when `/api/job/mine` is routed as a job's id, or a filter cannot be put in a query."""
    customer, contractor = await market.customer(), await market.contractor()
    fields = {
        "title": "Fix the roof", "description": "Some tiles are loose.", "category": "Roofing",
        "budget_min_amount": 100, "budget_max_amount": 300, "currency": "EUR", "location": BERLIN,
        "skills": ["Roofing"],
    }  # fmt: skip
    status, job = await customer.http("POST", "/api/job", fields)
    assert status == 200
    path = f"/api/job/{job['id']}"
    assert await customer.http("PATCH", path, {"title": "Fix my roof"}) == (
        200, await contractor.push("/job", "job.updated", lambda pushed: pushed["version"] == 2),
    )  # fmt: skip
    assert (await contractor.http("GET", path))[1]["title"] == "Fix my roof"
    status, page = await customer.http("GET", "/api/job/mine?limit=1&status=open")
    assert status == 200 and [item["id"] for item in page["items"]] == [job["id"]]
    query = [
        ("q", "tile"), ("skills", "tiling"), ("skills", "roofing"), ("category", "roofing"),
        ("near", '{"lon": 13.4, "lat": 52.5}'), ("radius_km", "12.5"), ("limit", "5"),
        ("budget", '{"min_amount": 300, "currency": "EUR"}'), ("sort", "budget"),
    ]  # fmt: skip
    status, page = await contractor.http("GET", "/api/job", params=query)
    assert status == 200 and [item["id"] for item in page["items"]] == [job["id"]]
    await give(market, job, contractor)
    assert (await contractor.http("POST", f"{path}/start"))[0] == 200
    assert (await contractor.http("POST", f"{path}/deliver", {"note": "Done"}))[0] == 200
    status, problem = await contractor.http("POST", f"{path}/start")
    assert (status, problem["code"]) == (409, "job_not_assigned")


# -- finding ---------------------------------------------------------------------------------


async def test_words_are_all_required_and_forgiving(market: Market) -> None:
    """Fails when `$all` becomes "any", or the words of a field are not kept."""
    customer = await market.customer()
    await market.job(customer, title="Crêpe stand", description="Serving", category="Catering")
    await market.job(customer, title="Serving drinks", description="At a fair", skills=["Barista"])
    for query in ("crepes", "crepe stand", "CATER", "the crêpe at the stand"):
        assert await titles(customer, q=query) == ["Crêpe stand"], query
    assert await titles(customer, q="serve") == ["Serving drinks", "Crêpe stand"]
    assert await titles(customer, q="barista") == ["Serving drinks"]
    assert await titles(customer, q="crepe fair") == []


async def test_category_and_skills_ignore_case_and_accents(market: Market) -> None:
    """Fails when filters compare what was typed; any one of the skills is enough."""
    customer = await market.customer()
    await market.job(customer, title="A", category="Décor", skills=["C++", "Qt"])
    await market.job(customer, title="B", category="Décor", skills=["Rust"])
    await market.job(customer, title="C", category="Garden", skills=[])
    assert await titles(customer, category="decor") == ["B", "A"]
    assert await titles(customer, skills=["qt"]) == ["A"]
    assert await titles(customer, skills=["c++", "RUST"]) == ["B", "A"]
    assert await titles(customer, skills=["c"]) == []
    assert await titles(customer, category="DECOR", skills=["rust"]) == ["B"]


async def test_near_is_within_the_radius(market: Market) -> None:
    """Fails when kilometres are not turned into radians, or lon and lat are swapped."""
    customer = await market.customer()
    for title, location in (("M", MUNICH), ("P", POTSDAM), ("B", BERLIN), ("Nowhere", None)):
        await market.job(customer, title=title, location=location)
    near = {"lon": BERLIN["lon"], "lat": BERLIN["lat"]}
    assert await titles(customer, near=near, radius_km=10) == ["B"]
    assert await titles(customer, near=near) == ["B", "P"]  # 27 km
    assert await titles(customer, near=near, radius_km=503) == ["B", "P"]
    assert await titles(customer, near=near, radius_km=506) == ["B", "P", "M"]  # 504.4 km
    assert await titles(customer, near=near, radius_km=10, q="fence") == ["B"]
    with pytest.raises(Refused, match="near"):
        await titles(customer, radius_km=10)


async def test_budgets_fit_when_the_ranges_overlap(market: Market) -> None:
    """Fails when a bound of `_overlapping` is on the wrong end."""
    customer = await market.customer()
    for low, high, currency in ((100, 200, "EUR"), (300, 400, "EUR"), (150, 350, "USD")):
        await market.job(
            customer, title=f"{low}-{high}", currency=currency, budget_min_amount=low,
            budget_max_amount=high,
        )  # fmt: skip

    async def fitting(**budget: Any) -> list[str]:
        return sorted(await titles(customer, budget=budget))

    assert await fitting(currency="EUR") == ["100-200", "300-400"]
    assert await fitting(min_amount=201) == ["150-350", "300-400"]
    assert await fitting(max_amount=149) == ["100-200"]
    assert await fitting(min_amount=200, max_amount=300) == ["100-200", "150-350", "300-400"]
    assert await fitting(min_amount=201, max_amount=299, currency="EUR") == []
    assert await titles(customer, sort="budget") == ["300-400", "150-350", "100-200"]


@pytest.mark.parametrize("sort", ["newest", "budget"])
async def test_pages_hold_every_job_once(market: Market, sort: str) -> None:
    """Fails when the cursor is an offset: the job that is posted meanwhile shifts the pages."""
    customer = await market.customer()
    for number in range(7):
        await market.job(customer, title=f"Job {number}", budget_max_amount=50_000 + number // 3)
    seen: list[str] = []
    cursor = None
    while True:
        page = await customer.call("/job", "list", {"limit": 3, "cursor": cursor, "sort": sort})
        seen += [job["title"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await market.job(customer, title="Late", budget_max_amount=90_000)
    assert seen == [f"Job {number}" for number in reversed(range(7))]


async def test_a_broken_cursor_is_refused(market: Market) -> None:
    """Fails when the cursor is trusted."""
    customer = await market.customer()
    with pytest.raises(Refused, match="cursor"):
        await customer.call("/job", "list", {"cursor": "bm9uc2Vuc2U"})


# -- the cost of finding ---------------------------------------------------------------------

WORDS = [f"word{number}" for number in range(400)]
JOBS = 1500


async def fill(uow: UnitOfWork) -> None:
    """Many jobs whose words are spread as in language: a few are everywhere, most are rare."""
    dice = random.Random(7)
    frequency = [1 / (rank + 1) for rank in range(len(WORDS))]
    jobs = []
    for number in range(JOBS):
        low = dice.randrange(1_000, 500_000)
        city = [dice.uniform(-120, 120), dice.uniform(-60, 60)]
        jobs.append(Job(
            id=f"job_{number:024}", created_at=uow.now, updated_at=uow.now, title="", category="",
            customer_id=f"usr_{number % 40}", customer_name="", description="", skills=(),
            budget_min_amount=low, budget_max_amount=low + dice.randrange(1, 100_000),
            currency=dice.choice(["USD", "EUR", "JPY"]), location=None,
            status=dice.choice([JobStatus.OPEN, JobStatus.OPEN, JobStatus.COMPLETED]),
            contractor_id=f"usr_{number % 30}", category_key=f"category {dice.randrange(20)}",
            skill_keys=tuple(f"skill {dice.randrange(60)}" for _ in range(3)),
            terms=tuple(dict.fromkeys(dice.choices(WORDS, frequency, k=25))),
            point={"type": "Point", "coordinates": city},
        ))  # fmt: skip
    await uow.add_all(jobs)


async def fetched(uow: UnitOfWork, where: Json) -> int:
    """How many documents MongoDB must fetch for `where` through the best of our indexes.

    The embedded server's explain counts what was returned, not what was fetched. So this counts
    it by the manual's rule: an index whose fields before the order are all in the filter decides
    on every field it has, but for an array on one of several values only.
    """
    costs = []
    for index in Job.INDEXES:
        fields = [field for field, _ in index.keys]
        leading = fields[: fields.index("_id")] if "_id" in fields else fields
        if all(field in where for field in leading):
            decided = {field: where[field] for field in fields if field in where}
            if isinstance(decided.get("terms"), dict):
                decided["terms"] = decided["terms"]["$all"][0]
            costs.append(await uow.count(Job, decided))
    return min(costs)


ONE_FILTER: list[tuple[Json, str]] = [
    ({}, "status_1_"),
    ({"q": "word30"}, "terms_1_status_1"),
    ({"category": "Category 3"}, "status_1_category_key_1"),
    ({"skills": ["skill 5"]}, "status_1_skill_keys_1"),
    ({"skills": ["skill 5", "skill 6"]}, "status_1_skill_keys_1"),
    ({"near": {"lon": 10, "lat": 10}, "radius_km": 900}, "point_2dsphere"),
    ({"budget": {"currency": "JPY", "min_amount": 300_000}}, "status_1_currency_1"),
]
SEVERAL_FILTERS: list[Json] = [
    {"q": "word30", "category": "Category 3"},
    {"q": "word9", "budget": {"currency": "EUR", "min_amount": 200_000, "max_amount": 210_000}},
    {"category": "Category 3", "budget": {"min_amount": 200_000, "max_amount": 210_000}},
    {"skills": ["skill 5", "skill 6"], "category": "Category 3"},
    {"budget": {"currency": "USD", "min_amount": 100_000, "max_amount": 120_000}},
    {"budget": {"max_amount": 20_000}},
]  # fmt: skip


async def test_searches_fetch_hardly_more_than_they_return(server: Server) -> None:
    """Fails when an index of `Job` is dropped or its fields are put in another order."""
    uow = server.store.single()
    await fill(uow)
    actor = Actor("usr_1", Role.CONTRACTOR, "ses_1")

    async def check(fields: Json) -> Json:
        where = selection(msgspec.convert(fields, List), actor)
        filter = {k: {"$in": list(v)} if isinstance(v, tuple) else v for k, v in where.items()}
        returned = await uow.count(Job, where)
        assert returned, fields
        assert await fetched(uow, where) <= 2 * returned, fields
        return filter

    async def explain(filter: Json) -> Json:
        command = {"find": Job.COLLECTION, "filter": filter, "sort": {"_id": -1}, "limit": 20}
        answer: Json = await server.store.database.command(
            {"explain": command, "verbosity": "executionStats"}
        )
        return answer

    for fields, index in ONE_FILTER:
        explained = await explain(await check(fields))
        assert f"'indexName': '{index}" in str(explained["queryPlanner"]["winningPlan"]), fields
        stats = explained["executionStats"]
        assert 0 < stats["totalDocsExamined"] <= 2 * stats["nReturned"], fields
    for fields in SEVERAL_FILTERS:
        await check(fields)
    for own in ({"customer_id": "usr_1"}, {"contractor_id": "usr_1", "status": "open"}):
        explained = await explain(own)
        assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"])
        assert await fetched(uow, own) == await uow.count(Job, own)


async def test_several_words_look_at_the_jobs_with_one_of_them(server: Server) -> None:
    """The limit that `list_` states. Fails when several words are not narrowed by an index."""
    uow = server.store.single()
    await fill(uow)
    where = selection(List(q="word200 word0"), Actor("usr_1", Role.CONTRACTOR, "ses_1"))
    assert where["terms"] == {"$all": ["word200", "word0"]}
    assert await fetched(uow, where) == await uow.count(
        Job, {"terms": "word200", "status": JobStatus.OPEN}
    )
    assert await fetched(uow, where) <= 2 * await uow.count(Job, where)
