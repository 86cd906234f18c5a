"""A client that stops reading is disconnected, delays no other client, and misses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from server.realtime.engine import STALLED_SECONDS
from tests.domain.chat.test_conversations import Talk, meet
from tests.support.parties import Party
from tests.support.processes import Processes
from tests.support.raw_socket import StalledReader, private_bytes

TEXT = "語" * 4000  # the longest message: 12 KB as UTF-8
WARM = 300  # messages that a reading client gets first, until memory is steady
MANY = 600  # more than the kernel and MAX_UNSENT_BYTES hold
AT_ONCE = 10
GROWTH = 5 * 1024 * 1024


class Watch:
    """The answers that a bystander gets while the block runs, and the memory at each of them."""

    def __init__(self, pid: int, bystander: Party) -> None:
        self.pid = pid
        self.bystander = bystander
        self.memory: list[int] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self) -> None:
        while True:
            await self.bystander.call("/account", "me")
            self.memory.append(private_bytes(self.pid))
            await asyncio.sleep(0.02)


async def test_a_client_that_stops_reading_affects_no_other(processes: Processes) -> None:
    """Guard: `FastTransport.pause_writing` and `Engine._end_stalled`: beyond MAX_UNSENT_BYTES
    pushes are left out, and the connection is aborted without progress; `sync` returns all."""
    processes.fork_server = None
    web = await processes.web(COMMANDS_PER_SECOND="2000")
    talk, bystander = await meet(processes.market), await processes.market.customer()
    sent = await chatter(talk, WARM, asyncio.Event())
    await talk.contractor.call("/job", "list", {"q": "oak"})  # the job index is written before
    await talk.contractor.disconnect()

    during = Watch(web.pid, bystander)
    base = private_bytes(web.pid)
    stalled, cut = StalledReader(web.url, talk.contractor.token), asyncio.Event()
    await stalled.connect("/account", "/chat")
    async with during.running(), asyncio.TaskGroup() as group:
        group.create_task(until_cut(stalled, cut))
        sent += await chatter(talk, MANY, cut)
        async with asyncio.timeout(6 * STALLED_SECONDS):
            await cut.wait()
    # What stays: periodic jobs also read batches of rows, for a part of a second.
    grown = min(during.memory[len(during.memory) // 2 :]) - base
    print(
        f"cut off after {sent - WARM} messages; memory grew by {grown / 1024 / 1024:.2f} MB; "
        f"{len(during.memory)} answers to a bystander"
    )
    assert grown < GROWTH
    stalled.socket.close()

    await talk.contractor.connect()
    assert await caught_up(talk) == list(range(1, sent + 1))
    feed = await talk.contractor.call("/account", "sync", {"since": 0, "limit": 500})
    assert [item["seq"] for item in feed["items"]] == list(range(1, feed["head"] + 1))


async def chatter(talk: Talk, most: int, enough: asyncio.Event) -> int:
    """Messages as fast as they are acknowledged, until there are enough; how many."""
    sent = 0

    async def one() -> None:
        nonlocal sent
        while sent < most and not enough.is_set():
            sent += 1
            await talk.say(talk.customer, TEXT)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return sent


async def until_cut(stalled: StalledReader, cut: asyncio.Event) -> None:
    while not stalled.closed_by_server:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.25)  # the table of all connections takes milliseconds
    cut.set()


async def caught_up(talk: Talk) -> list[int]:
    """The numbers of all messages that `sync` returns."""
    numbers: list[int] = []
    while True:
        stretch = await talk.sync(talk.contractor, numbers[-1] if numbers else 0)
        numbers += [message["seq"] for message in stretch["items"]]
        if numbers[-1] >= stretch["head"]:
            return numbers
