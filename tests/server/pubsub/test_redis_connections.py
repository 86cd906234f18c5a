"""Redis connections: loss, and options."""

import asyncio
import socket
import struct

import pytest
import uvloop
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost

from server.pubsub.redis_connections import redis_pool


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
