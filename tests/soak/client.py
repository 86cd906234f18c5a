"""A client that implements the resync rules of the wire contract over many connections.

It resends unacknowledged commands, applies its feed and conversations in order of their numbers,
drops duplicates, and fills gaps with `sync`.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
from aiohttp import ClientSession, ClientWSTimeout

from domain.kernel.actor import Role

Json = dict[str, Any]
PATH = "/socket.io/?EIO=4&transport=websocket"
NAMESPACES = ("/account", "/chat", "/job", "/job-request")
RETRYABLE = {"unavailable", "conflict", "request_in_progress", "rate_limited", "internal"}
RECEIVE_TIMEOUT = 60.0  # seconds; the server pings more often
PAGE = 100
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
    options: Json


Answered = Callable[[Json], None]


def known_message(message: Json) -> KnownMessage:
    return KnownMessage(*(message[name] for name in ("seq", "author_id", "client_id", "text")))


def feed_event(namespace: str, name: str, data: Any) -> FeedEvent:
    return FeedEvent(namespace, name, tuple(data.get(field) for field in KEY_FIELDS))


class Client:
    """`counts` is shared by all clients; `on_event` is called for each new event."""

    def __init__(self, web: ClientSession, url: str, person: Any, counts: Counter[str]) -> None:
        self.id, self.role, self.token = person.id, Role(person.role), person.token
        self.feed: list[FeedEvent] = []
        self.talks: dict[str, list[KnownMessage]] = {}
        self.pending: dict[str, Command] = {}  # unacknowledged commands in order
        self.acked: list[tuple[Command, Any]] = []
        self.cuts = 0
        self.problems: list[str] = []
        self.idle = asyncio.Event()
        self.running: asyncio.Task[None] | None = None
        self.on_event: Callable[[FeedEvent, Json], None] = lambda event, data: None
        self._web, self._url, self._counts = web, url, counts
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._asked: dict[int, Answered] = {}
        self._ids = 0
        self._waiting: set[str] = set(NAMESPACES)
        self._early: dict[int, tuple[FeedEvent, Json]] = {}
        self._syncing = False
        self._filling: dict[str, int] = {}  # conversation being synced -> seq to reach
        self._sending: set[asyncio.Future[None]] = set()

    # -- the connection ----------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return self._socket is not None and not self._waiting

    @property
    def seen(self) -> int:
        """The number of applied events and messages."""
        return len(self.feed) + sum(map(len, self.talks.values()))

    def start(self) -> None:
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._connection()
            except (aiohttp.ClientError, OSError, TimeoutError):
                self._counts["connections refused"] += 1
            self._socket = None
            await asyncio.sleep(random.uniform(0.05, 0.4))

    async def _connection(self) -> None:
        timeout = ClientWSTimeout(ws_receive=RECEIVE_TIMEOUT)
        async with self._web.ws_connect(self._url + PATH, timeout=timeout) as socket:
            self._socket, self._waiting = socket, set(NAMESPACES)
            self._asked, self._syncing, self._filling = {}, False, {}
            self._early.clear()
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._received(message.data)
        self._counts["connections ended"] += 1

    def cut(self) -> None:
        """Abort the TCP connection, as a network failure does."""
        if self._socket is not None:
            response: Any = self._socket._response
            if response.connection and response.connection.transport:
                response.connection.transport.abort()
                self._counts["sockets cut"] += 1
                self.cuts += 1

    def _send(self, text: str) -> None:
        """Send without waiting: frames are small. Lost commands are resent after a reconnect."""
        if self._socket is not None:
            sending = asyncio.ensure_future(_ignore_closed(self._socket.send_str(text)))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _ask(self, command: Command, answered: Answered) -> None:
        self._ids += 1
        self._asked[self._ids] = answered
        content = json.dumps([command.name, command.fields, command.options])
        self._send(f"42{command.namespace},{self._ids}{content}")

    def _read(self, namespace: str, name: str, fields: Json, found: Callable[[Any], None]) -> None:
        """Send a read command; repeat it 0.5 s later if it is refused."""

        def answered(answer: Json) -> None:
            if answer["ok"]:
                found(answer["data"])
            else:
                self._counts[f"reads put off: {answer['error']['code']}"] += 1
                asyncio.get_running_loop().call_later(
                    0.5, self._again, namespace, name, fields, found, self._socket
                )

        self._ask(Command(namespace, name, fields, {}), answered)

    def _again(self, *asked: Any) -> None:
        *request, socket = asked
        if socket is self._socket:
            self._read(*request)

    # -- commands ----------------------------------------------------------------------------

    def do(self, key: str, namespace: str, name: str, **fields: Any) -> None:
        """Send a command until it is acknowledged or finally refused."""
        options = {} if "client_id" in fields else {"request_id": key}
        self.pending[key] = Command(namespace, name, fields, options)
        self._counts["commands asked"] += 1
        self.idle.clear()
        if self.ready:
            self._submit(key)

    def _submit(self, key: str) -> None:
        command = self.pending.get(key)
        if command is None:
            return

        def answered(answer: Json) -> None:
            if key not in self.pending:
                return
            if answer["ok"]:
                self.acked.append((command, answer["data"]))
                self._counts["commands acknowledged"] += 1
            elif answer["error"]["code"] in RETRYABLE:
                self._counts[f"commands put off: {answer['error']['code']}"] += 1
                wait = answer["error"]["details"].get("retry_after", 0.3)
                asyncio.get_running_loop().call_later(wait, self._submit, key)
                return
            else:
                self._counts[f"commands refused: {answer['error']['code']}"] += 1
            del self.pending[key]
            if not self.pending:
                self.idle.set()

        self._ask(command, answered)

    # -- received packets ------------------------------------------------------------------------

    def _received(self, text: str) -> None:
        if text == "2":
            self._send("3")
        elif text.startswith("0"):
            for namespace in NAMESPACES:
                self._send(f"40{namespace},{json.dumps({'token': self.token})}")
        elif text.startswith("40"):
            self._waiting.discard(text[2:].partition(",")[0])
            if not self._waiting:
                self._begin()
        elif text.startswith("42"):
            namespace, _, content = text[2:].partition(",")
            name, envelope = json.loads(content)
            self._pushed(namespace, name, envelope["seq"], envelope["data"])
        elif text.startswith("43"):
            id, bracket, content = text.partition(",")[2].partition("[")
            if answered := self._asked.pop(int(id), None):
                answered(json.loads(bracket + content)[0])
        elif text.startswith(("44", "41")):
            self.problems.append(f"refused: {text[:200]}")

    def _begin(self) -> None:
        """After connecting: sync, then resend unacknowledged commands. A connection's commands run
        in order, so the sync comes first."""
        self.catch_up()
        for key in list(self.pending):
            self._counts["commands sent again"] += 1
            self._submit(key)

    def catch_up(self) -> None:
        self._sync()
        self._read("/chat", "list", {"limit": PAGE}, self._listed)

    async def ask_all(self) -> None:
        """Catch up, and wait until nothing is missing and nothing is unanswered."""
        self.catch_up()
        while self._asked or self._syncing or self._filling or not self.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _pushed(self, namespace: str, name: str, seq: int | None, data: Any) -> None:
        if name == "message":
            self._message_pushed(data)
        elif seq is not None:
            self._event_pushed(seq, feed_event(namespace, name, data), data)
        elif name == "resync":
            self._counts["resyncs"] += 1
            self.catch_up()
        elif name == "head" and data["head"] > len(self.feed):
            self._sync()
        else:
            self._counts["ephemeral pushes"] += 1

    # -- the feed ----------------------------------------------------------------------------

    def _event_pushed(self, seq: int, event: FeedEvent, data: Any) -> None:
        if seq <= len(self.feed):
            self._counts["duplicates dropped"] += 1
            if self.feed[seq - 1] != event:
                self.problems.append(f"number {seq} is {self.feed[seq - 1]} and {event}")
        elif seq == len(self.feed) + 1:
            self._apply(event, data, "push")
            if early := self._early.pop(seq + 1, None):
                self._event_pushed(seq + 1, *early)
        else:
            self._early[seq] = event, data
            self._counts["jumps in a feed"] += not self._syncing
            self._sync()

    def _apply(self, event: FeedEvent, data: Any, way: str) -> None:
        self.feed.append(event)
        self._counts[f"events by {way}"] += 1
        self.on_event(event, data)

    def _sync(self) -> None:
        if not self._syncing:
            self._syncing = True
            since = {"since": len(self.feed), "limit": PAGE}
            self._read("/account", "sync", since, self._synced)

    def _synced(self, page: Json) -> None:
        for item in page["items"]:
            if item["seq"] == len(self.feed) + 1:
                event = feed_event(item["namespace"], item["name"], item["data"])
                self._apply(event, item["data"], "sync")
            elif item["seq"] > len(self.feed):
                self.problems.append(f"sync has a gap: {item['seq']} after {len(self.feed)}")
        self._syncing = False
        self._early = {seq: e for seq, e in self._early.items() if seq > len(self.feed)}
        if early := self._early.pop(len(self.feed) + 1, None):
            self._event_pushed(len(self.feed) + 1, *early)
        if self._early or page["head"] > len(self.feed):
            self._sync()

    # -- conversations -----------------------------------------------------------------------

    def _listed(self, page: Json) -> None:
        for conversation in page["items"]:
            talk = self.talks.setdefault(conversation["id"], [])
            if conversation["head"] > len(talk):
                self._fill(conversation["id"], conversation["head"])

    def _message_pushed(self, message: Json) -> None:
        talk = self.talks.setdefault(message["conversation_id"], [])
        if message["seq"] == len(talk) + 1:
            talk.append(known_message(message))
            self._counts["messages by push"] += 1
        elif message["seq"] <= len(talk):
            self._counts["duplicates dropped"] += 1
            if talk[message["seq"] - 1] != known_message(message):
                self.problems.append(f"message {message['seq']} differs: {message}")
        else:
            self._counts["jumps in a conversation"] += message["conversation_id"] not in (
                self._filling
            )
            self._fill(message["conversation_id"], message["seq"])

    def _fill(self, id: str, reach: int) -> None:
        """Sync a conversation up to `reach`. An answer may be older than a push that came
        before."""
        if id in self._filling:
            self._filling[id] = max(self._filling[id], reach)
            return
        self._filling[id] = reach
        known = {id: len(self.talks[id])}

        def filled(answer: Json) -> None:
            stretch, talk = answer["conversations"][id], self.talks[id]
            for message in stretch["items"]:
                if message["seq"] == len(talk) + 1:
                    talk.append(known_message(message))
                    self._counts["messages by sync"] += 1
                elif message["seq"] > len(talk):
                    self.problems.append(f"sync of {id} has a gap at {message['seq']}")
            reach = max(stretch["head"], self._filling.pop(id))
            if reach > len(talk):
                self._fill(id, reach)

        self._read("/chat", "sync", {"conversations": known}, filled)


async def _ignore_closed(sending: Any) -> None:
    try:
        await sending
    except (OSError, aiohttp.ClientError):
        return  # the reading side sees the closed connection
