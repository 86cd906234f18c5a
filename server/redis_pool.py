"""Connections to Redis, as its client makes them, but for one thing: they end as others do.

Under uvloop, who writes to a connection that has just been lost gets a RuntimeError, which the
client hands on, and nobody who is ready for a Redis that goes away is ready for that.
Source: uvloop's issues 506 and 685.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost

CONNECT_SECONDS = 2

Pool = TypeVar("Pool", bound=ConnectionPool)


class Losable:
    """Put before a class of connections."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Raises RedisError."""
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as closed:
            raise ConnectionLost(str(closed)) from closed


def redis_pool(kind: type[Pool], url: str, **options: Any) -> Pool:
    """A pool of that kind, for `redis://`, `rediss://` or `unix://`."""
    # Its own name and version are read from disk for each connection, and told in two commands.
    options = {"socket_connect_timeout": CONNECT_SECONDS, "driver_info": None, **options}
    pool = kind.from_url(url, **options)
    pool.connection_class = type("Connection", (Losable, pool.connection_class), {})
    return pool
