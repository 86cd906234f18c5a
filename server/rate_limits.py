"""How fast anybody may go, in one place.

Commands are counted in the process that carries them out: a look into Redis for each would cost
more than most commands. What guesses passwords is counted in Redis, for all processes together;
while Redis is away, here.
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
from domain.kernel.errors import RateLimited
from domain.operations.command import Meta
from domain.operations.limits import Limit, Per
from domain.operations.operation import Operation

log = structlog.get_logger()

REMEMBERED = 50_000  # keys; those that could go at full speed again are forgotten then

# Redis' own clock, so that processes whose clocks differ count alike.
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
    """`burst` at once, and then `per_second`."""

    def __init__(self, burst: int, per_second: float) -> None:
        self.burst = burst
        self.per_second = per_second
        self.interval = 1 / per_second
        self.slack = burst / per_second

    def times(self, factor: float) -> "Rate":
        return Rate(max(1, round(self.burst * factor)), self.per_second * factor)

    def take(self, due: float, now: float) -> tuple[float, float]:
        """0 or how long to wait, and when the bucket will be empty again."""
        after = (due if due > now else now) + self.interval
        wait = after - now - self.slack
        return (wait, due) if wait > 0 else (0.0, after)


class Paced(Protocol):
    """Whoever carries a bucket of its own."""

    due: float


class Buckets:
    """Counts in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def take(self, key: str, rate: Rate) -> float:
        """0, or in how many seconds it may be tried again."""
        now = self._clock()
        wait, due = rate.take(self._due.get(key, now), now)
        if wait:
            return wait
        if len(self._due) >= REMEMBERED and key not in self._due:
            self._due = {key: due for key, due in self._due.items() if due > now}
        self._due[key] = due
        return 0.0


class AtOnce:
    """How many of something are under way on this process: so many of one user, and of all."""

    def __init__(self, of_one: int, of_all: int) -> None:
        self._of_one, self._of_all = of_one, of_all
        self.going: Counter[str] = Counter()

    @contextmanager
    def one_more(self, user_id: str) -> Iterator[None]:
        """Raises RateLimited."""
        if self.going[user_id] >= self._of_one or self.going.total() >= self._of_all:
            raise RateLimited(retry_after=1.0)
        self.going[user_id] += 1
        try:
            yield
        finally:
            self.going[user_id] -= 1
            if not self.going[user_id]:
                del self.going[user_id]


# Limits per user are declared for this many commands a second, limits per address for this many
# sign-ins a minute; they scale with the configured numbers.
USUAL_COMMANDS, USUAL_SIGN_INS = 50, 60
PACKETS = Rate(400, 100)  # of one connection, of any type


class Limits:
    """`per_second` commands of a user, five seconds' worth at once; `sign_ins` a minute of an
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
        self._here = Buckets()

    async def check(self, op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> None:
        """Raises RateLimited."""
        if actor:
            self._take_here(actor.id, self._user)
        elif not any(limit.per is Per.ADDRESS for limit in op.limits):
            self._take_here(meta.address, self._user)
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
                    self._take_here(f"{actor.id} {bucket}", rate)
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

    def _take_here(self, key: str, rate: Rate) -> None:
        if wait := self._here.take(key, rate):
            raise RateLimited(retry_after=rounded(wait))

    def packet(self, line: Paced) -> float:
        """For each packet of a connection: 0, or in how many seconds the next may come."""
        now = time.monotonic()
        wait, line.due = self._packets.take(line.due, now)
        return wait

    async def _take_shared(self, key: str, rate: Rate) -> None:
        """Raises RateLimited. Counts in this process while Redis is away."""
        try:
            name = f"{self._prefix}:limit:{key}"
            wait = float(await self._count(keys=[name], args=[rate.interval, rate.slack]))
        except RedisError:
            wait = self._here.take(key, rate)
        if wait:
            raise RateLimited(retry_after=rounded(wait))


def _account(fields: Any, actor: Actor | None) -> str:
    """The account whose password is checked; empty if the input names none."""
    if actor:
        return actor.id
    email = fields.get("email") if isinstance(fields, dict) else None
    return email.lower()[:254] if isinstance(email, str) else ""


def rounded(wait: float) -> float:
    """Up, so that who waits so long has waited long enough."""
    return round(wait + 0.05, 1)
