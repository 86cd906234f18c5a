"""A fact notifies once, a rollback never; mail servers that refuse, fail or hang."""

import asyncio

import pytest

from domain.deals.offer import Offer
from domain.jobs.job import Job
from domain.kernel.outbox import Delivery, Event, OutboxRow
from domain.notifications import alerts
from domain.notifications.groups import group_of
from domain.notifications.notices import GIVEN_UP_AFTER, NotificationMark, Notify, SendMail, notify
from domain.notifications.templates.catalog import TEMPLATES
from domain.operations.task import TryAgain
from domain.ports.mail import MailUnsent
from tests.domain.notifications.reading import listed, titles
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import Refused

# -- no notice --------------------------------------------------------------------------


async def test_a_refused_command_sends_no_notice(negotiation, smtp):
    """Guard: the row of `Notify` is part of the transaction, so a rollback removes it."""
    offer = await negotiation.pending_offer()
    before = await negotiation.market.traces()
    smtp.mails.clear()
    with pytest.raises(Refused):
        await negotiation.customer.call("/bidding", "accept", {"offer_id": offer["id"]})
    with pytest.raises(Refused):
        await negotiation.contractor.call(
            "/bidding", "counter", {"offer_id": offer["id"], "amount": 1}
        )

    async def rolled_back(uow):
        uow.publish(alerts.ALERT, alerts.Alert("x", "y", "z"), to=[negotiation.customer.id])
        await notify(uow, [negotiation.customer.id], "x", "A title", "A text", "job_1")
        raise ValueError

    with pytest.raises(ValueError):
        await negotiation.server.store.transact(rolled_back)
    assert await negotiation.market.traces() == before
    assert smtp.mails == []


async def test_the_same_state_notifies_once(market, server, smtp):
    """Guard: `NotificationMark`; without it the next version of a record, or an event that is
    delivered again after a crash, notifies again."""
    work = await JobInProgress(market, server).start_and_complete()
    before = {
        person.id: await listed(market, person) for person in (work.customer, work.contractor)
    }
    letters = len(smtp.mails)

    async def again(uow):
        for kind, id in ((Job, work.job["id"]), (Offer, work.offer["id"])):
            await uow.change(kind, id)
        offer = await uow.get(Offer, work.offer["id"])
        job = await uow.get(Job, work.job["id"])
        for event in ("created", "accepted"):
            uow.publish(Event("/bidding", f"offer.{event}", dict), offer, to=offer.audience)
        uow.publish(Event("/job", "job.updated", dict), job, to=offer.audience)

    await server.store.transact(again)
    for person in (work.customer, work.contractor):
        assert await listed(market, person) == before[person.id]
    assert len(smtp.mails) == letters


async def test_a_task_that_runs_twice_notifies_once(market, server, smtp):
    """Guard: `Notify._render_all` gives a notice without a fact one made of the task's id."""
    admin = await market.admin()
    data = {"kind": "refund_failed", "subject": "pay_1", "message": "Look at it."}
    event = Delivery("/admin", "alert", data, (admin.id,))
    task = Notify("tell_1", server.ports.clock.now(), (event,))
    for _ in range(2):
        await task.run(server.ports)
    assert await titles(market, admin) == ["Alert: A refund failed"]
    assert smtp.subjects(admin) == ["Alert: A refund failed"]
    assert "/admin" in smtp.mails[0].text


async def test_a_user_without_mail_notices_still_gets_alerts_by_mail(negotiation, smtp):
    """Guard: `user.mail_notices or self.always` in `SendMail.run`."""
    admin = await negotiation.market.admin()
    for person in (negotiation.contractor, admin):
        changed = await person.call("/account", "update", {"mail_notices": False})
        assert changed["mail_notices"] is False
    await negotiation.pending_offer()
    await negotiation.server.store.transact(
        lambda uow: alerts.alert(uow, "capture_failed", "ofr_1", "Look at it.")
    )
    assert len(await listed(negotiation.market, negotiation.contractor)) == 1
    assert smtp.mails_to(negotiation.contractor) == []
    assert smtp.subjects(admin) == ["Alert: The capture of an accepted offer failed"]


async def test_notices_are_switched_off_by_kind(negotiation, smtp):
    """Guard: `group_of` in `notices._publish` and `SendMail.run`; what is always sent is in no
    group."""
    contractor, customer = negotiation.contractor, negotiation.customer
    muted = {"muted_mail": ["offers"], "muted_feed": ["work", "disputes"]}
    changed = await contractor.call("/account", "update", muted)
    assert (changed["muted_mail"], changed["muted_feed"]) == (["offers"], ["work", "disputes"])
    await customer.call("/account", "update", {"muted_feed": ["offers"]})
    offer = await negotiation.pending_offer()
    await negotiation.market.settled()
    assert [row["kind"] for row in await listed(negotiation.market, contractor)] == [
        "offer_created"
    ]
    assert smtp.mails_to(contractor) == []
    assert await listed(negotiation.market, customer) == []
    await negotiation.market.accept(contractor, offer)
    await negotiation.market.settled()
    assert await listed(negotiation.market, customer) == []
    assert len(smtp.mails_to(customer)) == 1
    assert group_of("wallet_frozen", always=True) is group_of("signed_in", always=False) is None
    back = await contractor.call("/account", "update", {"muted_mail": []})
    assert back["muted_mail"] == []


async def test_no_mail_goes_to_a_deleted_account(market, server, smtp):
    """Guard: `user.deleted_at` in `SendMail.run`."""
    gone = await market.customer(deleted_at=server.ports.clock.now(), connect=False)
    task = SendMail("mail_1", gone.id, "A title", "A text", "/", True, server.ports.clock.now())
    await task.run(server.ports)
    assert smtp.attempts == []


# -- mail servers that refuse, fail or hang ----------------------------------------------


@pytest.mark.usefixtures("prompt_retries")
async def test_a_mail_is_tried_again_until_it_is_taken(negotiation, smtp):
    """Guard: `raise TryAgain` in `SendMail.run`; without it the mail is lost with the first 451.
    Guard: `id` is part of the task; made for each attempt, the Message-IDs would differ."""
    smtp.data_answers += ["451 Later", "421 Closing"]
    await negotiation.pending_offer()
    await negotiation.market.settled(TIMEOUT)
    assert len(smtp.mails_to(negotiation.contractor)) == 1
    assert len(smtp.attempts) == 3 and len({letter.id for letter in smtp.attempts}) == 1


async def test_a_mail_that_is_refused_permanently_is_dropped(negotiation, smtp):
    """Guard: `final` in adapters/smtp.py; without it the row would stay for days."""
    smtp.recipient_answers += ["550 No such user"]
    await negotiation.pending_offer()
    await negotiation.market.settled(TIMEOUT)
    assert smtp.attempts == []
    assert await negotiation.market.rows(OutboxRow) == []
    assert len(await listed(negotiation.market, negotiation.contractor)) == 1


async def test_after_a_crash_the_same_mail_has_the_same_id(market, server, smtp):
    """Guard: `mail.id` in the Message-ID; a mail program can drop the second copy."""
    customer = await market.customer()
    asked = server.ports.clock.now()
    task = SendMail("mail_1", customer.id, "A title", "A text", "/", False, asked)
    for _ in range(2):  # the first worker died between the mail and the row's end
        await task.run(server.ports)
    assert [letter.id for letter in smtp.mails] == ["<mail_1@localhost>"] * 2


async def test_an_old_notice_is_not_mailed(market, server, smtp):
    """Guard: `GIVEN_UP_AFTER`; without it a mail server that comes back after a week sends them,
    and each that becomes a dead letter raises an alert, which is a mail again."""
    customer = await market.customer()
    now = server.ports.clock.now()
    smtp.data_answers += ["451 Later"] * 2
    with pytest.raises(TryAgain) as later:
        await SendMail("mail_1", customer.id, "T", "T", "/", False, now).run(server.ports)
    assert isinstance(later.value.__cause__, MailUnsent)
    await SendMail("mail_2", customer.id, "T", "T", "/", False, now - GIVEN_UP_AFTER).run(
        server.ports
    )
    assert smtp.mails == []


async def test_a_hanging_mail_server_delays_no_money(market, smtp):
    """Guard: `Lane.MAIL` with slots of its own; in the lane of Stripe, mails that hang would take
    all its places, and no money would move."""
    people = [(await market.customer(), await market.contractor()) for _ in range(3)]
    smtp.accepting.clear()
    for customer, contractor in people:
        await asyncio.wait_for(_whole_deal(market, customer, contractor), 20)
    assert smtp.mails == [] and smtp.waiting == 4
    smtp.accepting.set()
    await market.settled(TIMEOUT)
    assert len(smtp.mails) == 3 * 5


async def _whole_deal(market, customer, contractor):
    deal = await market.accepted_job(customer, contractor)
    await market.start(contractor, deal.job)
    await market.deliver(contractor, deal.job)
    await market.complete(customer, deal.job)
    await contractor.push("/account", "notification", lambda n: n["kind"] == "completed")


# -- bugs in templates ----------------------------------------------------------------------


@pytest.mark.usefixtures("prompt_retries")
async def test_a_failing_template_rolls_nothing_back(server, market, monkeypatch):
    """Guard: `except Exception` in `_has_notice`; without it a bug in a template would roll
    back the money that the notice is about."""

    def broken(data, side):
        raise KeyError("amount")

    customer = await market.customer()
    monkeypatch.setitem(TEMPLATES, "/job job.updated", broken)
    job = await market.job(customer)
    assert (await customer.call("/job", "get", {"job_id": job["id"]}))["status"] == "open"

    async def failing():
        rows = await market.rows(OutboxRow, lane="notice")
        return [row for row in rows if row.last_error and "KeyError" in row.last_error]

    async with asyncio.timeout(TIMEOUT):
        while not await failing():  # noqa: ASYNC110 - the database sends no signal
            await asyncio.sleep(0.02)
    monkeypatch.undo()
    await market.settled(TIMEOUT)
    assert await market.rows(NotificationMark) == []
