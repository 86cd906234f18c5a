"""Job search: filters, and the cost of queries."""

from typing import Any

import pytest

from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Party, Refused

pytestmark = one_server

BERLIN = {"lon": 13.405, "lat": 52.52, "label": "Berlin"}
POTSDAM = {"lon": 13.0645, "lat": 52.3906, "label": "Potsdam"}
MUNICH = {"lon": 11.582, "lat": 48.1351, "label": "Munich"}


async def titles(party: Party, **fields: Any) -> list[str]:
    page = await party.call("/job", "list", fields)
    return [job["title"] for job in page["items"]]


async def test_words_are_all_required_and_forgiving(market: Market) -> None:
    """Guard: `queries.with_words`, and the fields of `schema.document`."""
    customer = await market.customer()
    await market.job(customer, title="Crêpe stand", description="Serving", category="Catering")
    await market.job(customer, title="Serving drinks", description="At a fair", skills=["Barista"])
    for query in ("crepes", "crepe stand", "CATER", "the crêpe at the stand"):
        assert await titles(customer, q=query) == ["Crêpe stand"], query
    assert await titles(customer, q="serve") == ["Serving drinks", "Crêpe stand"]
    assert await titles(customer, q="barista") == ["Serving drinks"]
    assert await titles(customer, q="crepe fair") == []


async def test_category_and_skills_ignore_case_and_accents(market: Market) -> None:
    """Fails when filters compare the text as typed. Any one of the skills is enough."""
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
    """Guard: `Reading._places_inside`, which takes the corners from the box of `queries.around`."""
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


async def test_budgets_match_if_the_ranges_overlap(market: Market) -> None:
    """Guard: `search._overlaps` and the amounts of the index. Amounts without a currency are in
    the main one: yen are never compared with dollars by their digits."""
    customer = await market.customer()
    for low, high, currency in ((100, 200, "EUR"), (300, 400, "EUR"), (150, 350, "USD")):
        await market.job(
            customer,
            title=f"{low}-{high}",
            currency=currency,
            budget_min_amount=low,
            budget_max_amount=high,
        )

    async def fitting(**budget: Any) -> list[str]:
        return sorted(await titles(customer, budget=budget))

    assert await fitting(currency="EUR") == ["100-200", "300-400"]
    assert await fitting(min_amount=201) == ["150-350"]
    assert await fitting(max_amount=149) == []
    assert await fitting(min_amount=200, max_amount=300, currency="EUR") == ["100-200", "300-400"]
    assert await fitting(min_amount=201, max_amount=299, currency="EUR") == []
    assert await titles(customer, sort="budget") == ["150-350", "300-400", "100-200"]


@pytest.mark.parametrize("sort", ["newest", "budget"])
async def test_pages_contain_every_job_once(market: Market, sort: str) -> None:
    """Fails when the cursor is an offset: a job that is posted between two pages shifts them."""
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


async def test_an_invalid_cursor_is_refused(market: Market) -> None:
    """Fails when the cursor is trusted."""
    customer = await market.customer()
    with pytest.raises(Refused, match="cursor"):
        await customer.call("/job", "list", {"cursor": "bm9uc2Vuc2U"})


async def test_the_nearest_jobs_come_first(market: Market) -> None:
    """Guard: `Reading._by_distance`: jobs of one place stay in one order over all pages."""
    customer = await market.customer()
    for title, location in [("Munich", MUNICH), *[("Berlin", BERLIN)] * 4, ("Potsdam", POTSDAM)]:
        await market.job(customer, title=title, location=location)
    await market.job(customer, title="Anywhere")
    place = {"near": {"lon": 13.06, "lat": 52.39}, "radius_km": 1000, "sort": "distance"}
    seen, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = await customer.call("/job", "list", {**place, "limit": 2, **more})
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [job["title"] for job in seen] == ["Potsdam", *["Berlin"] * 4, "Munich"]
    assert len({job["id"] for job in seen}) == 6
    assert await titles(customer, **{**place, "radius_km": 100, "q": "berlin"}) == ["Berlin"] * 4
    for wrong in ({"sort": "distance"}, {**place, "cursor": "bm9uc2Vuc2U"}):
        with pytest.raises(Refused, match=r"near|cursor"):
            await customer.call("/job", "list", wrong)


@own_server
async def test_facets_count_what_a_search_finds(market: Market) -> None:
    """Guard: `facets.facets`, which counts open jobs with the query of `job.list`."""
    customer = await market.customer()
    for number in range(3):
        await market.job(customer, title=f"Fence {number}", budget_max_amount=60_000 + number)
    await market.job(customer, title="Fence", category="Café", skills=["Wood", "painting"])
    await market.job(customer, title="Lawn", description="Mow it.", skills=[], currency="EUR")
    taken = (await market.accepted_job(customer, title="Fence")).job
    assert taken["status"] == "assigned"
    found = await customer.call("/job", "facets", {"q": "fence"})
    assert found == {
        "categories": [{"value": "painting", "count": 3}, {"value": "Café", "count": 1}],
        "skills": [{"value": "painting", "count": 4}, {"value": "Wood", "count": 1}],
        "budgets": [{"currency": "USD", "min_amount": 50_000, "max_amount": 200_000, "count": 4}],
        "counted": 4,
        "complete": True,
        "bands": [
            {"currency": "USD", "min_amount": 50_000, "below_amount": 100_000, "count": 3},
            {"currency": "USD", "min_amount": 100_000, "below_amount": 250_000, "count": 1},
        ],
    }
    assert (await customer.call("/job", "facets"))["counted"] == 5
    near = {"near": {"lon": 1, "lat": 1}, "skills": ["none", "wood"]}
    assert (await customer.call("/job", "facets", near))["counted"] == 0
