"""Short messages between processes over Redis: sessions extended and revoked."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.ending import end

log = structlog.get_logger()

RETRY_SECONDS = 1.0


class Notice(msgspec.Struct, frozen=True):
    """`kind` is `extended` (with `until`) or `revoked`."""

    kind: str
    session_id: str
    until: datetime | None
    sender: str


class Control:
    """Publishes to all processes, this one first, so that it works here without Redis too."""

    def __init__(self, redis: "Redis[Any]", prefix: str) -> None:
        self._redis = redis
        self._channel = f"{prefix}:control"
        self._sender = secrets.token_hex(8)
        self._listening: asyncio.Task[None] | None = None
        self.receive: Callable[[Notice], Awaitable[None]] = _ignore

    async def announce(self, kind: str, session_id: str, until: datetime | None = None) -> None:
        notice = Notice(kind, session_id, until, self._sender)
        await self.receive(notice)
        try:
            await self._redis.publish(self._channel, msgspec.json.encode(notice))
        except RedisError:
            log.warning("control message not published", kind=kind)

    def start(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._listening:
            await end([self._listening])

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    async for message in pubsub.listen():
                        notice = msgspec.json.decode(message["data"], type=Notice)
                        if notice.sender != self._sender:
                            await self.receive(notice)
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("control message not understood")


async def _ignore(notice: Notice) -> None:
    return None
