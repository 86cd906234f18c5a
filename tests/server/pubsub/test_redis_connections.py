"""What a connection to Redis does when it ends."""

import asyncio
import socket
import struct

import pytest
import uvloop
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost

from server.pubsub.redis_connections import redis_pool


def test_a_connection_that_was_reset_is_lost_as_any_other() -> None:
    """Guard: `LossAsRedisError`; without it code that expects RedisError fails."""
    uvloop.run(_write_after_a_reset())


def test_what_we_need_wins_over_the_address() -> None:
    """Guard: `parse_url` before `options`. The client lets the address win: with a time limit of
    its own, the fan-out would break off whenever nothing is said."""
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
        while not connection._writer.transport.is_closing():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost, match="closed"):
            await connection.send_command("PING")
        await connection.disconnect(nowait=True)


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection as a system does whose process is gone."""
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
