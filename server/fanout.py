"""What is said to rooms, carried between processes over Redis.

Decision: each room has a channel of its own, on one of the addresses in REDIS_URL, and a process
listens only to the channels of rooms that somebody on it is in. So a process receives what its own
clients need, however many others there are, and more addresses carry more traffic. The usual way,
one channel that everybody listens to, makes each process read everything.

Decision: a process speaks over the connection on which it listens (RESP3 lets it). Redis does what
a connection asks in order, so when it speaks, it is certain which channels it hears itself; where
nobody else does, Redis sends nothing. To read its own words again cost it as much as ten
deliveries. With two connections, one of them could be lost without the other's knowing.

Whatever is lost while Redis is away is told afterwards (`missed`): clients then ask for it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.ending import end
from server.redis_pool import CONNECT_SECONDS, redis_pool

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
# `least`: how many must listen for a message to be of use, 2 where the sender is one of them.
PUBLISH = """
local all, at = ARGV[1], 1
while at <= #all do
    local least, channel, message
    least, channel, message, at = struct.unpack('>BI4c0I4c0', all, at)
    if least < 2 or redis.call('PUBSUB', 'NUMSUB', channel)[2] >= least then
        redis.call('PUBLISH', channel, message)
    end
end
"""

Heard = Callable[[str, bytes], None]
Missed = Callable[[str | None], None]  # on one channel, or on any


class Said(NamedTuple):
    """A message that waits for Redis; `back` if its own process wants to hear it."""

    channel: str
    message: bytes
    back: bool = False


class _Parser(DefaultParser):  # type: ignore[misc]
    """The client's own would make a text of each message for its debug log."""

    async def handle_pubsub_push_response(self, response: Any) -> Any:
        return response


class Shard:
    """One Redis: what this process publishes there, and the channels that it listens to."""

    def __init__(self, url: str, prefix: str, heard: Heard, missed: Missed) -> None:
        # Commands have ANSWER_SECONDS; to listen has no end.
        self._connection = redis_pool(
            ConnectionPool, url, socket_timeout=None, health_check_interval=0,
            retry=Retry(NoBackoff(), 0), protocol=3, parser_class=_Parser,
        ).make_connection()  # fmt: skip
        self._prefix = prefix
        self._heard = heard
        self._missed = missed
        self._wanted: set[str] = set()
        self._turned: set[str] = set()  # channels that are wanted now, or not any longer
        self._asked: set[str] = set()  # that Redis sends us, if it does what was asked so far
        self._there: set[str] = set()  # and has said so
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._late: set[str] = set()  # nobody waits for them any longer
        self._changed = asyncio.Event()
        self._unsent: list[Said] = []
        self._said = asyncio.Event()
        self._all_said = asyncio.Event()
        self._all_said.set()
        self._answer: asyncio.Future[None] | None = None  # to what is being said
        self._lost = False  # something that was said, and the others do not know it yet
        self._owed: set[str] | None = None  # after a break: channels to hear before telling of it
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._run())]

    async def stop(self) -> None:
        """What was said leaves first, if Redis is there."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._all_said.wait()
        except TimeoutError:
            log.warning("the last words were not told to other processes")
        await end(self._loops)

    async def _run(self) -> None:
        whole, again = True, False
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                    await self._connection.connect()
                whole = True
                self._asked, self._there, self._turned = set(), set(), set(self._wanted)
                self._changed.set()
                if again:
                    self._owed = set(self._wanted) or None
                if again and self._unsent:
                    self._lose()
                async with asyncio.TaskGroup() as group:
                    for work in (self._read, self._follow, self._speak):
                        group.create_task(work())
            except* (RedisError, OSError) as away:
                if whole:
                    reason = away.exceptions[0]
                    log.warning("cut off from other processes", reason=str(reason) or repr(reason))
            except* Exception:  # the other processes are still there
                log.exception("cut off from other processes")
            finally:
                await self._connection.disconnect(nowait=True)
            whole, again = False, True
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self, *command: str | bytes | int) -> None:
        """What is asked is on its way before anything else runs. Raises RedisError, OSError."""
        if not self._connection.is_connected:  # the client would connect again by itself
            raise ConnectionResetError("the connection to Redis was lost")
        await self._connection.send_command(*command)

    async def _read(self) -> None:
        """Answers come in between the messages. Raises RedisError, OSError."""
        while True:
            said = await self._connection.read_response(
                disconnect_on_error=False, push_request=True
            )
            if said is None:
                if self._answer and not self._answer.done():
                    self._answer.set_result(None)
                continue
            kind, name, content = said
            channel = name.decode().removeprefix(self._name(""))
            if kind == b"message":
                self._heard(channel, content)
            elif kind == b"subscribe":
                self._is_there(channel)
            else:
                self._there.discard(channel)

    # -- speaking ----------------------------------------------------------------------------

    def say(self, channel: str, message: bytes, *, back: bool = False) -> None:
        self._unsent.append(Said(channel, message, back))
        if len(self._unsent) > MOST_UNSENT:
            self._lose()
        self._all_said.clear()
        self._said.set()

    def _lose(self) -> None:
        """Instead of what could not be said the others are told that they have missed something."""
        self._lost = True
        self._unsent = [Said(EVERYONE, b"\0" * SENDER + MISSED)]
        self._said.set()

    async def _speak(self) -> None:
        """What was said in one turn of the loop leaves in one command."""
        while True:
            await self._said.wait()
            self._said.clear()
            while self._unsent:
                await self._publish()
            self._all_said.set()
            if self._lost:
                self._lost = False
                self._settle()

    async def _publish(self) -> None:
        """Raises RedisError, OSError: then nobody knows whether it was said."""
        batch, self._unsent = self._unsent[:AT_ONCE], self._unsent[AT_ONCE:]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._answer = asyncio.get_running_loop().create_future()
                await self._ask("EVAL", PUBLISH, 0, b"".join(map(self._packed, batch)))
                await self._answer
        except BaseException:
            self._unsent = batch + self._unsent
            raise

    def _packed(self, said: Said) -> bytes:
        """As PUBLISH unpacks it."""
        least = 2 if said.channel in self._asked and not said.back else 0
        name, message = self._name(said.channel).encode(), said.message
        return b"%c%b%b%b%b" % (
            least, len(name).to_bytes(4), name, len(message).to_bytes(4), message
        )  # fmt: skip

    # -- listening ---------------------------------------------------------------------------

    def want(self, channel: str) -> None:
        """Listen from now on, as soon as Redis is asked."""
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._turn(channel)

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
        if channel in self._wanted:
            self._wanted.discard(channel)
            self._late.discard(channel)
            self._turn(channel)

    def _turn(self, channel: str) -> None:
        self._turned.add(channel)
        self._changed.set()

    async def _follow(self) -> None:
        """Ask for the channels that are wanted; after a new connection, all of them."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._turned:
                some = {self._turned.pop() for _ in range(min(AT_ONCE, len(self._turned)))}
                # `_asked` changes in the very moment of asking: `_packed` goes by it, and so does
                # who wants one of the old again meanwhile.
                if new := (some & self._wanted) - self._asked:
                    self._asked |= new
                    await self._ask("SUBSCRIBE", *map(self._name, new))
                if old := (some & self._asked) - self._wanted:
                    self._asked -= old
                    self._there -= old
                    await self._ask("UNSUBSCRIBE", *map(self._name, old))
            self._settle()

    def _is_there(self, channel: str) -> None:
        self._there.add(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.set_result(None)
        if channel in self._late:
            self._late.discard(channel)
            self._missed(channel)
        self._settle()

    def _settle(self) -> None:
        """What was missed is told of when all that was wanted at the break is heard again, and the
        others know of what they missed. Clients keep coming, and what they want is not waited
        for."""
        if self._owed is not None and not self._lost and self._owed & self._wanted <= self._there:
            self._owed = None
            self._missed(None)

    def _name(self, channel: str) -> str:
        return f"{self._prefix}:say:{channel}"


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
