"""Receipts of payments, and what each job moved."""

import pytest

from tests.support.parties import Refused


async def test_both_sides_have_the_receipt_and_the_totals_of_a_job(completed_work):
    """Guard: `receipts.receipt`, `by_job.by_job`, `withdrawals.withdrawal`, and the filter of
    `balance.history`."""
    work = completed_work
    market, customer, contractor = work.market, work.customer, work.contractor
    fields = {"payment_id": work.offer["payment_id"]}
    receipt = await customer.call("/payment", "receipt", fields)
    assert receipt == await contractor.call("/payment", "receipt", fields)
    parts = ("paid_amount", "contractor_amount", "platform_amount", "escrow_amount")
    assert [receipt[part] for part in parts] == [100_000, 70_000, 30_000, 0]
    assert (receipt["customer_name"], receipt["contractor_name"]) == (
        customer.name,
        contractor.name,
    )
    unpaid = await market.offer(
        customer, await applicant(market, job := await market.job(customer)), job
    )
    for party, id in (
        (await market.customer(), fields["payment_id"]),
        (customer, unpaid["payment_id"]),
    ):
        with pytest.raises(Refused) as refused:
            await party.call("/payment", "receipt", {"payment_id": id})
        assert refused.value.code == "not_found"
    [earned] = (await contractor.call("/wallet", "by_job"))["items"]
    assert (earned["in_amount"], earned["out_amount"]) == (70_000, 0)
    assert earned["job_title"] == work.job["title"]
    [paid] = (await customer.call("/wallet", "by_job"))["items"]
    assert (paid["in_amount"], paid["out_amount"]) == (0, 100_000)
    of_offer = {"offer_id": work.offer["id"]}
    history = (await contractor.call("/wallet", "history", of_offer))["items"]
    assert {each["offer_id"] for each in history} == {work.offer["id"]}
    assert (await contractor.call("/wallet", "history", {"offer_id": "ofr_none"}))["items"] == []
    made = await market.withdraw(contractor, 1000)
    one = await contractor.call("/wallet", "withdrawal", {"withdrawal_id": made["id"]})
    assert one["amount"] == 1000


async def applicant(market, job):
    contractor = await market.contractor()
    await market.application(contractor, job)
    return contractor
