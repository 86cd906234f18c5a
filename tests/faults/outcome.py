"""Reads the outcome of a test: the users' feeds, the requests to Stripe, the outbox."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pymongo.errors import NetworkTimeout

from domain.kernel.outbox import OutboxRow
from domain.ledger.transaction import Transaction
from domain.ports.ports import Ports
from domain.reconciliation.books_audit import audit
from domain.reconciliation.difference import Difference
from domain.reconciliation.runs import compare_books
from tests.support.market import Market
from tests.support.parties import Party

PATIENCE = 80.0  # a dead process: its lease runs out after 15 s, its transactions after 60 s
DAY = timedelta(days=1)
MOST_AHEAD = timedelta(days=8)  # the sandbox's clock, in any test


async def until(check: Any, seconds: float = PATIENCE) -> Any:
    """Wait for a condition that no push announces to this test."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await check()
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it did not converge"
        await asyncio.sleep(0.05)


async def feed_of(party: Party) -> list[dict[str, Any]]:
    """All feed entries of a user, read as a client does that reconnects; without gaps."""
    items: list[dict[str, Any]] = []
    while True:
        status, page = await party.http(
            "GET", "/api/account/feed", params={"since": len(items), "limit": 500}
        )
        assert status == 200, page
        items += page["items"]
        if len(items) >= page["head"]:
            assert [item["seq"] for item in items] == list(range(1, page["head"] + 1))
            return items


async def feed_values(party: Party, name: str, field: str = "id") -> list[Any]:
    """One field of each event of that name in a user's feed, oldest first."""
    return [item["data"][field] for item in await feed_of(party) if item["name"] == name]


async def books_differences(market: Market, ports: Ports) -> list[Difference]:
    """What the audit and the comparison with Stripe's lines find, once all is settled."""
    await market.settled(PATIENCE)
    now = ports.clock.now()
    compared = await compare_books(ports, now - DAY, now + MOST_AHEAD)
    return [*(await audit(ports)).differences, *compared.differences]


async def count_booked(market: Market, kind: str) -> int:
    """How many bookings of a kind there are in the journal."""
    return sum(row.kind == kind for row in await market.rows(Transaction))


async def requests_to(market: Market, path: str) -> int:
    """How many requests of a kind Stripe received, answered or not."""
    return (await market.sandbox.calls()).count(f"POST /v1/{path}")


async def waits_only_for(market: Market, *tasks: str) -> bool:
    """Whether the outbox contains tasks of exactly these kinds, so that a process that is killed
    now dies in them and leaves no rows locked by other transactions."""
    uow = market.store.single()
    soon = {"$lte": uow.now + timedelta(seconds=60)}
    rows = await uow.all(OutboxRow, {"dead": False, "lease_until": soon})
    return {row.body["type"] for row in rows} == {*tasks}


async def expire_leases(market: Market, **where: Any) -> None:
    """Expire the leases and delays of outbox rows, as if the time had passed. Those that are locked
    by a transaction of a killed process are left."""
    now, uow = market.store.clock.now(), market.store.single()
    for row in await market.rows(OutboxRow, dead=False, **where):
        with suppress(NetworkTimeout):
            await uow.change(OutboxRow, row.id, only_if={"dead": False, **where}, lease_until=now)
