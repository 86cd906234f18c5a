"""Disputes: money is frozen until both sides agree or an administrator decides."""

from datetime import timedelta

from domain.disputes import operations as disputes
from domain.disputes.dispute import Dispute
from domain.fulfillment import auto_completion
from tests.support.file_samples import download, picture, upload
from tests.support.job_in_progress import TIMEOUT, JobInProgress


async def test_both_agree_on_a_split(work):
    """Guard: `rebook(...)` and `request_refund(...)` in `resolution.resolve`: the earned part is
    paid, and the rest is refunded with its part of the platform fee."""
    dispute = await work.open_dispute()
    assert (dispute["amount"], dispute["status"]) == (100_000, "open")
    id = {"dispute_id": dispute["id"]}
    await work.contractor.push("/payment", "dispute.updated", lambda d: d["status"] == "open")
    await work.contractor.call("/payment", "dispute_say", {**id, "text": "It rained."})
    await work.customer.call("/payment", "dispute_evidence", {**id, "text": "See the photo."})
    await work.contractor.call("/payment", "dispute_propose", {**id, "refund_amount": 10_000})
    proposed = await work.customer.call(
        "/payment", "dispute_propose", {**id, "refund_amount": 40_000, "text": "Forty."}
    )
    assert proposed["status"] == "proposed"
    await work.assert_refused(
        work.customer, "/payment", "dispute_agree", {**id, "refund_amount": 40_000}, "conflict"
    )
    await work.assert_refused(
        work.contractor, "/payment", "dispute_agree", {**id, "refund_amount": 10_000}, "conflict"
    )
    ended = await work.contractor.call("/payment", "dispute_agree", {**id, "refund_amount": 40_000})
    assert (ended["status"], ended["refund_amount"]) == ("resolved", 40_000)
    kinds = [entry["kind"] for entry in ended["timeline"]]
    assert kinds == ["open", "say", "evidence", "propose", "propose", "agree"]
    assert await work.platform_and_escrow() == (6000 + 12_000, 0)
    assert await work.wallet("available", "pending") == (42_000, 0)
    assert [refund["amount"] for refund in await work.stripe_list("refunds")] == [40_000]
    job = await work.current_job()
    assert (job["status"], job["dispute_id"]) == ("completed", None)
    await work.assert_refused(
        work.customer, "/payment", "dispute_say", {**id, "text": "!"}, "dispute_not_open"
    )


SPLITS = [
    # (refunded, platform, earned, ending)
    (0, 30_000, 70_000, "completed"),
    (100_000, 0, 0, "cancelled"),
    (33_333, 6667 + 13_333 - 1, 46_668, "completed"),
]


async def test_an_admin_decides_with_any_split(work):
    """Guard: `MilestoneStatus.COMPLETED if earned else MilestoneStatus.CANCELLED` and
    `end_if_finished` in `resolution.resolve`."""
    held, paid = 0, 0
    for refunded, platform, earned, ending in SPLITS:
        if paid:
            await work.start(customer=work.customer, contractor=work.contractor)
        dispute = await work.open_dispute(work.contractor)
        id = {"dispute_id": dispute["id"]}
        escalated = await work.customer.call("/payment", "dispute_escalate", id)
        assert escalated["status"] == "escalated"
        await work.assert_refused(
            work.customer, "/payment", "dispute_escalate", id, "dispute_not_open"
        )
        ended = await work.as_admin("resolve", **id, refund_amount=refunded, reason="As I see it.")
        assert ended["status"] == "resolved"
        share = 100_000 - refunded - earned
        held, paid = held + share, paid + earned
        assert await work.platform_and_escrow() == (held, 0), refunded
        assert await work.wallet("available", "pending") == (paid, 0), refunded
        assert abs(share - platform) <= 1, refunded
        assert (await work.current_job())["status"] == ending, refunded


async def test_admins_read_all_files_until_a_dispute_is_resolved(work):
    """Guard: `file._get_readable`, and `begin_review` and `end_review` in `resolution`; each
    reading has an audit row."""
    admin = await work.market.admin()
    chat = await work.customer.call(
        "/chat", "open", {"job_id": work.job["id"], "user_id": work.contractor.id}
    )

    async def said(party):
        file = await upload(party, picture())
        fields = {"conversation_id": chat["id"], "file_ids": [file["id"]]}
        return (await party.call("/chat", "send", fields))["files"][0]["id"]

    async def read_by(party, file_id):
        return (await download(party, file_id))[0]

    before = await said(work.customer)
    delivered = await upload(work.contractor, b"All is painted.", "list.txt")
    await work.deliver(file_ids=[delivered["id"]])
    loose = await upload(work.contractor, b"Mine.", "own.txt")
    assert await read_by(admin, before) == await read_by(admin, delivered["id"]) == 404
    dispute = await work.open_dispute()
    after = await said(work.contractor)
    for file_id in (before, delivered["id"], after):
        assert await read_by(admin, file_id) == 200
    assert await read_by(admin, loose["id"]) == 404
    assert (await admin.http("POST", f"/api/files/{after}/ticket"))[0] == 200
    stranger = await work.market.customer()
    assert await read_by(stranger, after) == 404
    shown = await admin.call("/admin", "conversation", {"dispute_id": dispute["id"]})
    named = [file["id"] for message in shown["items"] for file in message["files"]]
    assert named == [before, after]
    read = await work.market.trail(operation="files.get")
    assert [row.subjects for row in read] == [(before,), (delivered["id"],), (after,)]
    await work.as_admin("resolve", dispute_id=dispute["id"], refund_amount=0, reason="Painted")
    assert await read_by(admin, before) == await read_by(admin, delivered["id"]) == 404


async def test_money_in_dispute_is_frozen(work):
    """Guard: `require_not_frozen` in `fulfillment.work.complete`, the dispute in
    `wallet_actions.refund`, and `not m.dispute_id` in `Offer.auto_completions`; without one the
    money leaves by that door."""
    await work.deliver()
    dispute = await work.open_dispute()
    job = {"job_id": work.job["id"]}
    assert (await work.stored_offer()).due_at is None
    await work.assert_refused(work.customer, "/job", "complete", job, "dispute_open")
    await work.assert_refused(
        work.customer,
        "/payment",
        "dispute_open",
        {**job, "reason": "other", "text": "Again"},
        "dispute_open",
    )
    admin = await work.market.admin()
    refund = {"payment_id": work.offer["payment_id"], "reason": "Now"}
    await work.assert_refused(admin, "/admin", "refund", refund, "dispute_open")
    assert await auto_completion.complete_due(work.server.ports) == 0
    await work.assert_refused(
        admin,
        "/admin",
        "resolve",
        {"dispute_id": dispute["id"], "refund_amount": 100_001, "reason": "All"},
        "amount_not_payable",
    )


async def test_one_milestone_is_disputed_and_the_other_goes_on(market, server):
    """Guard: the numbers given to `require_not_frozen` and to `Offer.open_amount`."""
    parts = [{"title": "A", "amount": 60_000}, {"title": "B", "amount": 40_000}]
    work = await JobInProgress(market, server).start(milestones=parts)
    dispute = await work.open_dispute(milestone=1)
    assert (dispute["amount"], dispute["milestones"]) == (60_000, [1])
    await work.complete(milestone=2)
    assert (await work.current_job())["status"] == "in_progress"
    await work.as_admin(
        "resolve", dispute_id=dispute["id"], refund_amount=60_000, reason="Not done"
    )
    assert await work.platform_and_escrow() == (12_000, 0)
    assert await work.wallet("available") == (28_000,)
    assert (await work.current_job())["status"] == "completed"


async def test_an_unanswered_dispute_is_escalated(work):
    """Guard: `answer_by` in `disputes.operations.escalate_due`."""
    dispute = await work.open_dispute()
    assert await disputes.escalate_due(work.server.ports) == 0
    late = work.server.ports.clock.now() - timedelta(seconds=1)
    await work.server.store.single().change(Dispute, dispute["id"], answer_by=late)
    assert await disputes.escalate_due(work.server.ports) == 1
    escalated = await work.customer.push(
        "/payment", "dispute.updated", lambda d: d["status"] == "escalated", TIMEOUT
    )
    assert escalated["timeline"][-1]["by"] == "system"


async def test_one_side_cannot_postpone_the_deadline_alone(work):
    """Guard: `awaited` in `disputes.operations.dispute_propose`; without it a side that proposes
    once a week keeps the money frozen for ever. Guard: `warned_at` there: a new deadline has its
    own reminder."""
    dispute = await work.open_dispute()
    now = work.server.ports.clock.now()
    id, uow = dispute["id"], work.server.store.single()
    soon = now + timedelta(hours=1)
    await uow.change(Dispute, id, answer_by=soon, warned_at=now)

    async def proposes(party):
        await party.call("/payment", "dispute_propose", {"dispute_id": id, "refund_amount": 1})
        found = await uow.get(Dispute, id)
        return found.answer_by > soon, found.warned_at is None

    assert await proposes(work.customer) == (False, False)
    assert await proposes(work.contractor) == (True, True)
    await uow.change(Dispute, id, answer_by=soon, warned_at=now)
    assert await proposes(work.contractor) == (False, False)
    assert await proposes(work.customer) == (True, True)


async def test_only_work_in_progress_is_disputed(market, server):
    """Guard: `raise JobNotInProgress` in `disputes.operations.dispute_open`."""
    deal = await market.accepted_job()
    fields = {"job_id": deal.job["id"], "reason": "other", "text": "Nothing yet"}
    work = JobInProgress(market, server)
    await work.assert_refused(
        deal.customer, "/payment", "dispute_open", fields, "job_not_in_progress"
    )
