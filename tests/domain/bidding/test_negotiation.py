"""Counter-offers: a thread of offers between two people about one job."""

import pytest

from domain.reconciliation.books_audit import audit
from tests.support.databases import needs
from tests.support.job_in_progress import TIMEOUT, JobInProgress


@pytest.fixture
async def people(market):
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    return customer, contractor, job


@needs("freed keys")
async def test_a_counter_is_answered_by_a_new_offer(market, server, people):
    """Guard: `previous` in `offers.create`; without it the thread breaks. Guard: `close_offer` in
    `offers.counter`; without it the customer pays two holds."""
    customer, contractor, job = people
    first = await market.offer(customer, contractor, job)
    assert (first["thread_id"], first["previous_id"]) == (first["id"], None)
    countered = await contractor.call(
        "/bidding", "counter", {"offer_id": first["id"], "amount": 120_000, "note": "Two coats."}
    )
    assert (countered["status"], countered["counter"]["amount"]) == ("countered", 120_000)
    countered = await customer.push("/bidding", "offer.countered", lambda o: o["id"] == first["id"])
    assert countered["counter"]["note"] == "Two coats."
    await customer.push("/payment", "payment.updated", lambda p: p["status"] == "canceled", TIMEOUT)
    second = await market.offer(customer, contractor, job, 120_000)
    assert (second["thread_id"], second["previous_id"]) == (first["id"], first["id"])
    await market.accept(contractor, second)
    for side in (customer, contractor):
        thread = await side.call("/bidding", "list", {"thread_id": first["id"]})
        assert [o["status"] for o in thread["items"]] == ["accepted", "countered"]
        assert [step["status"] for step in thread["items"][1]["history"]] == [
            "awaiting_payment",
            "pending",
            "countered",
        ]
    await market.settled(TIMEOUT)
    assert (await audit(server.ports)).differences == []


async def test_invalid_counters_are_refused(market, server, people):
    """Guard: `check_chargeable` and the states in `offers.counter`."""
    customer, contractor, job = people
    offer = await market.offer(customer, contractor, job)
    work = JobInProgress(market, server)
    fields = {"offer_id": offer["id"], "amount": 1}
    await work.assert_refused(contractor, "/bidding", "counter", fields, "amount_not_payable")
    other = await market.contractor("Otto")
    await work.assert_refused(other, "/bidding", "counter", fields | {"amount": 100}, "not_found")
    await contractor.call("/bidding", "reject", {"offer_id": offer["id"]})
    again = fields | {"amount": 100}
    await work.assert_refused(contractor, "/bidding", "counter", again, "offer_not_pending")
