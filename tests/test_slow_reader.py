"""A client that stops reading: it is cut off, nobody else notices, and it misses nothing."""

import asyncio
import contextlib
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.realtime.frames import UPGRADE, masked
from tests.parties import Party
from tests.processes import Processes, Running

TEXT = "語" * 4000  # the longest message: 12 KB as UTF-8
WARM = 150  # messages that a reading client gets first
MOST = 3000
AT_ONCE = 10
GROWTH = 5 * 1024 * 1024
SMALL_BUFFER = 4096
ESTABLISHED = "01"


class Stalled:
    """A connected client on a bare socket, which reads nothing any more."""

    def __init__(self, url: str, token: str) -> None:
        there = urlsplit(url)
        self.address = (there.hostname, there.port)
        self.token = token
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self.socket.setblocking(False)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, self.address)
        await loop.sock_sendall(self.socket, UPGRADE)
        read = b""
        for namespace in ("/account", "/chat"):
            auth = masked(f"40{namespace},{json.dumps({'token': self.token})}")
            await loop.sock_sendall(self.socket, auth)
            while f"40{namespace},".encode() not in read:
                read += await loop.sock_recv(self.socket, 2048)

    @property
    def cut(self) -> bool:
        """Whether the server has given it up; seen from outside, as it would have to read on to
        learn that itself. Source: proc_pid_net(5)."""
        ours, theirs = self.socket.getsockname()[1], self.address[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            local, remote, state = line.split()[1:4]
            if (local[-4:], remote[-4:]) == (f"{theirs:04X}", f"{ours:04X}"):
                return state != ESTABLISHED
        return True


def memory(process: Running) -> int:
    """Resident bytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Watch:
    """What a bystander waits for its answers, and the most memory, while the block runs."""

    def __init__(self, process: Running, bystander: Party) -> None:
        self.process = process
        self.bystander = bystander
        self.waits: list[float] = []
        self.most = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await self.bystander.call("/account", "me")
            self.waits.append(time.perf_counter() - began)
            self.most = max(self.most, memory(self.process))
            await asyncio.sleep(0.01)

    def waited(self, percent: int) -> float:
        return statistics.quantiles(self.waits, n=100, method="inclusive")[percent - 1] * 1000

    def __str__(self) -> str:
        return f"p50 {self.waited(50):.1f} ms, p99 {self.waited(99):.1f} ms of {len(self.waits)}"


async def test_a_client_that_stops_reading_hurts_nobody(processes: Processes) -> None:
    """Guard: MOST_UNSENT in `Lane.write`: beyond it the connection is cut, and what it did not
    take is thrown away."""
    web = await processes.web(COMMANDS_PER_SECOND="2000")
    market = processes.market
    talker, reader = await market.customer(), await market.contractor()
    bystander = await market.customer()
    conversation = await introduced(market, talker, reader)
    before, during = Watch(web, bystander), Watch(web, bystander)
    async with before.running():
        sent = await talk(talker, conversation, WARM, asyncio.Event())
    await reader.disconnect()

    base = memory(web)
    stalled = Stalled(web.url, reader.token)
    await stalled.connect()
    cut = asyncio.Event()
    looking = asyncio.create_task(until_cut(stalled, cut))
    async with during.running():
        sent += await talk(talker, conversation, MOST, cut)
    assert cut.is_set(), f"not cut off after {sent} messages"
    await looking
    grown = during.most - base
    print(
        f"cut off after {sent - WARM} messages; memory grew by {grown / 1024 / 1024:.2f} MB; "
        f"bystander before: {before}; during: {during}"
    )
    assert grown < GROWTH
    assert during.waited(50) < 3 * before.waited(50) + 20
    stalled.socket.close()

    await reader.connect()
    seqs = await caught_up(reader, conversation)
    assert seqs == list(range(1, sent + 1))
    feed = await reader.call("/account", "sync", {"since": 0, "limit": 500})
    assert [item["seq"] for item in feed["items"]] == list(range(1, feed["head"] + 1))


async def introduced(market: Any, talker: Party, reader: Party) -> str:
    job = await market.job(talker)
    application = await market.application(reader, job)
    await talker.call("/job-request", "accept", {"application_id": application["id"]})
    opened = await talker.call("/chat", "open", {"job_id": job["id"], "user_id": reader.id})
    return str(opened["id"])


async def talk(talker: Party, conversation: str, most: int, enough: asyncio.Event) -> int:
    """Messages as fast as they are acknowledged, until there are enough; how many."""
    sent = 0

    async def one() -> None:
        nonlocal sent
        while sent < most and not enough.is_set():
            sent += 1
            await talker.call("/chat", "send", {"conversation_id": conversation, "text": TEXT})

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return sent


async def until_cut(stalled: Stalled, cut: asyncio.Event) -> None:
    while not stalled.cut:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.02)
    cut.set()


async def caught_up(reader: Party, conversation: str) -> list[int]:
    """The numbers of all messages, as `sync` hands them out."""
    seqs: list[int] = []
    while True:
        known = {conversation: seqs[-1] if seqs else 0}
        answer = await reader.call("/chat", "sync", {"conversations": known})
        stretch = answer["conversations"][conversation]
        seqs += [message["seq"] for message in stretch["items"]]
        if seqs[-1] >= stretch["head"]:
            return seqs
