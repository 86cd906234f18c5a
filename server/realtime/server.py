"""The Socket.IO server: authenticated sockets, a closed command table, an ack for everything.

python-socketio hands a client's own `connect` or `disconnect` events to the very handlers of the
real ones, sends no ack when a handler fails or a packet cannot be read, collects attachments
without limit, and acks unknown events like successes. So packets never reach its dispatcher here:
`message` reads them, and `_command` is the one door, which knows only our commands.

Commands of one connection run in the order they were sent. Its reading stops while too many wait
for their turn, or are committed and wait for the rest of their answers.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import socketio
import structlog

from domain.kernel.actor import Actor, Role
from domain.kernel.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InternalError,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
)
from domain.kernel.rooms import is_counted, role_room, user_room
from domain.operations.command import Meta
from domain.operations.operation import Operation
from server.adapters.redis_presence import Presence
from server.authentication import Gatekeeper
from server.operation_calls import Answering
from server.pubsub.fanout import Fanout
from server.pubsub.session_events import Notice
from server.rate_limits import Limits, rounded
from server.realtime import packets
from server.realtime.command_table import Commands, understood
from server.realtime.connection import Client, Line
from server.realtime.eager import begun
from server.realtime.engine import Engine
from server.realtime.fast_transport import usable
from server.realtime.packets import CONNECT, DISCONNECT, EVENT, HEADER, envelope
from server.realtime.rooms import Rooms
from server.realtime.session_registry import SignedIn

log = structlog.get_logger()

MAX_COMMAND = 64 * 1024  # characters that a command may have, with its header
MOST_WAITING = 32  # packets of one connection, until its reading stops
AT_ONCE = 8  # its commands that are committed and wait for Stripe's part of the answer
PIPELINED = 64  # its commands whose place is fixed and whose commit is under way
ABUSES = 200  # refusals of a connection for its speed, until it is closed
GATHER_SECONDS = 0.5  # in which other processes may tell, too, that something was missed
ADMIN = "/admin"


class Refused(Protocol):
    def __call__(self, refused: DomainError) -> Any: ...


class Realtime(socketio.AsyncServer):  # type: ignore[misc]
    """`commands` maps (namespace, event) to the operation; nothing else can be called."""

    def __init__(
        self,
        *,
        commands: Commands,
        answer: Answering,
        refuse: Refused,
        gatekeeper: Gatekeeper,
        address: Callable[[Any], str],
        origins: list[str],
        limits: Limits,
        fanout: Fanout,
        presence: Presence,
        fast: bool,
    ) -> None:
        self.names = {namespace for namespace, _ in commands}
        self.rooms = Rooms()
        self._engine: dict[str, Any] = {"fast": fast and usable(), "address": address}
        super().__init__(
            client_manager=self.rooms,
            async_mode="aiohttp",
            async_handlers=False,
            namespaces=sorted(self.names),
            cors_allowed_origins=origins,
        )
        self.eio.message = self.message
        self.eio.gone = self._gone
        self._commands = commands
        self._answer = answer
        self._refuse = refuse
        self._gatekeeper = gatekeeper
        self._limits = limits
        self._fanout = fanout
        self._presence = presence
        self._resyncing = False
        self._signed_in = SignedIn(gatekeeper, self._end, self.eio.later)
        self.rooms.on_first, self.rooms.on_last = fanout.enter, fanout.leave
        fanout.deliver = self.rooms.deliver
        fanout.missed = self._missed

    def _engineio_server_class(self) -> Callable[..., Engine]:
        def engine(**options: Any) -> Engine:
            return Engine(**self._engine, **options)

        return engine

    def start(self) -> None:
        self.eio.start()

    async def stop(self) -> None:
        await self.eio.stop()

    # -- packets -----------------------------------------------------------------------------

    def message(self, line: Line, text: str, start: int = 0) -> None:
        """A packet, which begins at `start`. Attachments and acks are passed over."""
        wait = self._limits.packet(line)
        if wait or len(text) - start > MAX_COMMAND:
            large = TooLarge(limit_bytes=MAX_COMMAND)
            refused = RateLimited(retry_after=rounded(wait)) if wait else large
            self._turn_away(line, text, start, refused)
        elif line.working:
            line.inbox.append(text[start:])
            if len(line.inbox) >= MOST_WAITING:
                line.pause()
        elif rest := self._begin(line, text, start):
            line.working = True
            self.eio.later(self._work(line, rest))

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """The same for connections that are not on a lane."""
        line = self.eio.sockets.get(eio_sid)
        if line and isinstance(data, str):
            self.message(line, data)
            while line.paused and not line.closed:
                await line.freed.wait()

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        line = self.eio.sockets.get(eio_sid)
        if line:
            self.eio.forget(line)

    async def _work(self, line: Line, rest: Awaitable[None] | None) -> None:
        """The rest of one packet, and then those that wait, one after the other."""
        while True:
            if rest:
                try:
                    await rest
                except Exception:
                    log.exception("packet not handled")
            if not line.inbox:
                break
            rest = self._begin(line, line.inbox.popleft(), 0)
            if line.paused and len(line.inbox) < MOST_WAITING // 2:
                line.resume()
        line.working = False
        if line.paused:
            line.resume()

    def _begin(self, line: Line, text: str, start: int) -> Awaitable[None] | None:
        """What is left to wait for, until the next packet has its turn."""
        try:
            return self._packet(line, text, start)
        except Exception:
            log.exception("packet not handled")
            return None

    def _packet(self, line: Line, text: str, start: int) -> Awaitable[None] | None:
        header = HEADER.match(text, start)
        if header is None:
            return None
        kind, namespace, id = header.groups()
        namespace = namespace.partition("?")[0] if namespace else "/"
        readable = kind in (EVENT, CONNECT)
        content = packets.decode(text[header.end() :]) if readable else None
        if kind == CONNECT:
            return self._connect(line, namespace, content)
        if kind == DISCONNECT:
            self._leave(line, namespace)
        elif kind in packets.EVENTS and (client := line.clients.get(namespace)):
            return self._command(client, int(id) if id else None, content)
        return None

    def _turn_away(self, line: Line, text: str, start: int, refused: DomainError) -> None:
        """Refuse what has not been read, beyond its header; who goes on so is cut off."""
        header = HEADER.match(text, start)
        if header and header[1] in packets.EVENTS and header[2] in line.clients:
            self._ack(line, header[2], int(header[3]) if header[3] else None, self._refuse(refused))
        if refused.code == RateLimited.code:
            self._abused(line)

    def _abused(self, line: Line) -> None:
        line.abuses += 1
        if line.abuses > ABUSES:
            line.cut()

    # -- connecting --------------------------------------------------------------------------

    async def _connect(self, line: Line, namespace: str, auth: Any) -> None:
        try:
            actor, until = await self._admit(line, namespace, auth)
        except DomainError as refused:
            problem = self._refuse(refused).ack()["error"]
            return line.post(packets.refused(namespace, problem))
        client = Client(secrets.token_urlsafe(12), namespace, actor, line)
        rooms = [user_room(actor.id), role_room(actor.role)]
        await self._fanout_joined(rooms)
        if line.sid not in self.eio.sockets:  # it went away meanwhile
            return self._fanout_left(rooms)
        if not line.clients:
            line.actor = actor
            for room in rooms:
                self.enter(line, room)
        line.clients[namespace] = client
        self.rooms.changed(line)
        known = actor.session_id in self._signed_in
        self._signed_in.add(client, until)
        line.post(packets.connected(namespace, client.sid))
        if not known:  # its end may have been told before anybody here listened to that
            await self._signed_in.check([actor.session_id])

    async def _admit(self, line: Line, namespace: str, auth: Any) -> tuple[Actor, datetime]:
        """Raises DomainError."""
        if namespace not in self.names:
            raise NotFound("There is no such namespace.")
        if namespace in line.clients:
            raise Conflict("This namespace is connected already.")
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            actor, until = await self._gatekeeper.identify(token, known=self._signed_in)
        except DomainError:
            raise
        except Exception as failed:
            log.exception("connection failed", namespace=namespace)
            raise InternalError from failed
        if namespace == ADMIN and actor.role is not Role.ADMIN:
            raise Forbidden
        if line.clients and line.actor and line.actor.id != actor.id:
            raise Conflict("This connection is another user's: open one for each user.")
        return actor, until

    async def _fanout_joined(self, rooms: Iterable[str]) -> None:
        """What other processes say there is heard from now on."""
        new = (self._fanout.join(room) for room in rooms if not self.rooms.members(room))
        await asyncio.gather(*new)

    def _fanout_left(self, rooms: Iterable[str]) -> None:
        """Nobody has entered, after all."""
        for room in rooms:
            if not self.rooms.members(room):
                self._fanout.leave(room)

    def enter(self, line: Line, room: str) -> None:
        if room not in line.rooms and line.actor:
            self.rooms.enter(line, room)
            if is_counted(room):
                self._presence.entered(room, line.actor.id)

    def leave(self, line: Line, room: str) -> None:
        if room in line.rooms and line.actor:
            self.rooms.leave(line, room)
            if is_counted(room):
                self._presence.left(room, line.actor.id)

    def _leave(self, line: Line, namespace: str) -> None:
        """The end of one namespace of a connection."""
        client = line.clients.pop(namespace, None)
        self.rooms.changed(line)
        if client is None:
            return
        client.ending = True
        for room in client.rooms or ():
            self.leave(line, room)
        if not line.clients:
            for room in list(line.rooms):
                self.leave(line, room)
        self._signed_in.remove(client)

    def _gone(self, line: Line) -> None:
        line.inbox.clear()
        line.freed.set()
        for namespace in list(line.clients):
            self._leave(line, namespace)

    # -- commands ----------------------------------------------------------------------------

    def _command(self, client: Client, id: int | None, content: Any) -> Awaitable[None] | None:
        """What is left to wait for, until it is answered or its place is fixed."""
        try:
            if client.ending:
                raise Unauthenticated
            op, fields, request_id = understood(self._commands, client.namespace, content)
        except DomainError as refused:
            self._ack(client.line, client.namespace, id, self._refuse(refused))
            return None
        if op.reply or op.pipelined:
            return self._run_on(client, op, fields, request_id, id)
        meta = Meta(request_id, client.line.address)
        running = self._run(client, op, fields, meta, id)
        return begun(running) if op.instant else running

    async def _run_on(
        self, client: Client, op: Operation, fields: Any, request_id: str | None, id: int | None
    ) -> None:
        """Return when the command is committed; the answer, which takes longer, comes by itself."""
        line, most = client.line, AT_ONCE if op.reply else PIPELINED
        while line.open >= most and not line.closed:
            line.freed.clear()
            await line.freed.wait()
        committed = asyncio.Event()
        meta = Meta(request_id, line.address, committed=committed.set)
        line.open += 1
        running = self.eio.later(self._run(client, op, fields, meta, id))
        running.add_done_callback(lambda _: self._answered(line, committed))
        await committed.wait()

    def _answered(self, line: Line, committed: asyncio.Event) -> None:
        line.open -= 1
        committed.set()
        line.freed.set()

    async def _run(
        self, client: Client, op: Operation, fields: Any, meta: Meta, id: int | None
    ) -> None:
        client.busy += 1
        try:
            answer = await self._answer(op, fields, client.actor, meta)
            if answer.ok and (op.joins or op.leaves):
                await self._move(client, op, answer.data)
            self._ack(client.line, client.namespace, id, answer)
        finally:
            client.busy -= 1
        if answer.error and answer.error.code == RateLimited.code:
            self._abused(client.line)
        if client.ending and not client.busy:
            self._end(client, None)

    async def _move(self, client: Client, op: Operation, data: Any) -> None:
        """Into the rooms that the answer lets it listen to, or out of them."""
        joins = list(op.joins(data)) if op.joins else []
        await self._fanout_joined(joins)
        if client.line.clients.get(client.namespace) is not client:
            return self._fanout_left(joins)
        mine = client.rooms = client.rooms or set()
        for room in joins:
            mine.add(room)
            self.enter(client.line, room)
        for room in op.leaves(data) if op.leaves else ():
            mine.discard(room)
            self.leave(client.line, room)

    def _ack(self, line: Line, namespace: str, id: int | None, answer: Any) -> None:
        if id is not None:
            line.post(packets.ack(namespace, id, answer.ack()))

    # -- pushing -----------------------------------------------------------------------------

    def push(self, room: str, namespace: str, name: str, data: Any) -> None:
        """Something ephemeral, to who is in `room` on this process."""
        message = envelope(None, datetime.now(UTC), data)
        self.rooms.deliver(room, packets.event(namespace, name, message))

    def _missed(self, room: str | None) -> None:
        """Other processes may have said something, to one room or to any, that did not get here."""
        if room:
            return self.push(room, "/account", "resync", {})
        if not self._resyncing:
            self._resyncing = True
            self.eio.later(self._resync())

    async def _resync(self) -> None:
        """Tell all clients to ask, some at a time; once for processes that come back together."""
        await asyncio.sleep(GATHER_SECONDS)
        self._resyncing = False
        await self._signed_in.check()
        packet = packets.event("/account", "resync", envelope(None, datetime.now(UTC), {}))
        for number, line in enumerate(self.eio.lines, 1):
            if "/account" in line.clients:
                line.post(packet)
            if number % 100 == 0:
                await asyncio.sleep(0.1)

    def follow(self, notice: Notice) -> None:
        """A session was extended or revoked, here or on another process."""
        self._signed_in.follow(notice)

    def _end(self, client: Client, reason: str | None) -> None:
        """Disconnect it for good; one that waits for an answer gets it first."""
        if reason and client.namespace == "/account":
            message = envelope(None, datetime.now(UTC), {"reason": reason})
            client.line.post(packets.event("/account", "session.revoked", message))
        client.ending = True
        if not client.busy and client.line.clients.get(client.namespace) is client:
            client.line.post(packets.disconnected(client.namespace))
            self._leave(client.line, client.namespace)

    # -- figures -----------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """Engine.IO connections of this process; one client uses one for all namespaces."""
        return len(self.eio.sockets)

    def users(self) -> set[str]:
        return {line.actor.id for line in self.eio.lines if line.clients and line.actor}
