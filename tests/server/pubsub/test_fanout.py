"""What is said to rooms reaches the processes that somebody in it is on, and no others."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from server.dev.stores import Addresses
from server.pubsub.fanout import Fanout

PATIENCE = 10.0


class Process:
    """A process that notes what it hears."""

    def __init__(self, urls: list[str], prefix: str) -> None:
        self.fanout = Fanout(urls, prefix)
        self.heard: list[tuple[str, bytes]] = []
        self.misses: list[str | None] = []
        self.fanout.deliver = lambda room, packet: self.heard.append((room, packet))
        self.fanout.missed = self.misses.append

    async def hears(self, room: str, packet: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while (room, packet) not in self.heard:  # noqa: ASYNC110 - it only takes notes
                await asyncio.sleep(0.01)

    async def misses_something(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.misses != [None]:  # noqa: ASYNC110 - it only takes notes
                await asyncio.sleep(0.02)

    async def at_redis(self) -> None:
        """Returns when all that was said is on its way."""
        while self.fanout._shards[0]._unsent:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(
    stores: Addresses, number: int, addresses: int = 1
) -> AsyncIterator[list[Process]]:
    """Processes on one deployment; more addresses are more databases' worth of channels."""
    assert stores.redis_url
    prefix = secrets.token_hex(6)
    processes = [Process([stores.redis_url] * addresses, prefix) for _ in range(number)]
    await asyncio.gather(*(each.fanout.start(listening=True) for each in processes))
    yield processes
    await asyncio.gather(*(each.fanout.stop() for each in processes))


async def test_a_process_receives_only_what_its_own_rooms_are_told(stores: Addresses) -> None:
    """Guard: a channel for each room; with one for all, each process would receive all 200."""
    async with running(stores, 4, addresses=2) as processes:
        for number, process in enumerate(processes):
            await process.fanout.join(f"room:{number}")
        for said in range(50):
            for number in range(4):
                processes[(number + 1) % 4].fanout.send(f"room:{number}", b"%d" % said)
        for number, process in enumerate(processes):
            await process.hears(f"room:{number}", b"49")
        assert [process.fanout.received for process in processes] == [50, 50, 50, 50]


async def test_redis_does_not_send_back_what_nobody_else_hears(stores: Addresses) -> None:
    """Guard: `least` in PUBLISH: a process read each of its own words again."""
    async with running(stores, 2) as (here, there):
        came: list[str] = []
        shard = here.fanout._shards[0]
        shard._heard = lambda channel, message: came.append(channel)
        await here.fanout.join("user:a")

        async def says(word: bytes) -> list[str]:
            came.clear()
            here.fanout.send("user:a", word)
            shard.say(here.fanout._own, word, back=True)  # this one comes in any case, and later
            async with asyncio.timeout(PATIENCE):
                while here.fanout._own not in came:  # noqa: ASYNC110 - it only takes notes
                    await asyncio.sleep(0.01)
            return came[:-1]

        assert await says(b"alone") == []
        await there.fanout.join("user:a")
        assert await says(b"together") == ["room:user:a"]
        await there.hears("user:a", b"together")


async def test_who_comes_and_goes_is_still_heard_by_others(stores: Addresses) -> None:
    """Guard: `_asked` is exact: were it said too early or too late that this process listens
    itself, Redis would take the only other listener for it, and tell nobody."""
    async with running(stores, 2) as (here, there):
        await there.fanout.join("user:a")
        number = 0
        for pause in (0, 0, 0, 0.0003, 0.001, 0.003):
            for _ in range(40):
                for move in (here.fanout.enter, here.fanout.leave):
                    move("user:a")
                    here.fanout.send("user:a", b"%d" % number)
                    await asyncio.sleep(pause)
                    here.fanout.send("user:a", b"%d" % (number + 1))
                    number += 2
        await there.hears("user:a", b"%d" % (number - 1))
        assert [int(packet) for _, packet in there.heard] == list(range(number))


async def test_who_comes_back_at_once_is_heard(stores: Addresses) -> None:
    """Guard: `_asked` is changed before Redis is asked, so that a room that is left and entered
    again in the same moment is asked for again."""
    async with running(stores, 2) as (here, there):
        await here.fanout.join("user:a")
        for pause in (0, 0, 0.0005, 0.001, 0.002, 0.005, 0.01):
            for again in range(5):
                here.fanout.leave("user:a")
                await asyncio.sleep(pause)
                await here.fanout.join("user:a")
                word = f"{pause} {again}".encode()
                there.fanout.send("user:a", word)
                await here.hears("user:a", word)


async def test_after_a_broken_connection_clients_are_told_to_ask(stores: Addresses) -> None:
    """Guard: `self._missed(None)` in `Shard._settle`; the old subscription is not left behind."""
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.join("user:a")
        channel = here.fanout._shards[0]._name("room:user:a")
        for round in range(1, 4):
            for client in await redis.client_list(_type="pubsub"):
                with contextlib.suppress(Exception):
                    await redis.client_kill(client["addr"])
            async with asyncio.timeout(PATIENCE):
                while min(len(here.misses), len(there.misses)) < round:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            there.fanout.send("user:a", b"%d" % round)
            await here.hears("user:a", b"%d" % round)
            assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 1}


async def test_what_is_said_during_a_break_is_missed(stores: Addresses) -> None:
    """Guard: `_lose` at the reconnection: it would come after newer things. Only what a process
    says to itself, to see whether it is deaf, is of no loss to others."""
    async with running(stores, 2) as (here, there):
        await here.fanout.join("user:a")
        await there.fanout._shards[0]._connection.disconnect(nowait=True)
        assert not await there.fanout.deaf()
        there.fanout.send("user:a", b"whole")
        await here.hears("user:a", b"whole")
        assert here.misses == []
        await there.fanout._shards[0]._connection.disconnect(nowait=True)
        there.fanout.send("user:a", b"late")
        await here.misses_something()
        there.fanout.send("user:a", b"again")
        await here.hears("user:a", b"again")
        assert ("user:a", b"late") not in here.heard


async def test_a_process_that_always_has_something_to_say_tells_its_clients_too(
    stores: Addresses,
) -> None:
    """Guard: `_lost` ends with the answer to what tells of it, not when nothing is left to say."""
    async with running(stores, 1) as (process,), Redis.from_url(str(stores.redis_url)) as redis:
        connection = process.fanout._shards[0]._connection
        read = connection.read_response

        async def busily(**options: bool) -> object:
            said = await read(**options)
            if said is None and not process.misses:  # the answer to what was said before
                process.fanout.send("user:a", b"and another thing")
            return said

        connection.read_response = busily
        await process.fanout.join("user:a")  # what is being read already is not read busily
        process.fanout.send("user:a", b"one thing")
        await asyncio.sleep(0.05)
        for client in await redis.client_list(_type="pubsub"):
            with contextlib.suppress(Exception):
                await redis.client_kill(client["addr"])
        await process.misses_something()


async def test_a_redis_that_does_not_answer_is_given_up(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Shard._watch`: what was said may be lost, so others are told."""
    monkeypatch.setattr("server.pubsub.redis_channels.ANSWER_SECONDS", 0.05)
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.join("user:a")
        there.fanout.send("user:a", b"connected")
        await here.hears("user:a", b"connected")
        await redis.client_pause(400)  # milliseconds
        there.fanout.send("user:a", b"slow")
        await here.misses_something()
        there.fanout.send("user:a", b"again")
        await here.hears("user:a", b"again")


async def test_too_much_at_once_is_missed(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: MOST_UNSENT; what did not fit while an answer was awaited was forgotten with it."""
    monkeypatch.setattr("server.pubsub.redis_channels.MOST_UNSENT", 2)
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.join("user:a")
        await redis.client_pause(100)
        for number in range(2):
            there.fanout.send("user:a", b"%d" % number)
        await there.at_redis()
        for number in range(3):
            there.fanout.send("user:a", b"%d" % (2 + number))
        await here.misses_something()


async def test_what_is_under_way_at_the_end_is_still_said(stores: Addresses) -> None:
    """Guard: `Shard.stop` waits for `_all_said`."""
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.join("user:a")
        await redis.client_pause(100)
        there.fanout.send("user:a", b"goodbye")
        await there.at_redis()
        await there.fanout.stop()
        await here.hears("user:a", b"goodbye")


async def test_after_a_break_newcomers_are_not_waited_for(stores: Addresses) -> None:
    """Guard: `Shard._owed`: while clients kept coming, nobody was told what a break had cost."""
    async with running(stores, 1) as (process,):
        await process.fanout.join("user:a")
        shard = process.fanout._shards[0]
        shard._owed = set(shard._wanted)
        process.fanout.enter("user:b")
        for channel in ("everyone", process.fanout._own):
            shard._is_there(channel)
        assert process.misses == []
        shard._is_there("room:user:a")
        assert process.misses == [None]


async def test_who_did_not_wait_for_redis_is_told_to_ask(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Shard._late`: a client that connects while Redis is slow is let in before its room
    is heard, and would never learn of what is said to it until then."""
    async with running(stores, 1) as (process,):
        monkeypatch.setattr("server.pubsub.redis_channels.PATIENCE", 0)
        await process.fanout.join("user:a")
        assert process.misses == []
        monkeypatch.undo()
        await process.fanout.join("user:b")
        assert process.misses == ["user:a"]


async def test_a_deaf_process_is_found(stores: Addresses) -> None:
    """Guard: `deaf`: Redis takes what it says, and it does not hear itself."""
    async with running(stores, 1) as (process,):
        assert not await process.fanout.deaf()
        process.fanout._shards[0].unwant(process.fanout._own)
        assert await process.fanout.deaf(0.5)
