"""The orders of a search, its pages while jobs come and go, budgets in several currencies."""

from collections.abc import Iterator
from typing import Any

import pytest

from domain.jobs.job import Job
from tests.conftest import Server
from tests.support.installations import Installation, new_market, running_server
from tests.support.market import Market
from tests.support.parties import Json, Party, Refused

BERLIN = {"lon": 13.405, "lat": 52.52}
POTSDAM = {"lon": 13.0645, "lat": 52.3906}


async def pages(party: Party, between: Any = None, **fields: Any) -> list[Json]:
    """All items, in pages of three; `between` is awaited after each page."""
    found: list[Json] = []
    cursor = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = await party.call("/job", "list", {**fields, "limit": 3, **more})
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
        if between:
            await between()


KEYS: dict[str, Any] = {
    "relevance": lambda job: (job["title"].startswith("Big"), -job["distance_km"], job["id"]),
    "newest": lambda job: job["id"],
    "budget": lambda job: (job["budget_max_amount"], job["id"]),
    "distance": lambda job: (-job["distance_km"], job["id"]),
}


async def test_pages_have_every_job_once_while_jobs_come_and_go(
    market: Market, server: Server
) -> None:
    """Guard: `Position`, which depends on nothing but the job and the query; `Reading._page`."""
    customer = await market.customer()
    for (sort, key), tree in zip(KEYS.items(), ("oak", "elm", "yew", "ash"), strict=True):
        jobs = [
            await market.job(
                customer,
                title=f"Big {tree} {number}" if number % 2 else f"Small {number}",
                description=f"A {tree}",
                budget_max_amount=60_000 + number // 4,
                location=BERLIN if number % 3 else POTSDAM,
            )
            for number in range(8)
        ]
        gone = iter(jobs[2:8:3])

        async def changes(tree: str = tree, gone: Iterator[Json] = gone) -> None:
            late = {"title": f"Late {tree}", "budget_max_amount": 90_000, "location": BERLIN}
            await market.job(customer, **late)
            if job := next(gone, None):
                await customer.call("/job", "cancel", {"job_id": job["id"]})

        fields: Json = {"q": tree, "sort": sort, "near": BERLIN, "radius_km": 100}
        first = await pages(customer, **fields)
        assert {job["id"] for job in first} == {job["id"] for job in jobs} and len(first) == 8
        assert {round(job["distance_km"]) for job in first} == {0, 28}
        assert first == sorted(first, key=key, reverse=True), sort
        seen = [job["id"] for job in await pages(customer, changes, **fields)]
        assert len(set(seen)) == len(seen)
        stay = [job["id"] for job in first if job["id"] not in {jobs[n]["id"] for n in (2, 5)}]
        assert [id for id in seen if id in stay] == stay, sort
    # A damaged cursor is refused.
    for cursor in ("bm9uc2Vuc2U", "WzEsMiwzXQ", "WzFlNDAwLDEsImEiXQ"):
        with pytest.raises(Refused, match="cursor"):
            await customer.call("/job", "list", {**fields, "cursor": cursor})
    # The record decides: an index that is behind shows nothing that is closed.
    ids = tuple(job["id"] for job in first)
    await server.store.single().change_all(Job, {"_id": ids}, status="cancelled")
    assert {job["title"] for job in await pages(customer, **fields)} == {"Late ash"}


async def test_own_jobs_in_another_state_are_found(market: Market) -> None:
    """Guard: the guard of `found_jobs`."""
    customer, other = await market.customer(), await market.customer()
    job = await market.job(customer, title="Oak")
    await customer.call("/job", "cancel", {"job_id": job["id"]})
    wanted = {"q": "oak", "status": "cancelled"}
    assert [each["id"] for each in await pages(customer, **wanted)] == [job["id"]]
    assert await pages(other, **wanted) == []
    admin = await market.admin()
    assert [each["id"] for each in await pages(admin, **wanted)] == [job["id"]]


async def test_budgets_are_compared_by_the_rates_of_the_operator(
    installation: Installation,
) -> None:
    """Guard: `search._comparable`; without a rate yen and dollars have no order."""
    installation.configure(CURRENCY="USD,JPY,EUR,KWD", EXCHANGE_RATES="EUR=1.25,JPY=0.01")
    async with running_server(installation) as server, new_market(server, installation) as market:
        customer, contractor = await market.customer(), await market.contractor()
        for title, high, currency in (
            ("USD 100", 10_000, "USD"),
            ("JPY 9,000", 9_000, "JPY"),
            ("EUR 100", 10_000, "EUR"),
            ("JPY 20,000", 20_000, "JPY"),
            ("KWD 1,000", 1_000_000, "KWD"),
        ):
            budget = {"budget_min_amount": 10, "budget_max_amount": high, "currency": currency}
            await market.job(customer, title=title, **budget)
        order = ["JPY 20,000", "EUR 100", "USD 100", "JPY 9,000", "KWD 1,000"]
        assert [job["title"] for job in await pages(customer, sort="budget")] == order

        async def fitting(**budget: Any) -> list[str]:
            found = await pages(customer, sort="budget", budget=budget)
            return [job["title"] for job in found]

        assert await fitting(min_amount=10_000) == order[:3]
        assert await fitting(min_amount=9_000) == order[:4]
        assert await fitting(min_amount=9_001, currency="JPY") == order[:1]
        assert await fitting(min_amount=1, currency="KWD") == order[4:]
        saved = {"name": "x", "budget": {"min_amount": 12_000}}
        await contractor.call("/job", "search_save", saved)
        eur = {"budget_min_amount": 10, "budget_max_amount": 9_600, "currency": "EUR"}
        await market.job(customer, title="EUR 96", **eur)
        await market.job(customer, title="EUR 95", **eur | {"budget_max_amount": 9_599})
        await market.settled()
        pushed = contractor.received("/job", "job.matched")
        assert [push.data["job"]["title"] for push in pushed] == ["EUR 96"]
