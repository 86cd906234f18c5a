"""Answers end at a bound in bytes; what follows is asked for, without gaps."""

from typing import Any

import msgspec
import pytest

from domain.kernel import paging
from domain.kernel.paging import PAGE_BYTES, lowest_complete, read_within
from domain.notifications import feed
from tests.domain.chat.test_conversations import meet
from tests.support.parties import Json, Party

TEXT = "x" * 2000
LARGE = "\u0001 and text " * 3000  # 33,000 characters, 48,000 bytes as JSON


async def each(rows: list[Json]):
    for row in rows:
        yield row


@pytest.mark.parametrize(
    ("sizes", "limit", "taken", "more"),
    [
        ([], 10, 0, False),
        ([10] * 10, 10, 10, False),
        ([10] * 11, 10, 10, True),
        ([PAGE_BYTES // 4] * 10, 10, 3, True),
        ([PAGE_BYTES * 3], 10, 1, False),
        ([PAGE_BYTES * 3, 1], 10, 1, True),
        ([1, PAGE_BYTES * 3, 1], 10, 1, True),
    ],
)
async def test_one_record_always_fits(sizes, limit, taken, more):
    """Guard: `read_within`."""
    rows = [{"text": "x" * size} for size in sizes]
    assert await read_within(each(rows), dict, limit) == (rows[:taken], more)


def test_a_list_of_two_collections_has_no_gap():
    """Guard: `lowest_complete`: rows below the end of one page wait for the next."""
    assert lowest_complete([(["9", "7"], True), (["8", "3"], True)]) == "7"
    assert lowest_complete([(["9", "7"], False), (["8", "3"], True)]) == "3"
    assert lowest_complete([(["9"], False), ([], False)]) == ""


async def fill_feed(market: Any, party: Party, count: int) -> int:
    """Add large events. Returns the head."""
    uow = market.store.single()
    start = await feed.read_head(uow, party.id)
    rows = [
        uow.new(
            feed.FeedRow,
            user_id=party.id,
            seq=start + n,
            event=f"evt_{n}",
            namespace="/job",
            name="job.updated",
            data={"description": LARGE},
            expires_at=uow.now + feed.KEPT,
        )
        for n in range(1, count + 1)
    ]
    await uow.add_all(rows)
    return start + count


async def test_a_feed_of_large_events(market):
    """Guard: `uow.first` in `feed.sync`, on both wires: 200 such events were one answer of 9 MB."""
    customer = await market.customer()
    head = await fill_feed(market, customer, 40)
    for http in (False, True):
        seqs, answers = [], 0
        while not seqs or seqs[-1] < head:
            fields = {"since": seqs[-1] if seqs else 0, "limit": 500}
            if http:
                _, found = await customer.http("GET", "/api/account/feed", params=fields)
            else:
                found = await customer.call("/account", "sync", fields)
            size = len(msgspec.json.encode(found["items"]))
            assert size <= PAGE_BYTES, size
            assert found["head"] == head
            seqs += [item["seq"] for item in found["items"]]
            answers += 1
        assert seqs == list(range(1, head + 1))
        assert answers == -(-40 * 48_000 // PAGE_BYTES)


async def test_messages_in_small_pages(market, monkeypatch):
    """Guard: `uow.first` in `messages_around` and `_messages_after`; both lists of `sync` share
    the bound."""
    first = await meet(market)
    second = await meet(market, first.customer)
    for n in range(6):
        await first.say(first.customer, f"{n} {TEXT}")
        await second.say(second.customer, f"{n} {TEXT}")
    monkeypatch.setattr(paging, "PAGE_BYTES", 12_000)
    newest = (await first.history(first.customer))["items"]
    assert [message["seq"] for message in newest] == [3, 4, 5, 6]
    older = (await first.history(first.customer, before_seq=3))["items"]
    assert [message["seq"] for message in older] == [1, 2]
    newer = (await first.history(first.customer, after_seq=0))["items"]
    assert [message["seq"] for message in newer] == [1, 2, 3, 4]
    have = {first.id: 0, second.id: 0}
    for _ in range(20):
        synced = await first.customer.call("/chat", "sync", {"conversations": have})
        assert len(msgspec.json.encode(synced)) < 12_000
        for id, stretch in synced["conversations"].items():
            seqs = [message["seq"] for message in stretch["items"]]
            assert seqs == list(range(have[id] + 1, have[id] + len(seqs) + 1))
            have[id] += len(seqs)
    assert have == {first.id: 6, second.id: 6}


async def test_the_audit_log_in_small_pages(market, monkeypatch):
    """Guard: `lowest_complete` in `listing.audit_rows`, which joins two collections."""
    admin = await market.admin()
    for _ in range(6):
        await admin.call("/admin", "users", {"limit": 1})
    fields = {"operation": "admin.users", "limit": 10}
    whole = (await admin.call("/admin", "audit", fields))["items"]
    for bound in (1, 700, 1500):
        monkeypatch.setattr(paging, "PAGE_BYTES", bound)
        found, cursor = [], {}
        while True:
            page = await admin.call("/admin", "audit", {**fields, **cursor})
            found += page["items"]
            if not page["next_cursor"]:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert [row["id"] for row in found] == [row["id"] for row in whole], bound
