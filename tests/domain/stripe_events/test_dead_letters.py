"""Dead letters: alert, retry, discard; and replays of Stripe events."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from domain.admin import dead_letters
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.outbox import LEASE, Delivery, OutboxRow
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import ALERT, Alert
from domain.notifications.notices import Notify, SendMail
from domain.stripe_events import replay
from domain.stripe_events.inbox import EventStatus, ProcessEvent, WebhookEvent
from server.cli import replay as replay_command
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.one_server import one_server, own_server
from tests.support.stripe_event_samples import (
    exhaust_attempts,
    make_dead_letters,
    make_event,
    post_event,
    stop_relay,
    stored_events,
)

pytestmark = one_server


async def alert_of(admin, id):
    """The alert about a dead letter."""
    return await admin.push(
        "/admin", "alert", lambda a: (a["kind"], a["subject"]) == ("dead_letter", id), TIMEOUT
    )


async def waiting(market):
    """The row of the only event, leased to no process that runs."""
    (row,) = await market.tasks("process_stripe_event")
    uow = market.store.single()
    return await uow.change(OutboxRow, row.id, lease_until=uow.now + timedelta(hours=1), owner="")


async def test_a_dead_letter_causes_an_alert_and_is_retried(market, server):
    """Guard: `dead_letters.move_to_dead_letters` in the relay; `attempts=0` in
    `dead_letters.retry`."""
    admin = await market.admin()
    (id,) = await make_dead_letters(market, server, "evt_1")
    message = (await alert_of(admin, id))["message"]
    assert "process_stripe_event about evt_1 failed 12 times: ValueError: no." in message
    letter = (await admin.call("/admin", "dead_letters"))["items"][0]
    created = letter.pop("created_at")
    assert letter == {
        "id": id,
        "lane": "stripe",
        "kind": "process_stripe_event",
        "subject": "evt_1",
        "attempts": 12,
        "last_error": "ValueError: no",
    }
    assert created
    assert [(e.status, e.last_error) for e in await stored_events(market)] == [
        (EventStatus.DEAD, "ValueError: no")
    ]
    await admin.call("/admin", "retry", {"row_id": id})
    await market.settled()
    assert [(e.status, e.last_error) for e in await stored_events(market)] == [
        (EventStatus.DONE, None)
    ]
    assert (await admin.call("/admin", "dead_letters"))["items"] == []
    await JobInProgress(market, server).assert_refused(
        admin, "/admin", "retry", {"row_id": id}, "not_found"
    )


async def test_a_dead_letter_is_discarded_with_a_reason(market, server):
    """Guard: `reason` of `dead_letters.Discard`, which the audit trail keeps."""
    admin = await market.admin()
    (id,) = await make_dead_letters(market, server, "evt_1")
    await alert_of(admin, id)
    work = JobInProgress(market, server)
    for fields in ({"reason": " "}, {"reason": "  \n "}, {}):
        await work.assert_refused(admin, "/admin", "discard", {"row_id": id, **fields}, "invalid")
    await admin.call("/admin", "discard", {"row_id": id, "reason": "A test"})
    assert await market.rows(OutboxRow, dead=True) == []
    trail = (await admin.call("/admin", "audit", {"operation": "admin.discard"}))["items"]
    assert trail[0]["detail"]["fields"]["reason"] == "A test"
    assert msgspec.json.encode(trail)


@own_server
async def test_a_live_row_cannot_be_retried_or_discarded(market, server):
    """Guard: `dead=True` in `dead_letters.retry` and `dead_letters.discard`: a live row belongs to
    its worker."""
    admin = await market.admin()
    await stop_relay(server)
    assert await post_event(market, make_event()) == 200
    row = await waiting(market)
    work, fields = JobInProgress(market, server), {"row_id": row.id}
    await work.assert_refused(admin, "/admin", "retry", fields, "not_found")
    await work.assert_refused(
        admin, "/admin", "discard", {**fields, "reason": "A test"}, "not_found"
    )


async def test_a_row_that_cannot_be_given_up_holds_up_no_other(market, server, monkeypatch):
    """Guard: `except Exception` for each row in `Relay._move_to_dead_letters`; raised further it
    would end every round of the poll, and nothing that a crash has left would ever be found."""
    bury, broken = dead_letters.move_to_dead_letters, []

    async def raising(uow, rows):
        if rows[0].body["event_id"] == "evt_1":
            broken.append(rows[0].id)
            raise ValueError("no")
        await bury(uow, rows)

    monkeypatch.setattr(dead_letters, "move_to_dead_letters", raising)
    admin = await market.admin()
    first, second = await make_dead_letters(market, server, "evt_1", "evt_2")
    await alert_of(admin, second)
    assert await post_event(market, make_event("evt_3")) == 200
    await server.store.single().change_all(
        OutboxRow, {"subject": "evt_3"}, owner="", lease_until=server.ports.clock.now()
    )

    async with asyncio.timeout(TIMEOUT):
        while (await stored_events(market))[-1].status is not EventStatus.NOT_OURS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert set(broken) == {first}


@own_server
async def test_a_row_that_was_claimed_again_does_not_become_dead(market, server):
    """Guard: `exhausted` in `dead_letters.move_to_dead_letters`: the row was claimed between the
    read and the change."""
    await stop_relay(server)
    assert await post_event(market, make_event()) == 200
    (row,) = await market.tasks("process_stripe_event")
    await exhaust_attempts(server.store, row.id)
    (tired,) = await market.tasks("process_stripe_event")
    uow = server.store.single()
    await uow.change(OutboxRow, row.id, owner="other", lease_until=uow.now + LEASE)
    await server.store.transact(lambda uow: dead_letters.move_to_dead_letters(uow, [tired]))
    assert await market.rows(OutboxRow, dead=True) == []
    assert [e.status for e in await stored_events(market)] == [EventStatus.RECEIVED]


@own_server
async def test_a_processed_event_does_not_become_dead(market, server):
    """Guard: `only_if` of the event in `dead_letters.move_to_dead_letters` and
    `dead_letters.retry`: the last attempt succeeded, and its process ended before it removed the
    row."""
    admin = await market.admin()
    await stop_relay(server)
    assert await post_event(market, make_event()) == 200
    (row,) = await market.tasks("process_stripe_event")
    await ProcessEvent("evt_1").run(server.ports)
    await exhaust_attempts(server.store, row.id)
    server.web.relay.start(server.ports)
    await alert_of(admin, row.id)
    assert [e.status for e in await stored_events(market)] == [EventStatus.NOT_OURS]
    await admin.call("/admin", "retry", {"row_id": row.id})
    await market.settled()
    assert [(e.status, e.attempts) for e in await stored_events(market)] == [
        (EventStatus.NOT_OURS, 1)
    ]


@own_server
async def test_a_lost_alert_causes_no_alert(market, server):
    """Guard: `_carries_an_alert` in `dead_letters.move_to_dead_letters`: an alert about a lost
    alert would be lost too, and cause the next one. It also covers the notification and the mail of
    an alert."""
    admin = await market.admin()
    await stop_relay(server)
    news = Delivery(
        "/admin", ALERT.name, {"kind": "a", "subject": "b", "message": "c"}, (admin.id,)
    )
    notice = Delivery("/account", "notification", {"path": "/admin"}, (admin.id,))
    now = server.ports.clock.now()

    async def queue_alerts(uow):
        uow.publish(ALERT, Alert("a", "b", "c"), to=[admin.id])
        uow.later(Notify("tell_1", now, (news,)))
        uow._append(notice)
        uow.later(SendMail("mail_1", admin.id, "a", "b", "/admin", True, now))

    await server.store.transact(queue_alerts)
    rows = await market.rows(OutboxRow)
    assert len(rows) >= 4
    for row in rows:
        await exhaust_attempts(server.store, row.id)
    await server.store.transact(
        lambda uow: dead_letters.move_to_dead_letters(
            uow, [msgspec.structs.replace(row) for row in rows]
        )
    )
    assert {row.id for row in await market.rows(OutboxRow)} == {row.id for row in rows}
    assert all(row.dead for row in await market.rows(OutboxRow))
    pushes = (await admin.call("/admin", "dead_letters", {"lane": "push"}))["items"]
    assert {letter["subject"] for letter in pushes} == {"/admin alert", "/account notification"}
    mails = (await admin.call("/admin", "dead_letters", {"lane": "mail"}))["items"]
    assert [letter["subject"] for letter in mails] == ["mail_1"]


@own_server
async def test_dead_letter_and_alert_are_one_transaction(market, server, monkeypatch):
    """Guard: `dead_letters.move_to_dead_letters` in one transaction: a crash leaves both or
    neither."""
    await stop_relay(server)
    assert await post_event(market, make_event()) == 200
    (row,) = await market.tasks("process_stripe_event")
    await exhaust_attempts(server.store, row.id)

    async def crash(*args):
        raise RuntimeError("crash")

    monkeypatch.setattr(dead_letters, "alert", crash)
    with pytest.raises(RuntimeError):
        await server.store.transact(lambda uow: dead_letters.move_to_dead_letters(uow, [row]))
    assert await market.rows(OutboxRow, dead=True) == []
    assert [e.status for e in await stored_events(market)] == [EventStatus.RECEIVED]


# -- replays -----------------------------------------------------------------------------------


async def test_a_replay_replaces_the_dead_letter(market, server):
    """Guard: `uow.remove` in `replay.requeue`; without it the dead letter stays listed."""
    admin = await market.admin()
    ids = await make_dead_letters(market, server, "evt_1", "evt_2")
    for id in ids:
        await alert_of(admin, id)
    await admin.call("/admin", "replay", {"event_id": "evt_1"})
    await market.settled()
    assert [e.status for e in await stored_events(market)] == [EventStatus.DONE, EventStatus.DEAD]
    left = (await admin.call("/admin", "dead_letters"))["items"]
    assert [letter["subject"] for letter in left] == ["evt_2"]


@own_server
async def test_a_queued_event_is_not_replayed(market, server):
    """Guard: `only_if` in `replay.requeue`; without it the event is processed twice at once."""
    admin, work = await market.admin(), JobInProgress(market, server)
    await stop_relay(server)
    assert await post_event(market, make_event()) == 200
    await waiting(market)
    await work.assert_refused(admin, "/admin", "replay", {"event_id": "evt_1"}, "conflict")
    await work.assert_refused(admin, "/admin", "replay", {"event_id": "evt_none"}, "not_found")
    uow = server.store.single()
    await uow.change(WebhookEvent, "evt_1", status=EventStatus.WORKING)
    (row,) = await stored_events(market)
    with pytest.raises(Conflict):
        await server.store.transact(lambda uow: replay.requeue(uow, row))


@own_server
async def test_the_command_line_replays(market, server):
    """Guard: `requeue` in `server/cli/replay.py`. The audit trail has an entry."""
    admin = await market.admin()
    await stop_relay(server)
    for id in ("evt_1", "evt_2"):
        assert await post_event(market, make_event(id, livemode=True)) == 200
    quarantined = [EventStatus.QUARANTINED]
    assert await replay_command.run(market.settings, [], quarantined, None) == 2
    assert await replay_command.run(market.settings, [], quarantined, None) == 0
    assert [row.status for row in await stored_events(market)] == ["received", "received"]
    # It is queued already.
    assert await replay_command.run(market.settings, ["evt_1"], [], None) == 0
    with pytest.raises(NotFound, match="evt_none"):
        await replay_command.run(market.settings, ["evt_none", "evt_1"], [], None)
    rows = await market.tasks("process_stripe_event")
    assert len(rows) == 2
    # Guard: `at=uow.now`; without it the rows wait for the lease of a process that has ended.
    assert all(row.owner == "" and row.lease_until <= row.created_at for row in rows)
    trail = (await admin.call("/admin", "audit", {"operation": "cli.replay"}))["items"]
    assert {row["detail"]["fields"]["event_id"] for row in trail} == {"evt_1", "evt_2"}


@own_server
async def test_the_command_line_as_it_is_typed(market, server, installation, fork_server):
    """Guard: `since`, `--dead` and the wrong uses of `replay` in server/cli.py; `NotFound` in
    `replay.run`, for scripts. It works beside servers that run."""
    admin = await market.admin()
    ids = await make_dead_letters(market, server, "evt_1")
    await alert_of(admin, *ids)

    async def typed(*words):
        done = await asyncio.to_thread(fork_server.run, "replay", *words, env=installation.env)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    code, said = await typed()
    assert code == 2 and "Name events" in said
    assert (await typed("evt_1", "--dead"))[0] == 2
    code, said = await typed("--dead", "--since", "2099-01-01T00:00:00")
    assert code == 0 and "0 events are queued again" in said
    code, said = await typed("evt_none")
    assert code == 1 and "Never received: evt_none" in said
    code, said = await typed("--dead", "--since", "2020-01-01")
    assert code == 0 and "1 events are queued again" in said and "evt_1" in said
    await market.settled()
    assert [(e.status, e.last_error) for e in await stored_events(market)] == [
        (EventStatus.DONE, None)
    ]
    assert await market.rows(OutboxRow, dead=True) == []


# -- lists -------------------------------------------------------------------------------------


async def test_the_lists_over_http(market, server):
    """Guard: the routes of `letters` in handlers/admin.py, with their filters."""
    admin = await market.admin()
    (id,) = await make_dead_letters(market, server, "evt_1")
    await alert_of(admin, id)
    for path, found in (
        ("dead_letters", 1),
        ("dead_letters?lane=stripe", 1),
        ("dead_letters?lane=mail", 0),
        ("webhook_events?status=dead", 1),
        ("webhook_events?status=done", 0),
        ("webhook_events?status=dead&type=payment_intent.succeeded", 1),
        ("webhook_events?type=payout.paid", 0),
        ("webhook_events?payment_id=pay_none", 0),
        ("webhook_events?object_id=pi_none", 0),
    ):
        status, page = await admin.http("GET", f"/api/admin/{path}")
        assert (status, len(page["items"])) == (200, found), path
    event = await market.store.single().get(WebhookEvent, "evt_1")
    asked = {"object_id": event.object_id}
    assert len((await admin.call("/admin", "webhook_events", asked))["items"]) == 1
    status, row = await admin.http("POST", "/api/admin/webhook_events/evt_1/replay", {})
    assert (status, row["status"]) == (200, "received")


@own_server
async def test_the_lists_are_read_from_an_index(market, server, monkeypatch):
    """Guard: the INDEXES of WebhookEvent and OutboxRow, one for each filter; and for what
    `_unprocessed_duplicate`, `_alert_quarantined` and `requeue` look for."""
    asked, real, find, remove = [], UnitOfWork.page, UnitOfWork.find, UnitOfWork.remove

    def noted(method):
        async def noting(uow, kind, where, *args, **options):
            if kind in (WebhookEvent, OutboxRow):
                asked.append((kind, where))
            return await method(uow, kind, where, *args, **options)

        return noting

    await stop_relay(server)
    for name, method in (("page", real), ("find", find), ("remove", remove)):
        monkeypatch.setattr(UnitOfWork, name, noted(method))
    actor, uow = Actor("usr_a", Role.ADMIN, "ses_1"), server.store.single()
    await dead_letters.list_dead_letters(dead_letters.List(), actor, uow)
    await dead_letters.list_dead_letters(dead_letters.List(lane="mail"), actor, uow)
    for fields in (
        {"status": EventStatus.DEAD},
        {"type": "a"},
        {"status": EventStatus.DEAD, "type": "a"},
        {"payment_id": "pay_a"},
        {"object_id": "ch_a"},
    ):
        await replay.list_events(replay.ListEvents(**fields), actor, uow)
    assert await post_event(market, make_event("evt_1")) == 200
    assert await post_event(market, make_event("evt_2", livemode=True)) == 200
    row = await uow.get(WebhookEvent, "evt_2")
    await server.store.transact(lambda uow: replay.requeue(uow, row))
    assert len(asked) >= 8
    for kind, where in asked:
        explained = await server.store.database.command(
            {"explain": {"find": kind.COLLECTION, "filter": where}, "verbosity": "queryPlanner"}
        )
        assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"]), where
