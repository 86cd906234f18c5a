"""A packet for a room reaches the processes with a client in it, and no others."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from server.dev.stores import Addresses
from server.pubsub.fanout import Fanout

WAIT_SECONDS = 10.0


class Process:
    """A process that records what it receives."""

    def __init__(self, urls: list[str], prefix: str) -> None:
        self.fanout = Fanout(urls, prefix)
        self.received: list[tuple[str, bytes]] = []
        self.misses: list[str | None] = []
        self.fanout.deliver = lambda room, packet: self.received.append((room, packet))
        self.fanout.on_missed.append(self.misses.append)

    async def receives(self, room: str, packet: bytes) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while (room, packet) not in self.received:  # noqa: ASYNC110 - a plain list
                await asyncio.sleep(0.01)

    async def is_told_of_a_loss(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while self.misses != [None]:  # noqa: ASYNC110 - a plain list
                await asyncio.sleep(0.02)

    async def flush(self) -> None:
        """Return when all messages are sent to Redis."""
        while self.fanout._servers[0]._unsent:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(
    stores: Addresses, number: int, addresses: int = 1
) -> AsyncIterator[list[Process]]:
    """Processes of one deployment; each address counts as another Redis server."""
    assert stores.redis_url
    prefix = secrets.token_hex(6)
    processes = [Process([stores.redis_url] * addresses, prefix) for _ in range(number)]
    await asyncio.gather(*(each.fanout.start(listening=True) for each in processes))
    yield processes
    await asyncio.gather(*(each.fanout.stop() for each in processes))


async def test_a_process_receives_only_packets_of_its_own_rooms(stores: Addresses) -> None:
    """Guard: a channel for each room; with one for all, each process would receive all 200."""
    async with running(stores, 4, addresses=2) as processes:
        for number, process in enumerate(processes):
            await process.fanout.wait_subscribed(f"room:{number}")
        for packet in range(50):
            for number in range(4):
                processes[(number + 1) % 4].fanout.send(f"room:{number}", b"%d" % packet)
        for number, process in enumerate(processes):
            await process.receives(f"room:{number}", b"49")
        assert [process.fanout.received for process in processes] == [50, 50, 50, 50]


async def test_redis_does_not_return_messages_without_another_subscriber(stores: Addresses) -> None:
    """Guard: `own` in PUBLISH; without it a process receives each of its own messages."""
    async with running(stores, 2) as (here, there):
        came: list[str] = []
        server = here.fanout._servers[0]
        server._on_message = lambda channel, message: came.append(channel)
        await here.fanout.wait_subscribed("user:a")

        async def sends(word: bytes) -> list[str]:
            came.clear()
            here.fanout.send("user:a", word)
            # This one returns in any case, and after the first.
            server.publish(here.fanout._own_channel, word, back=True)
            async with asyncio.timeout(WAIT_SECONDS):
                while here.fanout._own_channel not in came:  # noqa: ASYNC110 - a plain list
                    await asyncio.sleep(0.01)
            return came[:-1]

        assert await sends(b"alone") == []
        await there.fanout.wait_subscribed("user:a")
        assert await sends(b"together") == ["room:user:a"]
        await there.receives("user:a", b"together")


async def test_a_process_that_subscribes_and_unsubscribes_is_received_by_others(
    stores: Addresses,
) -> None:
    """Guard: `_requested` matches the order of commands; otherwise Redis takes the only other
    subscriber for the sender itself, and publishes nothing."""
    async with running(stores, 2) as (here, there):
        await there.fanout.wait_subscribed("user:a")
        number = 0
        for pause in (0, 0, 0, 0.0003, 0.001, 0.003):
            for _ in range(40):
                for move in (here.fanout.subscribe, here.fanout.unsubscribe):
                    move("user:a")
                    here.fanout.send("user:a", b"%d" % number)
                    await asyncio.sleep(pause)
                    here.fanout.send("user:a", b"%d" % (number + 1))
                    number += 2
        await there.receives("user:a", b"%d" % (number - 1))
        assert [int(packet) for _, packet in there.received] == list(range(number))


async def test_a_channel_that_is_subscribed_again_at_once_works(stores: Addresses) -> None:
    """Guard: `_requested` changes before the command is sent, so that a room that is left and
    entered at the same moment is subscribed again."""
    async with running(stores, 2) as (here, there):
        await here.fanout.wait_subscribed("user:a")
        for pause in (0, 0, 0.0005, 0.001, 0.002, 0.005, 0.01):
            for again in range(5):
                here.fanout.unsubscribe("user:a")
                await asyncio.sleep(pause)
                await here.fanout.wait_subscribed("user:a")
                word = f"{pause} {again}".encode()
                there.fanout.send("user:a", word)
                await here.receives("user:a", word)


async def test_clients_are_told_to_sync_after_a_lost_connection(stores: Addresses) -> None:
    """Guard: `self._on_missed(None)` in `RedisChannels._report_missed`; the old subscription does
    not remain."""
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.wait_subscribed("user:a")
        channel = here.fanout._servers[0]._redis_name("room:user:a")
        for round in range(1, 4):
            for client in await redis.client_list(_type="pubsub"):
                with contextlib.suppress(Exception):
                    await redis.client_kill(client["addr"])
            async with asyncio.timeout(WAIT_SECONDS):
                while min(len(here.misses), len(there.misses)) < round:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            there.fanout.send("user:a", b"%d" % round)
            await here.receives("user:a", b"%d" % round)
            assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 1}


async def test_messages_during_a_break_are_reported_as_missed(stores: Addresses) -> None:
    """Guard: `_drop_unsent` at the reconnection: the messages would arrive after newer ones. The
    probes of `misses_own_messages` are no loss to other processes."""
    async with running(stores, 2) as (here, there):
        await here.fanout.wait_subscribed("user:a")
        await there.fanout._servers[0]._connection.disconnect(nowait=True)
        assert not await there.fanout.misses_own_messages()
        there.fanout.send("user:a", b"whole")
        await here.receives("user:a", b"whole")
        assert here.misses == []
        await there.fanout._servers[0]._connection.disconnect(nowait=True)
        there.fanout.send("user:a", b"late")
        await here.is_told_of_a_loss()
        there.fanout.send("user:a", b"again")
        await here.receives("user:a", b"again")
        assert ("user:a", b"late") not in here.received


async def test_a_process_that_always_publishes_reports_a_loss_too(
    stores: Addresses,
) -> None:
    """Guard: `_lost_messages` ends with the answer to MISSED, not when nothing is left to send."""
    async with running(stores, 1) as (process,), Redis.from_url(str(stores.redis_url)) as redis:
        connection = process.fanout._servers[0]._connection
        read = connection.read_response

        async def busily(**options: bool) -> object:
            answer = await read(**options)
            if answer is None and not process.misses:
                process.fanout.send("user:a", b"and another thing")
            return answer

        connection.read_response = busily
        await process.fanout.wait_subscribed("user:a")  # the read under way is the original one
        process.fanout.send("user:a", b"one thing")
        await asyncio.sleep(0.05)
        for client in await redis.client_list(_type="pubsub"):
            with contextlib.suppress(Exception):
                await redis.client_kill(client["addr"])
        await process.is_told_of_a_loss()


async def test_a_connection_to_a_silent_redis_is_closed(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `RedisChannels._watch_answers`; messages may be lost, which is reported."""
    monkeypatch.setattr("server.pubsub.redis_channels.ANSWER_SECONDS", 0.05)
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.wait_subscribed("user:a")
        there.fanout.send("user:a", b"connected")
        await here.receives("user:a", b"connected")
        await redis.client_pause(400)  # milliseconds
        there.fanout.send("user:a", b"slow")
        await here.is_told_of_a_loss()
        there.fanout.send("user:a", b"again")
        await here.receives("user:a", b"again")


async def test_more_unsent_messages_than_allowed_are_reported_as_missed(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: MAX_UNSENT_MESSAGES; the loss is reported also while an answer is awaited."""
    monkeypatch.setattr("server.pubsub.redis_channels.MAX_UNSENT_MESSAGES", 2)
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.wait_subscribed("user:a")
        await redis.client_pause(100)
        for number in range(2):
            there.fanout.send("user:a", b"%d" % number)
        await there.flush()
        for number in range(3):
            there.fanout.send("user:a", b"%d" % (2 + number))
        await here.is_told_of_a_loss()


async def test_unsent_messages_are_published_before_the_end(stores: Addresses) -> None:
    """Guard: `RedisChannels.stop` waits for `_all_sent`."""
    async with running(stores, 2) as (here, there), Redis.from_url(str(stores.redis_url)) as redis:
        await here.fanout.wait_subscribed("user:a")
        await redis.client_pause(100)
        there.fanout.send("user:a", b"goodbye")
        await there.flush()
        await there.fanout.stop()
        await here.receives("user:a", b"goodbye")


async def test_channels_of_new_clients_do_not_delay_the_report_of_a_loss(stores: Addresses) -> None:
    """Guard: `RedisChannels._restoring`; new clients would delay the report for ever."""
    async with running(stores, 1) as (process,):
        await process.fanout.wait_subscribed("user:a")
        server = process.fanout._servers[0]
        server._restoring = set(server._wanted)
        process.fanout.subscribe("user:b")
        for channel in ("everyone", process.fanout._own_channel):
            server._confirm(channel)
        assert process.misses == []
        server._confirm("room:user:a")
        assert process.misses == [None]


async def test_a_late_subscription_is_reported_as_missed(
    stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `RedisChannels._overdue`: a client that connects while Redis is slow is connected
    before its room is subscribed, and must sync afterwards."""
    async with running(stores, 1) as (process,):
        monkeypatch.setattr("server.pubsub.redis_channels.SUBSCRIBE_SECONDS", 0)
        await process.fanout.wait_subscribed("user:a")
        assert process.misses == []
        monkeypatch.undo()
        await process.fanout.wait_subscribed("user:b")
        assert process.misses == ["user:a"]


async def test_a_process_without_a_subscription_notices(stores: Addresses) -> None:
    """Guard: `misses_own_messages`: Redis takes messages and delivers none."""
    async with running(stores, 1) as (process,):
        assert not await process.fanout.misses_own_messages()
        process.fanout._servers[0].unsubscribe(process.fanout._own_channel)
        assert await process.fanout.misses_own_messages(0.5)
