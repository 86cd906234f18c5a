"""One Redis of the fan-out: what this process says there, and the channels that it listens to.

Decision: a process speaks over the connection on which it listens (RESP3 lets it). Redis does what
a connection asks in order, so when it speaks, it is certain which channels it hears itself; where
nobody else does, Redis sends nothing. To read its own words again cost it as much as ten
deliveries. With two connections, one of them could be lost without the other's knowing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from server.pubsub.redis_connections import CONNECT_SECONDS, redis_pool
from server.runtime.background_tasks import end

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
# `own`: 1 if the sender listens, too; then it is of use only if it is not the only one.
PUBLISH = """
local all, at = ARGV[1], 1
while at <= #all do
    local own, channel, message
    own, channel, message, at = struct.unpack('>BI4c0I4c0', all, at)
    if own == 0 or redis.call('PUBSUB', 'NUMSUB', channel)[2] > 1 then
        redis.call('PUBLISH', channel, message)
    end
end
"""

Said = tuple[str, bytes, bool]  # a channel, a message, and whether its own process wants to hear it
Heard = Callable[[str, bytes], None]
Missed = Callable[[str | None], None]  # on one channel, or on any


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]
    """The client's own would make a text of each message for its debug log."""

    async def handle_pubsub_push_response(self, response: Any) -> Any:
        return response


class Shard:
    """The connection to one Redis. `heard` is told what comes on a channel, `missed` that something
    may not have come."""

    def __init__(self, url: str, prefix: str, heard: Heard, missed: Missed) -> None:
        # Nothing here may make the client wait or ask by itself before it writes: see `_ask`.
        pool: Any = redis_pool(
            ConnectionPool,
            url,
            socket_timeout=None,
            health_check_interval=0,
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            parser_class=_Parser,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._connection = pool.make_connection()
        self._prefix = f"{prefix}:say:"
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
        self._answered = asyncio.Event()  # what was said last
        self._answered.set()
        self._reads = 0
        self._cut = False  # from Redis; nothing could be said since
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
        """Be connected, again and again, until the process ends."""
        again = False
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                    await self._connection.connect()
                self._asked, self._there, self._turned = set(), set(), set(self._wanted)
                self._changed.set()
                if again:
                    self._owed = set(self._wanted) or None
                    # Some of it may have been said; the rest would come after newer things.
                    if any(not back for _, _, back in self._unsent):
                        self._lose()
                self._said.set()
                async with asyncio.TaskGroup() as group:
                    for work in (self._read, self._follow, self._speak, self._watch):
                        group.create_task(work())
            except* (RedisError, OSError) as away:
                if not self._cut:
                    reason = away.exceptions[0]
                    log.warning("cut off from other processes", reason=str(reason) or repr(reason))
            except* Exception:  # the other processes are still there
                log.exception("cut off from other processes")
            finally:
                await self._connection.disconnect(nowait=True)
            self._cut = again = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self, *command: str | bytes | int) -> None:
        """What is asked is on its way before anything else runs: the client writes at once, since
        it has no time limit and no health check. Raises RedisError, OSError."""
        if not self._connection.is_connected:  # it would connect again by itself
            raise ConnectionResetError("the connection to Redis was lost")
        await self._connection.send_command(*command)

    async def _read(self) -> None:
        """Answers come in between the messages. Raises RedisError, OSError."""
        while True:
            said = await self._connection.read_response(
                disconnect_on_error=False, push_request=True
            )
            self._reads += 1
            if said is None:
                self._cut = False
                self._answered.set()
                continue
            kind, name, content = said
            channel = name.decode().removeprefix(self._prefix)
            if kind == b"message":
                self._heard(channel, content)
            elif kind == b"subscribe" and channel in self._asked:
                self._is_there(channel)

    async def _watch(self) -> None:
        """Raises TimeoutError when Redis owes an answer and nothing at all comes from it."""
        while True:
            reads, waits = self._reads, self._waits()
            await asyncio.sleep(ANSWER_SECONDS)
            if waits and self._waits() and reads == self._reads:
                raise TimeoutError("Redis does not answer")

    def _waits(self) -> bool:
        return not self._answered.is_set() or self._asked != self._there

    # -- speaking ----------------------------------------------------------------------------

    def say(self, channel: str, message: bytes, *, back: bool = False) -> None:
        self._unsent.append((channel, message, back))
        if len(self._unsent) > MOST_UNSENT:
            self._lose()
        self._all_said.clear()
        self._said.set()

    def _lose(self) -> None:
        """Instead of what could not be said the others are told that they have missed something."""
        self._lost = True
        self._unsent = [(EVERYONE, b"\0" * SENDER + MISSED, False)]

    async def _speak(self) -> None:
        """What was said in one turn of the loop leaves in one command."""
        while True:
            await self._said.wait()
            self._said.clear()
            while self._unsent:
                await self._publish()
                if self._lost:
                    self._lost = False
                    self._settle()
            self._all_said.set()

    async def _publish(self) -> None:
        """Raises RedisError, OSError: then nobody knows whether it was said."""
        batch, self._unsent = self._unsent[:AT_ONCE], self._unsent[AT_ONCE:]
        self._answered.clear()
        try:
            await self._ask("EVAL", PUBLISH, 0, b"".join(map(self._packed, batch)))
            await self._answered.wait()
        except BaseException:
            self._answered.set()
            self._unsent = batch + self._unsent
            raise

    def _packed(self, said: Said) -> bytes:
        """As PUBLISH unpacks it."""
        channel, message, back = said
        own = channel in self._asked and not back
        name = self._name(channel).encode()
        return b"%c%b%b%b%b" % (own, len(name).to_bytes(4), name, len(message).to_bytes(4), message)

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
            self._waiting.pop(channel, None)
            self._turn(channel)
            self._heals(channel)

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

    def _is_there(self, channel: str) -> None:
        self._there.add(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.set_result(None)
        if channel in self._late:
            self._late.discard(channel)
            self._missed(channel)
        self._heals(channel)

    def _heals(self, channel: str) -> None:
        """It is heard again after a break, or need not be."""
        if self._owed is not None:
            self._owed.discard(channel)
            self._settle()

    def _settle(self) -> None:
        """What was missed is told of when all that was wanted at the break is heard again, and the
        others know of what they missed. Clients keep coming, and what they want is not waited
        for."""
        if self._owed is not None and not self._owed and not self._lost:
            self._owed = None
            self._missed(None)

    def _name(self, channel: str) -> str:
        return self._prefix + channel
