"""Pools of Redis connections; a lost connection or a Redis that hangs always raises a RedisError.

Under uvloop, a write to a connection that was just reset raises RuntimeError, which the client
library passes on. Callers expect RedisError when Redis goes away.
Source: github.com/MagicStack/uvloop/issues/506 and 685.

A Redis that accepts commands and does not answer is as good as absent, but each caller would learn
it only after the time limit. So after the first one that did, all others are refused at once, but
for one attempt in each second, until Redis answers again (a circuit breaker).
"""

import time
from collections.abc import Iterable
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer
from redis.maint_notifications import MaintNotificationsConfig

CONNECT_SECONDS = 2
TRY_SECONDS = 1.0

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


class Breaker:
    """Whether the Redis of a pool answers; shared by the connections of the pool."""

    def __init__(self) -> None:
        self.open = False
        self._attempt: object = None
        self._next_attempt = 0.0

    def check(self, connection: object) -> None:
        """Raises ConnectionLost while Redis does not answer, but not for the one attempt."""
        if not self.open or connection is self._attempt:
            return
        now = time.monotonic()
        if now < self._next_attempt:
            raise ConnectionLost("Redis does not answer")
        self._attempt, self._next_attempt = connection, now + TRY_SECONDS

    def fail(self) -> None:
        self.open, self._attempt = True, None
        self._next_attempt = time.monotonic() + TRY_SECONDS

    def answered(self) -> None:
        self.open, self._attempt = False, None


class FailFast(LossAsRedisError):
    """A mixin for connections with a time limit: uses the breaker of their pool."""

    breaker: Breaker

    async def connect(self) -> None:
        """Raises RedisError."""
        self.breaker.check(self)
        try:
            await super().connect()  # type: ignore[misc]
        except NoAnswer:
            self.breaker.fail()
            raise

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Raises RedisError."""
        if self.breaker.open:
            self.breaker.check(self)
        await super().send_packed_command(command, check_health)

    async def read_response(self, *given: Any, **options: Any) -> Any:
        """Raises RedisError."""
        try:
            response = await super().read_response(*given, **options)  # type: ignore[misc]
        except NoAnswer:
            self.breaker.fail()
            raise
        except ResponseError:
            self.breaker.answered()
            raise
        if self.breaker.open:
            self.breaker.answered()
        return response


def redis_pool(kind: type[Pool], url: str, **options: Any) -> Pool:
    """A pool of that kind, for `redis://`, `rediss://` or `unix://`. `options` override those of
    the URL. With a `socket_timeout` it has a breaker."""
    # `driver_info`: the client library would read its version from disk for each connection and
    # send it to Redis in two commands. `maint_notifications_config`: it would ask each connection
    # for announcements that Redis does not have; a connection that ends is opened again.
    pool = kind(
        **{
            "socket_connect_timeout": CONNECT_SECONDS,
            "driver_info": None,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
            **parse_url(url),
            **options,
        }
    )
    limited = pool.connection_kwargs.get("socket_timeout") is not None
    mixin: type = FailFast if limited else LossAsRedisError
    members = {"breaker": Breaker()} if limited else {}
    pool.connection_class = type("Connection", (mixin, pool.connection_class), members)
    return pool
