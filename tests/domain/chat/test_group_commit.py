"""Group commit: waiting messages are written together, in order, without gaps, once."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.chat import group_commit
from domain.chat.conversation import Conversation, Draft, Message, Origin
from domain.chat.group_commit import LATE_WRITE_WINDOW, PendingMessage
from domain.kernel.errors import Unavailable
from domain.kernel.outbox import Delivery, OutboxRow
from domain.kernel.record import Record
from domain.kernel.store import Store, UnitOfWork, new_id
from domain.operations.idempotency import Reply
from server.adapters.system_clock import MovableClock
from server.workers.message_writer import MessageWriter
from tests.conftest import Server
from tests.domain.chat.test_conversations import Talk, listed, meet, refused, seqs
from tests.domain.kernel.test_store import Failing
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Json, Party

pytestmark = one_server

# All leases and waiting times have expired since.
LONG_AGO = LATE_WRITE_WINDOW + timedelta(seconds=30)


@pytest.fixture
def failing(market: Market) -> Any:
    failing = Failing(market.settings.mongo_url)
    yield failing
    failing.left()
    failing.client.close()


def draft(talk: Talk, party: Party, text: str) -> Draft:
    return Draft(
        conversation_id=talk.id,
        author_id=party.id,
        text=text,
        origin=Origin(party.role, "ses_1", "127.0.0.1"),
    )


async def other_process(
    server: Server, market: Market, clock: Any = None
) -> tuple[MessageWriter, Store, list[Delivery]]:
    """Another process that only writes messages: its writer, store and pushed deliveries."""
    store = Store(
        market.settings.mongo_url,
        clock or server.store.clock,
        server.store.rates,
        server.store.codec,
        new_id("other"),
    )
    pushed: list[Delivery] = []

    async def push(delivery: Delivery, at: datetime, seqs: dict[str, int]) -> None:
        pushed.append(delivery)

    return MessageWriter(store, server.ports.seal, push), store, pushed


async def stored_messages(market: Market, talk: Talk) -> list[Message]:
    """All messages in order of their numbers; asserts that these have no gaps."""
    order = (("seq", 1),)
    found = await market.store.single().all(Message, {"conversation_id": talk.id}, order)
    assert [message.seq for message in found] == list(range(1, len(found) + 1))
    return found


# -- one batch ---------------------------------------------------------------------------------


async def test_waiting_messages_are_one_insert(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Writer._take_batch` takes all waiting messages, and `group_commit._insert_numbered`
    inserts them at once."""
    first = await meet(market)
    second = await meet(market, first.customer)
    inserted: list[list[Record]] = []
    add_all = UnitOfWork.add_all

    async def record_insert(uow: UnitOfWork, records: Any) -> None:
        if records and isinstance(records[0], Message):
            inserted.append(list(records))
        await add_all(uow, records)

    monkeypatch.setattr(UnitOfWork, "add_all", record_insert)
    monkeypatch.setattr("server.workers.message_writer.WRITERS", 1)
    posted = [
        server.ports.messages.post(draft(talk, who, f"{n} {who.role}"))
        for n in range(10)
        for talk in (first, second)
        for who in (talk.customer, talk.contractor)
    ]
    answers = await asyncio.gather(*posted)
    assert [len(records) for records in inserted] == [40]
    assert inserted[0] == answers
    for talk in (first, second):
        texts = [message.text for message in await stored_messages(market, talk)]
        assert texts == [f"{n} {role}" for n in range(10) for role in ("customer", "contractor")]


async def test_pipelined_messages_are_written_in_order(market: Market) -> None:
    """Guard: `meta.committed()` after `messages.post` in `chat.messages.send`, and one queue for
    each conversation."""
    talk = await meet(market)
    sent = await asyncio.gather(*(talk.say(talk.customer, f"{n}") for n in range(40)))
    assert [message["seq"] for message in sent] == list(range(1, 41))


async def test_two_processes_in_one_conversation_leave_no_gap(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `_reread_after_conflict`, and the unique index on (conversation, seq). Both have read
    the same head before the first of them writes."""
    talk = await meet(market)
    posts, store, pushed = await other_process(server, market)
    posts.start()
    barrier, inserts = asyncio.Barrier(2), 0
    add_all = UnitOfWork.add_all

    async def insert_at_once(uow: UnitOfWork, records: Any) -> None:
        nonlocal inserts
        if records and isinstance(records[0], Message):
            inserts += 1
            if inserts <= 2:
                await barrier.wait()
        await add_all(uow, records)

    monkeypatch.setattr(UnitOfWork, "add_all", insert_at_once)
    answers = await asyncio.gather(
        *(
            where.post(draft(talk, who, f"{n}"))
            for n in range(20)
            for where, who in ((posts, talk.customer), (server.ports.messages, talk.contractor))
        )
    )
    assert inserts > 2
    assert {message.id for message in await stored_messages(market, talk)} == {
        each.id for each in answers
    }
    for who in (talk.customer, talk.contractor):
        own = [
            message.text
            for message in await stored_messages(market, talk)
            if message.author_id == who.id
        ]
        assert own == [f"{n}" for n in range(20)]
    await posts.stop()
    assert [delivery.seq for delivery in pushed] == [
        message.seq
        for message in await stored_messages(market, talk)
        if message.author_id == talk.customer.id
    ]
    store.close()


# -- a process that dies while it writes ---------------------------------------------------------


class Died(Exception):
    """Simulates the death of a process."""


async def _die(*_: Any) -> None:
    raise Died


@own_server
@pytest.mark.usefixtures("prompt_retries")
@pytest.mark.parametrize("step", ["_insert_numbered", "_update_conversations", "push", "remove"])
async def test_the_batch_of_a_dead_process_is_finished_by_another(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Guard: the intent that `group_commit.write_batch` saves before anything else, and
    `FinishMessages.run`.

    It dies before the insert, between the insert and the updates, before it pushes, or
    between the rows of the audit trail and the removal of the intent.
    """
    talk = await meet(market)
    await talk.say(talk.customer, "Before")
    await market.settled()  # else the patch below also hits the intent of this message
    clock = MovableClock()
    clock.ahead = -LONG_AGO
    _, dead, _ = await other_process(server, market, clock)
    batch = [
        PendingMessage(draft(talk, talk.customer, text), asyncio.get_running_loop().create_future())
        for text in ("One", "Two")
    ]
    with monkeypatch.context() as patch:
        if step in ("_insert_numbered", "_update_conversations"):
            patch.setattr(group_commit, step, _die)
        try:
            await group_commit.write_batch(
                dead.single(), batch, intent := group_commit.new_intent(dead.single(), 2)
            )
            if step == "remove":
                patch.setattr(UnitOfWork, step, _die)
                await group_commit.finish_intents(dead, server.ports.seal, [intent])
        except Died:
            assert step == "remove" or not any(waiting.answer.done() for waiting in batch)
    dead.close()
    await market.settled()
    texts = [message.text for message in await stored_messages(market, talk)]
    assert texts == (["Before"] if step == "_insert_numbered" else ["Before", "One", "Two"])
    assert (await talk.history(talk.contractor))["head"] == len(texts)
    (found,) = await listed(talk.contractor)
    assert (found["unread"], found["last_message"]["text"]) == (len(texts), texts[-1])
    assert (await listed(talk.customer))[0]["unread"] == 0
    assert len(await market.trail(operation="chat.send")) == len(texts)
    await talk.contractor.push("/chat", "message", lambda data: data["text"] == texts[-1])
    await talk.say(talk.contractor, "After")
    assert len(await stored_messages(market, talk)) == len(texts) + 1


@own_server
@pytest.mark.usefixtures("prompt_retries")
async def test_an_intent_is_kept_until_late_writes_have_arrived(
    market: Market, server: Server
) -> None:
    """Guard: `LATE_WRITE_WINDOW` in `FinishMessages.run`: an intent is kept while some of its
    messages are missing."""
    talk = await meet(market)
    uow = server.store.single()
    intent = uow.row(
        group_commit.FinishMessages(new_id("batch"), uow.now, (new_id(Message.PREFIX),))
    )
    await uow.add(intent)
    await uow.change(OutboxRow, intent.id, owner="", lease_until=uow.now)

    async def claimed_intent() -> OutboxRow | None:
        return await uow.find(OutboxRow, {"_id": intent.id, "lease_until": {"$gt": uow.now}})

    await until(claimed_intent, lambda row: row is not None and row.owner == "")
    assert await stored_messages(market, talk) == []


async def until(read: Callable[[], Any], fits: Callable[[Any], bool], seconds: float = 10) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while not fits(found := await read()):
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.02)
    return found


# -- failures ------------------------------------------------------------------------------------


@own_server
@pytest.mark.usefixtures("prompt_reconnects")
async def test_messages_are_refused_while_the_database_fails(
    market: Market, failing: Failing
) -> None:
    """Guard: `DatabaseError` in `Writer._write`; the next message is written
    normally."""
    talk = await meet(market)
    await market.settled()
    failing.order("insert", times=4, errorCode=91)
    fields = {"conversation_id": talk.id, "text": "Lost?", "client_id": "c-1"}
    assert await refused(talk.customer, "send", fields) == "unavailable"
    failing.left()
    assert await stored_messages(market, talk) == []
    assert await talk.say(talk.customer, "Lost?", client_id="c-1")
    assert [message.text for message in await stored_messages(market, talk)] == ["Lost?"]


async def test_a_slow_write_times_out_and_its_repeat_gets_the_stored_message(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: the timeout in `Writer._write`; a repeat is answered with the message that was
    written."""
    talk = await meet(market)
    add_all = UnitOfWork.add_all

    async def slow(uow: UnitOfWork, records: Any) -> None:
        await add_all(uow, records)
        if records and isinstance(records[0], Message):
            await asyncio.sleep(60)

    fields = {"conversation_id": talk.id, "text": "Once", "client_id": "c-1"}
    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "add_all", slow)
        patch.setattr("server.workers.message_writer.WRITE_SECONDS", 0.5)
        assert await refused(talk.customer, "send", fields) == "unavailable"
    again = await talk.say(talk.customer, "Once", client_id="c-1")
    (found,) = await stored_messages(market, talk)
    assert (found.id, found.seq) == (again["id"], 1)
    assert (await listed(talk.contractor))[0]["unread"] == 1


async def test_a_stopping_process_writes_its_waiting_messages(
    market: Market, server: Server
) -> None:
    """Guard: `MessageWriter.stop` writes the waiting messages, and `_accepting` refuses new
    ones."""
    talk = await meet(market)
    posts, store, pushed = await other_process(server, market)
    posts.start()
    answers = [posts.post(draft(talk, talk.customer, f"{n}")) for n in range(30)]
    await posts.stop()
    with pytest.raises(Unavailable):
        posts.post(draft(talk, talk.customer, "Too late"))
    sent = [await answer for answer in answers]
    assert await stored_messages(market, talk) == sent
    assert [delivery.seq for delivery in pushed] == [message.seq for message in sent]
    assert await market.rows(OutboxRow, owner=store.worker) == []
    store.close()


async def test_messages_beyond_the_queue_limit_are_refused(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `MAX_WAITING` in `Writer.add`."""
    talk = await meet(market)
    monkeypatch.setattr("server.workers.message_writer.MAX_WAITING", 3)
    taken = [server.ports.messages.post(draft(talk, talk.customer, f"{n}")) for n in range(3)]
    with pytest.raises(Unavailable):
        server.ports.messages.post(draft(talk, talk.customer, "One too many"))
    await asyncio.gather(*taken)
    assert len(await stored_messages(market, talk)) == 3


# -- idempotency and isolation -------------------------------------------------------------------


async def test_a_request_id_is_answered_with_the_first_message(market: Market) -> None:
    """Guard: `_answer_from_reply`, and within one batch `_split_repeats`; another text is
    refused."""
    talk = await meet(market)
    fields: Json = {"conversation_id": talk.id, "text": "Once"}
    call = talk.customer.call
    repeats = await asyncio.gather(
        *(call("/chat", "send", fields, request_id="r-1") for _ in range(5))
    )
    before = await market.traces()
    assert await call("/chat", "send", fields, request_id="r-1") == repeats[0]
    assert repeats == repeats[:1] * 5
    other = await talk.customer.ack("/chat", "send", {**fields, "text": "2"}, request_id="r-1")
    assert other["error"]["code"] == "request_id_reused"
    elsewhere = await talk.customer.ack(
        "/chat",
        "open",
        {
            "job_id": talk.job["id"],
            "user_id": talk.contractor.id,
        },
        request_id="r-1",
    )
    assert elsewhere["error"]["code"] == "request_id_reused"
    assert await market.traces() == before
    assert len(await stored_messages(market, talk)) == 1


async def test_a_request_id_is_unique_before_its_reply_is_stored(market: Market) -> None:
    """Guard: the unique index on (author, request id) of messages: a process may die before the
    reply to the request is written."""
    talk = await meet(market)
    fields: Json = {"conversation_id": talk.id, "text": "Once"}
    first = await talk.customer.call("/chat", "send", fields, request_id="r-1")
    await market.settled()
    await market.store.single().remove(Reply, {})
    assert await talk.customer.call("/chat", "send", fields, request_id="r-1") == first
    await market.store.single().remove(Reply, {})
    other = await talk.customer.ack("/chat", "send", {**fields, "text": "2"}, request_id="r-1")
    assert other["error"]["code"] == "request_id_reused"
    assert len(await stored_messages(market, talk)) == 1


async def test_old_request_ids_of_messages_are_removed(market: Market, server: Server) -> None:
    """Guard: `forget_requests`, which keeps those of the last day."""
    talk = await meet(market)
    for n in range(2):
        fields = {"conversation_id": talk.id, "text": f"{n}"}
        await talk.customer.call("/chat", "send", fields, request_id=f"r-{n}")
    old = (await stored_messages(market, talk))[0]
    uow = market.store.single()
    await uow.change(Message, old.id, created_at=uow.now - timedelta(hours=25))
    await group_commit.forget_requests(server.ports)
    kept = [
        message.request.id if message.request else None
        for message in await stored_messages(market, talk)
    ]
    assert kept == [None, "r-1"]


async def test_a_refused_message_does_not_affect_its_batch(market: Market, server: Server) -> None:
    """Guard: `pending.refuse` in `_build_messages`: one message is refused, not the batch."""
    talk, elsewhere = await meet(market), await meet(market)
    good = [draft(talk, talk.customer, f"{n}") for n in range(2)]
    foreign = draft(elsewhere, talk.customer, "Let me in")
    answers = await asyncio.gather(
        *(server.ports.messages.post(each) for each in (good[0], foreign, good[1])),
        return_exceptions=True,
    )
    assert [getattr(answer, "seq", None) for answer in answers] == [1, None, 2]
    assert await stored_messages(market, elsewhere) == []
    found = await market.store.single().get(Conversation, elsewhere.id)
    assert (found.head, found.version) == (0, 1)
    assert seqs(await talk.history(talk.customer)) == [1, 2]


async def test_rows_of_earlier_versions_are_read(market: Market) -> None:
    """Guard: the defaults of the fields that later versions added to conversations and messages."""
    talk = await meet(market)
    await talk.say(talk.customer, "Long ago")
    database = market.store.database
    added = ("revision", "blocked_by", "last_message.revision")
    await database.conversations.update_one({}, {"$unset": dict.fromkeys(added, "")})
    added = (
        "kind",
        "by",
        "reply_to",
        "reactions",
        "revision",
        "history",
        "terms",
        "request",
        "origin",
    )
    await database.messages.update_one({}, {"$unset": dict.fromkeys(added, "")})
    await talk.say(talk.contractor, "Now")
    assert seqs(await talk.history(talk.customer)) == [1, 2]
    assert (await listed(talk.customer))[0]["last_message"]["text"] == "Now"
