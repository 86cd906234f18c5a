"""Chat between the two parties of a job: live, numbered without gaps, closed to others."""

import asyncio
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from domain.chat.conversation import PREVIEW, Conversation, Message, open_between
from domain.chat.history import SYNC_ITEMS
from domain.chat.unread import unread_in
from domain.kernel.store import UnitOfWork
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Json, Party, Refused

pytestmark = one_server


class Talk(NamedTuple):
    """A customer and a contractor with a conversation."""

    customer: Party
    contractor: Party
    job: Json
    conversation: Json

    @property
    def id(self) -> str:
        return str(self.conversation["id"])

    async def say(self, party: Party, text: str, **fields: Any) -> Json:
        fields = {"conversation_id": self.id, "text": text, **fields}
        sent: Json = await party.call("/chat", "send", fields)
        return sent

    async def history(self, party: Party, **fields: Any) -> Json:
        fields = {"conversation_id": self.id, **fields}
        stretch: Json = await party.call("/chat", "history", fields)
        return stretch

    async def sync(self, party: Party, seq: int) -> Json:
        synced = await party.call("/chat", "sync", {"conversations": {self.id: seq}})
        stretch: Json = synced["conversations"][self.id]
        return stretch


async def meet(market: Market, customer: Party | None = None, **names: str) -> Talk:
    """The contractor applies, the customer opens the chat."""
    customer = customer or await market.customer()
    contractor = await market.contractor(**names)
    job = await market.job(customer)
    await market.application(contractor, job)
    return Talk(customer, contractor, job, await open_chat(customer, job, contractor))


async def open_chat(party: Party, job: Json, other: Party) -> Json:
    fields = {"job_id": job["id"], "user_id": other.id}
    conversation: Json = await party.call("/chat", "open", fields)
    return conversation


async def listed(party: Party) -> list[Json]:
    items: list[Json] = (await party.call("/chat", "list"))["items"]
    return items


def seqs(stretch: Json) -> list[int]:
    return [message["seq"] for message in stretch["items"]]


async def refused(party: Party, command: str, fields: Json) -> str:
    with pytest.raises(Refused) as caught:
        await party.call("/chat", command, fields)
    return caught.value.code


# -- opening -----------------------------------------------------------------------------------


async def test_both_sides_open_the_same_conversation(market: Market) -> None:
    """Fails when open_between() does not look for an existing row, or when open_() does not swap
    the two sides for a contractor."""
    talk = await meet(market)
    again = await open_chat(talk.contractor, talk.job, talk.customer)
    assert again == talk.conversation
    assert again["members"] == [talk.customer.id, talk.contractor.id]
    assert again["names"] == {
        talk.customer.id: talk.customer.name,
        talk.contractor.id: talk.contractor.name,
    }
    assert (again["job_title"], again["head"], again["unread"]) == (talk.job["title"], 0, 0)


async def test_simultaneous_opens_create_one_conversation(market: Market) -> None:
    """Fails without the unique index on job and contractor: each would insert a row."""
    customer, contractor = await market.customer(), await market.contractor()

    async def open_in(uow: UnitOfWork, job_id: str) -> Conversation:
        return await open_between(
            uow,
            job_id=job_id,
            job_title="Paint the fence",
            customer_id=customer.id,
            contractor_id=contractor.id,
        )

    for job_id in ("job_1", "job_2", "job_3"):  # the first transactions wait for connections
        work = partial(open_in, job_id=job_id)
        opened = await asyncio.gather(*(market.store.transact(work) for _ in range(8)))
        assert len({found.id for found in opened}) == 1
        assert len(await market.rows(Conversation, job_id=job_id)) == 1


async def test_a_chat_requires_an_application_to_the_job(market: Market) -> None:
    """Fails when the filter of open_() drops the customer, the contractor or the status."""
    talk = await meet(market)
    rival, neighbour = await market.contractor(), await market.customer()
    withdrawn = await market.application(rival, talk.job)
    await rival.call("/job-request", "withdraw", {"application_id": withdrawn["id"]})
    job = talk.job["id"]
    before = await market.traces()
    for party, user in (
        (talk.customer, rival),
        (rival, talk.customer),
        (neighbour, talk.contractor),
        (talk.contractor, neighbour),
        (talk.customer, talk.customer),
    ):
        assert await refused(party, "open", {"job_id": job, "user_id": user.id}) == "not_found"
    assert await market.traces() == before


# -- messages ----------------------------------------------------------------------------------


async def test_messages_arrive_live_on_both_sides_in_order(market: Market) -> None:
    """Fails without the members or `seq=message.seq` of the delivery in MessageWriter.push()."""
    talk = await meet(market)
    hello = await talk.say(talk.customer, "Hello!")
    answer = await talk.say(talk.contractor, "Hi. When may I look at it? 🙂")
    assert (hello["seq"], answer["seq"]) == (1, 2)
    for party in (talk.customer, talk.contractor):
        await party.push("/chat", "message", lambda data: data["seq"] == 2)
        pushes = party.received("/chat", "message")
        assert [push.data for push in pushes] == [hello, answer]
        assert [push.seq for push in pushes] == [1, 2]
        kept = (await party.call("/account", "sync", {"since": 0}))["items"]
        assert [item for item in kept if item["name"] == "message"] == []


async def unread(*parties: Party) -> list[int]:
    return [(await listed(party))[0]["unread"] for party in parties]


async def test_unread_counts_what_can_still_be_read(market: Market) -> None:
    """Guard: `unread._count`, `unread_in` in `member_view.seen_by`, and the marks in
    `group_commit._conversation_updates`: an own message is read if all before it are."""
    talk = await meet(market)
    customer, contractor = talk.customer, talk.contractor
    sent = [await talk.say(customer, text) for text in ("One", "Two", "Three")]
    assert await unread(customer, contractor) == [0, 3]
    uow = market.store.single()
    earlier = msgspec.structs.replace(await uow.get(Conversation, talk.id), head=2)
    assert await unread_in(uow, contractor.id, [earlier]) == {talk.id: 2}  # "Three" is to come
    receipt = await contractor.call("/chat", "read", {"conversation_id": talk.id, "seq": 1})
    assert receipt == {"conversation_id": talk.id, "user_id": contractor.id, "seq": 1}
    assert await unread(contractor) == [2]
    assert (await open_chat(contractor, talk.job, customer))["unread"] == 2
    deleted = {"conversation_id": talk.id, "message_id": sent[1]["id"]}
    await customer.call("/chat", "delete", deleted)
    assert await unread(contractor) == [1]
    for text in ("Four", "Five"):  # do not read "Three"
        await talk.say(contractor, text)
    assert await unread(contractor, customer) == [1, 2]
    assert (await contractor.call("/account", "home"))["unread_messages"] == 1
    assert (await listed(customer))[0]["read"][contractor.id] == 1
    await contractor.call("/chat", "read", {"conversation_id": talk.id, "seq": 5})
    await talk.say(contractor, "Six")
    assert (await listed(customer))[0]["read"] == {contractor.id: 6, customer.id: 3}
    home = await contractor.call("/account", "home")
    assert (home["unread_messages"], home["unread_conversations"]) == (0, 0)
    await market.settled()
    for party in (customer, contractor):
        kept = (await party.call("/account", "sync", {"since": 0}))["items"]
        assert [item["data"]["seq"] for item in kept if item["name"] == "read"] == [1, 5]


async def test_a_read_receipt_reaches_both_sides_and_their_feeds(market: Market) -> None:
    """Guard: `publish_receipt` in `history.read`."""
    talk = await meet(market)
    await talk.say(talk.customer, "Read me")
    receipt = await talk.contractor.call("/chat", "read", {"conversation_id": talk.id, "seq": 1})
    for party in (talk.customer, talk.contractor):
        push = await party.pushed("/chat", "read")
        assert push.data == receipt
        kept = (await party.call("/account", "sync", {"since": 0}))["items"]
        assert [item["seq"] for item in kept if item["name"] == "read"] == [push.seq]


async def test_the_read_mark_moves_neither_back_nor_beyond_the_head(market: Market) -> None:
    """Fails without `$lt` or the comparison with the head in read()."""
    talk = await meet(market)
    for text in ("One", "Two"):
        await talk.say(talk.customer, text)
    await talk.contractor.call("/chat", "read", {"conversation_id": talk.id, "seq": 2})
    before = await market.traces()
    for seq in (2, 1, 0):
        fields = {"conversation_id": talk.id, "seq": seq}
        assert (await talk.contractor.call("/chat", "read", fields))["seq"] == 2
    ahead = {"conversation_id": talk.id, "seq": 3}
    assert await refused(talk.contractor, "read", ahead) == "invalid"
    assert await market.traces() == before


async def test_an_empty_or_too_long_text_is_refused(market: Market) -> None:
    """Fails without a limit on Send.text."""
    talk = await meet(market)
    before = await market.traces()
    for text in ("", " \n\t", "x" * 4001):
        fields = {"conversation_id": talk.id, "text": text}
        assert await refused(talk.customer, "send", fields) == "invalid", text
    assert await market.traces() == before


async def test_simultaneous_messages_are_numbered_without_gaps(market: Market) -> None:
    """Fails when _insert_numbered() does not read again after a duplicate, or when two batches use
    the same numbers."""
    talk = await meet(market)

    async def post(party: Party, text: str) -> Json:
        _, message = await party.http("POST", f"/api/chat/{talk.id}/messages", {"text": text})
        return message

    answers = await asyncio.gather(
        *(
            send(party, f"{party.role} {n}")
            for n in range(10)
            for party in (talk.customer, talk.contractor)
            for send in (talk.say, post)
        )
    )
    sent = sorted(answers, key=lambda message: message["seq"])
    assert [message["seq"] for message in sent] == list(range(1, 41))
    stretch = await talk.history(talk.customer, limit=100)
    assert stretch == {"items": sent, "head": 40}
    for party in (talk.customer, talk.contractor):
        for seq in range(1, 41):
            await party.push("/chat", "message", lambda data, seq=seq: data["seq"] == seq)
        assert len(party.received("/chat", "message")) == 40


# -- repeated sends ----------------------------------------------------------------------------


async def test_a_repeated_client_id_is_answered_with_the_first_message(market: Market) -> None:
    """Fails without the index on (author, client_id), or without _answer_if_sent_before()."""
    talk = await meet(market)
    first = await talk.say(talk.customer, "Once", client_id="c-1")
    before = await market.traces()
    assert await talk.say(talk.customer, "Once", client_id="c-1") == first
    assert await market.traces() == before
    other = await talk.say(talk.contractor, "Mine", client_id="c-1")
    assert other["seq"] == 2


async def test_simultaneous_repeats_are_one_message(market: Market) -> None:
    """Fails without _split_repeats(), or across batches without _reread_after_conflict()."""
    talk = await meet(market)
    path, fields = f"/api/chat/{talk.id}/messages", {"text": "Once", "client_id": "c-1"}
    answers = await asyncio.gather(*(talk.customer.http("POST", path, fields) for _ in range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert len({message["id"] for _, message in answers}) == 1
    await talk.say(talk.customer, "Last")
    await talk.contractor.push("/chat", "message", lambda data: data["text"] == "Last")
    assert [push.seq for push in talk.contractor.received("/chat", "message")] == [1, 2]


async def test_a_client_id_is_refused_in_another_conversation(market: Market) -> None:
    """Fails without the conversation in Draft.is_of()."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    await talk.say(talk.customer, "Here", client_id="c-1")
    before = await market.traces()
    fields = {"conversation_id": other.id, "text": "There", "client_id": "c-1"}
    assert await refused(talk.customer, "send", fields) == "request_id_reused"
    assert await market.traces() == before


# -- sync and history --------------------------------------------------------------------------


async def test_messages_missed_while_disconnected_are_synced_without_gaps(market: Market) -> None:
    """Fails without `$gt` or the order in _messages_after()."""
    talk = await meet(market)
    await talk.say(talk.customer, "Are you there?")
    await talk.contractor.push("/chat", "message")
    talk.contractor.cut_connection()
    await talk.contractor.wait_until_disconnected("/chat")
    missed = [await talk.say(talk.customer, f"Hello? {n}") for n in range(5)]
    await talk.contractor.connect()
    assert await talk.sync(talk.contractor, 1) == {"items": missed, "head": 6}
    assert await talk.sync(talk.contractor, 6) == {"items": [], "head": 6}
    live = await talk.say(talk.customer, "Ah!")
    assert await talk.contractor.push("/chat", "message", lambda data: data["seq"] == 7) == live


async def test_several_conversations_are_synced_at_once(market: Market) -> None:
    """Fails when _messages_after() mixes conversations or starts all at one number."""
    first = await meet(market)
    second = await meet(market, first.customer)
    for n in range(3):
        await first.say(first.contractor, f"First {n}")
        await second.say(second.contractor, f"Second {n}")
    marks = {first.id: 1, second.id: 2}
    synced = await first.customer.call("/chat", "sync", {"conversations": marks})
    found = synced["conversations"]
    assert set(found) == {first.id, second.id}
    assert (seqs(found[first.id]), seqs(found[second.id])) == ([2, 3], [3])
    nothing: Json = {"conversations": {}}
    assert await first.customer.call("/chat", "sync", nothing) == {**nothing, "changes": {}}


async def test_many_missed_messages_are_synced_in_several_steps(market: Market) -> None:
    """Fails without SYNC_ITEMS as the limit, or when the limit leaves a gap."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    for each in (talk, other):
        await write_many(market, each, SYNC_ITEMS - 50)
    have = {talk.id: 0, other.id: 0}
    for step in range(2):
        synced = await talk.customer.call("/chat", "sync", {"conversations": have})
        stretches = synced["conversations"]
        assert sum(len(stretch["items"]) for stretch in stretches.values()) <= SYNC_ITEMS
        for id, stretch in stretches.items():
            assert seqs(stretch) == [have[id] + n for n in range(1, len(stretch["items"]) + 1)]
            have[id] += len(stretch["items"])
        done = all(have[id] == stretch["head"] for id, stretch in stretches.items())
        assert done == (step == 1)


async def write_many(market: Market, talk: Talk, count: int) -> None:
    """Insert messages directly into the database."""
    uow = market.store.single()
    await uow.add_all(
        [
            Message(
                id=f"msg_{talk.id}_{seq}",
                created_at=uow.now,
                updated_at=uow.now,
                text=f"{seq}",
                conversation_id=talk.id,
                author_id=talk.contractor.id,
                seq=seq,
            )
            for seq in range(1, count + 1)
        ]
    )
    await uow.change(Conversation, talk.id, head=count)


async def test_history_is_read_in_both_directions(market: Market) -> None:
    """Fails without one of the bounds or the reversal in history()."""
    talk = await meet(market)
    await write_many(market, talk, 9)
    assert seqs(await talk.history(talk.customer, limit=3)) == [7, 8, 9]
    assert seqs(await talk.history(talk.customer, limit=3, before_seq=7)) == [4, 5, 6]
    assert seqs(await talk.history(talk.customer, limit=3, after_seq=2)) == [3, 4, 5]
    assert seqs(await talk.history(talk.customer, after_seq=2, before_seq=5)) == [3, 4]
    assert await talk.history(talk.customer, before_seq=1) == {"items": [], "head": 9}
    status, stretch = await talk.contractor.http(
        "GET", f"/api/chat/{talk.id}/messages", params={"before_seq": "4", "limit": "2"}
    )
    assert (status, seqs(stretch)) == (200, [2, 3])


async def test_the_most_recently_active_conversation_comes_first(market: Market) -> None:
    """Fails without active_at in _conversation_updates(), or when lists are ordered by
    updated_at."""
    first = await meet(market, name="First")
    second = await meet(market, first.customer, name="Second")
    customer = first.customer
    assert [found["id"] for found in await listed(customer)] == [second.id, first.id]
    text = "Long ago " + "x" * PREVIEW
    message = await first.say(first.contractor, text)
    found = (await listed(customer))[0]
    assert (found["id"], found["unread"]) == (first.id, 1)
    assert found["last_message"] == {
        "seq": 1,
        "revision": 0,
        "author_id": first.contractor.id,
        "text": text[:PREVIEW],
        "at": message["created_at"],
    }
    await second.say(second.contractor, "News")
    await customer.call("/chat", "read", {"conversation_id": first.id, "seq": 1})
    assert [found["id"] for found in await listed(customer)] == [second.id, first.id]


async def test_one_conversation_is_read_as_the_list_shows_it(market: Market) -> None:
    """Guard: `history.get`, with `seen_by`; over HTTP `search` is no id of a conversation."""
    talk = await meet(market)
    await talk.say(talk.contractor, "Good morning")
    await talk.contractor.call("/account", "update", {"show_receipts": False})
    for reader, unread, other in (
        (talk.customer, 1, talk.contractor),
        (talk.contractor, 0, talk.customer),
    ):
        [shown] = await listed(reader)
        assert await reader.call("/chat", "get", {"conversation_id": talk.id}) == shown
        assert await reader.http("GET", f"/api/chat/{talk.id}") == (200, shown)
        assert (shown["unread"], shown["read"][other.id]) == (unread, 0)
    status, found = await talk.customer.http("GET", "/api/chat/search", params={"q": "morning"})
    assert (status, len(found["items"])) == (200, 1)


async def test_lists_are_paged_by_cursor(market: Market) -> None:
    """Fails when a cursor loses the type of active_at, or without _id in the order."""
    talks = [await meet(market)]
    for _ in range(4):
        talks.append(await meet(market, talks[0].customer))
    expected = [talk.id for talk in reversed(talks)]
    pages: list[list[str]] = []
    query: Json = {"limit": "2"}
    while query.get("cursor", "") is not None:
        _, page = await talks[0].customer.http("GET", "/api/chat", params=query)
        pages.append([found["id"] for found in page["items"]])
        query["cursor"] = page["next_cursor"]
    assert pages == [expected[:2], expected[2:4], expected[4:]]
    broken = {"cursor": "WzEsMl0"}
    assert await refused(talks[0].customer, "list", broken) == "invalid"


async def test_users_outside_a_conversation_are_refused_without_effect(market: Market) -> None:
    """Fails when `members=actor.id` is missing in any query of domain/chat."""
    talk = await meet(market)
    await talk.say(talk.customer, "Between us")
    rival, admin = await market.contractor(), await market.admin()
    before = await market.traces()
    id = {"conversation_id": talk.id}
    for command, fields in (
        ("send", {**id, "text": "Take me!"}),
        ("get", id),
        ("history", id),
        ("read", {**id, "seq": 1}),
        ("sync", {"conversations": {talk.id: 0}}),
    ):
        assert await refused(rival, command, fields) == "not_found"
        assert await refused(admin, command, fields) == "forbidden"
    assert await listed(rival) == []
    assert await market.traces() == before
    assert rival.received("/chat", "message") == []


async def test_chat_commands_work_over_http(market: Market) -> None:
    """Fails when a route of handlers/chat.py is missing or named differently."""
    talk = await meet(market)
    path = f"/api/chat/{talk.id}"
    status, message = await talk.customer.http("POST", f"{path}/messages", {"text": "By post"})
    assert (status, message["seq"]) == (200, 1)
    status, stretch = await talk.contractor.http("GET", f"{path}/messages")
    assert (status, stretch) == (200, {"items": [message], "head": 1})
    status, receipt = await talk.contractor.http("POST", f"{path}/read", {"seq": 1})
    assert (status, receipt["seq"]) == (200, 1)
    known = {"conversations": {talk.id: 0}}
    status, synced = await talk.contractor.http("POST", "/api/chat/sync", known)
    assert (status, synced["conversations"][talk.id]) == (200, stretch)
