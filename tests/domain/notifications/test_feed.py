"""The feed: numbers continue after rows expire, `too_old`, the seen mark and the unread count."""

from datetime import timedelta

import pytest

from domain.kernel.outbox import OutboxRow
from domain.notifications import feed
from domain.notifications.notices import NOTIFICATION
from tests.conftest import both_paths
from tests.support.feed_rows import store_events
from tests.support.one_server import one_server, own_server
from tests.support.parties import Refused

pytestmark = one_server


async def expire(market, party) -> None:
    """Expire the rows of a feed as the TTL index does."""
    rows = market.store.database[feed.FeedRow.COLLECTION]
    soon = market.store.clock.now() + timedelta(hours=1)
    await rows.update_many({"user_id": party.id}, {"$set": {"expires_at": soon}})
    await feed.keep_heads_of_expiring(market.store.single())
    await rows.delete_many({"user_id": party.id, "seq": {"$gt": 0}})


async def test_numbers_continue_after_all_rows_have_expired(market, server):
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


async def test_a_client_that_was_away_too_long_gets_too_old(market, server):
    """Guard: `raise TooOld` in `feed.sync`; without it a client would skip expired events."""
    customer = await market.customer()
    await market.job(customer)
    await market.settled()
    await expire(market, customer)
    await market.job(customer)
    await market.settled()
    with pytest.raises(Refused) as refused:
        await customer.call("/account", "sync", {"since": 0})
    assert (refused.value.code, refused.value.details) == ("too_old", {"head": 2, "first": 2})


@pytest.mark.made_up
async def test_a_long_feed_is_read_in_windows(market):
    """Guard: `feed._windows`: neither a number twice nor a gap between two windows; an answer ends
    at `limit`, at its share of bytes and at the last number."""
    customer = await market.customer()
    count = 3 * feed.WINDOW + 1
    await store_events(market.store, customer, count)
    for since, limit in (
        (0, 500),
        (0, feed.WINDOW),
        (3, feed.WINDOW + 1),
        (count - 1, 9),
        (count, 9),
    ):
        items = (await customer.call("/account", "sync", {"since": since, "limit": limit}))["items"]
        expected = list(range(since + 1, min(since + limit, count) + 1))
        assert [item["seq"] for item in items] == expected, (since, limit)
    large = await market.customer("Lara Large")
    await store_events(market.store, large, 40, 60_000)
    items = (await large.call("/account", "sync", {"since": 0, "limit": 500}))["items"]
    assert [item["seq"] for item in items] == list(range(1, 9))


async def test_too_old_names_the_first_number_that_is_kept(market):
    """Guard: the query without a window in `feed.sync`, when all rows of the first have expired."""
    customer = await market.customer()
    await store_events(market.store, customer, 2 * feed.WINDOW + 5)
    rows, first = market.store.database[feed.FeedRow.COLLECTION], feed.WINDOW + 10
    await rows.delete_many({"user_id": customer.id, "seq": {"$gt": 0, "$lt": first}})
    with pytest.raises(Refused) as refused:
        await customer.call("/account", "sync", {"since": 2})
    assert refused.value.code == "too_old" and refused.value.details["first"] == first


async def test_the_seen_mark_moves_forward_only(market, server):
    """Guard: `{"seen": {"$lt": seq}}` and the `min` with the head in `feed.seen`."""
    customer = await market.customer()
    for _ in range(2):
        await market.job(customer)
    await market.settled()
    assert await customer.call("/account", "seen", {"seq": 2}) == {"seen": 2, "head": 2}
    assert await customer.call("/account", "seen", {"seq": 1}) == {"seen": 2, "head": 2}
    assert await customer.call("/account", "seen", {"seq": 9}) == {"seen": 2, "head": 2}
    assert (await customer.call("/account", "sync", {"since": 2}))["seen"] == 2


async def notices(market, party, *own: bool) -> None:
    """Write notices into the feed; `own` ones are about the user's own actions."""

    async def work(uow):
        for is_own in own:
            uow.publish(NOTIFICATION, {"title": "News", "own": is_own}, to=[party.id])

    # Written like any other event; the relay of any process may deliver it.
    rows = []
    market.store.committed = rows.extend
    await market.store.transact(work)
    await market.store.single().change_all(
        OutboxRow, {"_id": tuple(row.id for row in rows)}, lease_until=market.store.clock.now()
    )
    await market.settled()


@own_server
@pytest.mark.made_up
async def test_unread_counts_notices_that_are_not_own(market):
    """Guard: `data.own` and `$gt` in `_unread`; other events are not counted either."""
    customer = await market.customer()
    await market.job(customer)
    await market.settled()
    await notices(market, customer, False, True, False)
    assert (await customer.call("/account", "sync", {"since": 0}))["unread"] == 2
    first = customer.received("/account", "notification")[0].seq
    await customer.call("/account", "seen", {"seq": first})
    assert (await customer.call("/account", "sync", {"since": 0}))["unread"] == 1
    await customer.call("/account", "seen", {"seq": 9})
    assert (await customer.call("/account", "sync", {"since": 0}))["unread"] == 0


@both_paths
async def test_the_seen_mark_is_pushed_to_other_devices(market, server):
    """Guard: `uow.publish(HEAD, ...)` in `feed.seen`, and `FeedMarks` of every 30 s."""
    customer, admin = await market.customer(), await market.admin()
    await admin.call("/admin", "live")
    phone = await market.sign_in(customer.user)
    await market.job(customer)
    await market.settled()
    await customer.call("/account", "seen", {"seq": 1})
    push = await phone.pushed("/account", "head")
    assert (push.seq, push.data) == (None, {"head": 1, "seen": 1})
    await customer.call("/account", "seen", {"seq": 1})
    await market.settled()
    assert len(phone.received("/account", "head")) == 1
    phone.clear_pushes()
    await server.web.relay._save_heads()
    await server.web._push_heads_to([customer.id])
    await admin.pushed("/admin", "activity")
    assert await phone.push("/account", "head") == {"head": 1, "seen": 1}
    assert {p.data["name"] for p in admin.received("/admin", "activity")} == {"job.updated"}
