"""The money in escrow, offer by offer."""

from datetime import timedelta

from tests.support.job_in_progress import JobInProgress

PARTS = [{"title": "Posts", "amount": 40_000}, {"title": "Boards", "amount": 60_000}]


async def test_money_in_escrow_is_listed_by_offer(completed_work: JobInProgress) -> None:
    """Guard: `escrow.escrow`: its filters, its pages, and what it says of milestones."""
    market, server = completed_work.market, completed_work.server
    first = await JobInProgress(market, server).start(milestones=PARTS)
    await first.deliver(milestone=1)
    second = await JobInProgress(market, server).start(50_000)
    dispute = await second.open_dispute()
    ids = [first.offer["id"], second.offer["id"]]

    async def listed(**fields):
        return await completed_work.as_admin("escrow", **fields)

    page = await listed()
    assert [row["offer_id"] for row in page["items"]] == ids
    one, two = page["items"]
    assert (one["amount"], one["delivered_amount"]) == (90_000, 40_000)
    assert (one["customer_name"], one["contractor_name"]) == (
        first.customer.name,
        first.contractor.name,
    )
    assert one["due_at"] and one["accepted_at"] and one["dispute_id"] is None
    assert (two["amount"], two["dispute_id"], two["due_at"]) == (45_000, dispute["id"], None)
    made = (await second.stored_offer()).created_at
    [before] = (await listed(until=made.isoformat()))["items"]
    assert before == one
    after = (made + timedelta(milliseconds=1)).isoformat()
    assert (await listed(until=after, currency="usd"))["items"] == page["items"]
    assert (await listed(currency="EUR"))["items"] == []
    start = await listed(limit=1)
    rest = await listed(limit=1, until=after, cursor=start["next_cursor"])
    assert [*start["items"], *rest["items"]] == page["items"]
