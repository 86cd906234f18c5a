"""Keeps a client connected, and sends its commands over whichever connection there is."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession

from jobsphere.connection import ANSWER_SECONDS, Connection, OnPush
from jobsphere.namespace import Fields, Repeat
from jobsphere.refusals import (
    ENDING,
    NoAnswer,
    Refusal,
    passes,
    pauses,
    repeat,
    was_not_executed,
)
from jobsphere.session import Session

log = logging.getLogger("jobsphere")

IN_FLIGHT = 32  # unanswered commands; further ones wait
MOST_JOINED = 500  # what the server allows on one connection
STEADY_SECONDS = 10.0  # a connection that lasted so long ends the growth of pauses
# Commands that end what another one has joined.
LEAVES = {("/job", "unwatch"): "watch"}


class Link:
    """`on_open` is called when a connection is open, `on_end` when the session has ended."""

    def __init__(
        self,
        web: ClientSession,
        url: str,
        session: Session,
        namespaces: Collection[str],
        counts: Counter[str],
        *,
        on_push: OnPush,
        on_open: Callable[[], None],
        on_end: Callable[[Refusal], None],
    ) -> None:
        self._web = web
        self._url = url
        self._session = session
        self._namespaces = namespaces
        self._counts = counts
        self._on_push = on_push
        self._on_open = on_open
        self._on_end = on_end
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._refusal: Refusal | None = None  # why there will be no further connection
        self._problem: Refusal | None = None  # of the connection that was tried last
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._joined: dict[str, tuple[str, str, Fields]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def start(self, patience: float) -> None:
        """Connect, and stay connected. Raises Refusal if that does not succeed in time."""
        self._tasks = [
            asyncio.create_task(self._stay_connected()),
            asyncio.create_task(self._stay_signed_in()),
        ]
        try:
            await self._open_connection(asyncio.get_running_loop().time() + patience)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection; commands that wait get NoAnswer."""
        if self._refusal is None:
            self._refuse(NoAnswer("the client is closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut the connection, as a network failure does. It is opened again."""
        if self._connection:
            self._connection.abort()

    def end(self, refused: Refusal) -> None:
        """The session has ended: nothing further is sent. Commands get their answers."""
        if self._refusal is None:
            self._refuse(refused)
            if self._connection:
                self._connection.leave()
            self._on_end(refused)

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._changed.set()

    # -- commands ------------------------------------------------------------------------------

    async def command(
        self,
        namespace: str,
        name: str,
        fields: Fields,
        repeated: Repeat,
        patience: float,
        request_id: str | None = None,
        joins: bool = False,
    ) -> Any:
        """Send a command until it is answered; see `refusals.repeat`. Raises Refusal."""
        if repeated == "request_id" and request_id is None:
            request_id = str(uuid4())
        if left := LEAVES.get((namespace, name)):
            self._joined.pop(_key(namespace, left, fields), None)
        now = asyncio.get_running_loop().time
        end = now() + patience

        async def attempt() -> Any:
            connection = await self._open_connection(end)
            return await connection.ask(namespace, name, fields, request_id)

        def again(refused: Refusal) -> bool:
            if refused is self._refusal:
                return False
            return was_not_executed(refused) if repeated == "no" else passes(refused)

        async with self._slot(end):
            data = await repeat(
                attempt, again=again, patience=end - now(), on_repeat=self.count_repeat
            )
        if joins:
            self._join(namespace, name, fields)
        return data

    def count_repeat(self, refused: Refusal) -> None:
        self._counts[f"repeated: {refused.code}"] += 1

    @asynccontextmanager
    async def _slot(self, end: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(end):
                await self._slots.acquire()
        except TimeoutError as late:
            raise NoAnswer(f"not sent: {IN_FLIGHT} commands are unanswered") from late
        try:
            yield
        finally:
            self._slots.release()

    async def _open_connection(self, end: float) -> Connection:
        try:
            async with asyncio.timeout_at(end):
                while self._refusal is None:
                    if self._connection and self._connection.usable:
                        return self._connection
                    self._changed.clear()
                    await self._changed.wait()
                raise self._refusal
        except TimeoutError as late:
            raise NoAnswer(f"not connected in time: {self._problem}") from late

    def _join(self, namespace: str, name: str, fields: Fields) -> None:
        key = _key(namespace, name, fields)
        if key in self._joined or len(self._joined) < MOST_JOINED:
            self._joined[key] = namespace, name, fields

    # -- the connection ------------------------------------------------------------------------

    async def _stay_signed_in(self) -> None:
        try:
            await self._session.keep_fresh()
        except Refusal as refused:
            self.end(refused)

    async def _stay_connected(self) -> None:
        loop, pause = asyncio.get_running_loop(), pauses()
        while self._refusal is None:
            began, least = loop.time(), 0.0
            try:
                await self._connect()
            except Refusal as refused:
                if refused.code in ENDING:
                    return self.end(refused)
                log.info("not connected: %s", refused)
                self._problem, least = refused, refused.retry_after
            except Exception:
                log.exception("the connection failed")
            if loop.time() - began > STEADY_SECONDS:
                pause = pauses()
            await asyncio.sleep(pause(least))

    async def _connect(self) -> None:
        """One connection, from its opening to its end. Raises Refusal if it cannot be opened."""
        lost = asyncio.Event()
        token, renewals = await self._session.token(), self._session.renewals
        connection = Connection(self._web, self._url, self._namespaces, self._on_push, lost.set)
        joining = None
        try:
            await self._open(connection, token, renewals)
            self._counts["connections"] += 1
            self._connection = connection
            self._on_open()
            joining = asyncio.create_task(self._join_again(connection))
            self._changed.set()
            await lost.wait()
        finally:
            self._connection = None
            if joining:
                joining.cancel()
            await connection.close()

    async def _open(self, connection: Connection, token: str, renewals: int) -> None:
        """Renews a token that has expired by the server's clock. Raises Refusal also then."""
        try:
            await connection.open(token)
        except Refusal as refused:
            if refused.code == "token_expired":
                await self._session.renew(renewals)
            raise

    async def _join_again(self, connection: Connection) -> None:
        """Subscribe this connection to what the one before it had joined."""
        for key, (namespace, name, fields) in list(self._joined.items()):
            if key not in self._joined:
                continue  # left meanwhile
            try:
                await repeat(
                    partial(connection.ask, namespace, name, fields, None),
                    again=passes,
                    patience=ANSWER_SECONDS,
                    on_repeat=self.count_repeat,
                )
            except NoAnswer:
                return
            except Refusal as refused:
                log.info("%s %s is not joined again: %s", namespace, name, refused)
                self._joined.pop(key, None)


def _key(namespace: str, name: str, fields: Fields) -> str:
    return json.dumps([namespace, name, fields], sort_keys=True)
