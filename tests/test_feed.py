"""The feed outlives its rows: numbers go on, and whoever was away too long is told."""

from datetime import timedelta

import pytest

from domain import feed
from tests.parties import Refused


async def expire(market, party) -> None:
    """As the database does with rows whose time is over."""
    rows = market.store.database[feed.FeedRow.COLLECTION]
    soon = market.store.clock.now() + timedelta(hours=1)
    await rows.update_many({"user_id": party.id}, {"$set": {"expires_at": soon}})
    await feed.keep_heads_of_expiring(market.store.single())
    await rows.delete_many({"user_id": party.id, "seq": {"$gt": 0}})


async def test_numbers_go_on_when_all_rows_have_expired(market, server):
    """Guard: `keep_heads_of_expiring`; without it the next event would be number 1 again."""
    customer = await market.customer()
    for _ in range(3):
        await market.job(customer)
    await market.settled()
    await market.store.database[feed.FeedHead.COLLECTION].delete_many(
        {"_id": f"head:{customer.id}"}
    )
    server.web.relay._heads.clear()  # as after a restart
    await expire(market, customer)
    assert (await customer.call("/account", "sync", {"since": 3}))["head"] == 3
    await market.job(customer)
    await market.settled()
    items = (await customer.call("/account", "sync", {"since": 3}))["items"]
    assert [item["seq"] for item in items] == [4]


async def test_whoever_was_away_too_long_is_told(market, server):
    """Guard: `raise TooOld` in `feed.sync`; without it a client would skip what has expired."""
    customer = await market.customer()
    await market.job(customer)
    await market.settled()
    await expire(market, customer)
    await market.job(customer)
    await market.settled()
    with pytest.raises(Refused) as refused:
        await customer.call("/account", "sync", {"since": 0})
    assert (refused.value.code, refused.value.details) == ("too_old", {"head": 2, "first": 2})


async def test_what_was_seen_moves_forward_only(market, server):
    """Guard: `{"seen": {"$lt": seq}}` and the `min` with the head in `feed.seen`."""
    customer = await market.customer()
    for _ in range(2):
        await market.job(customer)
    await market.settled()
    assert await customer.call("/account", "seen", {"seq": 2}) == {"seen": 2, "head": 2}
    assert await customer.call("/account", "seen", {"seq": 1}) == {"seen": 2, "head": 2}
    assert await customer.call("/account", "seen", {"seq": 9}) == {"seen": 2, "head": 2}
    assert (await customer.call("/account", "sync", {"since": 2}))["seen"] == 2
