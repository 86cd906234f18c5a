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


# Of a user who may give so many commands a second; they grow and shrink with that number.
USUAL = 50
PACKETS = Rate(400, 100)  # of one connection, whatever they are
COMMANDS = {
    "chat.send": Rate(120, 20),
    "files.upload": Rate(30, 0.5),
    "job.create": Rate(60, 1),
    "job-request.apply": Rate(60, 1),
    "bidding.create": Rate(60, 1),
}
PASSWORDS = {"account.login", "account.register", "account.delete"}
OF_ACCOUNT = Rate(10, 1 / 30)  # attempts at one account's password, from wherever


class Limits:
    """`per_second` commands of a user, five seconds' worth at once; `sign_ins` a minute of an
    address."""

    def __init__(self, redis: Redis, prefix: str, per_second: int, sign_ins: int) -> None:
        self._count = redis.register_script(COUNT)
        self._prefix = prefix
        self._user = Rate(5 * per_second, per_second)
        self._address = Rate(sign_ins, sign_ins / 60)
        self._packets = PACKETS.times(per_second / USUAL)
        self._commands = {name: rate.times(per_second / USUAL) for name, rate in COMMANDS.items()}
        self._here = Buckets()

    async def check(self, op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> None:
        """Raises RateLimited."""
        if actor:
            self._take_here(actor.id, self._user)
            if rate := self._commands.get(op.name):
                self._take_here(f"{actor.id} {op.name}", rate)
        elif op.name not in PASSWORDS:
            self._take_here(meta.address, self._user)
        if op.name in PASSWORDS:
            await self._check_password(op, fields, actor, meta)

    def _take_here(self, key: str, rate: Rate) -> None:
        if wait := self._here.take(key, rate):
            raise RateLimited(retry_after=rounded(wait))

    def packet(self, line: Paced) -> float:
        """For each packet of a connection: 0, or in how many seconds the next may come."""
        now = time.monotonic()
        wait, line.due = self._packets.take(line.due, now)
        return wait

    async def _check_password(
        self, op: Operation, fields: Any, actor: Actor | None, meta: Meta
    ) -> None:
        email = fields.get("email") if isinstance(fields, dict) else None
        account = actor.id if actor else email.lower() if isinstance(email, str) else ""
        keys = [(f"address:{meta.address}", self._address)]
        if op.name != "account.register" and account:
            keys.append((f"account:{account[:254]}", OF_ACCOUNT))
        for key, rate in keys:
            if wait := await self._take_shared(key, rate):
                raise RateLimited(retry_after=rounded(wait))

    async def _take_shared(self, key: str, rate: Rate) -> float:
        try:
            name = f"{self._prefix}:limit:{key}"
            return float(await self._count(keys=[name], args=[rate.interval, rate.slack]))
        except RedisError:
            return self._here.take(key, rate)


def rounded(wait: float) -> float:
    """Up, so that who waits so long has waited long enough."""
    return round(wait + 0.05, 1)
