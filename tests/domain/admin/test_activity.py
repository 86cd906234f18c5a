"""The activity of the market: rows of pushes with actor and names, live and as a backlog."""

import pytest

from domain.admin.activity import ActivityRow, row_of
from domain.kernel.outbox import Delivery
from tests.support.market import Market
from tests.support.one_server import one_server

pytestmark = one_server


async def test_what_happens_is_shown_live_and_later(market: Market) -> None:
    """Guard: `activity.keep`, `activity.activity` and its filters, and `Outgoing.by`."""
    admin = await market.admin()
    await admin.call("/admin", "live")
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    live = await admin.push("/admin", "activity")
    assert live["data"]["id"] == live["subject_id"] == live["job_id"] == job["id"]
    assert (live["name"], live["actor_id"], live["status"]) == ("job.updated", customer.id, "open")
    assert (live["job_title"], live["names"]) == (job["title"], {customer.id: "Carla Customer"})
    admin.clear_pushes()
    application = await market.application(contractor, job)
    applied = await admin.push("/admin", "activity")
    assert (applied["name"], applied["actor_id"]) == ("application.created", contractor.id)
    assert applied["names"] == {customer.id: "Carla Customer", contractor.id: "Colin Contractor"}
    later = (await admin.call("/admin", "activity"))["items"]
    assert later == [{k: v for k, v in each.items() if k != "data"} for each in (applied, live)]
    for subject in (contractor.id, application["id"]):
        [only] = (await admin.call("/admin", "activity", {"subject": subject}))["items"]
        assert only["id"] == applied["id"]
    named = await admin.http("GET", "/api/admin/activity?kind=job.updated&limit=1")
    assert named == (200, {"items": [later[1]], "next_cursor": None})


async def test_a_repeated_push_has_one_row(market: Market, server) -> None:
    """Guard: the id in `activity.row_of`, and `add_missing` in `activity.keep`."""
    admin = await market.admin()
    await admin.call("/admin", "live")
    uow = server.store.single()
    delivery = Delivery("/job", "job.updated", {"id": "job_1", "status": "open"}, ("usr_1",))
    for _ in range(2):
        await server.web._push(delivery, uow.now, {"usr_1": 1}, "out_1")
        await admin.push("/admin", "activity")
        admin.clear_pushes()
    [row] = await market.rows(ActivityRow)
    assert (row.id, row.about) == ("act_1", ("job_1",))


@pytest.mark.parametrize("name", ["alert", "notification", "wallet.updated", "job.matched"])
async def test_some_pushes_are_no_activity(name: str, server) -> None:
    """Guard: `UNSHOWN` and `CHAT` in `activity.row_of`."""
    now = server.store.single().now
    assert row_of("out_1", now, Delivery("/account", name, {"id": "usr_1"})) is None
    assert row_of("out_1", now, Delivery("/chat", "read", {"user_id": "usr_1"})) is None
