"""The Python client's conversations: messages once and in order, changes and gaps included."""

import asyncio
from typing import Any

import pytest
from jobsphere import Client, Refusal

from tests.conftest import Server
from tests.support.one_server import one_server
from tests.support.python_clients import (
    JOB,
    WAIT_SECONDS,
    PythonClients,
    eventually,
    push_unreliably,
    session_of,
    take,
    talk_of,
)

pytestmark = one_server


async def say(client: Any, talk: Any, *texts: str) -> list[Any]:
    return [await client.chat.send(conversation_id=talk["id"], text=text) for text in texts]


def told(pushes: list[Any]) -> list[tuple[int, str]]:
    """Number and text of each message."""
    return [(push.seq, push.data["text"]) for push in pushes]


async def test_a_lost_message_comes_by_sync_before_the_next_one(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: the jump and the repetition in `Conversations.take`, and `Conversations._fill`."""
    push_unreliably(server, monkeypatch, {"Nobody hears": 0, "Bye": 2})
    carla, colin = await clients.customer(), await clients.contractor()
    messages = colin.chat.pushes("message")
    talk = await talk_of(carla, colin)
    await say(carla, talk, "Hello.", "Nobody hears this.", "Hello?")
    pushes = await take(messages, 3)
    assert told(pushes) == [(1, "Hello."), (2, "Nobody hears this."), (3, "Hello?")]
    assert [push.way for push in pushes[:2]] == ["push", "sync"]
    await say(carla, talk, "Bye.")
    assert told(await take(messages, 1)) == [(4, "Bye.")]
    await eventually(lambda: colin.counts["duplicates"] == 1)


async def test_what_was_said_and_changed_while_the_client_was_away(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Conversations.look_through`: new messages and changes of old ones are read, a new one
    comes as it is now and once, and a new conversation is found."""
    carla, colin = await clients.customer(), await clients.contractor()
    talk = await talk_of(carla, colin)
    messages = colin.chat.pushes("message")
    old, _ = await say(carla, talk, "Can you come on Monday?", "At eight.")
    await take(messages, 2)
    nothing = {'"message"': 0}
    push_unreliably(server, monkeypatch, nothing)
    ids = {"conversation_id": talk["id"]}
    await carla.chat.edit(**ids, message_id=old["id"], text="Can you come on Tuesday?")
    (new,) = await say(carla, talk, "Or at nine.")
    await carla.chat.edit(**ids, message_id=new["id"], text="Or at ten.")
    second = await talk_of(carla, colin)
    await say(carla, second, "Another job.")
    await clients.market.settled()
    nothing.clear()
    colin.cut()
    pushes = await take(messages, 3)
    assert {(push.data["conversation_id"], push.seq, push.data["text"]) for push in pushes} == {
        (talk["id"], 3, "Or at ten."),
        (talk["id"], 1, "Can you come on Tuesday?"),
        (second["id"], 1, "Another job."),
    }
    await say(carla, talk, "Bye.")
    assert told(await take(messages, 1)) == [(4, "Bye.")]


async def test_changes_are_delivered_once_and_in_order(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Known.advance`: changes by push and by sync, with one that was lost between them."""
    push_unreliably(server, monkeypatch, {"Second": 0})
    carla, colin = await clients.customer(), await clients.contractor()
    talk = await talk_of(carla, colin)
    messages = colin.chat.pushes("message")
    first, other = await say(carla, talk, "Zero", "Other")
    for text in ("First", "Second", "Third"):
        message_id = first["id"] if text != "Second" else other["id"]
        await carla.chat.edit(conversation_id=talk["id"], message_id=message_id, text=text)
    pushes = await take(messages, 5)
    assert told(pushes) == [(1, "Zero"), (2, "Other"), (1, "First"), (2, "Second"), (1, "Third")]
    assert [push.data["revision"] for push in pushes] == [0, 0, 1, 2, 3]


async def test_conversations_of_earlier_sessions_begin_where_they_are(
    clients: PythonClients,
) -> None:
    """Guard: `Conversations._listed` at the first connection: old messages are no news."""
    party = await clients.market.contractor(connect=False)
    carla, colin = await clients.customer(), await clients.of(party)
    talk = await talk_of(carla, colin)
    await say(carla, talk, "Old.")
    await clients.market.settled()
    again = clients.new()
    messages = again.chat.pushes("message")
    await again.resume(session_of(party))
    await say(carla, talk, "New.")
    assert told(await take(messages, 1)) == [(2, "New.")]


@pytest.mark.parametrize("refused", [False, True], ids=["read", "refused"])
async def test_a_message_that_comes_while_the_list_is_read(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """Guard: `Conversations._begin`: it is delivered, also if the list was read before it, or is
    refused at first."""
    party = await clients.market.contractor(connect=False)
    carla, colin = await clients.customer(), await clients.of(party)
    talk = await talk_of(carla, colin)
    (old,) = await say(carla, talk, "Old.")
    await clients.market.settled()
    read, asked = Client._read, []

    async def talk_meanwhile(self: Client, namespace: str, name: str, fields: Any) -> Any:
        answer = await read(self, namespace, name, fields)
        if name == "list" and not asked:
            asked.append(fields)
            await say(carla, talk, "New.")
            edited = {"message_id": old["id"], "text": "Edited."}
            await carla.chat.edit(conversation_id=talk["id"], **edited)
            await clients.market.settled()
            await read(self, namespace, name, fields)  # the pushes come before its answer
            if refused:
                raise Refusal("internal", "Not now.")
        return answer

    monkeypatch.setattr(Client, "_read", talk_meanwhile)
    again = clients.new()
    messages = again.chat.pushes("message")
    await again.resume(session_of(party))
    assert told(await take(messages, 2)) == [(2, "New."), (1, "Edited.")]
    await say(carla, talk, "Bye.")
    assert told(await take(messages, 1)) == [(3, "Bye.")]


async def test_what_cannot_be_read_now_is_read_later(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `CatchingUp._start_later`: nothing else asks again for the last message."""
    push_unreliably(server, monkeypatch, {"Nobody hears": 0})
    read, asked = Client._read, []

    async def refused_first(self: Client, namespace: str, name: str, fields: Any) -> Any:
        if (namespace, name) == ("/chat", "sync") and not asked:
            asked.append(fields)
            raise Refusal("internal", "Not now.")
        return await read(self, namespace, name, fields)

    monkeypatch.setattr(Client, "_read", refused_first)
    carla, colin = await clients.customer(), await clients.contractor()
    messages = colin.chat.pushes("message")
    talk = await talk_of(carla, colin)
    await say(carla, talk, "Hello.", "Nobody hears this.", "Hello?")
    pushes = await take(messages, 3)
    assert told(pushes) == [(1, "Hello."), (2, "Nobody hears this."), (3, "Hello?")]
    assert asked


async def test_a_subscription_of_a_connection_outlives_it(clients: PythonClients) -> None:
    """Guard: `Link._join_again`, and that what was left is not joined."""
    carla, colin = await clients.customer(), await clients.contractor()
    job = await carla.job.create(**JOB)
    viewers = colin.job.pushes("job.viewers")
    await colin.job.watch(job_id=job["id"])
    colin.cut()
    await eventually(lambda: colin.counts["connections"] == 2)
    await carla.job.watch(job_id=job["id"])
    async with asyncio.timeout(WAIT_SECONDS):
        async for push in viewers:
            if push.data["viewers"] == 2:
                break
    await colin.job.unwatch(job_id=job["id"])
    assert not colin._link._joined


async def test_what_was_left_without_a_connection_is_not_joined_again(
    clients: PythonClients,
) -> None:
    """Guard: `Link._join_again`, which goes through the subscriptions one by one."""
    carla, colin = await clients.customer(), await clients.contractor()
    jobs = [await carla.job.create(**JOB) for _ in range(3)]
    for job in jobs:
        await colin.job.watch(job_id=job["id"])
    colin.cut()
    await eventually(lambda: not colin.connected)
    await colin.job.unwatch(job_id=jobs[1]["id"])
    viewers = carla.job.pushes("job.viewers")
    await carla.job.watch(job_id=jobs[2]["id"])
    await viewers.first(lambda push: push["job_id"] == jobs[2]["id"] and push["viewers"] == 2)
    await carla.job.watch(job_id=jobs[1]["id"])
    found = await viewers.first(lambda push: push["job_id"] == jobs[1]["id"])
    assert found["viewers"] == 1
