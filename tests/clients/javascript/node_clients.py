"""JavaScript clients in one Node process, controlled by tests."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server.dev.stores import ROOT
from server.runtime.background_tasks import end
from tests.support.parties import Json, Party, Push, Refused

REMOTE = Path(__file__).with_name("remote.mjs")
SECONDS = 20.0
LINE = 2**24


class NodeClient:
    """One client. `pushes` has all pushes that it delivered, in order, and `news` the rest."""

    def __init__(self, node: "Node", name: str) -> None:
        self.node = node
        self.name = name
        self.pushes: list[Push] = []
        self.news: list[tuple[str, Any]] = []

    async def call(self, path: str, *arguments: Any) -> Any:
        """Call a function of the client, such as `job.create`. Raises Refused."""
        return await self.start(path, *arguments)

    def start(self, path: str, *arguments: Any) -> asyncio.Future[Any]:
        """Call without waiting; calls begin in this order."""
        return self.node.ask(self.name, path, arguments)

    async def adopt(self, party: Party, **fields: Any) -> None:
        """Take over a user's session."""
        session = {
            "user": {"id": party.id, "role": party.role},
            "access_token": party.token,
            "refresh_token": party.refresh_token,
            "expires_at": "2100-01-01T00:00:00Z",
            **fields,
        }
        await self.call("adopt", session)

    async def until(self, found: Callable[[], Any], problem: str = "nothing came") -> Any:
        """The first true value of `found`, which is asked after each line of the process."""
        async with asyncio.timeout(SECONDS):
            while not (result := found()):
                await self.node.heard()
        return result

    async def pushed(self, name: str, fits: Callable[[Any], Any] = lambda data: True) -> Push:
        def found() -> Push | None:
            return next((p for p in self.pushes if p.name == name and fits(p.data)), None)

        push: Push = await self.until(found)
        return push

    async def told(self, name: str, fits: Callable[[Any], Any] = lambda value: True) -> Any:
        """The value of the first such news."""
        found = await self.until(
            lambda: [(value,) for kind, value in self.news if kind == name and fits(value)]
        )
        return found[0][0]

    @property
    def seqs(self) -> list[int]:
        """The feed numbers of the pushes."""
        return [p.seq for p in self.pushes if p.seq is not None and p.name != "message"]

    @property
    def texts(self) -> list[str]:
        """The messages of people."""
        return [p.data["text"] for p in self.pushes if p.name == "message" and _said(p.data)]


def _said(message: Json) -> bool:
    return bool(message["kind"] == "text")


class Node:
    """The connection of a test to the process. Its lines are read by a task."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._clients: dict[str, NodeClient] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._heard = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def client(self, url: str, **options: Any) -> NodeClient:
        made = NodeClient(self, f"client {len(self._clients)}")
        self._clients[made.name] = made
        await made.call("new", {"url": url, **options})
        return made

    def ask(self, client: str, path: str, arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        id = len(self._asked)
        asked = {"id": id, "client": client, "call": path.split("."), "arguments": arguments}
        self._writer.write(json.dumps(asked).encode() + b"\n")
        self._asked[id] = asyncio.get_running_loop().create_future()
        return self._asked[id]

    async def heard(self) -> None:
        """Wait for the next line. Raises what ended the reading."""
        self._heard.clear()
        waiting = asyncio.create_task(self._heard.wait())
        try:
            await asyncio.wait({waiting, self.reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.reading.done():
            raise AssertionError("the Node process has ended")

    async def _read(self) -> None:
        async for line in self._reader:
            self._take(json.loads(line))
            self._heard.set()

    def _take(self, line: Json) -> None:
        if "news" in line:
            client = self._clients[line["client"]]
            if line["news"] == "push":
                client.pushes.append(Push(**line["value"]))
            else:
                client.news.append((line["news"], line.get("value")))
        elif not (answer := self._asked[line["id"]]).done():
            if refused := line.get("refused"):
                answer.set_exception(Refused(**refused))
            else:
                answer.set_result(line["data"])


class NodeProgram:
    """The process, which starts with the first test that needs it, and again if it has ended."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "node"
        self._process: subprocess.Popen[bytes] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Node]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=LINE)
        node = Node(reader, writer)
        try:
            yield node
        finally:
            await end([node.reading])
            writer.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._socket.unlink(missing_ok=True)
        process = subprocess.Popen(
            ["node", str(REMOTE), str(self._socket)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout and process.stdout.readline() == b"listening\n"
        return process

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
