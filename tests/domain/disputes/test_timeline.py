"""The timeline of a dispute: its length costs no command, and no side fills it alone."""

import msgspec

from domain.disputes.dispute import Dispute
from domain.disputes.timeline import (
    MAX_BYTES,
    MAX_ENTRIES,
    SHOWN_BYTES,
    SHOWN_ENTRIES,
    DisputeEntry,
    Written,
)
from domain.notifications.feed import FeedRow

LONG = "\U0001f600" * 1000  # 4,000 bytes


def size(value):
    return len(msgspec.json.encode(value))


async def say(party, dispute, text):
    fields = {"dispute_id": dispute["id"], "text": text}
    return await party.call("/payment", "dispute_say", fields)


async def test_an_entry_costs_the_same_however_many_there_are(work):
    """Guard: `timeline.latest` in `dispute.entry_fields`: neither the record nor a push grows."""
    dispute = await work.open_dispute()
    for number in range(6):
        shown = await say(work.contractor, dispute, f"{number} {LONG}")
    assert shown["entry_count"] == 7
    assert [entry["seq"] for entry in shown["timeline"]] == [5, 6, 7]
    stored = await work.market.store.single().get(Dispute, dispute["id"])
    assert size(stored.timeline) < SHOWN_BYTES + 1000
    await work.market.settled()
    pushed = await work.market.rows(FeedRow, name="dispute.updated")
    assert len(pushed) == 2 * 7
    assert max(size(row.data) for row in pushed) < SHOWN_BYTES + 4000
    for number in range(SHOWN_ENTRIES + 1):
        shown = await say(work.customer, dispute, str(number))
    assert len(shown["timeline"]) == SHOWN_ENTRIES


async def test_one_long_entry_is_shown_whole(work):
    """Guard: `newest` in `timeline.latest`, which is shown at any size."""
    dispute = await work.open_dispute()
    shown = await say(work.customer, dispute, "\U0001f600" * 5000)
    assert [entry["seq"] for entry in shown["timeline"]] == [2]
    assert len(shown["timeline"][0]["text"]) == 5000


async def test_all_entries_are_read_in_pages(work):
    """Guard: `operations.entries`, with its cursor and `before_seq`, on both wires."""
    dispute = await work.open_dispute()
    for number in range(5):
        await say(work.customer, dispute, str(number))
    admin = await work.market.admin()
    query = {"dispute_id": dispute["id"], "limit": 4}
    first = await admin.call("/payment", "dispute_entries", query)
    assert [entry["seq"] for entry in first["items"]] == [6, 5, 4, 3]
    rest = await admin.call("/payment", "dispute_entries", query | {"cursor": first["next_cursor"]})
    assert [entry["seq"] for entry in rest["items"]] == [2, 1]
    assert rest["next_cursor"] is None
    path = f"/api/payment/disputes/{dispute['id']}/entries"
    params = {"before_seq": "3", "limit": "1"}
    status, page = await work.contractor.http("GET", path, params=params)
    assert (status, page["items"]) == (200, rest["items"][:1])
    params["cursor"] = page["next_cursor"]
    _, page = await work.contractor.http("GET", path, params=params)
    assert [entry["kind"] for entry in page["items"]] == ["open"]
    stranger = await work.market.customer()
    assert (await stranger.http("GET", path))[0] == 404


async def test_no_side_fills_the_timeline_alone(work):
    """Guard: `Written.check` in `dispute.add_limited_entry`; the other side can still write, and
    both can end the dispute."""
    dispute = await work.open_dispute()
    store = work.market.store.single()
    fields = {"dispute_id": dispute["id"], "text": "Once more"}
    for full in (Written(MAX_ENTRIES, 0), Written(0, MAX_BYTES)):
        await store.change(Dispute, dispute["id"], customer_written=full)
        for event, more in (("say", {}), ("evidence", {}), ("propose", {"refund_amount": 1})):
            await work.assert_refused(
                work.customer, "/payment", f"dispute_{event}", fields | more, "too_many"
            )
    await say(work.contractor, dispute, "I can")
    counted = (await store.get(Dispute, dispute["id"])).contractor_written
    entry = (await work.market.rows(DisputeEntry))[-1].entry
    assert counted == Written(1, entry.size)
    await work.customer.call("/payment", "dispute_escalate", {"dispute_id": dispute["id"]})
