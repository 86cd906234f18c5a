"""The two-person rule: large commands about money wait for a second administrator."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.admin import approvals
from domain.admin.approval import APPROVAL_STEPS, Approval, ApprovalStatus
from domain.deals.offer import Offer
from domain.payouts.transfer import Transfer, TransferStatus
from tests.conftest import Server, both_paths
from tests.support.databases import needs
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.parties import Json, Party, Refused
from tests.support.processes import Processes

LIMIT = 50_000


@pytest.fixture
def limited(server: Server) -> None:
    server.store.rates = msgspec.structs.replace(server.store.rates, approval_amount=LIMIT)


def adjustment(contractor: Party, amount: int = LIMIT + 1) -> Json:
    return {
        "user_id": contractor.id,
        "amount": amount,
        "currency": "USD",
        "reason": "Goodwill",
        "account": "losses",
    }


async def asked(admin: Party, event: str, fields: Json, **options: Any) -> Json:
    """The details of the approval that a command asks for."""
    with pytest.raises(Refused) as refused:
        await admin.call("/admin", event, fields, **options)
    assert refused.value.code == "approval_required", refused.value
    return refused.value.details


async def balance(contractor: Party) -> int:
    found = await contractor.call("/wallet", "balance")
    return int(found["available"] + found["pending"])


@both_paths
async def test_a_large_adjustment_waits_for_another_administrator(
    market: Market, limited: None
) -> None:
    """Guard: `perform_or_ask` and `approvals.approve`: carried out once, with both names in the
    audit trail."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    details = await asked(one, "adjust", adjustment(contractor))
    assert (details["amount"], details["currency"]) == (LIMIT + 1, "USD")
    assert await balance(contractor) == 0
    alert = await two.push("/admin", "alert")
    assert (alert["kind"], alert["subject"]) == ("approval_required", details["approval_id"])
    (waiting,) = (await two.call("/admin", "approvals", {"status": "pending"}))["items"]
    assert waiting["id"] == details["approval_id"] and waiting["requested_by"] == one.id
    assert waiting["fields"]["reason"] == "Goodwill"
    assert not Approval.PRIVATE & waiting.keys()

    fields = {"approval_id": waiting["id"]}
    with pytest.raises(Refused, match="forbidden"):
        await one.call("/admin", "approve", fields)
    executed = await two.call("/admin", "approve", {**fields, "reason": "I have checked it"})
    assert (executed["status"], executed["decided_by"]) == ("executed", two.id)
    assert executed["reason"] == "I have checked it"
    assert await balance(contractor) == LIMIT + 1
    with pytest.raises(Refused, match="conflict"):
        await two.call("/admin", "approve", fields)
    assert await balance(contractor) == LIMIT + 1
    pushed = await one.push(
        "/admin", "approval.updated", lambda approval: approval["status"] == "executed"
    )
    assert pushed == executed
    for operation, who in (("admin.adjust", one), ("admin.approve", two)):
        [row] = await market.trail(operation=operation)
        assert row.actor_id == who.id and waiting["id"] in row.subjects


async def test_what_does_not_exceed_the_amount_needs_nobody(market: Market, limited: None) -> None:
    """Guard: `> limit` in `perform_or_ask`."""
    admin, contractor = await market.admin(), await market.contractor(onboarded=True)
    await admin.call("/admin", "adjust", adjustment(contractor, LIMIT))
    assert await balance(contractor) == LIMIT
    assert await market.rows(Approval) == []


async def test_a_large_amount_in_pieces_needs_approval(market: Market, limited: None) -> None:
    """Guard: `UnapprovedTotal`: pieces for one wallet within a day count together."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    await one.call("/admin", "adjust", adjustment(contractor, LIMIT - 10))
    for admin in (one, two):
        await asked(admin, "adjust", adjustment(contractor, -11))
    await two.call("/admin", "adjust", adjustment(contractor, 10))
    assert await balance(contractor) == LIMIT


async def test_the_pieces_of_one_administrator_count_together(
    market: Market, server: Server, limited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `admin_id` in `_total`: adjustments of several wallets and a release, which are below
    the amount each, within any 24 hours. What was approved does not count."""
    one, two = await market.admin(), await market.admin("Bob")
    people = [await market.contractor(onboarded=True) for _ in range(3)]
    await one.call("/admin", "adjust", adjustment(people[0], LIMIT // 2))
    await one.call("/admin", "adjust", adjustment(people[1], -(LIMIT // 2) + 10))
    await market.settled()
    (transfer,) = await market.rows(Transfer)
    await server.store.single().change(Transfer, transfer.id, status=TransferStatus.PARKED)
    release = {"transfer_id": transfer.id, "reason": "Looked at"}
    details = await asked(one, "release", release)
    await two.call("/admin", "approve", {"approval_id": details["approval_id"]})
    await asked(one, "adjust", adjustment(people[2], 11))
    await two.call("/admin", "adjust", adjustment(people[2], 11))

    clock = type(server.ports.clock)
    now = clock.now
    for hours, allowed in ((23, 10), (25, LIMIT - 10)):
        monkeypatch.setattr(clock, "now", lambda self, by=hours: now(self) + timedelta(hours=by))
        await asked(one, "adjust", adjustment(people[2], allowed + 1))
        await one.call("/admin", "adjust", adjustment(people[2], allowed))


async def test_a_large_refund_waits_and_is_checked_first(
    server: Server, work: JobInProgress
) -> None:
    """Guard: the command is carried out before it waits, so that only possible ones do."""
    market = work.market
    server.store.rates = msgspec.structs.replace(server.store.rates, approval_amount=LIMIT)
    one, two = await market.admin(), await market.admin("Bob")
    offer = (await market.rows(Offer))[0]
    refund = {"payment_id": offer.payment_id, "reason": "Not done"}
    for wrong, code in (
        ({"amount": 99_999_999}, "amount_not_payable"),
        ({"payment_id": "pay_none"}, "not_found"),
    ):
        with pytest.raises(Refused, match=code):
            await one.call("/admin", "refund", refund | wrong)
    assert await market.rows(Approval) == []

    status, problem = await one.http(
        "POST", f"/api/admin/payments/{offer.payment_id}/refund", {"reason": "Not done"}
    )
    assert (status, problem["code"]) == (409, "approval_required")
    assert (await market.rows(Offer))[0].refunded_amount == 0
    approval = problem["details"]["approval_id"]
    status, executed = await two.http("POST", f"/api/admin/approvals/{approval}/approve")
    assert (status, executed["status"]) == (200, "executed")
    await market.settled()
    (refunded,) = (await market.rows(Offer))[0].refunds
    assert (refunded.amount, refunded.by) == (offer.captured_amount, one.id)


async def test_a_large_release_waits(market: Market, server: Server, limited: None) -> None:
    """Guard: `RELEASE` in `wallet_actions.release`."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    await asked(one, "adjust", adjustment(contractor))
    (approval,) = await market.rows(Approval)
    await two.call("/admin", "approve", {"approval_id": approval.id})
    await market.settled()
    (transfer,) = await market.rows(Transfer)
    await server.store.single().change(Transfer, transfer.id, status=TransferStatus.PARKED)
    fields = {"transfer_id": transfer.id, "reason": "Looked at"}
    details = await asked(one, "release", fields)
    assert (await market.rows(Transfer))[0].status is TransferStatus.PARKED
    await two.call("/admin", "approve", {"approval_id": details["approval_id"]})
    assert (await market.rows(Transfer))[0].status is not TransferStatus.PARKED


# -- repetitions ------------------------------------------------------------------------------


async def test_a_large_decision_on_a_dispute_waits(
    market: Market, work: JobInProgress, limited: None
) -> None:
    """Guard: `RESOLVE` in `dispute_decisions.resolve`: the whole amount in dispute counts, as it
    goes to one side or the other. The decision is that of the first administrator."""
    one, two = await market.admin(), await market.admin("Bob")
    dispute = {"dispute_id": (await work.open_dispute())["id"]}
    fields = {**dispute, "refund_amount": 10_000, "reason": "Most of it is done"}
    details = await asked(one, "resolve", fields)
    assert (details["amount"], details["currency"]) == (100_000, "USD")
    assert (await work.customer.call("/payment", "dispute", dispute))["status"] == "open"
    await two.call("/admin", "approve", {"approval_id": details["approval_id"]})
    assert (await work.customer.call("/payment", "dispute", dispute))["status"] == "resolved"
    (latest, *_) = (await work.customer.call("/payment", "dispute_entries", dispute))["items"]
    assert (latest["kind"], latest["by"]) == ("resolve", one.id)
    await market.settled()
    assert (await work.stored_payment()).refunded_amount == 10_000


async def test_a_repeated_request_finds_its_approval_and_then_its_result(
    market: Market, limited: None
) -> None:
    """Guard: `attempt` in `NeedsApproval.record`, and `store_reply` in `approvals.approve`."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    fields = adjustment(contractor)
    first = await asked(one, "adjust", fields, request_id="r1")
    assert await asked(one, "adjust", fields, request_id="r1") == first
    await two.call("/admin", "approve", {"approval_id": first["approval_id"]}, request_id="r1")
    answer = await one.call("/admin", "adjust", fields, request_id="r1")
    assert answer["pending"] + answer["available"] == LIMIT + 1
    assert await one.call("/admin", "adjust", fields, request_id="r1") == answer
    with pytest.raises(Refused, match="request_id_reused"):
        await one.call("/admin", "adjust", fields | {"amount": 1}, request_id="r1")
    assert await balance(contractor) == LIMIT + 1
    assert len(await market.rows(Approval)) == 1


async def test_without_a_request_id_the_same_command_waits_once(
    market: Market, limited: None
) -> None:
    """Guard: the unique index on `attempt` of pending approvals."""
    admin, contractor = await market.admin(), await market.contractor(onboarded=True)
    fields = adjustment(contractor)
    tries = [admin.ack("/admin", "adjust", fields) for _ in range(4)]
    codes = {answer["error"]["code"] for answer in await asyncio.gather(*tries)}
    assert codes <= {"approval_required", "conflict"} and "approval_required" in codes
    assert len(await market.rows(Approval)) == 1


async def test_two_approvals_at_the_same_time_execute_once(market: Market, limited: None) -> None:
    """Guard: the guarded step in `move_approval`."""
    one, *others = [await market.admin(f"Admin {n}") for n in range(4)]
    contractor = await market.contractor(onboarded=True)
    details = await asked(one, "adjust", adjustment(contractor))
    fields = {"approval_id": details["approval_id"]}
    answers = await asyncio.gather(*(each.ack("/admin", "approve", fields) for each in others))
    assert [answer["ok"] for answer in answers].count(True) == 1
    assert await balance(contractor) == LIMIT + 1


# -- other ends -------------------------------------------------------------------------------


def test_the_steps_of_an_approval() -> None:
    """Guard: APPROVAL_STEPS: every end is final."""
    ends = {ApprovalStatus.EXECUTED, ApprovalStatus.DECLINED, ApprovalStatus.EXPIRED}
    assert {ApprovalStatus.PENDING: tuple(APPROVAL_STEPS[ApprovalStatus.PENDING])} == APPROVAL_STEPS
    assert set(APPROVAL_STEPS[ApprovalStatus.PENDING]) == ends


@pytest.mark.parametrize("decider", ["another", "the same"])
async def test_a_declined_command_is_not_carried_out(
    market: Market, limited: None, decider: str
) -> None:
    """Guard: `approvals.decline`; the administrator who asked may take it back."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    fields = adjustment(contractor)
    details = await asked(one, "adjust", fields, request_id="r1")
    by = two if decider == "another" else one
    decline = {"approval_id": details["approval_id"], "reason": "No receipt"}
    declined = await by.call("/admin", "decline", decline)
    assert (declined["status"], declined["reason"]) == ("declined", "No receipt")
    for event, values in (
        ("approve", {"approval_id": details["approval_id"]}),
        ("decline", decline),
    ):
        with pytest.raises(Refused, match="conflict"):
            await two.call("/admin", event, values)
    with pytest.raises(Refused, match="conflict"):
        await one.call("/admin", "adjust", fields, request_id="r1")
    assert (await asked(one, "adjust", fields))["approval_id"] != details["approval_id"]
    assert await balance(contractor) == 0


@needs("freed keys")
async def test_an_approval_expires_after_a_day(
    market: Market, server: Server, limited: None
) -> None:
    """Guard: `expires_at` in `approvals.approve`, and `expire_due`."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    details = await asked(one, "adjust", adjustment(contractor))
    (row,) = await market.rows(Approval)
    assert row.expires_at - row.created_at == timedelta(hours=24)
    uow = server.store.single()
    await uow.change(Approval, row.id, expires_at=uow.now - timedelta(seconds=1))
    with pytest.raises(Refused, match="conflict") as refused:
        await two.call("/admin", "approve", {"approval_id": row.id})
    assert refused.value.details["status"] == "expired"
    assert await approvals.expire_due(server.ports) == 1
    assert (await market.rows(Approval))[0].status is ApprovalStatus.EXPIRED
    again = await asked(one, "adjust", adjustment(contractor))
    assert again["approval_id"] != details["approval_id"]
    assert await balance(contractor) == 0


async def test_the_command_of_a_banned_administrator_is_not_carried_out(
    market: Market, limited: None
) -> None:
    """Guard: the look at `requested_by` in `approvals.approve`."""
    one, two = await market.admin(), await market.admin("Bob")
    contractor = await market.contractor(onboarded=True)
    details = await asked(one, "adjust", adjustment(contractor))
    await two.call("/admin", "ban", {"user_id": one.id, "reason": "Has left"})
    with pytest.raises(Refused, match="conflict"):
        await two.call("/admin", "approve", {"approval_id": details["approval_id"]})
    (row,) = await market.rows(Approval)
    assert row.status is ApprovalStatus.PENDING
    assert await balance(contractor) == 0


async def test_the_amount_is_a_setting(processes: Processes) -> None:
    """Guard: ADMIN_APPROVAL_AMOUNT in `config` and `Container`; the approval is on another
    process."""
    one = await processes.web(ADMIN_APPROVAL_AMOUNT="10")
    two = await processes.web(ADMIN_APPROVAL_AMOUNT="10")
    market = processes.market
    first, second = await market.admin(url=one.url), await market.admin("Bob", url=two.url)
    contractor = await market.contractor(url=one.url)
    details = await asked(first, "adjust", adjustment(contractor, 11))
    await second.push("/admin", "approval.updated")
    await second.call("/admin", "approve", {"approval_id": details["approval_id"]})
    await first.push("/admin", "approval.updated", lambda row: row["status"] == "executed")
    assert await balance(contractor) == 11
