"""A client of the soak test: the Python package, which keeps what it gets and every answer.

The package reconnects, repeats commands under their request id, and delivers events and messages
once and in order. This client also repeats what was refused by chance, until it is answered.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jobsphere
from aiohttp import ClientSession
from jobsphere import Push, Refusal

from domain.kernel.actor import Role
from tests.support.parties import Party
from tests.support.python_clients import session_of

Json = dict[str, Any]
RETRYABLE = {"unavailable", "conflict", "request_in_progress", "rate_limited", "internal"}
PAGE = 100
QUEUE = 100_000  # pushes that wait for this process, which may be busy
KEY_FIELDS = ("id", "version", "conversation_id", "user_id", "seq")


class KnownMessage(NamedTuple):
    """A message as its readers see it."""

    seq: int
    author: str
    client_id: str
    text: str


class FeedEvent(NamedTuple):
    """An event of the feed. `key` identifies it among the events of its name."""

    namespace: str
    name: str
    key: tuple[Any, ...]


class Command(NamedTuple):
    namespace: str
    name: str
    fields: Json


def known_message(message: Json) -> KnownMessage:
    return KnownMessage(*(message[name] for name in ("seq", "author_id", "client_id", "text")))


def feed_event(namespace: str, name: str, data: Any) -> FeedEvent:
    return FeedEvent(namespace, name, tuple(data.get(field) for field in KEY_FIELDS))


class Client(jobsphere.Client):
    """`totals` is shared by all clients; `on_event` is called for each new event."""

    def __init__(self, web: ClientSession, url: str, person: Party, totals: Counter[str]) -> None:
        super().__init__(url, web=web)
        self.role = Role(person.role)
        self.feed: list[FeedEvent] = []
        self.talks: dict[str, list[KnownMessage]] = {}
        self.pending: dict[str, Command] = {}  # unanswered commands
        self.acked: list[tuple[Command, Any]] = []
        self.cuts = 0
        self.problems: list[str] = []
        self.idle = asyncio.Event()
        self.running: asyncio.Task[None] | None = None
        self.on_event: Callable[[FeedEvent, Json], None] = lambda event, data: None
        self._person = person
        self._totals = totals
        self._arriving = self.pushes(QUEUE)
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def seen(self) -> int:
        """The number of events and messages."""
        return len(self.feed) + sum(map(len, self.talks.values()))

    async def start(self) -> None:
        await self.resume(session_of(self._person), since=0)
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for push in self._arriving:
            self._received(push)

    def cut(self) -> None:
        if self.connected:
            super().cut()
            self._totals["sockets cut"] += 1
            self.cuts += 1

    # -- commands ------------------------------------------------------------------------------

    def do(self, key: str, namespace: str, name: str, **fields: Any) -> None:
        """Ask a command until it is acknowledged or finally refused."""
        self.pending[key] = Command(namespace, name, fields)
        self._totals["commands asked"] += 1
        self.idle.clear()
        self._start(self._submit(key))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _submit(self, key: str) -> None:
        command = self.pending[key]
        request_id = None if "client_id" in command.fields else key
        while True:
            try:
                data = await self.command(*command, "safe", request_id=request_id)
                self.acked.append((command, data))
                self._totals["commands acknowledged"] += 1
                break
            except Refusal as refused:
                if refused.code not in RETRYABLE:
                    self._totals[f"commands refused: {refused.code}"] += 1
                    break
                self._totals[f"commands put off: {refused.code}"] += 1
                await asyncio.sleep(refused.retry_after or 0.3)
        del self.pending[key]
        if not self.pending:
            self.idle.set()

    # -- what comes ----------------------------------------------------------------------------

    def _pushed(self, namespace: str, name: str, envelope: Any) -> None:
        """A repetition is the same as what came first."""
        seq, data = envelope["seq"], envelope["data"]
        if name == "message":
            known: Any = self.talks.get(data["conversation_id"], [])
            again: Any = known_message(data)
        else:
            known, again = self.feed, feed_event(namespace, name, data)
        if seq is not None and seq <= len(known) and known[seq - 1] != again:
            self.problems.append(f"number {seq} is {known[seq - 1]} and {again}")
        super()._pushed(namespace, name, envelope)

    def _received(self, push: Push[Any]) -> None:
        if push.name == "message":
            talk = self.talks.setdefault(push.data["conversation_id"], [])
            self._check_next(push, talk)
            talk.append(known_message(push.data))
            self._totals[f"messages by {push.way}"] += 1
        elif push.seq is not None:
            event = feed_event(push.namespace, push.name, push.data)
            self._check_next(push, self.feed)
            self.feed.append(event)
            self._totals[f"events by {push.way}"] += 1
            if push.name == "application.updated":  # an accepted one opens a conversation
                self._start(self.list_talks())
            self.on_event(event, push.data)
        else:
            self._totals["ephemeral pushes"] += 1

    def _check_next(self, push: Push[Any], known: list[Any]) -> None:
        if push.seq != len(known) + 1:
            self.problems.append(f"{push} is delivered after number {len(known)}")

    async def list_talks(self) -> None:
        """Learn of conversations without a message."""
        page = await self.chat.list(limit=PAGE)
        for conversation in page["items"]:
            self.talks.setdefault(conversation["id"], [])

    async def ask_all(self) -> None:
        """Catch up, and wait until nothing is missing."""
        await self.caught_up()
        while self._arriving.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Close, and report what the package did."""
        for task in self._asking:
            task.cancel()
        await self.close()
        self._totals.update(self.counts)
        if self.counts["not caught up: internal"]:
            self.problems.append("sync has a gap")
