"""One server for many tests of a file, instead of one for each of them.

A server takes longer to start than most tests of commands take. With `pytestmark = one_server`, the
tests of a file share one for each implementation of `realtime` and each of the fixtures in CHOICES
that they use. Each test finds an empty database and has its own people, who disconnect at its end.
Requests to Stripe are checked at the end of the file.

A test that is marked `own_server` has its own server, database and event loop; the shared servers
stand still meanwhile. That is for tests that move money (at their end the books are compared with
Stripe's sandbox, which is not emptied), that change a server, its settings or its environment, that
begin in a world or that start processes.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

import msgspec
import pytest
from pytest_asyncio import is_async_test

from domain.ledger.transaction import Transaction
from server.dev.stores import Addresses
from tests.support.installations import (
    Database,
    Installation,
    Server,
    new_installation,
    new_mail_server,
    running_server,
)
from tests.support.smtp_server import SmtpServer
from tests.support.worlds import OF_PROCESSES

one_server = pytest.mark.asyncio(loop_scope="module")
own_server = pytest.mark.asyncio(loop_scope="function")
CHOICES = {"smtp", "verification_required"}
SECONDS_TO_END = 5  # for tasks that the test before has left


def has_one_server(test: pytest.Item) -> bool:
    """Whether a test shares the server of its file."""
    mark = test.get_closest_marker("asyncio")
    if mark is None or mark.kwargs != one_server.kwargs:
        return False
    assert is_async_test(test), "it must be async: another one ends the event loop of the file"
    return True


class Shared(msgspec.Struct, frozen=True):
    """What the tests of a file share."""

    installation: Installation
    server: Server
    smtp: SmtpServer | None


class ServersOfFile:
    """The servers of a file, each on a database of its own."""

    def __init__(self, stores: Addresses, database: Callable[[int], Database]) -> None:
        self._stores, self._database = stores, database
        self._started: dict[tuple[str, ...], Shared] = {}
        self._open = AsyncExitStack()

    async def prepare(self, realtime: str, fixtures: Collection[str]) -> Shared:
        """The server for a test that uses `fixtures`, on an empty database."""
        choices = CHOICES.intersection(fixtures)
        key = realtime, *sorted(choices)
        if key in self._started:
            await self._forget(self._started[key])
        else:
            self._started[key] = await self._start(realtime, choices)
        return self._started[key]

    async def _start(self, realtime: str, choices: Collection[str]) -> Shared:
        database = self._database(len(self._started))
        database.empty()
        enter = self._open.enter_async_context
        installation = await enter(new_installation(self._stores, database, realtime))
        smtp = await enter(new_mail_server(installation)) if "smtp" in choices else None
        if "verification_required" in choices:
            installation.configure(REQUIRE_VERIFICATION="on")
        return Shared(installation, await enter(running_server(installation)), smtp)

    async def _forget(self, shared: Shared) -> None:
        """Let the server end what the last test has begun, and empty its stores."""
        relay, time = shared.server.web.relay, asyncio.get_running_loop().time
        deadline = time() + SECONDS_TO_END
        while relay.busy and time() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
        shared.installation.database.empty(keep=OF_PROCESSES)
        if shared.smtp:
            shared.smtp.forget()

    async def close(self) -> None:
        """Stop all servers."""
        await self._open.aclose()


async def check_unchanged(server: Server) -> None:
    """Fails after a test that must have its own server."""
    assert server.store.committed == server.web.relay.take, "the server is changed: own_server"
    moved = await server.store.single().find(Transaction, {})
    assert moved is None, "money moved: mark the test own_server, so that its books are checked"
