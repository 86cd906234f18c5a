"""What is said to rooms, carried between processes over Redis.

Decision: each room has a channel of its own, on one of the addresses in REDIS_URL, and a process
listens only to the channels of rooms that somebody on it is in. So a process receives what its own
clients need, however many others there are, and more addresses carry more traffic. The usual way,
one channel that everybody listens to, makes each process read everything.

Whatever is lost while Redis is away is told afterwards (`missed`): clients then ask for it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence

import structlog

from server.pubsub.redis_channels import EVERYONE, MISSED, SENDER, Missed, Shard

log = structlog.get_logger()


class Fanout:
    """Rooms over all shards. Who listens sets `deliver`, `control` and `missed`."""

    def __init__(self, urls: Sequence[str], prefix: str) -> None:
        self._sender = secrets.token_bytes(SENDER)
        self._own = f"process:{self._sender.hex()}"
        self._shards = [Shard(url, prefix, self._heard, self._lost) for url in urls]
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self.received = 0  # messages from other processes
        self.deliver: Callable[[str, bytes], None] = lambda room, packet: None
        self.control: Callable[[bytes], None] = lambda message: None
        self.missed: Missed = lambda room: None

    async def start(self, *, listening: bool) -> None:
        for shard in self._shards:
            shard.start()
        if listening:
            await asyncio.gather(
                *(shard.heard(name) for shard in self._shards for name in (EVERYONE, self._own))
            )

    async def stop(self) -> None:
        await asyncio.gather(*(shard.stop() for shard in self._shards))

    def send(self, room: str, packet: bytes) -> None:
        """To the sockets in `room` on every process: here at once, also without Redis."""
        self.deliver(room, packet)
        self._shard(room).say(f"room:{room}", self._sender + packet)

    def announce(self, message: bytes) -> None:
        """To every process but this one."""
        self._shards[0].say(EVERYONE, self._sender + message)

    def enter(self, room: str) -> None:
        """Hear what other processes say to `room`, soon."""
        self._shard(room).want(f"room:{room}")

    async def join(self, room: str) -> None:
        """The same, and wait for it."""
        await self._shard(room).heard(f"room:{room}")

    def leave(self, room: str) -> None:
        self._shard(room).unwant(f"room:{room}")

    async def deaf(self, seconds: float = 2.0) -> bool:
        """Whether some Redis takes what we say and does not let us hear it."""
        word = secrets.token_bytes(SENDER)
        heard = []
        for number, shard in enumerate(self._shards):
            echo = word + bytes((number,))
            self._echoes[echo] = asyncio.get_running_loop().create_future()
            heard.append(self._echoes[echo])
            shard.say(self._own, self._sender + echo, back=True)
        try:
            _, unheard = await asyncio.wait(heard, timeout=seconds)
            return bool(unheard)
        finally:
            for number in range(len(self._shards)):
                self._echoes.pop(word + bytes((number,)), None)

    def _shard(self, room: str) -> Shard:
        """Always the same for a room, and few of them move when an address is added.

        Source: rendezvous hashing, Thaler and Ravishankar 1996.
        """
        if len(self._shards) == 1:
            return self._shards[0]
        weights = [
            hashlib.blake2b(f"{number}:{room}".encode(), digest_size=8).digest()
            for number in range(len(self._shards))
        ]
        return self._shards[weights.index(max(weights))]

    def _heard(self, channel: str, message: bytes) -> None:
        sender, content = message[:SENDER], message[SENDER:]
        try:
            if channel == self._own:
                echo = self._echoes.get(content)
                if echo and not echo.done():
                    echo.set_result(None)
            elif sender == self._sender:
                return
            elif content == MISSED:
                self.missed(None)
            elif channel == EVERYONE:
                self.control(content)
            else:
                self.received += 1
                self.deliver(channel.removeprefix("room:"), content)
        except Exception:
            log.exception("message of another process not understood")

    def _lost(self, channel: str | None) -> None:
        if channel is None:
            log.warning("other processes are heard again")
        self.missed(channel and channel.removeprefix("room:"))
