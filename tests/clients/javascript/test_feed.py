"""Pushes: in order and once, also after gaps, duplicates, lost connections and lost history."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.chat.conversation import Message
from domain.kernel.rooms import user_room
from domain.notifications.feed import FeedRow
from server.realtime import packets
from server.realtime.connection import Connection
from tests.clients.javascript.node_clients import Node, NodeClient
from tests.domain.chat.test_conversations import meet
from tests.support.feed_rows import store_events
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Party

pytestmark = one_server


async def follower(node: Node, server: Server, party: Party, **options: Any) -> NodeClient:
    """A connected client that has begun its feed."""
    client = await node.client(server.url, **options)
    await client.adopt(party)
    await client.call("connect")
    await client.call("feed.catchUp")
    await client.call("conversations.catchUp")
    return client


def push(server: Server, party: Party, seq: int) -> None:
    """Push a number of the feed that `store_events` has stored."""
    content = packets.envelope(seq, datetime.now(UTC), {"description": f"pushed {seq}"})
    packet = packets.event("/job", "job.updated", content)
    server.web.realtime.rooms.deliver(user_room(party.id), packet)


def cut(server: Server) -> None:
    """End all connections as a network failure does."""
    for connection in list(server.web.realtime.eio.connections):
        connection.abort()


async def test_gaps_are_filled_and_duplicates_dropped(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `#next` in feed.js delivers the next number only, and `#fill` what lies between."""
    party = await market.customer(connect=False)
    client = await follower(node, server, party)
    await store_events(server.store, party, 9)
    for seq in (1, 1, 2, 5, 4, 5, 9, 8):
        push(server, party, seq)
    await client.until(lambda: len(client.seqs) >= 9)
    push(server, party, 9)
    push(server, party, 3)
    await client.call("account.me")  # what was pushed before has arrived
    assert client.seqs == list(range(1, 10))


async def test_what_was_missed_comes_after_a_lost_connection(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `#turned` in jobsphere.js catches up with the feed, the messages and what is watched;
    conversations that began meanwhile are read from their first message."""
    talk = await meet(market)
    client = await follower(node, server, talk.customer)
    await client.call("job.watch", {"job_id": talk.job["id"]})
    await talk.say(talk.contractor, "before")
    await client.until(lambda: client.texts == ["before"])
    head = await client.call("seq")
    cut(server)
    await talk.contractor.connect()
    for text in ("one", "two"):
        await talk.say(talk.contractor, text)
    later = await meet(market, await talk.customer.connect())
    await later.say(later.contractor, "three")
    await talk.customer.call("/job", "update", {"job_id": talk.job["id"], "title": "Paint it"})
    await client.told("live", lambda live: not live)
    await client.until(lambda: len(client.texts) >= 4)
    await client.pushed("job.viewers")
    await client.pushed("job.updated", lambda job: job["title"] == "Paint it")
    await client.call("account.me")
    assert sorted(client.texts) == ["before", "one", "three", "two"]
    assert client.texts.index("one") < client.texts.index("two")
    assert client.seqs == list(range(head + 1, head + 1 + len(client.seqs)))


@pytest.mark.parametrize("namespace", ["/account", "/chat"])
async def test_nothing_is_missed_from_the_moment_of_connecting(
    node: Node, server: Server, market: Market, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    """Guard: `begun` in jobsphere.js. The connection ends in place of the first answer, so the
    second one counts what happens after `connect`."""
    talk = await meet(market)
    send, lost = Connection.send_packet, []

    def lose_first(connection: Connection, packet: bytes) -> None:
        if packet.startswith(f"3{namespace},".encode()) and not lost:
            lost.append(packet)
            connection.abort()
        else:
            send(connection, packet)

    client = await node.client(server.url)
    await client.adopt(talk.customer)
    monkeypatch.setattr(Connection, "send_packet", lose_first)
    await client.call("connect")
    assert lost
    await talk.say(talk.contractor, "Monday?")
    await market.job(talk.customer)
    await client.until(lambda: client.texts == ["Monday?"] and client.seqs)


async def test_changed_messages_come_once(node: Node, server: Server, market: Market) -> None:
    """Guard: `#apply` in conversations.js: changes by their revision, new messages by their
    number, whether they are pushed or missed."""
    talk = await meet(market)
    sent = [await talk.say(talk.customer, text) for text in ("a", "b")]
    client = await follower(node, server, talk.contractor)

    async def edit(message: dict[str, Any], text: str) -> None:
        fields = {"conversation_id": talk.id, "message_id": message["id"], "text": text}
        await talk.customer.call("/chat", "edit", fields)

    await edit(sent[0], "a 2")
    await client.until(lambda: client.texts == ["a 2"])
    cut(server)
    await talk.customer.connect()
    await edit(sent[1], "b 2")
    new = await talk.say(talk.customer, "c")
    await edit(new, "c 2")
    await client.until(lambda: {"b 2", "c 2"} <= {*client.texts})
    await client.call("conversations.catchUp")
    later = [text for text in client.texts if text != "c"]  # which is there if it was back before
    assert later[0] == "a 2" and sorted(later[1:]) == ["b 2", "c 2"]
    assert client.texts.count("c") <= 1


async def test_a_client_goes_on_after_an_earlier_one(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `since` of feed.js is where the feed goes on, also of a client that was closed."""
    party = await market.customer(connect=False)
    await store_events(server.store, party, 250)
    client = await follower(node, server, party, since=20)
    assert client.seqs == list(range(21, 251))
    await client.call("close")
    await market.job(await party.connect())
    await client.call("connect")
    await client.until(lambda: len(client.seqs) > 230)
    assert client.seqs[230:] == list(range(251, await client.call("seq") + 1))


async def test_pushes_that_are_missing_for_good_are_told(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `tooOld` in feed.js; the feed goes on from the head that `too_old` names."""
    party = await market.customer(connect=False)
    await store_events(server.store, party, 8)
    await server.store.single().remove(FeedRow, {"user_id": party.id, "seq": {"$lt": 6}})
    client = await follower(node, server, party, since=2)
    assert await client.told("reload") == {"head": 8, "first": 6}
    await market.job(await party.connect())
    await client.until(lambda: client.seqs)
    assert client.seqs == list(range(9, 9 + len(client.seqs)))


async def test_messages_are_sent_in_order_and_once(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `#inTurn` in commands.js, and the request id that becomes the message's
    `client_id`. The connection ends twice while the messages wait."""
    talk = await meet(market)
    client = await follower(node, server, talk.customer)
    texts = [f"number {number}" for number in range(30)]
    sending = [
        client.start("chat.send", {"conversation_id": talk.id, "text": text}) for text in texts
    ]
    for place in (5, 15):
        await sending[place]
        cut(server)
    sent = [await each for each in sending]
    rows = await server.store.single().all(Message, {"conversation_id": talk.id, "kind": "text"})
    stored = sorted(rows, key=lambda row: row.seq)
    assert [row.text for row in stored] == texts
    assert [message["id"] for message in sent] == [row.id for row in stored]
    assert len({row.client_id for row in stored}) == len(texts)
