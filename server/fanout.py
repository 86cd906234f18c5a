"""What is said to rooms, carried between processes over Redis.

Decision: each room has a channel of its own, on one of the addresses in REDIS_URL, and a process
listens only to the channels of rooms that somebody on it is in. So a process receives what its own
clients need, however many others there are, and more addresses carry more traffic. The usual way,
one channel that everybody listens to, makes each process read everything.

Whatever is lost while Redis is away is told afterwards (`missed`): clients then ask for it.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.ending import end
from server.redis_pool import redis_pool

log = structlog.get_logger()

RETRY_SECONDS = 0.5
ANSWER_SECONDS = 2.0
PATIENCE = 1.0  # seconds that a connecting client waits for its channel
AT_ONCE = 500  # channels or messages in one request
MOST_UNSENT = 20_000  # messages that wait for Redis
SENDER = 8  # bytes in front of each message
EVERYONE = "everyone"  # the channel of all processes
MISSED = b"missed"

# Many messages in one argument: a command for each costs us more than everything else about it.
PUBLISH = """
local all, at = ARGV[1], 1
while at <= #all do
    local channel, message
    channel, message, at = struct.unpack('>I4c0I4c0', all, at)
    redis.call('PUBLISH', channel, message)
end
"""

Heard = Callable[[str, bytes], None]
Missed = Callable[[str | None], None]  # on one channel, or on any


class Shard:
    """One Redis: what this process publishes there, and the channels that it listens to."""

    def __init__(self, url: str, prefix: str, heard: Heard, missed: Missed) -> None:
        pool = redis_pool(
            ConnectionPool, url, socket_timeout=None, health_check_interval=0,
            retry=Retry(NoBackoff(), 0), protocol=2,
        )  # fmt: skip
        self._listening: Redis[Any] = Redis.from_pool(pool)
        # A connection of its own: to take one from the pool costs as much as the command itself.
        self._speaking = pool.make_connection()
        self._prefix = prefix
        self._heard = heard
        self._missed = missed
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._there: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._late: set[str] = set()  # nobody waits for them any longer
        self._changed = asyncio.Event()
        self._unsent: list[bytes] = []
        self._said = asyncio.Event()
        self._failed = False
        self._full = False
        self._owed: set[str] | None = None  # after a break: channels to hear before telling of it
        self._loops: list[asyncio.Task[None]] = []

    def start(self, *, listening: bool) -> None:
        self._loops = [asyncio.create_task(self._speak())]
        if listening:
            self._loops.append(asyncio.create_task(self._listen()))

    async def stop(self) -> None:
        await end(self._loops)
        with contextlib.suppress(RedisError, OSError):
            await self._flush()
        await self._speaking.disconnect(nowait=True)
        await self._listening.aclose()

    # -- speaking ----------------------------------------------------------------------------

    def say(self, channel: str, message: bytes) -> None:
        if len(self._unsent) < MOST_UNSENT:
            self._unsent.append(self._packed(channel, message))
        else:
            self._full = True
        self._said.set()

    async def _speak(self) -> None:
        """What was said in one turn of the loop leaves in one command."""
        while True:
            await self._said.wait()
            self._said.clear()
            try:
                await self._flush()
            except (RedisError, OSError) as away:
                if not self._failed:
                    log.warning("not told to other processes", reason=str(away) or repr(away))
                self._failed = True
                await asyncio.sleep(RETRY_SECONDS)
                self._said.set()  # look whether it is back, to tell that something was missed

    def _packed(self, channel: str, message: bytes) -> bytes:
        """As PUBLISH unpacks it."""
        name = self._name(channel).encode()
        return b"%b%b%b%b" % (len(name).to_bytes(4), name, len(message).to_bytes(4), message)

    async def _flush(self) -> None:
        if self._failed or self._full:
            self._failed, self._full = True, False
            self._unsent = [self._packed(EVERYONE, b"\0" * SENDER + MISSED)]
        while self._unsent:
            batch, self._unsent = self._unsent[:AT_ONCE], self._unsent[AT_ONCE:]
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._speaking.send_command("EVAL", PUBLISH, 0, b"".join(batch))
                    await self._speaking.read_response()
            except asyncio.CancelledError:
                self._unsent = batch + self._unsent  # rather twice than never
                raise
        self._failed = False

    # -- listening ---------------------------------------------------------------------------

    def want(self, channel: str) -> None:
        """Listen from now on, as soon as Redis is asked."""
        self._wanted.add(channel)
        if channel not in self._asked:
            self._changed.set()

    async def heard(self, channel: str) -> None:
        """Returns when Redis has said that we listen, or does not answer; when it does later on,
        something may have been missed."""
        self.want(channel)
        if channel in self._there:
            return
        waiting = self._waiting.setdefault(channel, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(waiting)
        except TimeoutError:
            if channel not in self._there:
                self._late.add(channel)

    def unwant(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._late.discard(channel)
        self._changed.set()

    async def _listen(self) -> None:
        again = False
        while True:
            try:
                async with self._listening.pubsub() as pubsub:
                    self._asked, self._there = {EVERYONE}, set()
                    self._owed = set(self._wanted) if again else None
                    await pubsub.subscribe(self._name(EVERYONE))
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._follow(pubsub))
                        group.create_task(self._read(pubsub))
            except* (RedisError, OSError, EOFError) as away:
                if not again:
                    log.warning("not told by other processes", reason=str(away.exceptions[0]))
            again = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, pubsub: PubSub) -> None:
        """Ask for the channels that are wanted; after a new connection, all of them."""
        while True:
            new, old = self._wanted - self._asked, self._asked - self._wanted
            self._changed.clear()
            # Before Redis is asked: who wants one of the old again meanwhile has it asked for.
            self._asked = self._asked - old | new
            self._there -= old
            for some in _chunks(new):
                await pubsub.subscribe(*map(self._name, some))
            for some in _chunks(old):
                await pubsub.unsubscribe(*map(self._name, some))
            self._settle()
            await self._changed.wait()

    def _settle(self) -> None:
        """What was missed is told of when all that was wanted at the break is heard again. Clients
        keep coming, and what they want is not waited for."""
        if self._owed is not None and self._owed & self._wanted <= self._there:
            self._owed = None
            self._missed(None)

    async def _read(self, pubsub: PubSub) -> None:
        while pubsub.subscribed:
            kind, name, *_, content = said = await pubsub.parse_response()
            channel = name.decode().removeprefix(self._name(""))
            if kind == b"message":
                self._heard(channel, content)
                continue
            await pubsub.handle_message(said)
            if kind == b"subscribe":
                self._there.add(channel)
                if waiting := self._waiting.pop(channel, None):
                    waiting.set_result(None)
                if channel in self._late:
                    self._late.discard(channel)
                    self._missed(channel)
                self._settle()
            else:
                self._there.discard(channel)
        raise EOFError("the subscription ended")

    def _name(self, channel: str) -> str:
        return f"{self._prefix}:say:{channel}"


class Fanout:
    """Rooms over all shards. Who listens sets `deliver`, `control` and `missed`."""

    def __init__(self, urls: Sequence[str], prefix: str) -> None:
        self._sender = secrets.token_bytes(SENDER)
        self._own = f"process:{self._sender.hex()}"
        self._shards = [Shard(url, prefix, self._heard, self._lost) for url in urls]
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._listening = False
        self.received = 0  # messages from other processes
        self.deliver: Callable[[str, bytes], None] = lambda room, packet: None
        self.control: Callable[[bytes], None] = lambda message: None
        self.missed: Missed = lambda room: None

    async def start(self, *, listening: bool) -> None:
        self._listening = listening
        for shard in self._shards:
            shard.start(listening=listening)
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
            shard.say(self._own, self._sender + echo)
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
                if echo := self._echoes.get(content):
                    echo.done() or echo.set_result(None)
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


def user_room(user_id: str) -> str:
    return f"user:{user_id}"


def _chunks(names: Iterable[str]) -> list[list[str]]:
    every = sorted(names)
    return [every[start : start + AT_ONCE] for start in range(0, len(every), AT_ONCE)]
