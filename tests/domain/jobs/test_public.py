"""Open jobs for people without an account."""

from domain.jobs.public import PublicJob
from tests.support.market import Market


async def test_people_without_an_account_see_open_jobs_and_no_persons(market: Market) -> None:
    """Guard: `public.public`, with `PublicJob.of`; `public.public_one` reads open jobs only; the
    header of `HttpApi.route`."""
    customer = await market.customer("Carla Maria Customer")
    place = {"lon": 8.541694, "lat": 47.376887, "label": "Bahnhofstrasse 1"}
    fence = await market.job(customer, location=place)
    taken = (await market.accepted_job(customer, title="Mow the lawn", category="garden")).job
    stranger = market.anonymous_client()
    status, page = await stranger.http("GET", "/api/job/public", params={"category": "Painting"})
    assert status == 200
    [seen] = page["items"]
    assert set(seen) == set(PublicJob.__struct_fields__)
    assert (seen["id"], seen["customer_name"]) == (fence["id"], "Carla")
    assert seen["location"] == {"lon": 8.54, "lat": 47.38, "label": ""}
    assert await stranger.http("GET", f"/api/job/public/{fence['id']}") == (200, seen)
    for job_id in (taken["id"], "job_none"):
        status, refused = await stranger.http("GET", f"/api/job/public/{job_id}")
        assert (status, refused["code"]) == (404, "not_found")
    assert (await stranger.http("GET", "/api/job/public", params={"q": "lawn"}))[1]["items"] == []
    async with market.web.get(f"{market.url}/api/job/public") as response:
        assert response.headers["Cache-Control"] == "public, max-age=30"
