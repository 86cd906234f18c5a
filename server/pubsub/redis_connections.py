"""Pools of Redis connections; a lost connection always raises a RedisError.

Under uvloop, a write to a connection that was just reset raises RuntimeError, which the client
library passes on. Callers expect RedisError when Redis goes away.
Source: github.com/MagicStack/uvloop/issues/506 and 685.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError as ConnectionLost

CONNECT_SECONDS = 2

Pool = TypeVar("Pool", bound=ConnectionPool)


class LossAsRedisError:
    """A mixin for the client library's connections: a lost one raises its ConnectionError."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Raises RedisError."""
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as closed:
            raise ConnectionLost(str(closed)) from closed


def redis_pool(kind: type[Pool], url: str, **options: Any) -> Pool:
    """A pool of that kind, for `redis://`, `rediss://` or `unix://`. `options` override those of
    the URL."""
    # `driver_info`: the client library would read its version from disk for each connection and
    # send it to Redis in two commands.
    pool = kind(
        **{
            "socket_connect_timeout": CONNECT_SECONDS,
            "driver_info": None,
            **parse_url(url),
            **options,
        }
    )
    pool.connection_class = type("Connection", (LossAsRedisError, pool.connection_class), {})
    return pool
