"""MongoDB is suspended: every command is answered in its time, and what it did is found again."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo import monitoring

from domain.chat.conversation import Message
from domain.jobs.job import Job
from domain.kernel import mongo_client
from domain.operations import idempotency
from domain.operations.idempotency import Reply
from server.dev.stores import Addresses
from server.workers import outbox_relay
from tests.domain.chat.test_conversations import meet
from tests.faults.outcome import until
from tests.support.market import Market
from tests.support.parties import Json, Party
from tests.support.processes import suspend
from tests.support.steady_load import JOB

# Without the limit the driver's own limits add up to more: 3 s until it notices, then 5 s.
SECONDS = 0.5
MOST_SECONDS = 7.0


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo_client, "COMMAND_SECONDS", SECONDS)
    monkeypatch.setattr(mongo_client, "PROBE_SECONDS", SECONDS)
    monkeypatch.setattr(outbox_relay, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(idempotency, "DROP_SECONDS", SECONDS)
    monkeypatch.setattr(idempotency, "CLAIM_HELD", timedelta(seconds=1))


@contextmanager
def suspended(stores: Addresses) -> Iterator[None]:
    suspend(stores.pids["mongo"])
    try:
        yield
    finally:
        os.kill(stores.pids["mongo"], signal.SIGCONT)


async def test_commands_on_both_wires_while_the_database_hangs(
    market: Market, stores: Addresses
) -> None:
    """Guard: `command_limit` in `Web._limited` and `ConversationMembers._read`, and
    `Writer._refuse_late`: without one of them its command is answered when the driver gives up.
    Guard: `CallThreads._refuse`: nor does a command wait when background work has all threads."""
    talk = await meet(market)
    customer = talk.customer
    others = [await market.sign_in(customer.user) for _ in range(3)]
    message = {"conversation_id": talk.id, "text": "Once", "client_id": "c-1"}
    with suspended(stores):
        background = [asyncio.create_task(market.store.ping()) for _ in range(50)]
        await asyncio.sleep(0)
        async with asyncio.timeout(MOST_SECONDS):
            asked = await asyncio.gather(
                *(customer.http("POST", "/api/job", JOB, request_id=f"h-{n}") for n in range(20)),
                *(customer.http("GET", "/api/job/mine") for _ in range(20)),
            )
            acks = await asyncio.gather(
                others[0].ack("/job", "create", JOB, request_id="s-1"),
                others[1].ack("/chat", "send", message),
                others[2].ack("/chat", "typing", {"conversation_id": talk.id, "typing": True}),
            )
    await asyncio.gather(*background, return_exceptions=True)
    assert {(status, body["code"]) for status, body in asked} == {(503, "unavailable")}
    assert {ack["error"]["code"] for ack in acks} == {"unavailable"}

    await until_done(others[0], "s-1")
    sent = await until_sent(talk.customer, message)
    (found,) = await market.rows(Message, conversation_id=talk.id)
    assert (found.id, found.text) == (sent["id"], "Once")


async def until_sent(party: Party, fields: Json) -> Json:
    """The message, once the database answers again."""
    sent: list[Json] = []

    async def send() -> bool:
        answer = await party.ack("/chat", "send", fields)
        sent.extend([answer["data"]] if answer["ok"] else [])
        return bool(sent)

    await until(send)
    return sent[0]


class SuspendedInTransaction(monitoring.CommandListener):
    """Suspends the database once, before a statement of a transaction that has written a job."""

    def __init__(self) -> None:
        self.before = ""
        self.pid = 0
        self.sessions: set[bytes] = set()

    def order(self, stores: Addresses, before: str) -> None:
        self.pid, self.before = stores.pids["mongo"], before

    def started(self, event: Any) -> None:
        if not self.before or event.command.get("autocommit") is not False:
            return
        session = bytes(event.command["lsid"]["id"])
        if event.command_name == self.before and session in self.sessions:
            self.before = ""
            suspend(self.pid)
        elif event.command.get(event.command_name) == Job.COLLECTION:
            self.sessions.add(session)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


IN_TRANSACTION = SuspendedInTransaction()
monitoring.register(IN_TRANSACTION)  # for all MongoDB clients that are created from now on


async def test_a_commit_without_an_answer(market: Market, stores: Addresses) -> None:
    """Guard: `mongo_client.commit`: the outcome is unknown, so the body does not run again, and a
    repeated request finds what took effect."""
    customer = await market.customer()
    IN_TRANSACTION.order(stores, "commitTransaction")
    answer = await _unanswered(customer, stores, "create", JOB, "s-1")
    assert answer["error"]["code"] == "unavailable"
    done = await until_done(customer, "s-1")
    assert [job.id for job in await market.rows(Job)] == [done["id"]]
    assert len(await market.trail(operation="job.create")) == 1
    (reply,) = await market.rows(Reply)
    assert reply.answer["id"] == done["id"]


async def _unanswered(
    party: Party, stores: Addresses, event: str, fields: Json, request_id: str
) -> Json:
    """The answer to a command that suspends the database."""
    try:
        async with asyncio.timeout(MOST_SECONDS):
            answer: Json = await party.ack("/job", event, fields, request_id=request_id)
            return answer
    finally:
        os.kill(stores.pids["mongo"], signal.SIGCONT)


async def test_a_transaction_without_an_answer(market: Market, stores: Addresses) -> None:
    """Guard: `process_registry.end_abandoned_sessions`: the rows of the transaction are free soon,
    and not when the database gives it up, after 20 to 60 seconds."""
    customer = await market.customer()
    job = await market.job(customer)
    await market.settled()
    IN_TRANSACTION.order(stores, "insert")
    title = {"job_id": job["id"], "title": "Another title"}
    answer = await _unanswered(customer, stores, "update", title, "s-1")
    assert answer["error"]["code"] == "unavailable"

    async def updated() -> bool:
        return bool((await customer.ack("/job", "update", title))["ok"])

    await until(updated, 12)


async def until_done(party: Party, request_id: str) -> Json:
    """Repeat the request until it succeeds."""
    done: list[Json] = []

    async def repeat() -> bool:
        answer = await party.ack("/job", "create", JOB, request_id=request_id)
        done.extend([answer["data"]] if answer["ok"] else [])
        return bool(done)

    await until(repeat)
    return done[0]
