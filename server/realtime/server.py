"""The Socket.IO server: authenticated sockets, a closed command table, an ack for every command.

Decision: python-socketio passes a client's own `connect` and `disconnect` events to the handlers of
the real ones, sends no ack when a handler fails or a packet is unreadable, collects attachments
without limit, and acks unknown events like successes. So packets do not reach its dispatcher:
`receive_packet` reads them, and `_start_command` runs only commands of the table.

Commands of one connection run in the order in which they were sent. Reading from a connection stops
while too many of its packets wait, or too many of its commands are committed but not yet answered.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

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
    SecondFactorSetupRequired,
    TooLarge,
    TooMany,
    Unauthenticated,
)
from domain.kernel.rooms import is_counted, role_room, user_room
from domain.operations.command import Meta
from domain.operations.limits import ANSWER_BYTES
from domain.operations.operation import Operation
from domain.ports.sessions import SessionEvent
from server.adapters.redis_presence import Presence
from server.admission import Admission
from server.authentication import Authenticator
from server.operation_calls import ChargeAnswer, Note, Refuse, RunOperation
from server.pubsub.fanout import Fanout
from server.realtime import packets
from server.realtime.command_table import MAX_COMMAND, Commands, max_characters, parse_command
from server.realtime.connection import Client, Connection
from server.realtime.eager import start_eagerly
from server.realtime.engine import Engine
from server.realtime.fast_transport import usable
from server.realtime.frame_budget import FrameBudget
from server.realtime.packets import CONNECT, DISCONNECT, EVENT, HEADER, envelope
from server.realtime.resync import Resync
from server.realtime.rooms import Rooms
from server.realtime.session_registry import SessionRegistry
from server.token_buckets import rounded

log = structlog.get_logger()

# Limits of one connection.
MAX_WAITING_PACKETS = 32  # then reading stops
MAX_UNANSWERED = 8  # commands that are committed and wait for Stripe's part of the answer
MAX_PIPELINED = 64  # commands whose order is fixed and whose commit is under way
FRAMES_OF_CONNECT = 4  # charged for a namespace besides its own: a look-up and two subscriptions
ROOMS_PER_CONNECTION, ROOMS_PER_USER = 500, 2000  # watched jobs and people, on this process
TOO_MANY_SOCKETS = RateLimited("You have too many open connections.", retry_after=10.0)
ADMIN = "/admin"


class Realtime(socketio.AsyncServer):  # type: ignore[misc]
    """`commands` maps (namespace, event) to the operation; only these can be called."""

    def __init__(
        self,
        *,
        commands: Commands,
        run: RunOperation,
        charge_answer: ChargeAnswer,
        refuse: Refuse,
        note: Note,
        authenticator: Authenticator,
        address: Callable[[Any], str],
        origins: list[str],
        budget: FrameBudget,
        admission: Admission,
        sockets_per_user: int,
        fanout: Fanout,
        presence: Presence,
        recheck: Callable[[], Awaitable[None]],
        fast: bool,
    ) -> None:
        self.names = {namespace for namespace, _ in commands}
        self.rooms = Rooms()
        self._engine: dict[str, Any] = {
            "use_fast_transport": fast and usable(),
            "address": address,
            "budget": budget,
            "admission": admission,
        }
        super().__init__(
            client_manager=self.rooms,
            async_mode="aiohttp",
            async_handlers=False,
            namespaces=sorted(self.names),
            cors_allowed_origins=origins,
        )
        self.eio.receive_packet = self.receive_packet
        self.eio.on_closed = self._on_connection_closed
        self.eio.on_congested, self.eio.on_drained = self._on_congested, self._on_drained
        self._commands = commands
        self._run = run
        self._charge_answer = charge_answer
        self._refuse = refuse
        self._note = note
        self._authenticator = authenticator
        self._budget, self._charge = budget, budget.charge
        self._sockets_per_user = sockets_per_user
        self._fanout = fanout
        self._presence = presence
        self._sessions = SessionRegistry(authenticator, self._disconnect, self.eio.spawn)
        self.rooms.remove = self.leave
        self.rooms.on_occupied, self.rooms.on_emptied = fanout.subscribe, fanout.unsubscribe
        fanout.deliver = self.rooms.deliver
        self._resync = Resync(self.eio, self.rooms, self._sessions, recheck)
        fanout.on_missed.append(self._resync.on_missed)

    def _engineio_server_class(self) -> Callable[..., Engine]:
        def engine(**options: Any) -> Engine:
            return Engine(**self._engine, **options)

        return engine

    def attach(self, app: Any) -> None:
        """Serve the path of the protocol, also without the slash at its end, which some clients
        leave out."""
        super().attach(app)
        for method in ("GET", "POST", "OPTIONS"):
            app.router.add_route(method, "/socket.io", self.eio.handle_request)

    def start(self) -> None:
        self.eio.start()

    async def stop(self) -> None:
        await self.eio.stop()

    # -- packets -----------------------------------------------------------------------------

    def receive_packet(self, connection: Connection, text: str, start: int = 0) -> None:
        """Handle the packet that begins at `start`. Attachments and acks are ignored."""
        wait, size = self._charge(connection), len(text) - start
        if wait:
            refused: DomainError = RateLimited(retry_after=rounded(wait))
            self._refuse_unread(connection, text, start, refused)
        elif size > MAX_COMMAND and size > (most := max_characters(self._commands, text, start)):
            self._refuse_unread(connection, text, start, TooLarge(limit_bytes=most))
        elif connection.handling:
            connection.waiting_packets.append(text[start:])
            if len(connection.waiting_packets) >= MAX_WAITING_PACKETS:
                connection.pause()
        elif rest := self._start_packet(connection, text, start):
            connection.handling = True
            self.eio.spawn(self._handle_waiting(connection, rest))

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """The same for connections of the stock path."""
        connection = self.eio.sockets.get(eio_sid)
        if connection and isinstance(data, str):
            self.receive_packet(connection, data)
            while connection.paused and not connection.closed:
                connection.capacity_freed.clear()
                await connection.capacity_freed.wait()

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        connection = self.eio.sockets.get(eio_sid)
        if connection:
            self.eio.discard(connection)

    async def _handle_waiting(self, connection: Connection, rest: Awaitable[None] | None) -> None:
        """Finish one packet, then handle the waiting ones, one after the other. While the client
        receives slowly none is handled."""
        while True:
            if rest:
                try:
                    await rest
                except Exception:
                    log.exception("packet not handled")
            while connection.congested and not connection.closed:
                connection.capacity_freed.clear()
                await connection.capacity_freed.wait()
            if not connection.waiting_packets:
                break
            rest = self._start_packet(connection, connection.waiting_packets.popleft(), 0)
            if connection.paused and len(connection.waiting_packets) < MAX_WAITING_PACKETS // 2:
                connection.resume()
        connection.handling = False
        if connection.paused:
            connection.resume()

    def _start_packet(
        self, connection: Connection, text: str, start: int
    ) -> Awaitable[None] | None:
        """Returns what must be awaited before the next packet, or None."""
        try:
            header = HEADER.match(text, start)
            if header is None:
                return None
            kind, namespace, id = header.groups()
            namespace = namespace.partition("?")[0] if namespace else "/"
            content = text[header.end() :]
            if kind in packets.EVENTS:
                if client := connection.clients.get(namespace):
                    data = packets.decode(content) if kind == EVENT else None
                    return self._start_command(client, int(id) if id else None, data, len(content))
            elif kind == CONNECT:
                return self._connect(connection, namespace, packets.decode(content))
            elif kind == DISCONNECT:
                self._leave_namespace(connection, namespace)
        except Exception:
            log.exception("packet not handled")
        return None

    def _refuse_unread(
        self, connection: Connection, text: str, start: int, refused: DomainError
    ) -> None:
        """Refuse a packet of which only the header is read."""
        header = HEADER.match(text, start)
        if header and header[1] in packets.EVENTS and header[2] in connection.clients:
            self._ack(
                connection, header[2], int(header[3]) if header[3] else None, self._refuse(refused)
            )
        if refused.code == RateLimited.code:
            connection.cut_if_exhausted()

    def _on_congested(self, connection: Connection) -> None:
        self.rooms.suspend(connection)
        if not connection.handling:
            connection.handling = True
            self.eio.spawn(self._handle_waiting(connection, None))

    def _on_drained(self, connection: Connection) -> None:
        self.rooms.resume(connection)
        self._resync.on_drained(connection)

    # -- connecting --------------------------------------------------------------------------

    async def _connect(self, connection: Connection, namespace: str, auth: Any) -> None:
        try:
            if wait := connection.charge(FRAMES_OF_CONNECT):
                raise RateLimited(retry_after=rounded(wait))
            actor, until = await self._admit(connection, namespace, auth)
        except DomainError as refused:
            return self._refuse_connect(connection, namespace, refused)
        client = Client(secrets.token_urlsafe(12), namespace, actor, connection)
        rooms = [user_room(actor.id), role_room(actor.role)]
        await self._subscribe(rooms)
        if connection.sid not in self.eio.sockets:  # closed during the check
            return self._unsubscribe_empty(rooms)
        try:  # it may have ended since; from now on this process notifies the client
            self._authenticator.check(actor)
        except DomainError as refused:
            self._refuse_connect(connection, namespace, refused)
            return self._unsubscribe_empty(rooms)
        if not connection.clients:
            others = self.rooms.members(rooms[0])
            if len(others) >= self._sockets_per_user and not _end_silent(others):
                self._refuse_connect(connection, namespace, TOO_MANY_SOCKETS)
                return self._unsubscribe_empty(rooms)
            connection.actor = actor
            for room in rooms:
                self.enter(connection, room)
        connection.clients[namespace] = client
        connection.prove()
        self.rooms.invalidate(connection)
        known = actor.session_id in self._sessions
        self._sessions.add(client, until)
        connection.send_packet(packets.connected(namespace, client.sid))
        if not known:  # the session may have ended before this process listened
            await self._sessions.disconnect_ended([actor.session_id])

    def _refuse_connect(self, connection: Connection, namespace: str, refused: DomainError) -> None:
        known = namespace if namespace in self.names else ""
        self._note(refused.code, f"connect {known}".strip(), "", connection.address)
        problem = self._refuse(refused).ack()["error"]
        connection.send_packet(packets.refused(namespace, problem))

    async def _admit(
        self, connection: Connection, namespace: str, auth: Any
    ) -> tuple[Actor, datetime]:
        """Raises DomainError."""
        if namespace not in self.names:
            raise NotFound("There is no such namespace.")
        if namespace in connection.clients:
            raise Conflict("This namespace is connected already.")
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            actor, until = await self._authenticator.identify(token, known=self._sessions)
        except DomainError:
            raise
        except Exception as failed:
            log.exception("connection failed", namespace=namespace)
            raise InternalError from failed
        if wait := self._budget.cooling(actor.id):
            raise RateLimited(retry_after=rounded(wait))
        if actor.limited:
            raise SecondFactorSetupRequired
        if namespace == ADMIN and actor.role is not Role.ADMIN:
            raise Forbidden
        if connection.clients and connection.actor and connection.actor.id != actor.id:
            raise Conflict("This connection is another user's: open one for each user.")
        return actor, until

    async def _subscribe(self, rooms: Iterable[str]) -> None:
        """Wait until pushes of other processes to these rooms arrive here."""
        new = (self._fanout.wait_subscribed(room) for room in rooms if not self.rooms.members(room))
        await asyncio.gather(*new)

    def _unsubscribe_empty(self, rooms: Iterable[str]) -> None:
        """Undo `_subscribe` for rooms without a connection."""
        for room in rooms:
            if not self.rooms.members(room):
                self._fanout.unsubscribe(room)

    def enter(self, connection: Connection, room: str) -> None:
        if room not in connection.rooms and connection.actor:
            self.rooms.enter(connection, room)
            if is_counted(room):
                self._presence.entered(room, connection.actor.id)

    def leave(self, connection: Connection, room: str) -> None:
        if room in connection.rooms and connection.actor:
            self.rooms.leave(connection, room)
            if is_counted(room):
                self._presence.left(room, connection.actor.id)

    def _leave_namespace(self, connection: Connection, namespace: str) -> None:
        """Disconnect one namespace of a connection."""
        client = connection.clients.pop(namespace, None)
        self.rooms.invalidate(connection)
        if client is None:
            return
        client.ending = True
        for room in client.rooms or ():
            self.leave(connection, room)
        if not connection.clients:
            for room in list(connection.rooms):
                self.leave(connection, room)
            if not connection.closed:
                self.eio.await_namespace(connection)
        self._sessions.remove(client)

    def _on_connection_closed(self, connection: Connection) -> None:
        self.rooms.resume(connection)
        connection.waiting_packets.clear()
        connection.capacity_freed.set()
        for namespace in list(connection.clients):
            self._leave_namespace(connection, namespace)

    # -- commands ----------------------------------------------------------------------------

    def _start_command(
        self, client: Client, id: int | None, content: Any, size: int
    ) -> Awaitable[None] | None:
        """Returns what must be awaited until the command is answered or its order is fixed."""
        try:
            if client.ending:
                raise Unauthenticated
            op, fields, request_id = parse_command(self._commands, client.namespace, content)
        except DomainError as refused:
            self._ack(client.connection, client.namespace, id, self._refuse(refused))
            return None
        if op.reply or op.pipelined:
            return self._run_pipelined(client, op, fields, request_id, id, size)
        meta = Meta(request_id, client.connection.address, size=size)
        running = self._run_command(client, op, fields, meta, id)
        return start_eagerly(running) if op.instant else running

    async def _run_pipelined(
        self,
        client: Client,
        op: Operation,
        fields: Any,
        request_id: str | None,
        id: int | None,
        size: int,
    ) -> None:
        """Return when the command is committed; a background task sends the later answer."""
        connection, most = client.connection, MAX_UNANSWERED if op.reply else MAX_PIPELINED
        while connection.unanswered >= most and not connection.closed:
            connection.capacity_freed.clear()
            await connection.capacity_freed.wait()
        committed = asyncio.Event()
        meta = Meta(request_id, connection.address, size=size, committed=committed.set)
        connection.unanswered += 1
        running = self.eio.spawn(self._run_command(client, op, fields, meta, id))
        running.add_done_callback(lambda _: self._on_answered(connection, committed))
        await committed.wait()

    def _on_answered(self, connection: Connection, committed: asyncio.Event) -> None:
        connection.unanswered -= 1
        committed.set()
        connection.capacity_freed.set()

    async def _run_command(
        self, client: Client, op: Operation, fields: Any, meta: Meta, id: int | None
    ) -> None:
        client.busy += 1
        try:
            answer = await self._run(op, fields, client.actor, meta)
            if (op.joins or op.leaves) and answer.ok:
                answer = await self._update_rooms(client, op, answer)
            packet = packets.ack(client.namespace, id or 0, answer.ack())
            if len(packet) > ANSWER_BYTES:
                self._charge_answer(client.actor, len(packet))
            if id is not None:
                client.connection.send_packet(packet)
        finally:
            client.busy -= 1
        if answer.error and answer.error.code == RateLimited.code:
            self._budget.note_refusal(client.connection)
            client.connection.cut_if_exhausted()
        if client.ending and not client.busy:
            self._disconnect(client, None)

    async def _update_rooms(self, client: Client, op: Operation, answer: Any) -> Any:
        """Enter the rooms that the answer opens, and leave those that it closes. Returns the
        answer, or the refusal of too many rooms."""
        data, connection = answer.data, client.connection
        joins = list(op.joins(data, client.actor)) if op.joins else []
        if joins and (most := self._exceeded(connection, set(joins))):
            return self._refuse(TooMany(limit=most))
        await self._subscribe(joins)
        if connection.clients.get(client.namespace) is not client:
            self._unsubscribe_empty(joins)
            return answer
        mine = client.rooms = client.rooms or set()
        for room in joins:
            mine.add(room)
            self.enter(connection, room)
        for room in op.leaves(data) if op.leaves else ():
            mine.discard(room)
            self.leave(connection, room)
        return answer

    def _exceeded(self, connection: Connection, joins: set[str]) -> int:
        """The number of rooms that a connection or its user would exceed, or 0."""
        if not (new := len(joins - connection.rooms)) or not connection.actor:
            return 0
        if len(connection.rooms) + new > ROOMS_PER_CONNECTION:
            return ROOMS_PER_CONNECTION
        others = self.rooms.members(user_room(connection.actor.id))
        held = sum(len(each.rooms) for each in others)
        return ROOMS_PER_USER if held + new > ROOMS_PER_USER else 0

    def _ack(self, connection: Connection, namespace: str, id: int | None, answer: Any) -> None:
        if id is not None:
            connection.send_packet(packets.ack(namespace, id, answer.ack()))

    # -- pushing -----------------------------------------------------------------------------

    def push(self, room: str, namespace: str, name: str, data: Any) -> None:
        """Push without a number, and not stored, to the connections in `room` on this process."""
        message = envelope(None, datetime.now(UTC), data)
        self.rooms.deliver(room, packets.event(namespace, name, message))

    def on_session_event(self, event: SessionEvent) -> None:
        """Sessions were extended or revoked, here or on another process."""
        self._sessions.on_event(event)

    def _disconnect(self, client: Client, reason: str | None) -> None:
        """Disconnect a client without return; one that waits for an answer gets it first."""
        if reason and client.namespace == "/account":
            message = envelope(None, datetime.now(UTC), {"reason": reason})
            client.connection.send_packet(packets.event("/account", "session.revoked", message))
        client.ending = True
        if not client.busy and client.connection.clients.get(client.namespace) is client:
            client.connection.send_packet(packets.disconnected(client.namespace))
            self._leave_namespace(client.connection, client.namespace)

    # -- figures -----------------------------------------------------------------------------

    @property
    def connection_count(self) -> int:
        """Engine.IO connections of this process; a client has one for all its namespaces."""
        return len(self.eio.sockets)

    def users(self) -> set[str]:
        return {
            connection.actor.id
            for connection in self.eio.connections
            if connection.clients and connection.actor
        }


def _end_silent(connections: Iterable[Connection]) -> bool:
    """End one that has not answered its ping, if there is one: after a change of its network a
    client comes back before its lost connections time out."""
    silent = next((each for each in connections if not each.ponged), None)
    if silent:
        silent.abort()
    return silent is not None
