"""A whole job from posting to payout, as all parties see it."""

from domain import ledger
from domain.reconciliation.books_audit import audit


async def test_a_whole_job_from_posting_to_payout(market, server):
    """Guard: `processing.accept_offer` books the fee; without it the platform ends at 20000."""
    customer = await market.customer()
    contractor = await market.contractor(onboarded=True)
    job = await market.job(customer)
    application = await market.application(contractor, job)
    await customer.call("/job-request", "accept", {"application_id": application["id"]})
    offer = await market.offer(customer, contractor, job)
    await market.accept(contractor, offer)
    await market.start(contractor, job)
    await market.deliver(contractor, job)
    done = await market.complete(customer, job)
    assert done["split"] == {
        "currency": "USD",
        "amount": 100000,
        "platform_amount": 30000,
        "contractor_amount": 70000,
    }
    await contractor.push("/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70000)
    uow = server.store.single()
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 30000}
    assert await ledger.total_of(uow, "escrow") == {}
    report = await audit(server.ports)
    assert report.differences == []
    assert (report.payments, report.transfers) == (1, 1)
