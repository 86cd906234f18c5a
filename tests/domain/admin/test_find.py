"""Finding records of any kind, and naming those whose ids are known."""

from domain.payouts.transfer import Transfer
from domain.stripe_events.inbox import WebhookEvent
from tests.support.job_in_progress import JobInProgress


async def test_records_of_all_kinds_are_found_and_named(completed_work: JobInProgress) -> None:
    """Guard: `find.find` and `find.names`: every kind of id, here and at Stripe, and words."""
    work, market = completed_work, completed_work.market
    withdrawal = await market.withdraw(work.contractor, 1000)
    await work.open_chargeback()
    await market.settled()
    payment, uow = await work.stored_payment(), market.store.single()
    [transfer] = await uow.all(Transfer, {"user_id": work.contractor.id})
    event = await uow.find(WebhookEvent, {"intent_id": payment.intent_id})
    assert event and transfer.stripe_id

    async def found(q: str) -> list[tuple[str, str]]:
        items = (await work.as_admin("find", q=q))["items"]
        return [(item["id"], item["title"]) for item in items]

    title, contractor = work.job["title"], (work.contractor.id, work.contractor.name)
    assert await found(work.contractor.id) == await found("Colin con") == [contractor]
    assert await found(title) == await found(work.job["id"]) == [(work.job["id"], title)]
    assert await found(work.customer.email) == [(work.customer.id, work.customer.name)]
    for id in (payment.id, payment.intent_id, payment.charge_id):
        assert await found(str(id)) == [(payment.id, title)]
    assert await found(transfer.stripe_id) == [(transfer.id, work.contractor.name)]
    assert await found(event.id) == [(event.id, event.type)]
    assert await found("nobody of that name") == await found("pay_none") == await found("_") == []

    ids = [work.contractor.id, payment.offer_id, transfer.id, withdrawal["id"], "usr_none", "x"]
    named = {item["id"]: item for item in (await work.as_admin("names", ids=ids))["items"]}
    assert set(named) == set(ids[:4])
    assert named[ids[0]]["status"] == "contractor"
    assert (named[ids[1]]["amount"], named[ids[1]]["status"]) == (100_000, "accepted")
    assert (named[ids[3]]["title"], named[ids[3]]["amount"]) == (work.contractor.name, 1000)
    query = "&".join(f"ids={id}" for id in ids)
    status, over_http = await work._admin.http("GET", f"/api/admin/names?{query}")
    assert (status, len(over_http["items"])) == (200, 4)
    operations = {row.operation for row in await market.trail()}
    assert "admin.find" in operations and "admin.names" not in operations
