"""Test clients: signed-in parties and anonymous clients."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import socketio
from aiohttp import ClientSession
from argon2 import PasswordHasher
from socketio.exceptions import SocketIOError

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.ports.sessions import Tokens
from handlers import NAMESPACES
from tests.support.documented import check_ack, check_push, check_response
from tests.support.password_cost import LEAST_COST

T = TypeVar("T")
Json = dict[str, Any]

PASSWORD = "correct horse battery"
PASSWORD_HASH = PasswordHasher.from_parameters(LEAST_COST).hash(PASSWORD)
PUSH_SECONDS = 5.0
ANSWER_SECONDS = 20.0


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code: str, message: str, details: Json) -> None:
        super().__init__(f"{code}: {message} {details or ''}")
        self.code = code
        self.message = message
        self.details = details


class ConnectionLost(Exception):
    """The connection ended before the acknowledgement."""


class Push(NamedTuple):
    """One received push."""

    namespace: str
    name: str
    seq: int | None
    at: str
    data: Any


class AnonymousClient:
    """An HTTP client without a token."""

    token: str | None = None

    def __init__(self, web: ClientSession, url: str) -> None:
        self.web = web
        self.url = url

    async def http(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        request_id: str | None = None,
        params: Any = None,
        url: str | None = None,
        **options: Any,
    ) -> tuple[int, Any]:
        """The status and the body, decoded when it is JSON."""
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if request_id:
            headers["Idempotency-Key"] = request_id
        async with self.web.request(
            method, (url or self.url) + path, json=json, params=params, headers=headers, **options
        ) as response:
            is_json = "json" in response.content_type
            body = await (response.json(content_type=None) if is_json else response.text())
            if is_json:
                check_response(method, path, response.status, body)
            return response.status, body


class Party(AnonymousClient):
    """A signed-in user. `pushes` has all received pushes in order of arrival.

    `url` is the server of this party; with several processes each party may have its own.
    """

    def __init__(self, web: ClientSession, url: str, user: User, tokens: Tokens) -> None:
        super().__init__(web, url)
        self.user = user
        self.id = user.id
        self.email = user.email
        self.name = user.name
        self.role = user.role
        self.token = tokens.access_token
        self.refresh_token = tokens.refresh_token
        self.pushes: list[Push] = []
        self.refusals: dict[str, Any] = {}  # namespace -> data of its connect_error
        self.socket: Any = None
        self._changed = asyncio.Event()
        self._unanswered: dict[asyncio.Future[Any], str] = {}

    # -- the connection ----------------------------------------------------------------------

    @property
    def namespaces(self) -> list[str]:
        """Every namespace that this role may use."""
        names = {namespace.name for namespace in NAMESPACES}
        names = {name for name in names if any(exposed.event for exposed in _exposed(name))}
        return sorted(names - ({"/admin"} if self.role is not Role.ADMIN else set()))

    async def connect(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        reconnection: bool = False,
        namespaces: list[str] | None = None,
    ) -> "Party":
        """Connect, or reconnect. Raises Refused with the server's connect_error."""
        await self.disconnect()
        self.url = url or self.url
        self.refusals.clear()
        self.socket = socketio.AsyncClient(
            reconnection=reconnection,
            reconnection_delay=0.1,
            reconnection_delay_max=0.5,
            handle_sigint=False,
        )
        wanted = namespaces or self.namespaces
        for namespace in wanted:
            self._listen(namespace)
        try:
            await self.socket.connect(
                self.url,
                auth=lambda: {"token": token or self.token},
                transports=["websocket"],
                namespaces=wanted,
                wait_timeout=10,
            )
        except SocketIOError:
            await self.disconnect()
            if not self.refusals:
                raise
            refusal = next(iter(self.refusals.values()))
            raise Refused(refusal["code"], refusal["message"], refusal["details"]) from None
        return self

    async def disconnect(self) -> None:
        if self.socket is not None:
            with contextlib.suppress(Exception):
                await self.socket.shutdown()
            self.socket = None

    def cut_connection(self) -> None:
        """Abort the TCP connection, as a network failure does."""
        self.socket.eio.ws._response.connection.transport.abort()

    def connected(self, namespace: str = "/account") -> bool:
        return self.socket is not None and namespace in self.socket.namespaces

    async def wait_until_disconnected(
        self, namespace: str = "/account", seconds: float = PUSH_SECONDS
    ) -> None:
        """Wait until the server has disconnected this namespace."""
        await self.wait_until(
            lambda: not self.connected(namespace) or None, seconds, "still connected"
        )

    def _listen(self, namespace: str) -> None:
        socket = self.socket

        async def pushed(name: str, envelope: Any = None, *_: Any) -> None:
            envelope = envelope if isinstance(envelope, dict) else {"data": envelope}
            push = Push(
                namespace, name, envelope.get("seq"), envelope.get("at", ""), envelope["data"]
            )
            self.pushes.append(push)
            check_push(namespace, name, push.seq, push.data)
            self._changed.set()

        async def connected() -> None:
            self._changed.set()

        async def refused(data: Any = None) -> None:
            refusal = data.get("data", data) if isinstance(data, dict) else data
            if isinstance(refusal, dict) and "code" in refusal:
                self.refusals[namespace] = refusal

        async def disconnected(*_: Any) -> None:
            for answer, where in list(self._unanswered.items()):
                if where == namespace and not answer.done():
                    answer.set_exception(ConnectionLost(namespace))
            asyncio.get_running_loop().call_soon(self._changed.set)

        socket.on("*", pushed, namespace=namespace)
        socket.on("connect", connected, namespace=namespace)
        socket.on("connect_error", refused, namespace=namespace)
        socket.on("disconnect", disconnected, namespace=namespace)

    # -- commands ----------------------------------------------------------------------------

    async def call(
        self, namespace: str, event: str, fields: Any = None, *, request_id: str | None = None
    ) -> Any:
        """The data of a success. Raises Refused, ConnectionLost or TimeoutError."""
        answer = await self.ack(namespace, event, fields, request_id=request_id)
        if answer["ok"]:
            return answer["data"]
        error = answer["error"]
        raise Refused(error["code"], error["message"], error["details"])

    async def ack(
        self, namespace: str, event: str, fields: Any = None, *, request_id: str | None = None
    ) -> Any:
        """The raw acknowledgement. Raises ConnectionLost or TimeoutError."""
        arguments = [{} if fields is None else fields]
        if request_id is not None:
            arguments.append({"request_id": request_id})
        return await self.emit(namespace, event, *arguments)

    async def emit(self, namespace: str, event: str, *arguments: Any) -> Any:
        """Send any arguments and wait for the acknowledgement.

        Raises ConnectionLost or TimeoutError.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(*data: Any) -> None:
            if not answer.done():
                answer.set_result(data[0] if len(data) == 1 else list(data))

        self._unanswered[answer] = namespace
        try:
            await self.socket.emit(event, arguments, namespace=namespace, callback=answered)
            async with asyncio.timeout(ANSWER_SECONDS):
                acked = await answer
            check_ack(namespace, event, acked)
            return acked
        except SocketIOError as gone:
            raise ConnectionLost(namespace) from gone
        finally:
            del self._unanswered[answer]

    # -- pushes ------------------------------------------------------------------------------

    async def push(
        self,
        namespace: str,
        name: str,
        fits: Callable[[Any], Any] = lambda data: True,
        seconds: float = PUSH_SECONDS,
    ) -> Any:
        """The `data` of the first push that fits; waits for it.

        Earlier pushes count: call `clear_pushes()` first to get a new one.
        """
        return (await self.pushed(namespace, name, fits, seconds)).data

    async def pushed(
        self,
        namespace: str,
        name: str,
        fits: Callable[[Any], Any] = lambda data: True,
        seconds: float = PUSH_SECONDS,
    ) -> Push:
        """Like `push`, with the sequence number and the time."""
        return await self.wait_until(
            lambda: next((p for p in self.received(namespace, name) if fits(p.data)), None),
            seconds,
            f"no fitting {name} on {namespace}",
        )

    def received(self, namespace: str, name: str) -> list[Push]:
        """The pushes received so far, without waiting."""
        return [push for push in self.pushes if (push.namespace, push.name) == (namespace, name)]

    def clear_pushes(self) -> None:
        self.pushes.clear()

    async def wait_until(self, found: Callable[[], T | None], seconds: float, problem: str) -> T:
        deadline = asyncio.get_running_loop().time() + seconds
        while (result := found()) is None:
            self._changed.clear()
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                names = [f"{push.namespace} {push.name}" for push in self.pushes]
                raise AssertionError(f"{self.name}: {problem} after {seconds} s; pushed: {names}")
            # The client removes a namespace after the disconnect event: poll every 0.1 s.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, 0.1))
        return result


def _exposed(name: str) -> list[Any]:
    return [exposed for each in NAMESPACES if each.name == name for exposed in each.exposed]
