"""Fan-out: carries the packets for rooms between processes over Redis.

Decision: each room has its own channel, on one of the Redis servers in REDIS_URL, and a process
subscribes only to the channels of rooms that its own clients are in. So a process receives what its
clients need, however many processes there are, and more servers carry more traffic. The usual
design, one channel for all processes, makes each process read everything.

Messages that are lost while Redis is away are reported afterwards (`on_missed`): clients then sync.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence

import structlog

from server.pubsub.redis_channels import (
    ALL_PROCESSES,
    MISSED,
    SENDER_BYTES,
    OnMissed,
    RedisChannels,
)

log = structlog.get_logger()


class Fanout:
    """Rooms over all Redis servers. The user sets `deliver`, and adds to `on_broadcast` a function
    for each kind of broadcast, by its first byte, and to `on_missed` what follows a loss."""

    def __init__(self, urls: Sequence[str], prefix: str) -> None:
        self._sender = secrets.token_bytes(SENDER_BYTES)
        self._own_channel = f"process:{self._sender.hex()}"
        self._servers = [
            RedisChannels(url, prefix, self._on_message, self._on_missed) for url in urls
        ]
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self.received = 0  # messages from other processes
        self.deliver: Callable[[str, bytes], None] = lambda room, packet: None
        self.on_broadcast: dict[bytes, Callable[[bytes], None]] = {}
        self.on_missed: list[OnMissed] = []

    async def start(self, *, listening: bool) -> None:
        for server in self._servers:
            server.start()
        if listening:
            await asyncio.gather(
                *(
                    server.wait_subscribed(name)
                    for server in self._servers
                    for name in (ALL_PROCESSES, self._own_channel)
                )
            )

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers))

    def send(self, room: str, packet: bytes) -> None:
        """Send to the sockets in `room` on every process; on this one at once, without Redis."""
        self.deliver(room, packet)
        self._server_of(room).publish(f"room:{room}", self._sender + packet)

    def broadcast(self, message: bytes) -> None:
        """Send to every other process."""
        self._servers[0].publish(ALL_PROCESSES, self._sender + message)

    def subscribe(self, room: str) -> None:
        """Receive the packets of other processes for `room`, soon."""
        self._server_of(room).subscribe(f"room:{room}")

    async def wait_subscribed(self, room: str) -> None:
        """The same, and wait until it is so."""
        await self._server_of(room).wait_subscribed(f"room:{room}")

    def unsubscribe(self, room: str) -> None:
        self._server_of(room).unsubscribe(f"room:{room}")

    async def misses_own_messages(self, seconds: float = 2.0) -> bool:
        """Whether a Redis server takes messages of this process but does not deliver them back."""
        probe = secrets.token_bytes(SENDER_BYTES)
        echoes = []
        for number, server in enumerate(self._servers):
            echo = probe + bytes((number,))
            self._echoes[echo] = asyncio.get_running_loop().create_future()
            echoes.append(self._echoes[echo])
            server.publish(self._own_channel, self._sender + echo, back=True)
        try:
            _, missing = await asyncio.wait(echoes, timeout=seconds)
            return bool(missing)
        finally:
            for number in range(len(self._servers)):
                self._echoes.pop(probe + bytes((number,)), None)

    def _server_of(self, room: str) -> RedisChannels:
        """The server of a room: always the same, and few rooms move when a server is added.

        Source: rendezvous hashing, Thaler and Ravishankar 1996.
        """
        if len(self._servers) == 1:
            return self._servers[0]
        weights = [
            hashlib.blake2b(f"{number}:{room}".encode(), digest_size=8).digest()
            for number in range(len(self._servers))
        ]
        return self._servers[weights.index(max(weights))]

    def _on_message(self, channel: str, message: bytes) -> None:
        sender, content = message[:SENDER_BYTES], message[SENDER_BYTES:]
        try:
            if channel == self._own_channel:
                echo = self._echoes.get(content)
                if echo and not echo.done():
                    echo.set_result(None)
            elif sender == self._sender:
                return
            elif content == MISSED:
                self._tell_missed(None)
            elif channel == ALL_PROCESSES:
                self.on_broadcast[content[:1]](content)
            else:
                self.received += 1
                self.deliver(channel.removeprefix("room:"), content)
        except Exception:
            log.exception("message of another process not handled")

    def _on_missed(self, channel: str | None) -> None:
        if channel is None:
            log.warning("subscriptions are restored")
        self._tell_missed(channel and channel.removeprefix("room:"))

    def _tell_missed(self, room: str | None) -> None:
        for handler in self.on_missed:
            handler(room)
