"""Saved searches: they match the jobs that `job.list` finds, and each match is pushed once."""

import random
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.jobs import saved_searches
from domain.jobs.geo import cells_of_circle, cells_of_point, distance_km
from domain.jobs.job import Job
from domain.jobs.posting import Create, create
from domain.jobs.saved_searches import (
    MatchSavedSearches,
    SavedSearch,
    _choose_anchors,
    _publish_new_hits,
    anchors_of,
)
from domain.jobs.search import List, SearchCriteria, SearchFilters, list_
from domain.kernel.actor import Actor, Role
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Json, Party, Refused
from tests.support.property_sizes import size

pytestmark = one_server

BERLIN = {"lon": 13.405, "lat": 52.52}


async def save(party: Party, name: str = "Mine", **filters: Any) -> Json:
    conditions = filters or {"budget": {"min_amount": 1}}
    saved: Json = await party.call("/job", "search_save", {"name": name, **conditions})
    return saved


def matches(party: Party) -> list[str]:
    return [push.data["name"] for push in party.received("/job", "job.matched")]


async def test_a_new_job_is_pushed_to_matching_searches(market: Market) -> None:
    """Guard: `uow.later(MatchSavedSearches(...))` in `posting.create`, and `fits` in
    `saved_searches._next_matches`."""
    customer, contractor = await market.customer(), await market.contractor()
    fences = await save(contractor, "Fences", q="fences", budget={"min_amount": 100_000})
    await save(contractor, "Gardens", category="garden")
    assert fences["filters"]["q"] == "fences" and not SavedSearch.PRIVATE & fences.keys()
    job = await market.job(customer)
    push = await contractor.pushed("/job", "job.matched")
    assert push.data == {"search_id": fences["id"], "name": "Fences", "job": job}
    await market.settled()
    feed = await contractor.call("/account", "sync", {"since": 0})
    assert [item["seq"] for item in feed["items"] if item["name"] == "job.matched"] == [push.seq]
    assert matches(contractor) == ["Fences"]


async def test_a_job_that_matches_after_an_update_is_pushed_then(market: Market) -> None:
    """Guard: `uow.later(MatchSavedSearches(...))` in `posting.update`, and `known` in
    `_publish_new_hits`."""
    customer, contractor = await market.customer(), await market.contractor()
    await save(contractor, "Garden", category="Gärten")
    job = await market.job(customer)
    await market.settled()
    assert matches(contractor) == []
    for title in ("One", "Two"):
        fields = {"job_id": job["id"], "category": "garten", "title": title}
        await customer.call("/job", "update", fields)
        await market.settled()
    assert [push.data["job"]["title"] for push in contractor.received("/job", "job.matched")] == [
        "One"
    ]


async def test_a_match_that_is_published_twice_is_pushed_once(
    market: Market, server: Server
) -> None:
    """Guard: the unique id of `SearchHit`."""
    customer, contractor = await market.customer(), await market.contractor()
    saved = await save(contractor)
    job = await market.job(customer)
    await market.settled()
    await MatchSavedSearches(job["id"]).run(server.ports)
    (row,) = await market.rows(SavedSearch, _id=saved["id"])
    (stored,) = await market.rows(Job, _id=job["id"])
    await server.store.transact(partial(_publish_new_hits, job=stored, matching=[row]))
    await market.settled()
    assert matches(contractor) == ["Mine"]


async def test_no_push_of_own_jobs_or_for_deleted_searches(market: Market) -> None:
    """Guard: the comparison with `customer_id` in `saved_searches._next_matches`, and `remove`
    in `unsave`."""
    customer, contractor = await market.customer(), await market.contractor()
    await save(customer)
    saved = await save(contractor)
    with pytest.raises(Refused, match="not_found"):
        await customer.call("/job", "search_unsave", {"search_id": saved["id"]})
    path = f"/api/job/searches/{saved['id']}"
    assert await contractor.http("DELETE", path) == (200, {"id": saved["id"]})
    assert (await contractor.call("/job", "searches"))["items"] == []
    await market.job(customer)
    await market.settled()
    assert matches(customer) == matches(contractor) == []


async def test_the_number_of_searches_is_limited(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `TooMany` in `save`; a freed slot is used again."""
    limit = 5
    monkeypatch.setattr(saved_searches, "MAX_SEARCHES", limit)
    contractor = await market.contractor()
    saved = [
        await save(contractor, f"Search {number}", q=f"word{number}") for number in range(limit)
    ]
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await save(contractor)
    assert (refused.value.code, refused.value.details) == ("too_many", {"limit": limit})
    assert await market.traces() == before
    await contractor.call("/job", "search_unsave", {"search_id": saved[3]["id"]})
    again = await save(contractor, "Again")
    items = (await contractor.call("/job", "searches"))["items"]
    assert items[0] == {**again, "new_count": 0} and len(items) == limit
    with pytest.raises(Refused, match="near"):
        await save(contractor, radius_km=3)


NO_CONDITIONS: list[Json] = [
    {},
    {"q": "  "},
    {"q": ""},
    {"skills": []},
    {"budget": {"min_amount": 0}},
]


async def test_a_search_without_conditions_is_refused(market: Market) -> None:
    """Guard: `SearchCriteria.is_empty`: it would match every job of the market."""
    contractor = await market.contractor()
    before = await market.traces()
    for filters in NO_CONDITIONS:
        with pytest.raises(Refused) as refused:
            await contractor.call("/job", "search_save", {"name": "All", **filters})
        found = (refused.value.code, refused.value.details["field"])
        assert found == ("invalid", "q"), filters
    assert await market.traces() == before


async def test_equal_searches_of_a_user_are_one(market: Market) -> None:
    """Guard: `SearchCriteria.identity` in `saved_searches.save`."""
    contractor, other = await market.contractor(), await market.contractor()
    first = await save(contractor, "One", q="oak fence", skills=["Rust", "Qt"])
    again = await save(contractor, "Two", q="Fences, OAK", skills=["qt", "rust", "QT"])
    assert (again["id"], again["name"]) == (first["id"], "Two")
    found = (await contractor.call("/job", "searches"))["items"]
    assert found == [{**again, "new_count": 0}]
    assert (await save(other, "One", q="oak fence", skills=["Rust", "Qt"]))["id"] != first["id"]
    assert (await save(contractor, "Three", q="oak"))["id"] != first["id"]


async def test_new_jobs_of_a_search_are_counted_until_they_are_seen(market: Market) -> None:
    """Guard: `saved_searches._count_new`, `saved_searches.seen`, `saved_searches.update`."""
    customer, contractor = await market.customer(), await market.contractor()
    fences = await save(contractor, "Fences", q="fence")
    lawns = await save(contractor, "Lawns", q="lawn")

    async def counts() -> dict[str, int]:
        found = await contractor.call("/job", "searches")
        return {each["name"]: each["new_count"] for each in found["items"]}

    await market.job(customer)
    await market.job(customer)
    await market.settled()
    assert await counts() == {"Fences": 2, "Lawns": 0}
    await contractor.call("/job", "search_seen", {"search_id": fences["id"]})
    assert await counts() == {"Fences": 0, "Lawns": 0}
    taken = {"search_id": lawns["id"], "q": "Fences"}
    with pytest.raises(Refused, match="conflict"):
        await contractor.call("/job", "search_update", taken)
    changed = {"search_id": lawns["id"], "name": "Yards", "q": "yard"}
    assert (await contractor.call("/job", "search_update", changed))["filters"]["q"] == "yard"
    await market.job(customer, title="Rake the yard", description="All of it.")
    await market.settled()
    assert await counts() == {"Fences": 0, "Yards": 1}
    renamed = await contractor.call("/job", "search_update", {**taken, "q": "", "name": "Mine"})
    assert (renamed["name"], renamed["filters"]["q"]) == ("Mine", "yard")


async def test_many_matches_are_pushed_in_bounded_steps(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `after` in `MatchSavedSearches`, and `matching` of `_next_matches`: one push for each
    user, in steps that read SCANNED searches and write CHUNK pushes at most."""
    monkeypatch.setattr("domain.jobs.saved_searches.SCANNED", 4)
    monkeypatch.setattr("domain.jobs.saved_searches.CHUNK", 2)
    runs: list[str] = []
    step = MatchSavedSearches.run

    async def run(self: MatchSavedSearches, ports: Any) -> None:
        runs.append(self.after)
        await step(self, ports)

    monkeypatch.setattr(MatchSavedSearches, "run", run)
    people = [await market.contractor() for _ in range(5)]
    for low in (1, 2, 3):
        for person in people:
            await save(person, str(low), budget={"min_amount": low})
    await market.job(await market.customer())
    await market.settled()
    assert [len(matches(person)) for person in people] == [1] * 5
    assert len(runs) > 3 and runs == sorted(set(runs))


async def test_a_long_job_is_pushed_to_fewer_users(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: MAX_PUSHED_BYTES in `MatchSavedSearches.run`: every push is stored in a feed."""
    monkeypatch.setattr("domain.jobs.saved_searches.CHUNK", 1)
    monkeypatch.setattr("domain.jobs.saved_searches.MAX_PUSHED_BYTES", 10_000)
    people = [await market.contractor() for _ in range(5)]
    for person in people:
        await save(person)
    await market.job(await market.customer(), description="x" * 4000)
    await market.settled()
    assert [len(matches(person)) for person in people] == [1, 1, 1, 0, 0]


async def test_an_older_revision_of_a_job_is_not_matched(market: Market, server: Server) -> None:
    """Guard: `search_revision` in `posting.update`: one that is changed again and again is matched
    with its last content."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await customer.call("/job", "update", {"job_id": job["id"], "title": "Paint the roof"})
    await market.settled()
    await save(contractor)
    await MatchSavedSearches(job["id"]).run(server.ports)
    await market.settled()
    assert matches(contractor) == []
    await MatchSavedSearches(job["id"], 1).run(server.ports)
    await market.settled()
    assert matches(contractor) == ["Mine"]


# -- the same as a list ----------------------------------------------------------------------

WORDS = ["fence", "fense", "paint", "oak", "garden", "repair", "roof", "the", "C++", "Café"]
SPOTS = [(13.4, 52.5), (13.06, 52.39), (-179.9, 10.0), (179.9, 10.2), (0.0, 89.5), (90.0, 89.7)]


def some_job(dice: random.Random) -> Create:
    lon, lat = dice.choice(SPOTS)
    low = dice.randrange(1, 1000)
    place = {"lon": max(-180, min(180, lon + dice.uniform(-1, 1))), "lat": lat - dice.random() / 3}
    return msgspec.convert(
        {
            "title": " ".join(dice.choices(WORDS, k=2)),
            "description": dice.choice(WORDS),
            "category": dice.choice(["Home", "GARDEN", "décor"]),
            "currency": dice.choice(["USD", "EUR"]),
            "skills": dice.sample(["Qt", "Rust", "painting"], dice.randrange(3)),
            "budget_min_amount": low,
            "budget_max_amount": low + dice.randrange(500),
            "location": dice.choice([place, None]),
        },
        Create,
    )


def some_filters(dice: random.Random) -> SearchFilters:
    lon, lat = dice.choice(SPOTS)
    low = dice.choice([None, dice.randrange(1000)])
    all_of_them: Json = {
        "q": " ".join(dice.choices(WORDS, k=dice.randrange(1, 3))),
        "category": dice.choice(["home", "Garden", "Decor"]),
        "skills": dice.sample(["qt", "RUST", "wood"], dice.randrange(1, 3)),
        "near": {"lon": lon, "lat": lat},
        "budget": {
            "min_amount": low,
            "max_amount": dice.choice([None, (low or 0) + 300]),
            "currency": dice.choice([None, "USD", "EUR"]),
        },
    }
    some = dict(dice.sample(sorted(all_of_them.items()), dice.randrange(4)))
    if "near" in some and dice.random() < 0.7:
        some["radius_km"] = dice.choice([1, 20, 60, 500, 1000])
    return msgspec.convert(some, SearchFilters)


async def test_a_search_matches_exactly_what_a_list_finds(market: Market, server: Server) -> None:
    """Guard: every condition in `SearchCriteria.fits` and `SearchCriteria.query`, and every anchor
    in `anchors_of`."""
    customer, dice = await market.customer(connect=False), random.Random(11)
    actor, uow = Actor(customer.id, Role.CUSTOMER, "ses_1"), server.store.single()
    jobs_posted, rounds = size(50, deep=80), size(70, deep=150)
    index = server.ports.job_index

    async def post(uow: Any) -> None:
        for _ in range(jobs_posted):
            await create(some_job(dice), actor, uow)
        uow.rows.clear()

    await server.store.transact(post)
    jobs = await uow.all(Job, {"customer_id": customer.id})
    found_any = 0
    for _ in range(rounds):
        filters = some_filters(dice)
        fields = {name: getattr(filters, name) for name in SearchFilters.__struct_fields__}
        page = await list_(List(limit=100, **fields), actor, uow, index)
        listed = {job.id for job in page.items}
        wanted = SearchCriteria.of(filters, uow.rates)
        unknown = await index.unknown(wanted.query())
        assert {job.id for job in jobs if wanted.fits(job, unknown)} == listed, filters
        anchors = set(await _choose_anchors(wanted, unknown, index))
        assert all(anchors & set(anchors_of(job)) for job in jobs if job.id in listed), filters
        found_any += bool(listed)
    assert len(jobs) == jobs_posted and rounds / 3 < found_any < rounds


longitudes, latitudes = st.floats(-180, 180), st.floats(-90, 90)


@given(longitudes, latitudes, longitudes, latitudes, st.floats(0.01, 1000))
def test_a_point_in_the_circle_is_in_one_of_its_cells(
    lon: float, lat: float, east: float, north: float, radius: float
) -> None:
    """Guard: the seam at 180 degrees, the poles, and the width that grows with latitude, in
    `_cells`."""
    there = (max(-180, min(180, lon + east / 9)), max(-90, min(90, lat + north / 9)))
    assume(distance_km((lon, lat), there) <= radius)
    assert set(cells_of_circle((lon, lat), radius)) & set(cells_of_point(there))
    assert set(cells_of_circle(there, radius)) & set(cells_of_point((lon, lat)))


@given(longitudes, latitudes, st.floats(0.01, 1000))
def test_a_circle_has_few_cells(lon: float, lat: float, radius: float) -> None:
    """Guard: the larger sizes in `cells_of_circle`."""
    assert 1 <= len(cells_of_circle((lon, lat), radius)) <= 20
