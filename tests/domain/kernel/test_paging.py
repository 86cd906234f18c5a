"""Answers end at a bound in bytes; what follows is asked for, without gaps."""

from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from domain.jobs.job import Job
from domain.kernel import paging
from domain.kernel.field_codec import UndecipherableField
from domain.kernel.paging import (
    MAX_DAMAGED,
    PAGE_BYTES,
    lowest_complete,
    read_within,
    without_damaged,
)
from domain.notifications import feed
from tests.domain.chat.test_conversations import meet
from tests.support.one_server import one_server
from tests.support.parties import Json, Party

pytestmark = one_server

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
    assert await read_within(each(rows), limit) == (rows[:taken], more)


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


@pytest.mark.made_up
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


async def test_a_damaged_record_is_left_out_of_lists(server, market):
    """Guard: `without_damaged` in `UnitOfWork.readable`: one record that cannot be converted, or
    whose key is gone, does not take the others of its list with it. It is reported without its
    contents."""
    talk = await meet(market)
    jobs = [talk.job, await market.job(talk.customer), await market.job(talk.customer)]
    sent = [await talk.say(talk.customer, text) for text in ("first", "second", "third")]
    database = server.store.database
    await database["jobs"].update_one({"_id": jobs[1]["id"]}, {"$unset": {"title": 1}})
    broken = {"text": b"\x01\x04gone" + b"x" * 80}
    await database["messages"].update_one({"_id": sent[1]["id"]}, {"$set": broken})

    with capture_logs() as logged:
        mine = await talk.customer.call("/job", "mine")
        history = await talk.history(talk.customer)
    assert [job["id"] for job in mine["items"]] == [jobs[2]["id"], jobs[0]["id"]]
    assert [message["id"] for message in history["items"]] == [sent[0]["id"], sent[2]["id"]]
    assert [(each["collection"], each["ids"]) for each in logged if "ids" in each] == [
        ("jobs", [jobs[1]["id"]]),
        ("messages", [sent[1]["id"]]),
    ]
    alone = await talk.customer.ack("/job", "get", {"job_id": jobs[1]["id"]})
    assert alone["error"]["code"] == "internal"
    uow = server.store.single()
    with pytest.raises(msgspec.ValidationError):
        [job async for job in uow.each(Job, {}, (("_id", 1),))]
    with pytest.raises(msgspec.ValidationError):
        await uow.all(Job, {})


async def test_a_list_of_damaged_records_is_an_error():
    """Guard: `MAX_DAMAGED`: without the key of a whole collection its lists are not empty."""

    def read(row: Json) -> Json:
        raise UndecipherableField("no key")

    reported: list[Any] = []
    rows = [{"_id": str(n)} for n in range(MAX_DAMAGED + 5)]
    with pytest.raises(UndecipherableField):
        [row async for row in without_damaged(each(rows), read, reported.append)]
    assert reported == [[str(n) for n in range(MAX_DAMAGED + 1)]]


@pytest.mark.made_up
async def test_a_feed_with_a_damaged_row(server, market):
    """Guard: `uow.readable` in `feed._windows` and `uow.first` in `feed.sync`: the rest is read,
    and a client that lacks an event reloads its lists."""
    customer = await market.customer()
    head = await fill_feed(market, customer, 5)
    rows = server.store.database["feed"]
    await rows.update_one({"user_id": customer.id, "seq": head - 2}, {"$unset": {"name": 1}})
    synced = await customer.call("/account", "sync", {"since": head - 4})
    assert [item["seq"] for item in synced["items"]] == [head - 3, head - 1, head]
    for since in (head - 3, head - 1):
        await rows.update_one({"user_id": customer.id, "seq": since + 1}, {"$unset": {"name": 1}})
        answer = await customer.ack("/account", "sync", {"since": since})
        assert answer["error"]["code"] == "too_old"
