"""A block between two users is whole: nothing of the one reaches the other."""

from domain.jobs.applications import Application
from domain.jobs.saved_searches import MATCHED
from domain.kernel.errors import Unreachable
from tests.conftest import both_paths
from tests.domain.chat.test_blocks_and_reports import block
from tests.domain.chat.test_conversations import Talk, meet
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Json, Party

pytestmark = one_server

OFFER = {
    "amount": 100_000,
    "description": "As discussed.",
    "timeline_days": 5,
    "payment_method": "pm_card_visa",
}
APPLICATION = {"cover_letter": "Again.", "proposed_amount": 1000, "timeline_days": 2}


async def code(party: Party, namespace: str, command: str, **fields: object) -> str:
    answer = await party.ack(namespace, command, fields)
    return "ok" if answer["ok"] else str(answer["error"]["code"])


async def marks(talk: Talk, party: Party) -> dict[str, int]:
    seen = await party.call("/chat", "get", {"conversation_id": talk.id})
    read: dict[str, int] = seen["read"]
    return read


async def presence_of_other(talk: Talk, party: Party) -> list[Json]:
    asked = {"conversation_ids": [talk.id]}
    items: list[Json] = (await party.call("/chat", "presence", asked))["items"]
    return items


async def assert_silent(talk: Talk, sent: Json) -> None:
    """Nothing can be said to the other, whose presence is not shown."""
    for party in (talk.customer, talk.contractor):
        for command, refusal, fields in (
            ("send", "blocked", {"text": "Hello?"}),
            ("react", "blocked", {"message_id": sent["id"], "emoji": "👍"}),
            ("typing", "not_found", {"typing": True}),
        ):
            said = await code(party, "/chat", command, conversation_id=talk.id, **fields)
            assert said == refusal, command
        assert await presence_of_other(talk, party) == []


@both_paths
async def test_nothing_of_blocked_users_reaches_the_other(market: Market) -> None:
    """Guard: `reach.require_reach` and `check_reach` in every operation that addresses the other,
    `may_reach` in `sharing_receipts` and `ConversationMembers.reachable`, `AnnounceReach`, and
    `_withdraw_applications`."""
    talk = await meet(market)
    customer, contractor = talk.customer, talk.contractor
    jobs = [await market.job(customer) for _ in range(3)]
    offered, applied, rejected = jobs
    for job in jobs:
        application = await market.application(contractor, job)
    await customer.call("/job-request", "reject", {"application_id": application["id"]})
    await contractor.call("/job", "search_save", {"name": "All", "budget": {"min_amount": 1}})
    offer = await market.offer(customer, contractor, offered)
    sent = await talk.say(customer, "Tuesday")
    for party in (customer, contractor):
        assert [each["online"] for each in await presence_of_other(talk, party)] == [True]
    await contractor.call("/chat", "typing", {"conversation_id": talk.id, "typing": True})
    await customer.push("/chat", "typing", lambda data: data["typing"])
    await contractor.call("/chat", "typing", {"conversation_id": talk.id, "typing": False})

    await block(talk, customer)
    await market.settled()
    mine = (await contractor.call("/job-request", "mine"))["items"]
    assert [each["status"] for each in mine] == ["rejected"] + ["withdrawn"] * 3
    for party in (customer, contractor):
        await party.push(
            "/job-request", "application.updated", lambda d: d["job_id"] == applied["id"]
        )
        await party.push("/chat", "presence", lambda data: data["online"] is None)
        party.clear_pushes()
    before = await market.traces()
    await assert_silent(talk, sent)
    terms = {"offer_id": offer["id"]}
    again = {"job_id": applied["id"], **APPLICATION}
    new = {**OFFER, "contractor_id": contractor.id, "currency": applied["currency"]}
    for party, namespace, command, fields in (
        (contractor, "/job-request", "apply", again),
        (customer, "/job-request", "accept", {"application_id": mine[1]["id"]}),
        (customer, "/bidding", "create", {"job_id": applied["id"], **new}),
        (contractor, "/bidding", "accept", terms),
        (contractor, "/bidding", "counter", {"amount": 2000, **terms}),
        (customer, "/chat", "open", {"job_id": rejected["id"], "user_id": contractor.id}),
    ):
        refused = (await party.ack(namespace, command, fields))["error"]
        assert (refused["code"], refused["message"]) == ("not_found", Unreachable.message), command
    assert await market.traces() == before

    # The mark is kept, and not shown to others.
    receipt = await contractor.call("/chat", "read", {"conversation_id": talk.id, "seq": 1})
    await contractor.disconnect()
    await market.settled()
    assert await marks(talk, customer) == {customer.id: 1, contractor.id: 0}
    assert receipt["seq"] == 1
    await market.job(customer)
    await market.settled()
    assert contractor.received("/job", MATCHED.name) == []
    assert [push.name for push in customer.pushes if push.namespace == "/chat"] == []

    # What ends something is possible, and all the rest after the block.
    await contractor.connect()
    assert await code(contractor, "/bidding", "reject", **terms) == "ok"
    await block(talk, customer, False)
    await market.settled()
    assert [each["online"] for each in await presence_of_other(talk, customer)] == [True]
    assert await marks(talk, customer) == {customer.id: 1, contractor.id: 1}
    assert await code(contractor, "/job-request", "apply", **again) == "ok"
    await talk.say(contractor, "Sorry")


async def test_a_job_is_applied_for_three_times_at_most(market: Market) -> None:
    """Guard: MAX_APPLICATIONS in `applications.apply`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    for command, party in (("withdraw", contractor), ("reject", customer), ("reject", customer)):
        application = await market.application(contractor, job)
        await party.call("/job-request", command, {"application_id": application["id"]})
    before = await market.traces()
    refused = await contractor.ack("/job-request", "apply", {"job_id": job["id"], **APPLICATION})
    assert refused["error"]["code"] == "already_applied"
    assert refused["error"]["details"] == {"limit": 3}
    assert await market.traces() == before
    await market.application(contractor, await market.job(customer))
    assert len(await market.rows(Application)) == 4
