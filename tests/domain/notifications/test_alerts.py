"""Alerts: each administrator gets them and no other user; they commit with their cause."""

import pytest

from domain.kernel.outbox import OutboxRow
from domain.notifications import alerts
from domain.notifications.alerts import alert


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


async def test_without_administrators_no_row_is_written(market, server):
    """Guard: `if users or room` in `UnitOfWork.publish`; else a delivery without recipients is
    queued."""
    await market.customer()
    server.store.committed = lambda rows: None
    await server.store.transact(write_alert())
    assert await market.rows(OutboxRow) == []


async def test_an_alert_goes_to_a_limited_number_of_administrators(market, server, monkeypatch):
    """Guard: `MAX_ADMINS` in `alerts.alert`: one row is written for all of them."""
    monkeypatch.setattr(alerts, "MAX_ADMINS", 2)
    for name in ("Alice", "Bob", "Carol"):
        await market.admin(name, connect=False)
    server.store.committed = lambda rows: None
    await server.store.transact(write_alert())
    rows = await market.rows(OutboxRow, lane="push")
    assert [len(row.body["to"]) for row in rows] == [2]
