"""Checks the rate limits that operations declare, and limits of concurrency.

Commands are counted in the process that executes them, because a request to Redis for each would
cost more than most commands. Password attempts are counted in Redis, for all processes together;
while Redis is away, in the process.
Source: GCRA, the leaky bucket as one number per key, from ITU-T I.371.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.kernel.actor import Actor
from domain.kernel.email_address import MAX_EMAIL, email_to_find
from domain.kernel.errors import RateLimited
from domain.operations.command import Meta
from domain.operations.limits import Limit, Per
from domain.operations.operation import Operation

log = structlog.get_logger()

MAX_KEYS = 50_000  # then the keys with an empty bucket are removed

# The clock of Redis, because the clocks of processes differ.
COUNT = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + tonumber(ARGV[1])
local wait = due - now - tonumber(ARGV[2])
if wait > 0 then return string.format('%.3f', wait) end
redis.call('SET', KEYS[1], string.format('%.6f', due), 'PX', math.ceil((due - now) * 1000))
return '0'
"""


class Rate:
    """`burst` at once, then `per_second`."""

    def __init__(self, burst: int, per_second: float) -> None:
        self.burst = burst
        self.per_second = per_second
        self.interval = 1 / per_second
        self.slack = burst / per_second

    def times(self, factor: float) -> "Rate":
        return Rate(max(1, round(self.burst * factor)), self.per_second * factor)

    def take(self, due: float, now: float) -> tuple[float, float]:
        """Returns 0 or the seconds to wait, and when the bucket will be empty again."""
        after = (due if due > now else now) + self.interval
        wait = after - now - self.slack
        return (wait, due) if wait > 0 else (0.0, after)


class Paced(Protocol):
    """Has its own bucket: `due` is when it is empty again, on the monotonic clock."""

    due: float


class Buckets:
    """Buckets by key, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def take(self, key: str, rate: Rate) -> float:
        """Returns 0, or the seconds to wait."""
        now = self._clock()
        wait, due = rate.take(self._due.get(key, now), now)
        if wait:
            return wait
        if len(self._due) >= MAX_KEYS and key not in self._due:
            self._due = {key: due for key, due in self._due.items() if due > now}
        self._due[key] = due
        return 0.0


class ConcurrencyLimit:
    """Limits how many of something run at the same time on this process, by user and in total."""

    def __init__(self, per_user: int, total: int) -> None:
        self._per_user, self._total = per_user, total
        self.active: Counter[str] = Counter()

    @contextmanager
    def acquire(self, user_id: str) -> Iterator[None]:
        """Raises RateLimited."""
        if self.active[user_id] >= self._per_user or self.active.total() >= self._total:
            raise RateLimited(retry_after=1.0)
        self.active[user_id] += 1
        try:
            yield
        finally:
            self.active[user_id] -= 1
            if not self.active[user_id]:
                del self.active[user_id]


# Limits per user are declared for this many commands a second, limits per address for this many
# sign-ins a minute; they scale with the configured numbers.
USUAL_COMMANDS, USUAL_SIGN_INS = 50, 60
PACKETS = Rate(400, 100)  # of one connection, of any type


class RateLimits:
    """`per_second` commands of a user, five times as many at once; `sign_ins` per minute of an
    address."""

    def __init__(self, redis: Redis, prefix: str, per_second: int, sign_ins: int) -> None:
        self._count = redis.register_script(COUNT)
        self._prefix = prefix
        self._user = Rate(5 * per_second, per_second)
        self._packets = PACKETS.times(per_second / USUAL_COMMANDS)
        self._factors = {
            Per.USER: per_second / USUAL_COMMANDS,
            Per.ADDRESS: sign_ins / USUAL_SIGN_INS,
            Per.ACCOUNT: 1,
        }
        self._rates: dict[Limit, Rate] = {}
        self._local = Buckets()

    async def check(self, op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> None:
        """Raises RateLimited."""
        if actor:
            self._take_local(actor.id, self._user)
        elif not any(limit.per is Per.ADDRESS for limit in op.limits):
            self._take_local(meta.address, self._user)
        for limit in op.limits:
            await self._check(limit, op.name, fields, actor, meta)

    async def _check(
        self, limit: Limit, name: str, fields: Any, actor: Actor | None, meta: Meta
    ) -> None:
        """Limits per user are counted in this process, the others in Redis."""
        rate, bucket = self._rate(limit), limit.bucket or name
        match limit.per:
            case Per.USER:
                if actor:
                    self._take_local(f"{actor.id} {bucket}", rate)
            case Per.ADDRESS:
                await self._take_shared(f"{bucket}:address:{meta.address}", rate)
            case Per.ACCOUNT:
                if account := _account(fields, actor):
                    await self._take_shared(f"{bucket}:account:{account}", rate)

    def _rate(self, limit: Limit) -> Rate:
        if limit not in self._rates:
            declared = Rate(limit.requests, limit.requests / limit.seconds)
            self._rates[limit] = declared.times(self._factors[limit.per])
        return self._rates[limit]

    def _take_local(self, key: str, rate: Rate) -> None:
        if wait := self._local.take(key, rate):
            raise RateLimited(retry_after=rounded(wait))

    def packet(self, connection: Paced) -> float:
        """Count a packet of a connection; returns 0, or the seconds to wait."""
        now = time.monotonic()
        wait, connection.due = self._packets.take(connection.due, now)
        return wait

    async def _take_shared(self, key: str, rate: Rate) -> None:
        """Raises RateLimited. Counts in this process while Redis is away."""
        try:
            name = f"{self._prefix}:limit:{key}"
            wait = float(await self._count(keys=[name], args=[rate.interval, rate.slack]))
        except RedisError:
            wait = self._local.take(key, rate)
        if wait:
            raise RateLimited(retry_after=rounded(wait))


def _account(fields: Any, actor: Actor | None) -> str:
    """The account whose password is checked; empty if the input names none."""
    if actor:
        return actor.id
    email = fields.get("email") if isinstance(fields, dict) else None
    return email_to_find(email)[:MAX_EMAIL] if isinstance(email, str) else ""


def rounded(wait: float) -> float:
    """Rounded up to 0.1 s, so that this wait is always long enough."""
    return round(wait + 0.05, 1)
