"""The Socket.IO server: authenticated sockets, a closed command table, an ack for everything.

python-socketio hands a client's own `connect` or `disconnect` events to the very handlers of the
real ones, sends no ack when a handler fails, and acks unknown events like successes. So events
never reach its dispatcher here: `_handle_event` is the one door, and it knows only our commands.
Commands of one client run in the order they were sent (async_handlers=False); its reading stops
while one runs, which is also the limit on what a client can have waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec
import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError
from socketio.packet import ACK

from domain.errors import DomainError, Forbidden, Invalid, TooLarge, UnknownCommand
from domain.operation import Actor, Meta, Operation, Role
from server.control import Notice
from server.tokens import Gatekeeper

log = structlog.get_logger()

MAX_MESSAGE = 4 * 1024 * 1024  # what the transport reads, so that a refusal can be answered
MAX_COMMAND = 64 * 1024  # what a command may weigh
REQUEST_ID = 128
ADMIN = "/admin"

Answering = Callable[[Operation, Any, Actor | None, Meta], Awaitable[Any]]


class Client(msgspec.Struct):
    """One socket in one namespace."""

    sid: str
    namespace: str
    actor: Actor
    address: str
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
        return msgspec.json.decode(text)


class Realtime(socketio.AsyncServer):  # type: ignore[misc]
    """`commands` maps (namespace, event) to the operation; nothing else can be called."""

    def __init__(
        self, *, commands: dict[tuple[str, str], Operation], answer: Answering, refuse: Refused,
        gatekeeper: Gatekeeper, origins: list[str], manager: Any,
    ) -> None:  # fmt: skip
        self.names = sorted({namespace for namespace, _ in commands})
        super().__init__(
            client_manager=manager, async_mode="aiohttp", async_handlers=False, json=_Json,
            namespaces=self.names, cors_allowed_origins=origins, max_http_buffer_size=MAX_MESSAGE,
            http_compression=False, compression_threshold=2**31, cookie=None,
        )  # fmt: skip
        self._commands = commands
        self._answer = answer
        self._refuse = refuse
        self._gatekeeper = gatekeeper
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, set[str]] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()
        for namespace in self.names:
            self.on("connect", self._admit(namespace), namespace=namespace)
            self.on("disconnect", self._forget, namespace=namespace)

    # -- connecting --------------------------------------------------------------------------

    def _admit(self, namespace: str) -> Callable[..., Awaitable[None]]:
        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            try:
                token = auth.get("token") if isinstance(auth, dict) else None
                actor, until = await self._gatekeeper.identify(token)
                if namespace == ADMIN and actor.role is not Role.ADMIN:
                    raise Forbidden
            except DomainError as refused:
                problem = self._refuse(refused).ack()["error"]
                raise ConnectionRefusedError(problem["message"], problem) from refused
            request = environ.get("aiohttp.request")
            address = (request.remote or "") if request is not None else ""
            self._clients[sid] = Client(sid, namespace, actor, address)
            self._sessions.setdefault(actor.session_id, set()).add(sid)
            self._expire_at(actor.session_id, until)
            await self.enter_room(sid, user_room(actor.id), namespace=namespace)
            await self.enter_room(sid, f"role:{actor.role}", namespace=namespace)

        return connect

    async def _forget(self, sid: str, reason: str = "") -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
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

        async def ack(answer: Any) -> None:
            if id is not None:
                packet = self.packet_class(ACK, namespace=namespace, id=id, data=[answer.ack()])
                await self._send_packet(eio_sid, packet)

        try:
            op, fields, request_id = self._understand(namespace, data)
        except DomainError as refused:
            await ack(self._refuse(refused))
            return
        await self._run(client, op, fields, request_id, ack)

    async def _run(
        self, client: Client, op: Operation, fields: Any, request_id: str | None,
        ack: Callable[[Any], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Return when the command is committed; an answer that takes longer comes by itself."""
        committed = asyncio.Event()
        meta = Meta(request_id, client.address, committed=committed.set)

        async def run() -> None:
            client.busy += 1
            try:
                answer = await self._answer(op, fields, client.actor, meta)
                if answer.ok and op.name in SUBSCRIPTIONS:
                    await self.enter_room(client.sid, SUBSCRIPTIONS[op.name], client.namespace)
                await ack(answer)
            finally:
                committed.set()
                client.busy -= 1
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
        name, *arguments = data if isinstance(data, list) and data else [None]
        op = self._commands.get((namespace, name)) if isinstance(name, str) else None
        if op is None:
            raise UnknownCommand(command=str(name)[:80])
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
                await self.manager.emit(
                    "session.revoked", envelope(None, datetime.now().astimezone(), {"reason": reason}),
                    namespace=client.namespace, room=client.sid, ignore_queue=True,
                )  # fmt: skip
        for client in clients:
            client.ending = True  # one that is waiting for an ack gets it first
            if not client.busy:
                await self._end(client)

    async def _end(self, client: Client) -> None:
        await self.disconnect(client.sid, namespace=client.namespace, ignore_queue=True)

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


SUBSCRIPTIONS = {"admin.live": "live"}  # commands whose success lets the socket listen to a room


def user_room(user_id: str) -> str:
    return f"user:{user_id}"


def envelope(seq: int | None, at: datetime, data: Any) -> dict[str, Any]:
    """What every push looks like."""
    return {"seq": seq, "at": msgspec.to_builtins(at), "data": data}


def checked_request_id(value: Any) -> str | None:
    """Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= REQUEST_ID or not value.isprintable():
        raise Invalid(f"request_id: 1 to {REQUEST_ID} printable characters.", field="request_id")
    return value
