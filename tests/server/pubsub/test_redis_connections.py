"""Redis connections: loss, and options."""

import asyncio
import os
import signal
import socket
import struct
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as NoAnswer

from server.dev.stores import Embedded
from server.pubsub import redis_connections
from server.pubsub.redis_connections import redis_pool
from tests.support.processes import suspend


def test_a_reset_connection_raises_a_redis_error() -> None:
    """Guard: `LossAsRedisError`; without it code that expects RedisError fails."""
    uvloop.run(_write_after_a_reset())


def test_options_override_the_url() -> None:
    """Guard: `parse_url` before `options`. The client library lets the URL win: with a
    time limit the fan-out would disconnect whenever it is idle."""
    pool = redis_pool(
        ConnectionPool, "redis://h/3?socket_timeout=1&protocol=2", socket_timeout=None
    )
    connection = pool.make_connection()
    assert (connection.host, connection.db, connection.protocol) == ("h", 3, 2)
    assert connection.socket_timeout is None


async def _write_after_a_reset() -> None:
    async with await asyncio.start_server(_reset, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = redis_pool(
            ConnectionPool, f"redis://127.0.0.1:{port}", protocol=2
        ).make_connection()
        await connection.connect()
        while not connection._writer.transport.is_closing():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost, match="closed"):
            await connection.send_command("PING")
        await connection.disconnect(nowait=True)


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset a connection, as the system does after the end of a process."""
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_redis_that_hangs_is_asked_by_one_caller_in_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Breaker` and its use in `FailFast`; without it each caller waits for the time
    limit. As soon as Redis answers again, all are served."""
    monkeypatch.setattr(redis_connections, "TRY_SECONDS", 0.2)
    with Embedded(tmp_path, {"redis"}) as addresses:
        pool = redis_pool(
            BlockingConnectionPool, str(addresses.redis_url), socket_timeout=0.5, max_connections=9
        )
        async with Redis.from_pool(pool) as redis:
            await redis.ping()
            suspend(addresses.pids["redis"])
            with pytest.raises(NoAnswer):
                await redis.ping()
            asked = [redis.ping() for _ in range(8)]
            refused = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(each) for each in refused} == {ConnectionLost}
            await asyncio.sleep(0.2)
            attempts = await asyncio.gather(
                *(redis.ping() for _ in range(8)), return_exceptions=True
            )
            assert sorted(type(each).__name__ for each in attempts) == [
                *["ConnectionError"] * 7,
                "TimeoutError",
            ]
            os.kill(addresses.pids["redis"], signal.SIGCONT)
            await asyncio.sleep(0.2)
            assert await redis.ping()
            assert all(await asyncio.gather(*(redis.ping() for _ in range(8))))
