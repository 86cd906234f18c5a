"""Alerts: each administrator gets them and no other user; they commit with their cause."""

import msgspec
import pytest

from domain.kernel.outbox import OutboxRow
from domain.notifications import alerts
from domain.notifications.alerts import alert
from tests.support.one_server import one_server, own_server
from tests.support.parties import Refused

pytestmark = one_server


def write_alert(message="It was taken back."):
    return lambda uow: alert(uow, "refund_failed", "ofr_1", message)


async def test_all_administrators_get_the_alert(market, server):
    """Guard: `{"role": Role.ADMIN}` in `alerts.alert`, and `to=`: a room would not keep it for
    administrators who are offline."""
    here, other = await market.admin(), await market.admin("Bob")
    people = [await market.customer(), await market.contractor()]
    offline = await market.admin("Carol", connect=False)
    await server.store.transact(write_alert())
    for admin in (here, other):
        pushed = await admin.push("/admin", "alert")
        assert pushed.pop("id").startswith("alr_")
        assert pushed == {
            "kind": "refund_failed",
            "subject": "ofr_1",
            "message": "It was taken back.",
            "urgent": True,
        }
    await market.settled()
    _, feed = await offline.http("GET", "/api/account/feed?since=0")
    kept = [item["data"]["subject"] for item in feed["items"] if item["name"] == "alert"]
    assert kept == ["ofr_1"]
    for person in people:
        _, feed = await person.http("GET", "/api/account/feed?since=0")
        assert not [item for item in feed["items"] if item["name"] == "alert"]
        assert not person.received("/admin", "alert")


async def test_an_alert_commits_with_its_cause_or_not_at_all(market, server):
    """Guard: `uow.publish` in `alerts.alert`: part of the transaction that found the problem."""
    admin = await market.admin()

    async def work(uow):
        await write_alert()(uow)
        raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        await server.store.transact(work)
    await market.settled()
    assert await market.rows(OutboxRow) == []
    assert not admin.received("/admin", "alert")


@own_server
async def test_without_administrators_no_row_is_written(market, server):
    """Guard: `if users or room` in `UnitOfWork.publish`; else a delivery without recipients is
    queued."""
    await market.customer()
    server.store.committed = lambda rows: None
    await server.store.transact(write_alert())
    assert await market.rows(OutboxRow) == []


@own_server
async def test_an_alert_goes_to_a_limited_number_of_administrators(market, server, monkeypatch):
    """Guard: `MAX_ADMINS` in `alerts.alert`: one row is written for all of them."""
    monkeypatch.setattr(alerts, "MAX_ADMINS", 2)
    for name in ("Alice", "Bob", "Carol"):
        await market.admin(name, connect=False)
    server.store.committed = lambda rows: None
    await server.store.transact(write_alert())
    rows = await market.rows(OutboxRow, lane="push")
    assert [len(row.body["to"]) for row in rows] == [2]


@own_server
async def test_an_alert_is_listed_assigned_and_closed_once(market, server):
    """Guard: `alerts._keep`, `admin.alerts` and `admin.assignments`: an open alert counts the same
    problem, and a closed one is over for all."""
    admin, other = await market.admin(), await market.admin("Bob")
    for number in range(2):
        await server.store.transact(write_alert(f"It was taken back, {number}."))
    await server.store.transact(
        lambda uow: alert(uow, "payment_failed", "ofr_1", "It failed.", urgent=False)
    )
    [quiet, open_] = (await admin.call("/admin", "alerts"))["items"]
    assert (quiet["open"], open_["open"], open_["count"]) == (False, True, 2)
    assert open_["message"] == "It was taken back, 1."
    for fields in ({"open": True}, {"kind": "refund_failed"}):
        assert (await admin.call("/admin", "alerts", fields))["items"] == [open_]
    given = {"subject": open_["id"], "to": other.id, "reason": "Bob knows this bank"}
    taken = await admin.call("/admin", "assign", given)
    [row] = await market.trail(operation="admin.assign")
    assert msgspec.json.decode(row.detail)["fields"] == given
    assert (taken["assignee_id"], taken["assignee_name"], taken["by"]) == (
        other.id,
        "Bob",
        admin.id,
    )
    assert await other.push("/admin", "assignment.updated") == taken
    for fields in ({"subjects": [open_["id"], "alr_none"]}, {"assignee_id": other.id}, {}):
        assert (await other.call("/admin", "assignments", fields))["items"] == [taken], fields
    assert (await other.call("/admin", "assignments", {"assignee_id": admin.id}))["items"] == []
    close = {"alert_id": open_["id"], "reason": "Refunded by hand"}
    closed = await other.call("/admin", "alert_close", close)
    assert (closed["open"], closed["closed_by"]) == (False, other.id)
    assert await admin.push("/admin", "alert.updated") == closed
    assert (await other.call("/admin", "assignments"))["items"] == []
    with pytest.raises(Refused, match="conflict"):
        await admin.call("/admin", "alert_close", close)
    await server.store.transact(write_alert())
    [again] = (await admin.call("/admin", "alerts", {"open": True}))["items"]
    assert (again["id"] == open_["id"], again["count"]) == (False, 1)


async def test_only_administrators_are_assigned_to_what_there_is(market, server):
    """Guard: `ASSIGNABLE` and the reads in `assignments.assign`."""
    admin, customer = await market.admin(), await market.customer()
    await server.store.transact(write_alert())
    [kept] = (await admin.call("/admin", "alerts"))["items"]
    for subject, to, code in (
        (kept["id"], customer.id, "not_found"),
        ("alr_none", admin.id, "not_found"),
        (customer.id, admin.id, "invalid"),
    ):
        with pytest.raises(Refused, match=code):
            await admin.call("/admin", "assign", {"subject": subject, "to": to})
    assert (await admin.call("/admin", "assignments"))["items"] == []
    await admin.call("/admin", "assign", {"subject": kept["id"], "to": admin.id})
    freed = await admin.call("/admin", "assign", {"subject": kept["id"], "to": None})
    assert freed["assignee_id"] is None
    assert (await admin.call("/admin", "assignments"))["items"] == []
