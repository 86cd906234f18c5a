"""The load generator: Engine.IO 4 and Socket.IO 5 directly on asyncio, with prepared frames.

A client costs far less CPU than a server, so one core of clients saturates one core of any server.
`echo.py` measures how much less.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.bench.realtime.frames import CLOSE, PING, UPGRADE, masked, split

CONNECT_SECONDS = 60.0
ANSWER_SECONDS = 30.0
AT_ONCE = 50  # connections opened at once
PONG = masked("3")
SEE_OK = 60  # an answer has `"ok"` within this many bytes


class Refused(Exception):
    """The server refused a command or ended the connection."""


class Socket(asyncio.Protocol):
    """One connection with its namespaces. `acked` and `pushed` are called for what arrives."""

    def __init__(self, token: str, namespaces: Sequence[str]) -> None:
        self.token = token
        self.waits_for = set(namespaces)
        self.ready: asyncio.Future[Socket] = asyncio.get_running_loop().create_future()
        self.acked: Callable[[], None] = _ignore
        self.pushed: Callable[[bytes, int, int], None] = _ignore
        self.pushes = b"42"  # the prefix of packets passed to `pushed`
        self.refusal = ""
        self.transport: asyncio.Transport
        self._rest = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(UPGRADE)

    def connection_lost(self, failed: Exception | None) -> None:
        self.fail("the connection ended")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._upgraded = True
            if b" 101 " not in head[:20]:
                self.fail(head.decode())
        for opcode, begin, end_at in split(data):
            if not opcode:
                self._rest = data[begin:]
            elif data.startswith(b"43", begin):
                if data.find(b'"ok":true', begin, begin + SEE_OK) < 0:
                    self.refusal = data[begin:end_at].decode()[:300]
                self.acked()
            elif data.startswith(self.pushes, begin):
                self.pushed(data, begin, end_at)
            else:
                self._manage(opcode, data[begin:end_at])

    def _manage(self, opcode: int, packet: bytes) -> None:
        if packet == b"2":
            self.transport.write(PONG)
        elif packet.startswith(b"0{"):
            for name in self.waits_for:
                self.transport.write(masked(f"40{name},{json.dumps({'token': self.token})}"))
        elif packet.startswith(b"40/"):
            self.waits_for.discard(packet[2:].partition(b",")[0].decode())
            if not self.waits_for and not self.ready.done():
                self.ready.set_result(self)
        elif opcode == PING:
            self.transport.write(masked(packet.decode(), 0x8A))
        elif opcode == CLOSE or packet.startswith((b"44", b"41")):
            self.fail(packet.decode(errors="replace"))

    def fail(self, reason: str) -> None:
        self.refusal = self.refusal or reason
        if not self.ready.done():
            self.ready.set_exception(Refused(reason))

    def check(self) -> None:
        """Raises Refused if any command was refused."""
        if self.refusal:
            raise Refused(self.refusal)

    async def ask(self, frame: bytes) -> None:
        """Send one command and wait for its answer. Raises Refused, TimeoutError."""
        answered = asyncio.Event()
        self.acked = answered.set
        self.transport.write(frame)
        await asyncio.wait_for(answered.wait(), ANSWER_SECONDS)
        self.check()


def command(namespace: str, name: str, fields: object, id: int = 1) -> bytes:
    return masked(f"42{namespace},{id}{json.dumps([name, fields], separators=(',', ':'))}")


async def connect(port: int, tokens: Iterable[str], *namespaces: str) -> list[Socket]:
    """One connection for each token. Raises Refused."""
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def one(token: str) -> Socket:
        async with turn:
            _, socket = await loop.create_connection(
                lambda: Socket(token, namespaces), "127.0.0.1", port
            )
            return await asyncio.wait_for(socket.ready, CONNECT_SECONDS)

    return await asyncio.gather(*(one(token) for token in tokens))


async def close(sockets: Iterable[Socket]) -> None:
    for socket in sockets:
        socket.transport.abort()
    await asyncio.sleep(0.2)


class Counter:
    """Counts calls; `reached(n)` waits for the n-th."""

    def __init__(self) -> None:
        self.count = 0
        self._goal = 0
        self._done = asyncio.Event()

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self._goal:
            self._done.set()

    async def reached(self, goal: int) -> None:
        """Raises Refused if the count does not change for ANSWER_SECONDS."""
        self._goal = goal
        self._done.clear()
        while self.count < goal:
            before = self.count
            try:
                await asyncio.wait_for(self._done.wait(), ANSWER_SECONDS)
            except TimeoutError:
                if self.count == before:
                    raise Refused(f"{goal - before} of {goal} did not come") from None


class Done(NamedTuple):
    """How many commands were acknowledged as successes, and in how many seconds."""

    acked: int
    seconds: float


async def closed_loop(
    work: Sequence[tuple[Socket, Sequence[bytes]]], window: int, seconds: float
) -> Done:
    """Each socket repeats its frames with `window` unanswered ones. Raises Refused."""
    until, answered, sent = time.perf_counter() + seconds, Counter(), 0

    def keep_going(socket: Socket, frames: Sequence[bytes]) -> Callable[[], None]:
        write, following = socket.transport.write, itertools.cycle(frames).__next__

        def acked() -> None:
            nonlocal sent
            if time.perf_counter() < until and not socket.refusal:
                sent += 1
                write(following())
            answered()

        return acked

    began = time.perf_counter()
    for socket, frames in work:
        socket.acked = keep_going(socket, frames)
        sent += window
        for frame in itertools.islice(itertools.cycle(frames), window):
            socket.transport.write(frame)
    await asyncio.sleep(seconds)
    await answered.reached(sent)
    took = time.perf_counter() - began
    for socket, _ in work:
        socket.check()
    return Done(sent, took)


async def open_loop(
    rate: float, seconds: float, send: Callable[[int], None]
) -> tuple[int, Callable[[int], float]]:
    """Call `send(n)` at a steady rate, independent of answers. Returns (count, due time of n)."""
    total, began = int(rate * seconds), time.perf_counter() + 0.01
    number = 0
    while number < total:
        due = min(total, int((time.perf_counter() - began) * rate) + 1)
        for each in range(number, due):
            send(each)
        number = max(number, due)
        await asyncio.sleep(0.001)
    return total, lambda number: began + number / rate


def _ignore(*_: object) -> None:
    """Ignore an arrival."""
