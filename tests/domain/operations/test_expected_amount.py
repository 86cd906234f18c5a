"""Steps that move money are refused when their amount is not the one that was shown."""

from typing import Any

from domain.payouts.transfer import Transfer
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market


async def test_another_amount_than_was_shown_is_a_conflict(market: Market, server: Any) -> None:
    """Guard: `check_expected` in `work.complete`, `work.cancel`, `resolution.check_at_stake`,
    `wallet_actions._refund` and `wallet_actions._release`."""
    parts = [{"title": "A", "amount": 60_000}, {"title": "B", "amount": 40_000}]
    work = await JobInProgress(market, server).start(milestones=parts, onboarded=False)
    customer, admin = work.customer, await market.admin()

    async def step(party: Any, namespace: str, event: str, right: int, **fields: Any) -> Any:
        wrong = fields | {"expected_amount": right + 1}
        await work.assert_refused(party, namespace, event, wrong, "conflict")
        return await party.call(namespace, event, fields | {"expected_amount": right})

    of_job, payment = {"job_id": work.job["id"]}, {"payment_id": work.offer["payment_id"]}
    await work.deliver(milestone=1)
    done = await step(customer, "/job", "complete", 60_000, **of_job, milestone=1)
    assert done["split"]["amount"] == 60_000
    [transfer] = await server.store.single().all(Transfer, {})
    reason = {"reason": "Goodwill"}
    await step(admin, "/admin", "release", 42_000, transfer_id=transfer.id, **reason)
    await step(admin, "/admin", "refund", 10_000, **payment, amount=10_000, **reason)
    await market.settled()
    dispute = await work.open_dispute()
    split = {"dispute_id": dispute["id"], "refund_amount": 20_000}
    await work.contractor.call("/payment", "dispute_propose", split)
    await step(customer, "/payment", "dispute_agree", 30_000, **split)
    other = await market.accepted_job(customer, work.contractor)
    cancelled = await step(customer, "/job", "cancel", 100_000, job_id=other.job["id"])
    assert cancelled["status"] == "cancelled"
    unassigned = await market.job(customer)
    await step(customer, "/job", "cancel", 0, job_id=unassigned["id"])
