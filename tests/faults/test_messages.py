"""SIGKILL during a busy chat: acknowledged messages are stored once, numbered without gaps."""

import asyncio
import contextlib

from domain.chat.conversation import Message
from domain.chat.group_commit import NOT_ALL_WRITTEN
from domain.chat.unread import MOST_COUNTED
from domain.kernel.outbox import OutboxRow
from tests.domain.chat.test_conversations import Talk, listed, meet
from tests.faults.outcome import expire_leases, until
from tests.support.market import Market
from tests.support.parties import ConnectionLost, Json, Party

TALKERS = 6  # messages that each side has under way


async def test_killed_during_a_chat_no_acknowledged_message_is_lost(processes) -> None:
    """Guard: messages are acknowledged after their insert, and `FinishMessages.run` completes those
    of a dead process."""
    first, second = await processes.web(), await processes.web()
    market = processes.market
    talk = await meet(market)
    await talk.contractor.connect(url=second.url)
    acked: list[Json] = []

    async def chatter(party: Party, number: int) -> None:
        with contextlib.suppress(ConnectionLost):
            for n in range(1000):
                fields = {"text": f"{number} {n}", "client_id": f"{number}:{n}"}
                acked.append(await talk.say(party, fields["text"], client_id=fields["client_id"]))

    tasks = [
        asyncio.create_task(chatter(party, number))
        for party in (talk.customer, talk.contractor)
        for number in range(TALKERS)
    ]
    await until(lambda: _count(acked, 60))
    await first.kill()
    before = len(acked)
    await until(lambda: _count(acked, before + 20))  # the other process goes on
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    await talk.customer.connect(url=second.url)
    await until(lambda: _followed_up(market))
    found = await market.store.single().all(
        Message, {"conversation_id": talk.id}, (("seq", 1),), 10_000
    )
    assert [message.seq for message in found] == list(range(1, len(found) + 1))
    stored = {(message.id, message.seq, message.text) for message in found}
    assert {(each["id"], each["seq"], each["text"]) for each in acked} <= stored
    for party in (talk.customer, talk.contractor):
        for number in range(TALKERS):
            own = [m.client_id for m in found if m.author_id == party.id]
            own = [id for id in own if id and id.startswith(f"{number}:")]
            assert own == [f"{number}:{n}" for n in range(len(own))]
    await _assert_both_received(talk, found)
    assert len(await market.trail(operation="chat.send")) == len(found)


async def _followed_up(market: Market) -> bool:
    """Only the tasks are left that look for late messages for one minute."""
    rows = await market.rows(OutboxRow, dead=False)
    await expire_leases(market, last_error=None)
    return all(row.last_error == NOT_ALL_WRITTEN for row in rows)


async def _count(acked: list[Json], enough: int) -> bool:
    return len(acked) >= enough


async def _assert_both_received(talk: Talk, found: list[Message]) -> None:
    """Both parties read the same history, and a client that stayed connected got every push."""
    for party in (talk.customer, talk.contractor):
        (seen,) = await listed(party)
        assert (seen["head"], seen["last_message"]["seq"]) == (len(found), len(found))
        others = [message for message in found[-MOST_COUNTED:] if message.author_id != party.id]
        assert seen["unread"] == len(others)
    await talk.contractor.push("/chat", "message", lambda data: data["seq"] == len(found))
    pushed = {push.seq for push in talk.contractor.received("/chat", "message")}
    assert pushed == set(range(1, len(found) + 1))
