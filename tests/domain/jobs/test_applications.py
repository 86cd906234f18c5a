"""Applications on the wire: apply, shortlist, reject, withdraw, and who may read them."""

import asyncio

import pytest

from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.jobs.applications import Application, active_application
from domain.jobs.job import Job, JobStatus
from tests.conftest import Server
from tests.support.databases import needs
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Party, Refused

pytestmark = one_server


async def statuses(party: Party, event: str, **fields: object) -> list[str]:
    page = await party.call("/job-request", event, fields)
    return [application["status"] for application in page["items"]]


async def test_an_application_is_pushed_to_the_customer(market: Market) -> None:
    """Fails when `apply` does not publish, or when it pushes the private field `live`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    assert application["status"] == "pending" and application["currency"] == job["currency"]
    assert application["job_title"] == job["title"]
    assert application["contractor_name"] == contractor.name
    assert "live" not in application
    assert await customer.push("/job-request", "application.created") == application
    for reader in (customer, contractor):
        fields = {"application_id": application["id"]}
        assert await reader.call("/job-request", "get", fields) == application
    assert await statuses(customer, "list", job_id=job["id"]) == ["pending"]
    assert await statuses(contractor, "mine") == ["pending"]


async def test_applying_does_not_write_the_job(market: Market) -> None:
    """Fails when `apply` writes the job: applicants to a popular job would conflict."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    [row] = await market.rows(Job)
    assert row.version == job["version"]


@needs("freed keys")
async def test_one_active_application_per_job_and_contractor(market: Market) -> None:
    """Fails without the unique index on active applications."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    first = await market.application(contractor, job)
    before = await market.traces()
    with pytest.raises(Refused, match="already_applied"):
        await market.application(contractor, job)
    assert await market.traces() == before
    await contractor.call("/job-request", "withdraw", {"application_id": first["id"]})
    second = await market.application(contractor, job)
    assert second["id"] != first["id"]
    assert await statuses(contractor, "mine") == ["pending", "withdrawn"]


async def test_five_concurrent_applications_become_one(market: Market) -> None:
    """Fails when a duplicate that is found at the commit is not reported as `already_applied`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    fields = {"job_id": job["id"], "cover_letter": "Hi", "proposed_amount": 100, "timeline_days": 1}
    answers = await asyncio.gather(
        *(contractor.http("POST", "/api/job-request", fields) for _ in range(5))
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    codes = {body["code"] for status, body in answers if status == 409}
    assert codes == {"already_applied"}
    assert len(await market.rows(Application)) == 1


async def test_only_open_jobs_accept_applications(market: Market) -> None:
    """Fails without the check in `apply`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    for status in set(JobStatus) - {JobStatus.OPEN}:
        await market.store.single().change(Job, job["id"], status=status)
        before = await market.traces()
        with pytest.raises(Refused, match="job_not_open"):
            await market.application(contractor, job)
        assert await market.traces() == before, status


BAD_FIELDS: list[dict[str, object]] = [
    {"proposed_amount": 0},
    {"proposed_amount": 100_000_000},
    {"proposed_amount": 1.5},
    {"timeline_days": 0},
    {"cover_letter": " "},
    {"status": "accepted"},
]


async def test_bad_fields_are_named(market: Market) -> None:
    """Fails without the limits on `Apply`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    for fields in BAD_FIELDS:
        with pytest.raises(Refused) as refused:
            await market.application(contractor, job, **fields)
        found = (refused.value.code, refused.value.details["field"])
        assert found == ("invalid", next(iter(fields))), fields


async def test_accepting_shortlists_and_opens_the_chat(market: Market) -> None:
    """Fails when `accept` does not open the conversation or notify the applicant."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    fields = {"application_id": application["id"]}
    accepted = await customer.call("/job-request", "accept", fields)
    assert accepted["status"] == "accepted" and accepted["version"] == 2
    assert await contractor.push("/job-request", "application.updated") == accepted
    [conversation] = await market.rows(Conversation)
    assert set(conversation.members) == {customer.id, contractor.id}
    assert conversation.job_id == job["id"]
    with pytest.raises(Refused, match="already_applied"):
        await market.application(contractor, job)
    found = await active_application(market.store.single(), job["id"], contractor.id)
    assert found is not None and found.id == application["id"]


async def test_a_rejected_application_is_not_active(market: Market) -> None:
    """Fails when `move_application` does not clear `live`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    fields = {"application_id": application["id"]}
    rejected = await customer.call("/job-request", "reject", fields)
    assert await contractor.push("/job-request", "application.updated") == rejected
    assert await active_application(market.store.single(), job["id"], contractor.id) is None


async def test_a_withdrawal_is_pushed_to_both_sides(market: Market) -> None:
    """Fails when `move_application` does not add the customer."""
    customer, contractor = await market.customer(), await market.contractor()
    application = await market.application(contractor, await market.job(customer))
    fields = {"application_id": application["id"]}
    await customer.call("/job-request", "accept", fields)
    withdrawn = await contractor.call("/job-request", "withdraw", fields)
    for side in (customer, contractor):
        push = await side.push(
            "/job-request", "application.updated", lambda pushed: pushed["status"] == "withdrawn"
        )
        assert push == withdrawn


FINAL = {
    "reject": ("accept", "reject", "withdraw"),
    "accept": ("accept", "reject"),
    "withdraw": ("accept", "reject", "withdraw"),
}


async def test_an_answer_is_final(market: Market) -> None:
    """Fails without the state table in `move_application`."""
    customer, contractor = await market.customer(), await market.contractor()
    actors = {"withdraw": contractor}
    for first, later in FINAL.items():
        application = await market.application(contractor, await market.job(customer))
        fields = {"application_id": application["id"]}
        await actors.get(first, customer).call("/job-request", first, fields)
        before = await market.traces()
        for then in later:
            answer = await actors.get(then, customer).ack("/job-request", then, fields)
            found = answer["ok"] or answer["error"]["code"]
            assert found == "application_not_pending", (first, then)
        assert await market.traces() == before, first


async def test_no_applicant_is_shortlisted_for_a_taken_job(market: Market) -> None:
    """Fails without the check of the job in `accept`. Rejecting stays possible."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    await market.store.single().change(Job, job["id"], status=JobStatus.CANCELLED)
    fields = {"application_id": application["id"]}
    before = await market.traces()
    with pytest.raises(Refused, match="job_not_open"):
        await customer.call("/job-request", "accept", fields)
    assert await market.traces() == before
    assert (await customer.call("/job-request", "reject", fields))["status"] == "rejected"


async def test_other_users_get_not_found(market: Market) -> None:
    """Fails when a query lacks the owner: the answer must be `not_found` and nothing may change."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    other_customer = await market.customer("Other Customer")
    other_contractor = await market.contractor("Other Contractor")
    before = await market.traces()
    fields = {"application_id": application["id"]}
    attempts = [
        (other_customer, "get", fields),
        (other_contractor, "get", fields),
        (other_customer, "accept", fields),
        (other_customer, "reject", fields),
        (other_contractor, "withdraw", fields),
        (other_customer, "list", {"job_id": job["id"]}),
    ]
    for party, event, asked in attempts:
        with pytest.raises(Refused, match="not_found"):
            await party.call("/job-request", event, asked)
    for party, event in ((contractor, "accept"), (customer, "withdraw"), (contractor, "list")):
        with pytest.raises(Refused, match="forbidden"):
            await party.call("/job-request", event, fields)
    assert await market.traces() == before


async def test_the_customer_pages_through_the_applications(market: Market) -> None:
    """Fails when `list_` mixes jobs or ignores the status or the cursor."""
    customer = await market.customer()
    job, other = await market.job(customer), await market.job(customer)
    contractors = [await market.contractor(f"Contractor {n}") for n in range(3)]
    made = [await market.application(contractor, job) for contractor in contractors]
    await market.application(contractors[0], other)
    await customer.call("/job-request", "reject", {"application_id": made[1]["id"]})
    first = await customer.call("/job-request", "list", {"job_id": job["id"], "limit": 2})
    assert [item["id"] for item in first["items"]] == [made[2]["id"], made[1]["id"]]
    rest = await customer.call(
        "/job-request", "list", {"job_id": job["id"], "limit": 2, "cursor": first["next_cursor"]}
    )
    assert [item["id"] for item in rest["items"]] == [made[0]["id"]]
    assert rest["next_cursor"] is None
    assert await statuses(customer, "list", job_id=job["id"], status="pending") == ["pending"] * 2
    assert await statuses(contractors[1], "mine", status="rejected") == ["rejected"]


async def test_a_customer_lists_the_applications_to_all_jobs(
    market: Market, server: Server
) -> None:
    """Guard: `applications.received`, with its owner, status and cursor, and its two indexes."""
    customer, other = await market.customer(), await market.customer("Other Customer")
    contractor = await market.contractor()
    made = [await market.application(contractor, await market.job(customer)) for _ in range(3)]
    await market.application(contractor, await market.job(other))
    await customer.call("/job-request", "reject", {"application_id": made[1]["id"]})

    async def received(**fields: object) -> tuple[list[str], str | None]:
        page = await customer.call("/job-request", "received", fields)
        return [application["id"] for application in page["items"]], page["next_cursor"]

    ids = [application["id"] for application in reversed(made)]
    first, cursor = await received(limit=2)
    assert first == ids[:2]
    assert await received(limit=2, cursor=cursor) == (ids[2:], None)
    assert await received(status="pending") == ([ids[0], ids[2]], None)
    for where, index in (
        ({"customer_id": customer.id}, "customer_id_1__id_-1"),
        ({"customer_id": customer.id, "status": "pending"}, "customer_id_1_status_1__id_-1"),
    ):
        find = {"find": Application.COLLECTION, "filter": where, "sort": {"_id": -1}}
        explained = await server.store.database.command(
            {"explain": find, "verbosity": "queryPlanner"}
        )
        assert f"'indexName': '{index}'" in str(explained["queryPlanner"]["winningPlan"])


async def test_the_two_sides_of_an_application_read_each_others_profiles(market: Market) -> None:
    """Guard: `profiles.profile` and `_are_acquainted`; others get not_found."""
    customer = await market.customer(bio="I have a house.")
    contractor = await market.contractor(headline="Painter", skills=("wood",))
    stranger, admin = await market.contractor(), await market.admin()

    async def read(reader: Party, user: Party) -> object:
        answer = await reader.ack("/account", "profile", {"user_id": user.id})
        return answer["data"] if answer["ok"] else answer["error"]["code"]

    assert await read(customer, contractor) == await read(contractor, customer) == "not_found"
    job = await market.job(customer)
    await market.application(contractor, job)
    seen = await customer.call("/account", "profile", {"user_id": contractor.id})
    assert (seen["headline"], seen["skills"], seen["completed_jobs"]) == ("Painter", ["wood"], 0)
    assert "email" not in seen
    assert (await contractor.call("/account", "profile", {"user_id": customer.id}))["bio"]
    assert await read(contractor, contractor) == await read(admin, contractor) == seen
    assert await read(stranger, customer) == await read(contractor, admin) == "not_found"
    await market.store.single().change(User, contractor.id, banned_at=market.store.clock.now())
    assert await read(customer, contractor) == "not_found"


async def test_the_same_over_http(market: Market) -> None:
    """Fails when `/api/job-request/mine` or `received` is routed as an id."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    status, application = await contractor.http(
        "POST",
        "/api/job-request",
        {
            "job_id": job["id"],
            "cover_letter": "Hi",
            "proposed_amount": 100,
            "timeline_days": 1,
        },
    )
    assert status == 200
    path = f"/api/job-request/{application['id']}"
    assert await customer.http("GET", path) == (200, application)
    status, page = await contractor.http("GET", "/api/job-request/mine?status=pending")
    assert (status, page["items"]) == (200, [application])
    for path_of_list in (f"?job_id={job['id']}", "/received?status=pending"):
        status, page = await customer.http("GET", f"/api/job-request{path_of_list}")
        assert (status, page["items"]) == (200, [application])
    assert (await customer.http("POST", f"{path}/accept"))[1]["status"] == "accepted"
    assert (await customer.http("POST", f"{path}/reject"))[0] == 409
    assert (await contractor.http("POST", f"{path}/withdraw"))[1]["status"] == "withdrawn"
