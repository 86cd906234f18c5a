"""The page of one user, and the list of jobs: everything that is known about them."""

import pytest

from domain.accounts.user import User
from tests.support.job_in_progress import JobInProgress
from tests.support.parties import Refused

BOTH = ("jobs", "offers", "payments", "disputes", "chargebacks")
CONTRACTORS = ("transfers", "withdrawals")


async def test_a_user_is_shown_with_all_records_about_them(completed_work: JobInProgress) -> None:
    """Guard: `user_details.user_details`: its kinds of records for either side, and presence; and
    the sides in `list_all_disputes`."""
    work, market = completed_work, completed_work.market
    await market.withdraw(work.contractor, 1000)
    other = await JobInProgress(market, work.server).start(
        customer=work.customer, contractor=work.contractor
    )
    await other.open_dispute()
    await work.open_chargeback()
    await market.settled()

    async def details(user_id: str):
        return await work.as_admin("user", user_id=user_id)

    contractor, customer = await details(work.contractor.id), await details(work.customer.id)
    expected = {"jobs": 2, "offers": 2, "payments": 2, "disputes": 1, "chargebacks": 1}
    for shown in (contractor, customer):
        assert {name: shown[name]["count"] for name in BOTH} == expected
        assert [row["id"] for row in shown["jobs"]["latest"]] == [other.job["id"], work.job["id"]]
        [dispute] = shown["disputes"]["latest"]
        assert (dispute["status"], dispute["amount"]) == ("open", 100_000)
        assert shown["reports_about"] == shown["reports_by"] == {"count": 0, "latest": []}
    for sides, expected_ids in (
        ({"customer_id": work.customer.id}, [dispute["id"]]),
        ({"contractor_id": work.contractor.id, "status": "open"}, [dispute["id"]]),
        ({"contractor_id": work.customer.id}, []),
    ):
        listed = await work.as_admin("disputes", **sides)
        assert [row["id"] for row in listed["items"]] == expected_ids
    assert [contractor[name]["count"] for name in CONTRACTORS] == [1, 1]
    assert [customer[name]["count"] for name in CONTRACTORS] == [0, 0]
    stored = await market.store.single().get(User, work.contractor.id)
    assert contractor["user"]["stripe_account_id"] == stored.connect_id
    [balance] = contractor["balances"]
    own = await work.contractor.call("/wallet", "balance")
    assert [balance[part] for part in ("available", "held", "debt")] == [
        own[part] for part in ("available", "held", "debt")
    ]
    assert customer["profile"]["online"] is True
    assert customer["profile"]["last_seen_at"] is None


async def test_what_happened_to_the_account_is_shown(completed_work: JobInProgress) -> None:
    """Guard: the audit rows and the profile of `user_details`, and more than five records."""
    market, user = completed_work.market, completed_work.customer
    for number in range(6):
        await market.job(user, title=f"Paint fence {number}")
    await user.call("/account", "update", {"headline": "Owner of fences"})
    await completed_work.as_admin("ban", user_id=user.id, reason="Spam in chats")
    await user.wait_until_disconnected()
    status, shown = await completed_work._admin.http("GET", f"/api/admin/users/{user.id}")
    assert status == 200
    assert shown["jobs"]["count"] == 7
    titles = [row["title"] for row in shown["jobs"]["latest"]]
    assert titles == [f"Paint fence {number}" for number in (5, 4, 3, 2, 1)]
    assert shown["profile"]["headline"] == "Owner of fences"
    assert shown["user"]["ban_reason"] == "Spam in chats"
    [banned, *_] = shown["audit"]
    assert (banned["operation"], banned["detail"]["fields"]["reason"]) == (
        "admin.ban",
        "Spam in chats",
    )
    with pytest.raises(Refused, match="not_found"):
        await completed_work.as_admin("user", user_id="usr_none")


async def test_jobs_by_side_and_state(completed_work: JobInProgress) -> None:
    """Guard: the filters of `jobs.jobs`."""
    market, done = completed_work.market, completed_work.job["id"]
    customer = await market.customer()
    still_open = (await market.job(customer))["id"]

    async def ids(**fields):
        return [job["id"] for job in (await completed_work.as_admin("jobs", **fields))["items"]]

    assert await ids() == [still_open, done]
    assert await ids(status="open") == await ids(customer_id=customer.id) == [still_open]
    assert await ids(contractor_id=completed_work.contractor.id) == [done]
    assert await ids(status="completed", customer_id=customer.id) == []
