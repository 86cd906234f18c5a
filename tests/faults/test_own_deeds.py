"""The audit trail has a row for each thing that the platform does by itself, with its cause."""

import ast
from pathlib import Path

import msgspec
import pytest

from domain import ledger
from domain.audit_trail import hash_chain, verification
from domain.bidding import offers
from domain.deals.offer import Offer
from domain.fulfillment import auto_completion
from domain.ledger.transaction import Transaction
from domain.operations.cause import caused_by
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import WebhookEvent
from tests.faults.outcome import until
from tests.support.job_in_progress import TIMEOUT

BOOKING = {"book", "rebook"}


async def deeds(market):
    """The rows of the platform's own deeds, as (name, cause, row)."""
    rows = [row for row in await market.trail() if row.operation.startswith("platform.")]
    return [
        (row.operation.removeprefix("platform."), msgspec.json.decode(row.detail)["fields"], row)
        for row in rows
    ]


async def bookings_of_rows(market):
    """The ids of the journal's transactions that any row of the trail has among its changes."""
    details = [msgspec.json.decode(row.detail) for row in await market.trail()]
    changes = [change for detail in details for change in detail["changes"]]
    return {change["id"] for change in changes if change["collection"] == "transactions"}


async def every_booking_has_its_row(market):
    booked = {row.id for row in await market.rows(Transaction)}
    assert booked and booked == await bookings_of_rows(market)


def kinds_in_the_code():
    """The kinds that the code books: the texts that follow the fact in a call of `book`."""
    found = set()
    for path in Path("domain").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or len(call.args) < 3:
                continue
            name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
            kind = call.args[2]
            if name in BOOKING and isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                found.add(kind.value)
    return sorted(found)


@pytest.mark.books_differ("the bookings are made up")
async def test_every_kind_of_booking_has_a_row(market, server):
    """Guard: `queue_own_deeds` before each commit. A kind that is new in the code is tried, too."""
    posting = ledger.Posting(ledger.LOSSES, ledger.STRIPE, 100)
    kinds = kinds_in_the_code()
    for kind in kinds:
        with caused_by(task="trial", row=f"out_{kind}"):
            await server.store.transact(
                lambda uow, kind=kind: ledger.book(
                    uow, f"trial:{kind}", kind, "USD", [posting], offer_id=f"ofr_{kind}"
                )
            )
    found = {name: (cause, row) for name, cause, row in await deeds(market)}
    assert found.keys() == {*kinds}
    for kind, (cause, row) in found.items():
        assert cause == {"task": "trial", "row": f"out_{kind}"}
        assert {f"ofr_{kind}", f"out_{kind}"} < set(row.subjects)
        assert (row.actor_id, row.role, row.address) == (None, None, "")
    await every_booking_has_its_row(market)


async def test_what_follows_from_a_deal(work):
    """Captured, accepted, transferred, refunded and paid out: each has its row, and the chain
    proves them. Guard: `caused_by` in `Relay._run_task` and `ProcessEvent.run`; and `WaitingRow` in
    `queue_own_deeds`: what a command books is in the command's own row."""
    before = len(await deeds(work.market))
    await work.complete()
    rows = await work.market.trail(operation="job.complete")
    assert len(rows) == 1 and rows[0].actor_id == work.customer.id
    assert "completed" not in {name for name, _, _ in (await deeds(work.market))[before:]}
    await work.market.settled(TIMEOUT)
    await work.withdraw(30_000)
    await work.refund(10_000)
    await work.market.settled(TIMEOUT)
    found = await deeds(work.market)
    causes = {name: cause for name, cause, _ in found}
    assert causes["captured"]["task"] == causes["accepted"]["task"] == "capture_payment"
    assert causes["captured"]["row"].startswith("out_")
    assert causes["payment_authorized"]["task"] == "hold_payment"
    for name in ("transfer_settled", "refunded", "paid_out", "withdrawal_in_transit"):
        assert causes[name].get("task") or causes[name].get("event"), name
    assert causes["paid_out"]["task"] in ("process_stripe_event", "send_payout")
    for _, _, row in found:
        assert row.actor_id is None and row.seal
    await every_booking_has_its_row(work.market)
    assert (await audit(work.server.ports)).differences == []
    await hash_chain.extend(work.server.ports, rest=0)
    assert (await verification.verify(work.server.ports)).findings == []


async def test_what_an_event_of_stripe_causes(work):
    """A refund in the dashboard and a chargeback: the row has the event's id, by which it is
    found. Guard: `cause.event` in `queue_own_deeds`."""
    admin = await work.market.admin("Eve Event")
    payment = await work.stored_payment()
    await work.sandbox.refund_in_dashboard(payment.intent_id, 5000)

    async def named(name):
        return [each for each in await deeds(work.market) if each[0] == name]

    [(_, cause, _)] = await until(lambda: named("refunded"), TIMEOUT)
    events = {event.id: event.type for event in await work.market.rows(WebhookEvent)}
    assert events[cause["event"]] == cause["event_type"]
    assert cause["task"] == "process_stripe_event"
    listed = await admin.call("/admin", "audit", {"subject": cause["event"]})
    assert {"platform.refunded"} <= {row["operation"] for row in listed["items"]}
    assert all(row["actor_id"] is None for row in listed["items"])
    dispute = await work.sandbox.dispute(payment.charge_id)
    await until(lambda: named("chargeback_opened"), TIMEOUT)
    await work.sandbox.close_dispute(dispute["id"], won=False)
    [(_, cause, row)] = await until(lambda: named("chargeback_lost"), TIMEOUT)
    assert cause["event_type"].startswith("charge.dispute.") and work.offer["id"] in row.subjects
    await every_booking_has_its_row(work.market)


async def test_an_automatic_completion_has_a_row(work):
    """Guard: `caused_by` in `Scheduler._run`; no command completes the work."""
    await work.deliver()
    await work.market.settled(TIMEOUT)
    await auto_completion.announce_due(work.server.ports)
    await work.pass_time(auto_completion.ANSWER_TIME * 7)
    await auto_completion.announce_due(work.server.ports)
    await work.pass_time(auto_completion.ANSWER_TIME)
    (job,) = [
        each for each in work.server.web.scheduler._jobs if each.name == "complete_delivered_work"
    ]
    await work.server.web.scheduler._run(job)
    await work.market.settled(TIMEOUT)
    assert (await work.current_job())["status"] == "completed"
    [(_, cause, row)] = [each for each in await deeds(work.market) if each[0] == "completed"]
    assert cause == {"job": "complete_delivered_work"}
    assert work.offer["id"] in row.subjects and work.job["id"] in row.subjects
    await every_booking_has_its_row(work.market)


async def test_an_offer_that_expires_has_a_row(offered):
    """Guard: `_moves` in `own_deeds`: nothing is booked, and yet a state of a deal has changed."""
    negotiation, offer = offered, offered.offer
    ports = negotiation.server.ports
    uow = negotiation.server.store.single()
    await uow.change(Offer, offer["id"], expires_at=uow.now)
    await until(lambda: offers.expire_due(ports), TIMEOUT)
    await negotiation.market.settled(TIMEOUT)
    found = {name: row for name, _, row in await deeds(negotiation.market)}
    assert offer["id"] in found["offer_expired"].subjects
    assert offer["payment_id"] in found["payment_canceled"].subjects


@pytest.mark.books_differ("the booking is made up")
async def test_a_rolled_back_transaction_has_no_row(market, server):
    """The row is part of the transaction whose deed it is about."""
    posting = ledger.Posting(ledger.LOSSES, ledger.STRIPE, 100)

    async def book(uow):
        await ledger.book(uow, "trial:1", "captured", "USD", [posting])

    await server.store.transact(book)
    with pytest.raises(Exception, match="trial:1"):
        await server.store.transact(book)
    assert len(await deeds(market)) == 1
