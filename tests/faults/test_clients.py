"""Client requests: repeated, changed, with forbidden fields, or to delete a user who has money."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from domain.kernel.store import TRANSACTION_SECONDS
from domain.operations.command import Style
from domain.operations.idempotency import Reply
from handlers import NAMESPACES
from tests.faults.outcome import feed_values, requests_to, until
from tests.support.job_in_progress import TIMEOUT
from tests.support.operation_cases import VALUES
from tests.support.parties import PASSWORD, Refused


async def test_request_id_reused_with_another_body(work):
    """Guard: the fingerprint in `idempotency.claim_request`."""
    await work.deliver()
    fields = {"job_id": work.job["id"]}
    first = await work.customer.call("/job", "complete", fields, request_id="pay-1")
    assert await work.customer.call("/job", "complete", fields, request_id="pay-1") == first
    with pytest.raises(Refused) as refused:
        await work.customer.call("/job", "complete", {**fields, "milestone": 1}, request_id="pay-1")
    assert refused.value.code == "request_id_reused"
    assert await work.platform_and_escrow() == (30_000, 0)
    assert len(await work.stripe_list("transfers")) == 1


async def test_request_id_while_running(work):
    """Guard: the claim is written before the command runs, and expires soon after the command's
    time limit (CLAIM_HELD): a repeated command of a killed process waits that long.

    An open transaction has changed the offer, so the command waits for its end.
    """
    transaction = timedelta(seconds=TRANSACTION_SECONDS)
    path, store = f"/api/job/{work.job['id']}/complete", work.market.store
    offers, one = store.database["offers"], {"_id": work.offer["id"]}
    async with await store.client.start_session() as session:
        session.start_transaction()
        await offers.update_one(one, {"$set": {"description": "Mine"}}, session=session)
        first = asyncio.create_task(work.customer.http("POST", path, {}, request_id="pay-1"))
        await until(lambda: store.single().count(Reply, {"claimed_by": {"$gt": ""}}))
        answers = await asyncio.gather(
            work.customer.http("POST", path, {}, request_id="pay-1"),
            work.customer.ack("/job", "complete", {"job_id": work.job["id"]}, request_id="pay-1"),
        )
        assert not first.done()
        (claim,) = await work.market.rows(Reply, claimed_by={"$gt": ""})
        await session.abort_transaction()
    assert (answers[0][0], answers[0][1]["code"]) == (409, "request_in_progress")
    assert answers[1]["error"]["code"] == "request_in_progress"
    assert transaction < claim.claimed_until - claim.created_at < 2 * transaction
    status, done = await first
    assert status == 200
    assert await work.customer.http("POST", path, {}, request_id="pay-1") == (200, done)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await requests_to(work.market, "transfers") == 1
    assert (await feed_values(work.customer, "job.updated", "status")).count("completed") == 1


SURPRISES = (
    "stripe_id",
    "intent_id",
    "charge_id",
    "connect_id",
    "stripe_customer",
    "fee",
    "platform_amount",
    "schedule",
    "captured_amount",
    "status",
    "customer_id",
    "version",
)


async def test_stripe_ids_fees_and_amounts_sent_by_a_client(market):
    """Guard: `forbid_unknown_fields` of `Command`: fields that we or Stripe set are refused in
    every operation that writes, and the error names the field."""
    people = {
        "customer": await market.customer(),
        "contractor": await market.contractor(),
        "admin": await market.admin(),
    }
    before = await market.traces()
    for namespace in NAMESPACES:
        for exposed in namespace.exposed:
            op = exposed.operation
            if op.style is not Style.WRITE or not exposed.event:
                continue
            names = {field.name for field in msgspec.structs.fields(op.command)}
            who = next(people[role] for role in people if role in op.roles)
            for surprise in SURPRISES:
                fields = {surprise: "re_1"} | {name: VALUES.get(name, "x") for name in names}
                answer = await who.ack(namespace.name, exposed.event, fields)
                assert answer["ok"] is False, (op.name, surprise)
                assert answer["error"]["code"] == "invalid", (op.name, answer)
                assert answer["error"]["details"] == {"field": surprise, "rule": "unknown"}, (
                    op.name,
                    answer,
                )
    assert await market.traces() == before


async def test_user_deleted_with_money_outstanding(market, work):
    """Guard: `MoneyOutstanding` in `deletion.delete`; without it a wallet has no owner."""
    for party in (work.customer, work.contractor):
        await refuses_to_leave(work, party)
    await work.complete()
    await market.settled(TIMEOUT)
    await refuses_to_leave(work, work.contractor)
    await work.withdraw(70_000)
    await work.contractor.call("/account", "delete", {"password": PASSWORD})
    await work.sandbox.add_funds(50_000)
    await work.refund(50_000)  # the books still name the debtor
    assert await work.platform_and_escrow() == (15_000, 0)


async def refuses_to_leave(work, party):
    await work.assert_refused(
        party, "/account", "delete", {"password": PASSWORD}, "money_outstanding"
    )
