"""Follow-up of records that lost their task, and reminders of offers, disputes and evidence."""

from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.bidding import reminders as offer_reminders
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes import reminders as dispute_reminders
from domain.disputes.dispute import Dispute
from domain.kernel.outbox import OutboxRow
from domain.kernel.store import Duplicate
from domain.payments.duplicates import DuplicateCharge
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal, Transfer
from domain.reconciliation import follow_up
from domain.reconciliation.follow_up import FollowUp
from domain.wallet.withdrawals import Withdrawal
from tests.support.job_in_progress import TIMEOUT, JobInProgress


@pytest.fixture
async def work(world_of_work, market, server):
    await server.web.scheduler.stop()
    return await world_of_work.enter(market, server)


async def lose_tasks(work, kind):
    """Remove the tasks of `kind` and make its records some minutes older; other rows can be
    claimed."""
    await work.server.web.relay.stop(0)
    uow = work.server.store.single()
    assert await uow.remove(OutboxRow, {"lane": "stripe"})
    await uow.change_all(OutboxRow, {}, lease_until=uow.now)
    work.server.web.relay.start(work.server.ports)
    await age(work, kind)


async def age(work, *kinds, minutes=2):
    past = work.server.ports.clock.now() - timedelta(minutes=minutes)
    for kind in kinds:
        collection = work.server.store.database[kind.COLLECTION]
        await collection.update_many({}, {"$set": {"updated_at": past}})


async def test_a_lost_capture_is_followed_up(market, server):
    """Guard: `Rule(Payment, ...)`, with `CapturePayment` for what is being captured."""
    await server.web.scheduler.stop()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    await market.settled(TIMEOUT)
    work = JobInProgress(market, server)
    server.store.committed = lambda rows: None
    await contractor.call("/bidding", "accept", {"offer_id": offer["id"]})
    await lose_tasks(work, Payment)
    assert await follow_up.follow_up_recent(server.ports) == 1
    await customer.push("/bidding", "offer.accepted", lambda o: True, TIMEOUT)


async def test_lost_transfers_refunds_and_payouts_are_followed_up(work):
    """Guard: the rules for transfers, refunds, reversals and withdrawals in `follow_up.RULES`."""
    ports = work.server.ports
    await work.market.settled(TIMEOUT)
    work.server.store.committed = lambda rows: None
    await work.complete()
    await lose_tasks(work, Transfer)
    assert await follow_up.follow_up_recent(ports) == 1
    assert await work.platform_and_escrow() == (30_000, 0)
    work.server.store.committed = lambda rows: None
    await work.market.withdraw(work.contractor, 10_000)
    await work.refund(50_000)
    await lose_tasks(work, Withdrawal)
    await age(work, Offer)
    assert await follow_up.follow_up_recent(ports) == 2
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    await work.market.settled(TIMEOUT)
    work.server.store.committed = lambda rows: None
    await work.as_admin(
        "adjust", user_id=work.contractor.id, amount=-1000, currency="USD", reason="Test"
    )
    await lose_tasks(work, Reversal)
    assert await follow_up.follow_up_recent(ports) == 1
    await work.platform_and_escrow()


async def test_a_lost_release_of_a_hold_is_followed_up(market, server):
    """Guard: `follow_up.UNRELEASED_HOLDS`; without it the customer's money stays blocked for a
    week."""
    await server.web.scheduler.stop()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    await market.settled(TIMEOUT)
    server.store.committed = lambda rows: None
    await customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
    work = JobInProgress(market, server)
    await lose_tasks(work, Payment)
    assert await follow_up.follow_up_recent(server.ports) == 1
    await customer.push("/payment", "payment.updated", lambda p: p["status"] == "canceled", TIMEOUT)


@pytest.fixture
async def unpaid(market, server):
    """A completed job whose contractor cannot receive money yet, so the transfer waits."""
    await server.web.scheduler.stop()
    work = await JobInProgress(market, server).start(onboarded=False)
    await work.complete()
    await work.market.settled(TIMEOUT)
    await age(work, Transfer)
    return work


async def attempt_in_turn(work, times):
    """Make `times` attempts, each when it is due; the minutes from each to the next."""
    ports, uow, spans = work.server.ports, work.server.store.single(), []
    for attempts in range(1, times + 1):
        assert await follow_up.follow_up_recent(ports) == 1
        assert await follow_up.follow_up_recent(ports) == 0
        (row,) = await work.market.rows(FollowUp)
        assert row.attempts == attempts
        spans.append(round((row.next_at - row.updated_at) / timedelta(minutes=1)))
        await uow.change(FollowUp, row.id, next_at=ports.clock.now())
    return spans


def alerts(admin):
    return [p for p in admin.pushes if p.name == "alert" and p.data["kind"] == "left_unknown"]


async def test_follow_up_backs_off_and_alerts_once(unpaid):
    """Guard: `FIRST_CHECKS`, `ALERT_AT` and `alerted` in `follow_up._follow_up`."""
    admin = await unpaid.market.admin()
    (transfer,) = await unpaid.market.rows(Transfer)
    await unpaid.server.store.single().change(Transfer, transfer.id, status="sending")
    await age(unpaid, Transfer)
    times = follow_up.ALERT_AT + 2
    assert await attempt_in_turn(unpaid, times) == [4, 55] + [1440] * (times - 2)
    await admin.push("/admin", "alert", lambda a: a["kind"] == "left_unknown", TIMEOUT)
    await unpaid.market.settled(TIMEOUT)
    assert len(alerts(admin)) == 1


async def test_queued_tasks_are_not_repeated_and_waiting_for_people_is_no_alert(unpaid):
    """Guard: `queued` in `follow_up._queue_missing`; without it each attempt adds an outbox row.
    Guard: `may_wait` in `follow_up._follow_up`; without it every contractor who is slow causes an
    alert."""
    admin = await unpaid.market.admin()
    await attempt_in_turn(unpaid, follow_up.ALERT_AT + 1)
    rows = await unpaid.market.tasks("send_transfer")
    assert len(rows) == 1
    await unpaid.market.settled(TIMEOUT)
    assert alerts(admin) == []


async def test_a_changed_state_restarts_the_attempts(unpaid):
    """Guard: `state` in `_is_due` and `_follow_up`; without it the next attempt is a day later."""
    await attempt_in_turn(unpaid, 4)
    uow = unpaid.server.store.single()
    (row,) = await unpaid.market.rows(FollowUp)
    tomorrow = unpaid.server.ports.clock.now() + timedelta(days=1)
    await uow.change(FollowUp, row.id, next_at=tomorrow)
    assert await follow_up.follow_up_recent(unpaid.server.ports) == 0
    (transfer,) = await unpaid.market.rows(Transfer)
    await uow.change(Transfer, transfer.id, status="sending")
    await age(unpaid, Transfer)
    assert await follow_up.follow_up_recent(unpaid.server.ports) == 1
    assert (await unpaid.market.rows(FollowUp))[0].attempts == 1


async def test_old_records_are_followed_up_separately(unpaid):
    """Guard: `follow_up_old`, and `RECENT`; without it all old records are read twice a minute."""
    await age(unpaid, Transfer, minutes=3 * 60)
    assert await follow_up.follow_up_recent(unpaid.server.ports) == 0
    assert await follow_up.follow_up_old(unpaid.server.ports) == 1
    assert await follow_up.follow_up_old(unpaid.server.ports) == 0


async def test_no_record_is_skipped(market, server, monkeypatch):
    """Guard: `documents` in `_overdue`; pages by time would skip records changed at the same time.
    And `Attempts` and `readable` in it: neither a damaged record nor a damaged count of attempts
    stops the others, of the same rule and of later ones."""
    await server.web.scheduler.stop()
    await server.web.relay.stop(0)
    monkeypatch.setattr(follow_up, "CHUNK", 3)
    at = server.ports.clock.now() - timedelta(minutes=5)
    stamps = {"created_at": at, "updated_at": at, "currency": "USD", "amount": 1}
    await server.store.single().add_all(
        [Reversal(id=f"rev_{n}", transfer_id="trf_1", user_id="usr_1", **stamps) for n in range(8)]
    )
    assert await follow_up.follow_up_recent(server.ports) == 8
    database, uow = server.store.database, server.store.single()
    await uow.remove(FollowUp, {})
    await database[FollowUp.COLLECTION].insert_one({"_id": "rev_3"})
    past = at - timedelta(minutes=1)
    for kind, state in ((DuplicateCharge, {"status": "refunding"}), (Reversal, {"done": False})):
        row = {"_id": "damaged", "refusal": None, "updated_at": past, **state}
        await database[kind.COLLECTION].insert_one(row)
    await uow.add(Shortfall(id="sho_1", user_id="usr_1", **stamps))
    with pytest.raises(Duplicate):
        await follow_up.follow_up_recent(server.ports)
    followed = await uow.all(FollowUp, {"attempts": 1})
    assert {row.id for row in followed} == {f"rev_{n}" for n in range(8) if n != 3} | {"sho_1"}


async def test_an_account_with_a_lost_event_is_followed_up(market, server):
    """Guard: `Rule(User, ...)`, and `ReadConnectAccount` in `TASKS`."""
    await server.web.scheduler.stop()
    contractor = await market.contractor()
    await server.sandbox.fault(webhook="*", drop=True, times=100)
    link = await contractor.call("/account", "onboard")
    await server.sandbox.fill_in_onboarding(link["url"], contractor.name, "usd")
    await market.settled(TIMEOUT)
    assert not (await contractor.call("/account", "me"))["payouts_enabled"]
    await age(JobInProgress(market, server), User)
    assert await follow_up.follow_up_recent(server.ports) == 1
    await contractor.push(
        "/account", "account.updated", lambda user: user["payouts_enabled"], TIMEOUT
    )


async def test_a_pending_chargeback_is_followed_up_without_alert(work):
    """Guard: `always` for chargebacks; they take months."""
    await work.open_chargeback()
    admin = await work.market.admin()
    await work.market.settled(TIMEOUT)
    await age(work, Chargeback)
    await attempt_in_turn(work, follow_up.ALERT_AT + 1)
    await work.market.settled(TIMEOUT)
    assert alerts(admin) == []


async def test_the_outbox_is_read_from_an_index(work):
    """Guard: the index on `subject` of OutboxRow."""
    where = {"subject": "trf_1", "dead": False, "lane": "stripe"}
    explained = await work.server.store.database.command(
        {"explain": {"find": "outbox", "filter": where}, "verbosity": "queryPlanner"}
    )
    assert "subject_1_dead_1" in str(explained), explained


async def test_both_sides_are_reminded_of_an_expiring_offer(market, server):
    """Guard: `remind_of_expiry`: once, and not for an offer that was created to expire within a
    day."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    other = await market.contractor("Otto")
    await market.application(other, job)
    await market.offer(customer, other, job, expires_in_hours=2)
    # No reminder for the short offer.
    assert await offer_reminders.remind_of_expiry(server.ports) == 1
    now = server.ports.clock.now()
    soon, long_ago = now + timedelta(hours=23), now - timedelta(days=2)
    await server.store.single().change(Offer, offer["id"], expires_at=soon, created_at=long_ago)
    assert await offer_reminders.remind_of_expiry(server.ports) == 1
    assert await offer_reminders.remind_of_expiry(server.ports) == 0
    for party, kind in ((customer, "hold_ends_soon"), (contractor, "offer_ends_soon")):
        await party.push(
            "/account", "notification", lambda n, kind=kind: n["kind"] == kind, TIMEOUT
        )
    assert not [p for p in other.pushes if p.data.get("kind") == "offer_ends_soon"]


async def test_both_sides_are_reminded_of_a_dispute_deadline(work):
    """Guard: `remind_of_deadlines`, `warned_at`, and `awaited`, which names the side to
    answer."""
    dispute = await work.open_dispute()
    ports = work.server.ports
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    soon = ports.clock.now() + timedelta(hours=23)
    await work.server.store.single().change(Dispute, dispute["id"], answer_by=soon)
    assert await dispute_reminders.remind_of_deadlines(ports) == 1
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    for party, phrase in ((work.contractor, "Agree or propose"), (work.customer, "not answered")):
        reminder = await party.push(
            "/account", "notification", lambda n: n["kind"] == "dispute_ends_soon", TIMEOUT
        )
        assert phrase in reminder["text"]


async def test_administrators_are_reminded_of_evidence(work):
    """Guard: `_remind_admins`, once, and `submissions` in `UNANSWERED`."""
    admin, ports = await work.market.admin(), work.server.ports
    chargeback = await work.open_chargeback()
    await work.market.settled()
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    soon = ports.clock.now() + timedelta(days=2)
    uow = work.server.store.single()
    await uow.change(Chargeback, chargeback["id"], due_by=soon, submissions=1)
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    await uow.change(Chargeback, chargeback["id"], submissions=0)
    assert await dispute_reminders.remind_of_deadlines(ports) == 1
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    reminder = await admin.push("/admin", "alert", lambda a: a["kind"] == "evidence_due", TIMEOUT)
    assert reminder["subject"] == chargeback["id"]


async def test_administrators_are_alerted_daily_of_escalated_disputes(work):
    """Guard: `_alert_again`, each day, and `called_at` of an escalated dispute; one without
    `called_at` is due at once."""
    admin, ports = await work.market.admin(), work.server.ports
    id = {"dispute_id": (await work.open_dispute())["id"]}
    await work.customer.call("/payment", "dispute_escalate", id)
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    uow = work.server.store.single()
    for called_at in (ports.clock.now() - timedelta(hours=25), None):
        await uow.change(Dispute, id["dispute_id"], called_at=called_at)
        assert await dispute_reminders.remind_of_deadlines(ports) == 1
        assert await dispute_reminders.remind_of_deadlines(ports) == 0
    await work.as_admin("resolve", **id, refund_amount=0, reason="Well done")
    await uow.change(Dispute, id["dispute_id"], called_at=None)
    assert await dispute_reminders.remind_of_deadlines(ports) == 0
    await work.market.settled(TIMEOUT)
    subjects = [a.data["subject"] for a in admin.received("/admin", "alert")]
    assert subjects == [id["dispute_id"]] * 3
