"""System messages about offers and work in the conversation of the two sides."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.bidding.system_messages import PostSystemMessages, SystemMessage
from domain.chat.conversation import Conversation
from domain.deals.offer import Offer
from domain.kernel.outbox import OutboxRow
from domain.kernel.store import UnitOfWork
from tests.conftest import Server
from tests.domain.chat.test_conversations import listed, meet, seqs
from tests.domain.chat.test_group_commit import until
from tests.support.databases import needs
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Json, Party

pytestmark = one_server


async def timeline(party: Party) -> list[Json]:
    """The messages of the only conversation of a party; their numbers have no gaps."""
    (place,) = await listed(party)
    fields = {"conversation_id": place["id"], "limit": 100}
    stretch = await party.call("/chat", "history", fields)
    assert seqs(stretch) == list(range(1, stretch["head"] + 1))
    items: list[Json] = stretch["items"]
    return items


def kinds(items: list[Json]) -> list[str]:
    return [message["kind"] for message in items]


@own_server
async def test_a_deal_is_reported_between_the_messages_of_both(market: Market) -> None:
    """Guard: `system_messages.queue_system_messages` in `_follow` of server/container.py, and one
    subject for each conversation, which keeps messages in order."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    await market.settled()
    (place,) = await listed(contractor)
    assert (place["job_id"], place["unread"]) == (job["id"], 1)
    assert (await listed(customer))[0]["unread"] == 0
    said = {"conversation_id": place["id"], "text": "What do you say?"}
    await customer.call("/chat", "send", said)
    await market.accept(contractor, offer)
    await market.start(contractor, job)
    await market.deliver(contractor, job)
    await market.complete(customer, job)
    await market.settled()
    items = await timeline(contractor)
    assert kinds(items) == [
        "offer.created",
        "text",
        "offer.accepted",
        "job.started",
        "job.delivered",
        "job.completed",
    ]
    system = [message for message in items if message["kind"] != "text"]
    assert {message["author_id"] for message in system} == {"system"}
    assert [message["subject_id"] for message in system] == [offer["id"]] * 2 + [job["id"]] * 3
    by = [customer.id, contractor.id, contractor.id, contractor.id, None]
    assert [message["by"] for message in system] == by
    assert system[0]["text"] == "An offer of 1,000.00 USD was made."
    for party in (customer, contractor):
        await party.push("/chat", "message", lambda data: data["kind"] == "job.completed")
        assert [p.seq for p in party.received("/chat", "message")] == [1, 2, 3, 4, 5, 6]


@own_server
async def test_each_milestone_has_its_own_messages(market: Market) -> None:
    """Guard: the loop over milestones in `system_messages._offer_messages`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    parts = [{"title": "First coat", "amount": 60_000}, {"title": "Second", "amount": 40_000}]
    await market.accept(contractor, await market.offer(customer, contractor, job, milestones=parts))
    await market.start(contractor, job)
    part = {"job_id": job["id"], "milestone": 1}
    await contractor.call("/job", "deliver", {**part, "note": "Dry by noon."})
    await customer.call("/job", "complete", part)
    await market.settled()
    messages = [(message["kind"], message["text"]) for message in (await timeline(customer))[3:]]
    assert messages == [
        ("milestone.delivered", "Delivered: “First coat”."),
        ("milestone.completed", "Completed: “First coat”."),
    ]


ENDS: list[tuple[str, Json, str, str]] = [
    ("withdraw", {}, "offer.withdrawn", "The offer of 1,000.00 USD was withdrawn."),
    ("reject", {}, "offer.rejected", "The offer of 1,000.00 USD was turned down."),
    (
        "counter",
        {"amount": 120_000, "note": "It is longer."},
        "offer.countered",
        "The offer of 1,000.00 USD was answered with 1,200.00 USD.",
    ),
]


@needs("freed keys")
async def test_the_end_of_an_offer_is_reported(market: Market) -> None:
    """Guard: the table `OFFER_MESSAGES`; and the marks of one's own messages in
    `group_commit._conversation_updates`."""
    talk = await meet(market)
    for command, fields, kind, text in ENDS:
        offer = await market.offer(talk.customer, talk.contractor, talk.job)
        who = talk.customer if command == "withdraw" else talk.contractor
        await market.settled()
        (place,) = await listed(talk.contractor)
        assert place["unread"] == 1
        for party in (talk.customer, talk.contractor):
            seq = {"seq": (await timeline(talk.customer))[-1]["seq"]}
            await party.call("/chat", "read", {"conversation_id": talk.id, **seq})
        await who.call("/bidding", command, {"offer_id": offer["id"], **fields})
        await market.settled()
        last = (await timeline(talk.customer))[-1]
        assert (last["kind"], last["text"], last["by"]) == (kind, text, who.id)
        for party in (talk.customer, talk.contractor):
            unread = (await listed(party))[0]["unread"]
            assert unread == (0 if party is who else 1), command
            seq = {"seq": last["seq"]}
            await party.call("/chat", "read", {"conversation_id": talk.id, **seq})


async def test_an_unpaid_offer_is_not_reported(market: Market) -> None:
    """Guard: `visible` in `system_messages.messages_of`; the contractor must not see it."""
    talk = await meet(market)
    await market.offer(talk.customer, talk.contractor, talk.job, payment_method=None)
    await market.settled()
    assert await timeline(talk.contractor) == []


async def test_a_task_that_runs_again_adds_no_message(market: Market, server: Server) -> None:
    """Guard: the client id from `PostSystemMessages._draft`. A block does not stop system
    messages."""
    talk = await meet(market)
    uow = server.store.single()
    await uow.change(Conversation, talk.id, blocked_by=(talk.customer.id,))
    messages = tuple(
        SystemMessage(f"ofr_1:{n}:offer.created", "offer.created", "ofr_1", None, f"{n}")
        for n in range(3)
    )
    task = PostSystemMessages(talk.job["id"], "", talk.customer.id, talk.contractor.id, messages)
    await asyncio.gather(*(task.run(server.ports) for _ in range(4)))
    await task.run(server.ports)
    assert [message["text"] for message in await timeline(talk.customer)] == ["0", "1", "2"]


async def test_a_rolled_back_change_is_not_reported(market: Market, server: Server) -> None:
    """Guard: `uow.later` in `system_messages.queue_system_messages`, which writes the task in the
    same transaction."""
    talk = await meet(market)
    offer = await market.offer(talk.customer, talk.contractor, talk.job)
    await market.settled()
    before = await timeline(talk.customer)

    async def undone(uow: UnitOfWork) -> None:
        await uow.change(Offer, offer["id"], status="rejected")
        await uow.flush()
        assert "post_system_messages" in [row.body["type"] for row in uow.rows]
        raise LookupError

    with pytest.raises(LookupError):
        await server.store.transact(undone)
    assert await market.rows(OutboxRow) == []
    assert await timeline(talk.customer) == before


@own_server
@pytest.mark.usefixtures("prompt_retries")
async def test_messages_are_retried_while_the_writer_is_full(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: TryAgain in `PostSystemMessages.run`: a full queue does not count as a failed
    attempt."""
    monkeypatch.setattr("domain.bidding.system_messages.RETRY_AFTER", timedelta(seconds=0.2))
    talk = await meet(market)
    with monkeypatch.context() as patch:
        patch.setattr("server.workers.message_writer.MAX_WAITING", 0)
        offer = await market.offer(talk.customer, talk.contractor, talk.job)

        async def tried() -> Any:
            return await market.rows(OutboxRow, last_error={"$gt": ""}, attempts=0)

        rows = await until(tried, bool)
    assert msgspec.convert(rows[0].body, PostSystemMessages).messages[0].subject_id == offer["id"]
    await market.settled()
    messages = await timeline(talk.contractor)
    assert kinds(messages) == ["offer.created"]
