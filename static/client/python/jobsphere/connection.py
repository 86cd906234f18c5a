"""One Socket.IO connection with all namespaces, over one websocket."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import socketio
from aiohttp import ClientSession
from socketio.exceptions import SocketIOError

from jobsphere.refusals import ConnectionLost, NoAnswer, Refusal

log = logging.getLogger("jobsphere.socketio")
log.setLevel(logging.ERROR)  # it warns of each connection that ends

OPEN_SECONDS = 20.0  # for all namespaces
ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 5.0

OnPush = Callable[[str, str, Any], None]  # namespace, name, envelope


class Connection:
    """It is opened once. `on_lost` is called when it, or one of its namespaces, has ended."""

    def __init__(
        self,
        web: ClientSession,
        url: str,
        namespaces: Collection[str],
        on_push: OnPush,
        on_lost: Callable[[], None],
    ) -> None:
        self._url = url
        self._namespaces = set(namespaces)
        self._on_lost = on_lost
        self._unanswered: dict[asyncio.Future[Any], str] = {}  # and their namespaces
        self._leaving = False
        self._refusals: list[Refusal] = []
        self._over = False
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._socket = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=web,
            logger=log,
            engineio_logger=log,
        )
        self._socket.on("*", lambda name, space, envelope: on_push(space, name, envelope), "*")
        self._socket.on("connect", lambda space: self._news.set(), "*")
        self._socket.on("connect_error", self._refused, "*")
        self._socket.on("disconnect", lambda space, reason: self._dropped(space), "*")

    async def open(self, token: str) -> None:
        """Raises the Refusal of a namespace, or NoAnswer."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._socket.connect(
                    self._url,
                    auth={"token": token},
                    transports=["websocket"],
                    namespaces=list(self._namespaces),
                    wait=False,
                )
                self._reading = asyncio.create_task(self._read())
                await self._joined()
        except Exception as failed:  # also what python-engineio does not expect of a server
            raise NoAnswer(f"{self._url} cannot be connected: {failed}") from failed
        if self._refusals:
            raise self._refusals[0]
        if self._over:
            raise NoAnswer(f"{self._url} ended the connection")

    async def _joined(self) -> None:
        """Wait until all namespaces are connected, or one is refused, or the connection ends."""
        while self._namespaces - self._socket.namespaces.keys():
            self._news.clear()
            await self._news.wait()
            if self._over or self._refusals:
                return

    async def _read(self) -> None:
        await self._socket.eio.wait()
        self._ended()

    async def ask(
        self, namespace: str, name: str, fields: Mapping[str, object], request_id: str | None
    ) -> Any:
        """Send a command. Returns the data of its answer. Raises Refusal, NoAnswer."""
        arguments = (fields, {"request_id": request_id}) if request_id else (fields,)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unanswered[answer] = namespace
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._socket.emit(name, arguments, namespace, _fulfil(answer))
                ack = await answer
        except (SocketIOError, TimeoutError) as failed:
            raise NoAnswer(f"{namespace} {name} was not answered") from failed
        finally:
            del self._unanswered[answer]
            self._end_if_done()
        if ack["ok"]:
            return ack["data"]
        error = ack["error"]
        raise Refusal(error["code"], error["message"], error["details"])

    @property
    def usable(self) -> bool:
        """Whether it takes commands."""
        return not self._leaving and not self._over

    def leave(self) -> None:
        """End when all commands are answered."""
        self._leaving = True
        self._end_if_done()

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.disconnect()
                if self._reading:
                    await self._reading

    def abort(self) -> None:
        """Cut the TCP connection, as a network failure does."""
        response = self._socket.eio.ws and self._socket.eio.ws._response
        if response and response.connection and response.connection.transport:
            response.connection.transport.abort()

    def _refused(self, namespace: str, error: Any = None) -> None:
        problem = error.get("data") if isinstance(error, dict) else None
        if isinstance(problem, dict) and "code" in problem:
            refused = Refusal(problem["code"], problem["message"], problem["details"])
        else:
            refused = NoAnswer(f"{namespace} cannot be connected: {error}")
        self._refusals.append(refused)
        self._news.set()

    def _dropped(self, namespace: str) -> None:
        """The server ends the namespaces one by one, each after its answers."""
        self._lose([answer for answer, space in self._unanswered.items() if space == namespace])
        self.leave()

    def _end_if_done(self) -> None:
        if self._leaving and not self._unanswered:
            self._ended()

    def _lose(self, answers: Collection[asyncio.Future[Any]]) -> None:
        for answer in answers:
            if not answer.done():
                answer.set_exception(ConnectionLost("the connection ended before the answer"))

    def _ended(self) -> None:
        if self._over:
            return
        self._over = True
        self._lose(self._unanswered)
        self._news.set()
        self._on_lost()


def _fulfil(answer: asyncio.Future[Any]) -> Callable[..., None]:
    def answered(*data: Any) -> None:
        if not answer.done():
            answer.set_result(data[0])

    return answered
