"""Presence: who is there, who types, and when somebody was last seen."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from domain.accounts import User
from domain.chat import Conversation
from domain.presence import LastSeen
from server.presence import ALIVE_SECONDS, BEAT_SECONDS
from tests.conftest import Server
from tests.market import Market
from tests.parties import Json, Party, Refused
from tests.processes import Processes


async def talk(market: Market, customer: Party, contractor: Party) -> str:
    """A conversation of both; its id."""
    job = await market.job(customer)
    await market.application(contractor, job)
    fields = {"job_id": job["id"], "user_id": contractor.id}
    return str((await customer.call("/chat", "open", fields))["id"])


async def look(party: Party, *conversations: str) -> list[Json]:
    fields = {"conversation_ids": conversations}
    found: list[Json] = (await party.call("/chat", "presence", fields))["items"]
    return found


async def told(party: Party, fits: Callable[[Any], Any], seconds: float = 5) -> Json:
    return await party.push("/chat", "presence", fits, seconds)


async def until(reached: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_who_comes_and_goes_is_told_to_whoever_looks(market: Market) -> None:
    """Guard: `joins` of `chat.presence`, `_note` and `_tell` in `presence.moved`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    before = (await market.rows(User, _id=contractor.id))[0]
    seen = {"user_id": contractor.id, "online": True, "last_seen_at": None}
    assert await look(customer, id) == [seen]
    await contractor.disconnect()
    gone = await told(customer, lambda pushed: not pushed["online"])
    assert gone["user_id"] == contractor.id
    assert customer.received("/chat", "presence")[-1].seq is None
    assert await look(customer, id) == [gone]
    customer.forget()
    await contractor.connect()
    assert await told(customer, lambda pushed: True) == seen
    assert (await market.rows(User, _id=contractor.id)) == [before]
    assert len(await market.rows(LastSeen, _id=contractor.id)) == 1
    await contractor.disconnect()
    again = await told(customer, lambda pushed: not pushed["online"])
    assert again["last_seen_at"] > gone["last_seen_at"]


async def test_nobody_goes_as_long_as_a_device_stays(market: Market) -> None:
    """Guard: `users[user_id] -= 1` in `Presence.left`."""
    customer, contractor = await market.customer(), await market.contractor()
    phone = await market.sign_in(contractor.user)
    id = await talk(market, customer, contractor)
    await look(customer, id)
    await contractor.disconnect()
    await market.settled()
    assert (await look(customer, id))[0]["online"]
    await phone.disconnect()
    await told(customer, lambda pushed: not pushed["online"])
    states = [push.data["online"] for push in customer.received("/chat", "presence")]
    assert states.count(False) == 1


async def test_who_hides_sees_nobody(market: Market) -> None:
    """Guard: `_hidden` in `presence`, `_seen` and `moved`, and `ShowPresence` of `update`."""
    customer, contractor = await market.customer(), await market.contractor()
    id = await talk(market, customer, contractor)
    assert (await look(customer, id))[0]["online"]
    await contractor.call("/account", "update", {"show_presence": False})
    hidden = {"user_id": contractor.id, "online": None, "last_seen_at": None}
    assert await told(customer, lambda pushed: True) == hidden
    assert await look(customer, id) == [hidden]
    assert await look(contractor, id) == []
    customer.forget()
    await contractor.disconnect()
    await until(lambda: market.rows(LastSeen, _id=contractor.id))
    await contractor.connect()
    await contractor.call("/account", "update", {"show_presence": True})
    assert (await told(customer, lambda pushed: True))["online"]
    assert len(customer.received("/chat", "presence")) == 1
    assert (await look(contractor, id))[0]["online"]


async def test_typing_reaches_the_other_and_asks_the_database_once(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Memberships._members`, and the room of the other alone in `typing`."""
    customer, contractor = await market.customer(), await market.contractor()
    stranger = await market.contractor("Otto")
    id = await talk(market, customer, contractor)
    types = {"conversation_id": id, "typing": True}
    assert await customer.call("/chat", "typing", types) is None
    push = await contractor.pushed("/chat", "typing")
    assert (push.seq, push.data) == (None, {**types, "user_id": customer.id})
    for _ in range(2):  # known by now or not
        with pytest.raises(Refused, match="not_found"):
            await stranger.call("/chat", "typing", types)
    asked: list[list[str]] = []
    monkeypatch.setattr(server.ports.members, "_read", asked.append)
    await contractor.call("/chat", "typing", {**types, "typing": False})
    assert asked == []
    await customer.push("/chat", "typing", lambda pushed: not pushed["typing"])
    assert customer.received("/chat", "typing")[0].data["user_id"] == contractor.id
    assert len(contractor.received("/chat", "typing")) == 1


async def test_what_is_remembered_of_conversations_is_bounded(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `while ... > REMEMBERED` in `Memberships._read`."""
    monkeypatch.setattr("domain.people.REMEMBERED", 2)
    customer = await market.customer()
    ids = [await talk(market, customer, await market.contractor()) for _ in range(3)]
    for id in ids:
        await customer.call("/chat", "typing", {"conversation_id": id, "typing": True})
    assert list(server.ports.members._members) == ids[1:]
    assert len(await look(customer, *ids)) == 3
    assert await market.store.single().count(Conversation, {"members": customer.id}) == 3


# -- several processes -----------------------------------------------------------------------


async def test_a_killed_process_leaves_no_ghosts(processes: Processes) -> None:
    """Guard: `_bury` and the names of the living in the script that counts."""
    first, second = await processes.web(), await processes.web()
    market = processes.market
    customer = await market.customer(url=first.url)
    contractor = await market.contractor(url=second.url)
    id = await talk(market, customer, contractor)
    job = await market.job(customer)
    async with asyncio.timeout(10):
        while not (await look(customer, id))[0]["online"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for party, number in ((customer, 1), (contractor, 2)):
        found = await party.call("/job", "watch", {"job_id": job["id"]})
        assert found["viewers"] == number
        await customer.push("/job", "job.viewers", lambda p, n=number: p["viewers"] == n)
    customer.forget()
    await second.kill()
    within = ALIVE_SECONDS + 2 * BEAT_SECONDS + 5
    await told(customer, lambda pushed: pushed["online"] is False, within)
    await customer.push("/job", "job.viewers", lambda pushed: pushed["viewers"] == 1)
    assert (await look(customer, id))[0]["last_seen_at"]
    again = await contractor.connect(url=first.url)
    assert (await again.call("/job", "watch", {"job_id": job["id"]}))["viewers"] == 2


async def test_a_process_that_stops_says_goodbye(processes: Processes) -> None:
    """Guard: `Presence.stop`; without it the others wait until its time is over."""
    first, second = await processes.web(), await processes.web()
    customer = await processes.market.customer(url=first.url)
    contractor = await processes.market.contractor(url=second.url)
    id = await talk(processes.market, customer, contractor)
    await look(customer, id)
    await second.stop()
    await told(customer, lambda pushed: pushed["online"] is False, ALIVE_SECONDS / 2)
