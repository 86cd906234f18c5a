"""One Redis server of the fan-out: publishes messages and subscribes to channels.

Decision: a process publishes over the connection on which it subscribes (RESP3 allows this). Redis
executes the commands of a connection in order, so the process knows to which channels it is
subscribed when it publishes, and Redis publishes nothing where no other process is subscribed. To
receive its own messages cost a process as much as ten deliveries. With two connections, one could
be lost without the other noticing.
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

from server.pubsub.redis_connections import CONNECT_SECONDS, redis_pool
from server.runtime.background_tasks import end

log = structlog.get_logger()

RETRY_SECONDS = 0.5
ANSWER_SECONDS = 2.0
SUBSCRIBE_SECONDS = 1.0  # that a connecting client waits for the subscription
BATCH = 500  # channels or messages in one command
MAX_UNSENT_MESSAGES = 20_000  # then they are replaced by one MISSED
SENDER_BYTES = 8  # the length of the sender's id in front of each message
ALL_PROCESSES = "everyone"  # the channel of all processes
MISSED = b"missed"  # the message that others were lost

# Many messages in one argument: a command for each costs this process more than all other work.
# `own`: 1 if the sender is subscribed; then only a second subscriber makes it worth publishing.
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

Outgoing = tuple[str, bytes, bool]  # channel, message, whether the sender wants it back
OnMessage = Callable[[str, bytes], None]
OnMissed = Callable[[str | None], None]  # with the channel; None: any channel


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]
    """Skips the text of each message that the client library makes for its debug log."""

    async def handle_pubsub_push_response(self, response: Any) -> Any:
        return response


class RedisChannels:
    """The connection to one Redis server. `on_message` is called for each message of a channel,
    `on_missed` when messages may have been lost."""

    def __init__(self, url: str, prefix: str, on_message: OnMessage, on_missed: OnMissed) -> None:
        # No option may make the client wait or send a command before it writes: `_send_command`.
        pool: Any = redis_pool(
            ConnectionPool,
            url,
            socket_timeout=None,
            health_check_interval=0,
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            parser_class=_Parser,
        )
        self._connection = pool.make_connection()
        self._prefix = f"{prefix}:pubsub:"
        self._on_message = on_message
        self._on_missed = on_missed
        self._wanted: set[str] = set()
        self._to_update: set[str] = set()  # added to or removed from `_wanted`
        self._requested: set[str] = set()  # subscriptions sent to Redis
        self._confirmed: set[str] = set()  # answered by Redis
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._overdue: set[str] = set()  # channels whose waiters have given up
        self._subscriptions_changed = asyncio.Event()
        self._unsent: list[Outgoing] = []
        self._has_unsent = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._publish_answered = asyncio.Event()  # the last batch
        self._publish_answered.set()
        self._reads = 0
        self._disconnected = False  # since the last answer of Redis
        self._lost_messages = False  # and MISSED is not published yet
        # After a lost connection: the channels to confirm before `on_missed` is called.
        self._restoring: set[str] | None = None
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._run())]

    async def stop(self) -> None:
        """Publish the unsent messages first, if Redis answers."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._all_sent.wait()
        except TimeoutError:
            log.warning("the last messages were not published")
        await end(self._loops)

    async def _run(self) -> None:
        """Connect, and again after each loss, until the process ends."""
        again = False
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                    await self._connection.connect()
                self._requested, self._confirmed, self._to_update = set(), set(), set(self._wanted)
                self._subscriptions_changed.set()
                if again:
                    self._restoring = set(self._wanted) or None
                    # A part may have been published; the rest would arrive after newer messages.
                    if any(not back for _, _, back in self._unsent):
                        self._drop_unsent()
                self._has_unsent.set()
                async with asyncio.TaskGroup() as group:
                    for work in (
                        self._read_loop,
                        self._subscription_loop,
                        self._publish_loop,
                        self._watch_answers,
                    ):
                        group.create_task(work())
            except* (RedisError, OSError) as away:
                if not self._disconnected:
                    reason = away.exceptions[0]
                    log.warning("pub/sub connection lost", reason=str(reason) or repr(reason))
            except* Exception:
                log.exception("pub/sub connection failed")
            finally:
                await self._connection.disconnect(nowait=True)
            self._disconnected = again = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _send_command(self, *command: str | bytes | int) -> None:
        """Send a command before any other task runs: without a time limit and a health check the
        client writes at once. Raises RedisError, OSError."""
        if not self._connection.is_connected:  # the client would reconnect on its own
            raise ConnectionResetError("the connection to Redis was lost")
        await self._connection.send_command(*command)

    async def _read_loop(self) -> None:
        """Read messages, with answers in between. Raises RedisError, OSError."""
        while True:
            response = await self._connection.read_response(
                disconnect_on_error=False, push_request=True
            )
            self._reads += 1
            if response is None:
                self._disconnected = False
                self._publish_answered.set()
                continue
            kind, name, content = response
            channel = name.decode().removeprefix(self._prefix)
            if kind == b"message":
                self._on_message(channel, content)
            elif kind == b"subscribe" and channel in self._requested:
                self._confirm(channel)

    async def _watch_answers(self) -> None:
        """Raises TimeoutError when an answer is due and nothing at all arrives."""
        while True:
            reads, waits = self._reads, self._awaits_answer()
            await asyncio.sleep(ANSWER_SECONDS)
            if waits and self._awaits_answer() and reads == self._reads:
                raise TimeoutError("Redis does not answer")

    def _awaits_answer(self) -> bool:
        return not self._publish_answered.is_set() or self._requested != self._confirmed

    # -- publishing --------------------------------------------------------------------------

    def publish(self, channel: str, message: bytes, *, back: bool = False) -> None:
        self._unsent.append((channel, message, back))
        if len(self._unsent) == 1:
            self._all_sent.clear()
            self._has_unsent.set()
        elif len(self._unsent) > MAX_UNSENT_MESSAGES:
            self._drop_unsent()

    def _drop_unsent(self) -> None:
        """Replace all unsent messages by one that reports the loss to the other processes."""
        self._lost_messages = True
        self._unsent = [(ALL_PROCESSES, b"\0" * SENDER_BYTES + MISSED, False)]

    async def _publish_loop(self) -> None:
        """Publish the messages of one turn of the event loop in one command."""
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            while self._unsent:
                await self._publish_batch()
                if self._lost_messages:
                    self._lost_messages = False
                    self._report_missed()
            self._all_sent.set()

    async def _publish_batch(self) -> None:
        """Raises RedisError, OSError: then it is unknown whether the batch was published."""
        batch, self._unsent = self._unsent[:BATCH], self._unsent[BATCH:]
        self._publish_answered.clear()
        try:
            await self._send_command("EVAL", PUBLISH, 0, b"".join(map(self._pack, batch)))
            await self._publish_answered.wait()
        except BaseException:
            self._publish_answered.set()
            self._unsent = batch + self._unsent
            raise

    def _pack(self, outgoing: Outgoing) -> bytes:
        """In the format that PUBLISH unpacks."""
        channel, message, back = outgoing
        own = channel in self._requested and not back
        name = self._redis_name(channel).encode()
        return b"%c%b%b%b%b" % (own, len(name).to_bytes(4), name, len(message).to_bytes(4), message)

    # -- subscribing -------------------------------------------------------------------------

    def subscribe(self, channel: str) -> None:
        """Subscribe soon, without waiting for it."""
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._mark_changed(channel)

    async def wait_subscribed(self, channel: str) -> None:
        """Subscribe and wait for the confirmation of Redis, at most SUBSCRIBE_SECONDS. A later one
        calls `on_missed`."""
        self.subscribe(channel)
        if channel in self._confirmed:
            return
        waiting = self._waiting.setdefault(channel, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await asyncio.shield(waiting)
        except TimeoutError:
            if channel not in self._confirmed:
                self._overdue.add(channel)

    def unsubscribe(self, channel: str) -> None:
        if channel in self._wanted:
            self._wanted.discard(channel)
            self._overdue.discard(channel)
            self._waiting.pop(channel, None)
            self._mark_changed(channel)
            self._restored(channel)

    def _mark_changed(self, channel: str) -> None:
        self._to_update.add(channel)
        self._subscriptions_changed.set()

    async def _subscription_loop(self) -> None:
        """Send changed subscriptions to Redis; after a new connection, all of them."""
        while True:
            await self._subscriptions_changed.wait()
            self._subscriptions_changed.clear()
            while self._to_update:
                some = {self._to_update.pop() for _ in range(min(BATCH, len(self._to_update)))}
                # `_requested` changes together with the command, because `_pack` and the next
                # round, which may subscribe a channel again, depend on it.
                if new := (some & self._wanted) - self._requested:
                    self._requested |= new
                    await self._send_command("SUBSCRIBE", *map(self._redis_name, new))
                if old := (some & self._requested) - self._wanted:
                    self._requested -= old
                    self._confirmed -= old
                    await self._send_command("UNSUBSCRIBE", *map(self._redis_name, old))

    def _confirm(self, channel: str) -> None:
        self._confirmed.add(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.set_result(None)
        if channel in self._overdue:
            self._overdue.discard(channel)
            self._on_missed(channel)
        self._restored(channel)

    def _restored(self, channel: str) -> None:
        """A channel is subscribed again after a break, or is no longer wanted."""
        if self._restoring is not None:
            self._restoring.discard(channel)
            self._report_missed()

    def _report_missed(self) -> None:
        """Call `on_missed` once all channels that were wanted at the break are subscribed again and
        the other processes know what they missed. Channels of new clients are not waited for."""
        if self._restoring is not None and not self._restoring and not self._lost_messages:
            self._restoring = None
            self._on_missed(None)

    def _redis_name(self, channel: str) -> str:
        return self._prefix + channel
