"""The Socket.IO server: authenticated sockets, a closed command table, an ack for everything.

python-socketio hands a client's own `connect` or `disconnect` events to the very handlers of the
real ones, sends no ack when a handler fails or a packet cannot be read, collects attachments
without limit, and acks unknown events like successes. So packets never reach its dispatcher here:
`_handle_eio_message` reads them; `_handle_event` is the one door, which knows only our commands.
Commands of one client run in the order they were sent (async_handlers=False); its reading stops
while one runs, or while eight wait for Stripe's part of their answers.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec
import socketio
import structlog
from aiohttp.web import WebSocketResponse
from engineio.async_drivers.aiohttp import WebSocket
from engineio.payload import Payload
from socketio.exceptions import ConnectionRefusedError
from socketio.packet import ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT

from domain.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InternalError,
    Invalid,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownCommand,
)
from domain.operation import Actor, Meta, Operation, Role
from server.control import Notice
from server.limits import Limits, rounded
from server.presence import Places, Presence
from server.tokens import Gatekeeper
from server.wire import Answering, checked_request_id

log = structlog.get_logger()

MAX_MESSAGE = 4 * 1024 * 1024  # what the transport reads, so that a refusal can be answered
MAX_COMMAND = 64 * 1024  # what a command may weigh
AT_ONCE = 8  # commands of one client that are committed and wait for Stripe's part of the answer
ABUSES = 200  # refusals of a connection for its speed, until it is closed
ADMIN = "/admin"
# A packet without its data: type, number of attachments, namespace, id.
HEADER = re.compile(r"([0-6])(?:[0-9]{1,10}-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,15}(?![0-9]))?")
FRAME = re.compile(r"[0-6]")  # what an Engine.IO packet begins with

# A polling client sends in one body whatever it has queued; the body's size is limited.
Payload.max_decode_packets = 1000


class Client(msgspec.Struct):
    """One socket in one namespace."""

    sid: str
    namespace: str
    actor: Actor
    address: str
    turn: asyncio.Semaphore
    places: Places
    busy: int = 0
    ending: bool = False


class Refused(Protocol):
    def __call__(self, refused: DomainError) -> Any: ...


class _Json:
    """msgspec in place of the standard library, as python-socketio expects a JSON module."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Raises ValueError, the only error that python-engineio expects here."""
        try:
            return msgspec.json.decode(text)
        except RecursionError as deep:
            raise ValueError("nested too deeply") from deep


class _Frames(WebSocket):  # type: ignore[misc]
    """The transport, without deflate: that costs 100 KiB a connection.

    What is no Engine.IO packet ends it in good order, like a lost connection.
    """

    async def __call__(self, environ: dict[str, Any]) -> WebSocketResponse:
        size = self.server.max_http_buffer_size
        self._sock = WebSocketResponse(max_msg_size=size, compress=False)
        await self._sock.prepare(environ["aiohttp.request"])
        await self.handler(self)
        return self._sock

    async def wait(self) -> Any:
        data = await super().wait()
        if isinstance(data, str) and not FRAME.match(data):
            raise OSError("not a packet")
        return data


class Realtime(socketio.AsyncServer):  # type: ignore[misc]
    """`commands` maps (namespace, event) to the operation; nothing else can be called."""

    def __init__(
        self, *, commands: dict[tuple[str, str], Operation], answer: Answering, refuse: Refused,
        gatekeeper: Gatekeeper, address: Callable[[Any], str], origins: list[str], manager: Any,
        limits: Limits, presence: Presence,
    ) -> None:  # fmt: skip
        self.names = sorted({namespace for namespace, _ in commands})
        super().__init__(
            client_manager=manager, async_mode="aiohttp", async_handlers=False, json=_Json,
            namespaces=self.names, cors_allowed_origins=origins, max_http_buffer_size=MAX_MESSAGE,
            http_compression=False, compression_threshold=2**31, cookie=None,
        )  # fmt: skip
        self.eio._async = {**self.eio._async, "websocket": _Frames}
        self._commands = commands
        self._answer = answer
        self._refuse = refuse
        self._gatekeeper = gatekeeper
        self._address = address
        self._limits = limits
        self._presence = presence
        self._abuses: dict[str, int] = {}
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, set[str]] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()
        for namespace in self.names:
            self.on("connect", self._admit(namespace), namespace=namespace)
            self.on("disconnect", self._forget, namespace=namespace)

    # -- packets -----------------------------------------------------------------------------

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """Attachments and acks are not expected and passed over."""
        header = HEADER.match(data) if isinstance(data, str) else None
        if header is None:
            return
        kind, namespace, id = int(header[1]), header[2] or "/", header[3]
        namespace = namespace.partition("?")[0]
        if wait := self._limits.packet(eio_sid):
            if kind == EVENT and id:
                refused = self._refuse(RateLimited(retry_after=rounded(wait)))
                await self._ack(eio_sid, namespace, int(id), refused)
            return self._abused(eio_sid)
        try:
            content = _Json.loads(data[header.end() :]) if kind in (CONNECT, EVENT) else None
        except ValueError:
            content = None  # refused by whoever needs it
        if kind == CONNECT:
            await self._handle_connect(eio_sid, namespace, content)
        elif kind == DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
        elif kind in (EVENT, BINARY_EVENT):
            await self._handle_event(eio_sid, namespace, int(id) if id else None, content)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._abuses.pop(eio_sid, None)
        await super()._handle_eio_disconnect(eio_sid, reason)

    def _abused(self, eio_sid: str) -> None:
        """Who goes on although it is refused loses the connection."""
        self._abuses[eio_sid] = self._abuses.get(eio_sid, 0) + 1
        socket = self.eio.sockets.get(eio_sid)
        if self._abuses[eio_sid] > ABUSES and socket:
            socket.queue.put_nowait(None)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        if namespace not in self.names:
            refused: DomainError = NotFound("There is no such namespace.")
        elif self.manager.sid_from_eio_sid(eio_sid, namespace):
            refused = Conflict("This namespace is connected already.")
        else:
            await super()._handle_connect(eio_sid, namespace, data)
            if eio_sid not in self.environ:  # it went away meanwhile
                await self._handle_disconnect(eio_sid, namespace)
            return
        problem = self._refuse(refused).ack()["error"]
        reason = {"message": problem["message"], "data": problem}
        packet = self.packet_class(CONNECT_ERROR, data=reason, namespace=namespace)
        await self._send_packet(eio_sid, packet)

    # -- connecting --------------------------------------------------------------------------

    def _admit(self, namespace: str) -> Callable[..., Awaitable[None]]:
        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            try:
                token = auth.get("token") if isinstance(auth, dict) else None
                actor, until = await self._gatekeeper.identify(token)
                if namespace == ADMIN and actor.role is not Role.ADMIN:
                    raise Forbidden
            except Exception as failed:
                if not isinstance(failed, DomainError):
                    log.exception("connection failed", namespace=namespace)
                refused = failed if isinstance(failed, DomainError) else InternalError()
                problem = self._refuse(refused).ack()["error"]
                raise ConnectionRefusedError(problem["message"], problem) from failed
            address = self._address(environ["aiohttp.request"])
            turn, places = asyncio.Semaphore(AT_ONCE), Places(self._presence, actor.id)
            self._clients[sid] = Client(sid, namespace, actor, address, turn, places)
            self._sessions.setdefault(actor.session_id, set()).add(sid)
            self._expire_at(actor.session_id, until)
            await self.enter_room(sid, user_room(actor.id), namespace=namespace)
            places.enter(user_room(actor.id))
            await self.enter_room(sid, f"role:{actor.role}", namespace=namespace)

        return connect

    async def _forget(self, sid: str, reason: str = "") -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
        client.places.leave_all()
        sockets = self._sessions.get(client.actor.session_id, set())
        sockets.discard(sid)
        if not sockets:
            self._sessions.pop(client.actor.session_id, None)
            timer = self._expiries.pop(client.actor.session_id, None)
            if timer:
                timer.cancel()

    # -- commands ----------------------------------------------------------------------------

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: Any, data: Any) -> None:
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        client = self._clients.get(sid)
        if client is None or not self.manager.is_connected(sid, namespace):
            return
        await client.turn.acquire()  # its reading stops while too much of it is under way
        client.turn.release()

        async def ack(answer: Any) -> None:
            await self._ack(eio_sid, namespace, id, answer)
            if answer.error and answer.error.code == RateLimited.code:
                self._abused(eio_sid)

        try:
            if client.ending:
                raise Unauthenticated
            op, fields, request_id = self._understand(namespace, data)
        except DomainError as refused:
            await ack(self._refuse(refused))
            return
        await self._run(client, op, fields, request_id, ack)

    async def _ack(self, eio_sid: str, namespace: str, id: int | None, answer: Any) -> None:
        if id is not None:
            packet = self.packet_class(ACK, namespace=namespace, id=id, data=[answer.ack()])
            await self._send_packet(eio_sid, packet)

    async def _run(
        self, client: Client, op: Operation, fields: Any, request_id: str | None,
        ack: Callable[[Any], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Return when the command is committed; an answer that takes longer comes by itself."""
        committed = asyncio.Event()
        meta = Meta(request_id, client.address, committed=committed.set)

        async def run() -> None:
            client.busy += 1
            await client.turn.acquire()
            try:
                answer = await self._answer(op, fields, client.actor, meta)
                if answer.ok:
                    for room in op.joins(answer.data) if op.joins else ():
                        await self.enter_room(client.sid, room, client.namespace)
                        client.places.enter(room)
                    for room in op.leaves(answer.data) if op.leaves else ():
                        await self.leave_room(client.sid, room, client.namespace)
                        client.places.leave(room)
                await ack(answer)
            finally:
                committed.set()
                client.busy -= 1
                client.turn.release()
            if client.ending and not client.busy:
                await self._end(client)

        if op.reply is None:
            await run()
            return
        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await committed.wait()

    def _understand(self, namespace: str, data: Any) -> tuple[Operation, Any, str | None]:
        """Raises UnknownCommand, TooLarge or Invalid."""
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise Invalid("A command is a JSON list, its name first, without attachments.")
        name, *arguments = data
        op = self._commands.get((namespace, name))
        if op is None:
            raise UnknownCommand(command=name[:80])
        try:
            if len(msgspec.json.encode(arguments)) > MAX_COMMAND:
                raise TooLarge(limit_bytes=MAX_COMMAND)
        except (TypeError, RecursionError) as strange:
            raise Invalid("A command takes JSON only.") from strange
        fields = arguments[0] if arguments else {}
        options = arguments[1] if len(arguments) > 1 else {}
        if not isinstance(fields, dict):
            raise Invalid("The fields of a command are one object.")
        if len(arguments) > 2 or not isinstance(options, dict) or options.keys() - {"request_id"}:
            raise Invalid("After the fields there may be one object: {request_id}.")
        return op, fields, checked_request_id(options.get("request_id"))

    # -- the life of a session ---------------------------------------------------------------

    async def follow(self, notice: Notice) -> None:
        """A session was extended or revoked, here or on another process."""
        if notice.session_id not in self._sessions:
            return
        if notice.kind == "extended" and notice.until:
            self._expire_at(notice.session_id, notice.until)
        elif notice.kind == "revoked":
            await self._close_session(notice.session_id, "revoked")

    def _expire_at(self, session_id: str, until: datetime) -> None:
        loop = asyncio.get_running_loop()
        delay = (until - datetime.now(until.tzinfo)).total_seconds()
        pending = self._expiries.get(session_id)
        if pending and pending.when() >= loop.time() + delay:
            return
        if pending:
            pending.cancel()
        self._expiries[session_id] = loop.call_later(max(0, delay), self._expired, session_id)

    def _expired(self, session_id: str) -> None:
        task = asyncio.create_task(self._close_session(session_id, "expired"))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _close_session(self, session_id: str, reason: str) -> None:
        clients = [self._clients[sid] for sid in self._sessions.get(session_id, set()).copy()]
        for client in clients:
            if client.namespace == "/account":
                message = envelope(None, datetime.now().astimezone(), {"reason": reason})
                await self.manager.emit(
                    "session.revoked", message, namespace=client.namespace, room=client.sid,
                    ignore_queue=True,
                )  # fmt: skip
        for client in clients:
            client.ending = True  # one that is waiting for an ack gets it first
            if not client.busy:
                await self._end(client)

    async def _end(self, client: Client) -> None:
        await self.disconnect(client.sid, namespace=client.namespace, ignore_queue=True)

    def release(self) -> None:
        """End every transport, so that the clients connect again, to another process.

        A Socket.IO disconnect would tell them to stay away.
        """
        for socket in list(self.eio.sockets.values()):
            socket.queue.put_nowait(None)

    # -- figures -----------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """Engine.IO connections of this process; one client uses one for all namespaces."""
        return len(self.environ)

    def listeners(self, namespace: str, room: str) -> int:
        """How many sockets of this process are in a room."""
        return len(self.manager.rooms.get(namespace, {}).get(room, ()))

    def users(self) -> set[str]:
        return {client.actor.id for client in self._clients.values()}


def user_room(user_id: str) -> str:
    return f"user:{user_id}"


def envelope(seq: int | None, at: datetime, data: Any) -> dict[str, Any]:
    """What every push looks like."""
    return {"seq": seq, "at": msgspec.to_builtins(at), "data": data}
