"""Token buckets: in this process, and in Redis for all processes together.

A bucket is one number, the time when it will be full again (GCRA, the leaky bucket of ITU-T I.371).

Decision: a request to Redis for each command would cost more than most commands. So a process that
asks about a bucket gets an allowance: some tokens that it may use within ALLOWANCE_SECONDS without
asking. What it has used it reports within REPORT_SECONDS, many buckets in one call of a script, and
gets the next allowance with the answer. A command waits for Redis only when the allowance is used
up. Nothing is reserved: tokens that are not used are not taken from the bucket.

What several processes use at the same time may exceed the bucket: by their allowances, at most 5 %
of the burst each. The excess is taken from the bucket when it is reported, so that the bucket
refuses until it is made good, and the rate over time is exact. Buckets of less than SMALL tokens
have no allowance: each request waits for the answer of Redis, which is exact at any time.

While Redis is away, every process counts by itself.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

MAX_KEYS = 50_000  # then buckets that are full again are removed
LONGEST_TURN = 60.0  # seconds that the turns of others may add to a wait
HOLD_SECONDS = (
    1.0  # in which nothing passes after a refusal: what was sent together keeps its order
)
SMALL = 50
ALLOWANCE_SECONDS = 1.0
REPORT_SECONDS = 0.25
AWAY_SECONDS = 1.0  # between two attempts to reach Redis
ANSWER_SECONDS = 1.0  # then Redis is away
BATCH = 500  # buckets in one call

# For each bucket: what was used, what is asked for if the bucket has it (both in seconds of its
# rate, the first may be negative), and its size. Answers with the seconds until it is full, before
# what is asked for. The clock is that of Redis, because the clocks of processes differ.
SCRIPT = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local answers = {}
for i, key in ipairs(KEYS) do
  local used, asked, size = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local before = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local full = math.max(before + used, now)
  answers[i] = string.format('%.6f', full - now)
  if full + asked - now <= size + 0.000001 then full = full + asked end
  if full > now then
    redis.call('SET', key, string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
  elseif before > now then
    redis.call('DEL', key)
  end
end
return answers
"""


class Rate:
    """`burst` tokens at once, then `per_second`. Fields in seconds: `interval`, `slack`.

    Without an `allowance` its buckets are exact, as those of less than SMALL tokens.
    """

    def __init__(self, burst: float, per_second: float, exact: bool = False) -> None:
        self.burst = burst
        self.per_second = per_second
        self.interval = 1 / per_second
        self.slack = burst / per_second
        self.allowance = 0.0 if exact or burst < SMALL else burst / 20
        self.low = self.allowance / 4  # then the next is asked for
        self.credit = burst / 50  # before the first answer of Redis

    def times(self, factor: float) -> "Rate":
        return Rate(max(1, round(self.burst * factor)), self.per_second * factor)

    def take(self, due: float, now: float, cost: float = 1) -> tuple[float, float]:
        """Returns 0 or the seconds to wait, and when the bucket will be full again."""
        after = (due if due > now else now) + cost * self.interval
        wait = after - now - self.slack
        return (wait, due) if wait > 1e-9 else (0.0, after)


class Buckets:
    """Buckets by key, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._sweep_at = MAX_KEYS

    def take(self, key: str, rate: Rate, cost: float = 1) -> float:
        """Returns 0, or the seconds to wait."""
        now = self._clock()
        wait, due = rate.take(self._due.get(key, now), now, cost)
        if not wait:
            self._due[key] = due
            if len(self._due) > self._sweep_at:
                self._due = {key: due for key, due in self._due.items() if due > now}
                self._sweep_at = max(MAX_KEYS, 2 * len(self._due))
        return wait

    def give_back(self, key: str, rate: Rate, cost: float) -> None:
        if key in self._due:
            self._due[key] -= cost * rate.interval


def next_turn(last: float, earliest: float, interval: float) -> float:
    """When a refused request may come again: at the earliest `interval` after the `last` that was
    refused. Requests that are refused together then come back one by one, in their order, instead
    of all together to be refused again."""
    return max(earliest, min(last + interval, earliest + LONGEST_TURN))


class Turns:
    """The last turn that a refused request was given, by key of its bucket, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._sweep_at = MAX_KEYS

    def outstanding(self, key: str) -> bool:
        """Whether a request has been given a turn that is still to come."""
        return self._last.get(key, 0.0) > self._clock()

    def give(self, key: str, wait: float, interval: float) -> float:
        """The seconds until the turn of a request whose bucket has its tokens in `wait` seconds."""
        now = self._clock()
        turn = self._last[key] = next_turn(self._last.get(key, 0.0), now + wait, interval)
        if len(self._last) > self._sweep_at:
            self._last = {key: last for key, last in self._last.items() if last > now}
            self._sweep_at = max(MAX_KEYS, 2 * len(self._last))
        return turn - now


class Allowance:
    """What this process may use of one bucket, and has used since its last report."""

    __slots__ = ("available", "expires", "key", "known_at", "left", "rate", "renewed", "used")

    def __init__(self, key: str, rate: Rate, now: float) -> None:
        self.key = key
        self.rate = rate
        self.left = rate.credit
        self.used = 0.0
        self.available = rate.burst  # tokens in the bucket, as far as known
        self.known_at = now
        self.expires = now + ALLOWANCE_SECONDS
        self.renewed: asyncio.Future[None] | None = None

    def use(self, now: float, cost: float) -> float | None:
        """Returns 0, or the seconds to wait; None: only Redis knows."""
        if now > self.expires:
            self.left = self.rate.credit
            self.available, self.known_at = self.rate.burst, now
            self.expires = now + ALLOWANCE_SECONDS
        if self.left >= cost:
            self.charge(cost)
            return 0.0
        lacking = cost - self.available - (now - self.known_at) * self.rate.per_second
        return lacking * self.rate.interval if lacking > 1e-6 else None

    def charge(self, cost: float) -> None:
        """Count what was used without asking."""
        self.left -= cost
        self.used += cost
        self.available -= cost

    def renew(self, now: float, until_full: float, wanted: float) -> None:
        """After an answer of Redis; `used` is what the answer does not know of."""
        rate = self.rate
        self.available = (rate.slack - until_full) * rate.per_second - self.used
        self.known_at = now
        self.expires = now + max(ALLOWANCE_SECONDS, (1 - self.available) * rate.interval)
        allowed = max(min(self.available / 4, rate.allowance), wanted)
        self.left = max(0.0, min(self.available, allowed))


class Question:
    """A charge of a bucket without an allowance. `answer` is None for one that Redis must not
    refuse, such as giving back or a later cost."""

    __slots__ = ("answer", "cost", "key", "rate")

    def __init__(
        self, key: str, rate: Rate, cost: float, answer: asyncio.Future[float] | None
    ) -> None:
        self.key, self.rate, self.cost, self.answer = key, rate, cost, answer


class SharedBuckets:
    """Buckets by key, for all processes that share a Redis and a prefix."""

    def __init__(
        self, redis: Redis, prefix: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._script = redis.register_script(SCRIPT)
        self._prefix = f"{prefix}:limit:"
        self._clock = clock
        self._local = Buckets(clock)
        self._away_until = 0.0
        self._allowances: dict[str, Allowance] = {}
        self._sweep_at = MAX_KEYS
        self._used: dict[str, Allowance] = {}  # to report
        self._wanted: dict[str, float] = {}  # tokens that commands wait for
        self._questions: list[Question] = []
        self._urgent = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Report what was used, and end."""
        self._urgent.set()
        if self._reporting:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reporting

    def take_at_once(self, key: str, rate: Rate, cost: float = 1) -> float | None:
        """Like `take`, without waiting; None: call `take`, because only Redis knows."""
        now = self._clock()
        if now < self._away_until:
            return self._local.take(key, rate, min(cost, rate.burst))
        allowance = self._allowances.get(key)
        if allowance and allowance.used and now <= allowance.expires:  # to be reported already
            left = allowance.left - cost
            if left >= rate.low:  # enough are left after it that no more are asked for yet
                allowance.left = left
                allowance.used += cost
                allowance.available -= cost
                return 0.0
        if not rate.allowance:
            return None
        if allowance is None:
            allowance = self._allowances[key] = Allowance(key, rate, now)
            if len(self._allowances) > self._sweep_at:
                self._sweep(now)
        wait = allowance.use(now, cost if cost < rate.burst else rate.burst)
        if wait == 0:
            if key not in self._used:
                self._used[key] = allowance
                self._report_soon()
            if allowance.left < rate.low:
                self._urgent.set()
        return wait

    async def take(self, key: str, rate: Rate, cost: float = 1) -> float:
        """Take `cost` tokens of a bucket, at most all that it can hold; returns 0, or the seconds
        after which it will have them."""
        while (wait := self.take_at_once(key, rate, cost)) is None:
            cost = min(cost, rate.burst)
            if rate.allowance:
                await self._renewed(key, cost)
            else:
                return await self._ask(key, rate, cost)
        return wait

    def give_back(self, key: str, rate: Rate, cost: float = 1) -> None:
        """Undo a `take` of a bucket without an allowance."""
        self._local.give_back(key, rate, cost)
        self._questions.append(Question(key, rate, -cost, None))
        self._report_soon()

    def charge(self, key: str, rate: Rate, cost: float) -> None:
        """Take tokens that were used already. The bucket may come to owe some."""
        self._local.give_back(key, rate, -cost)
        if allowance := self._allowances.get(key):
            allowance.charge(cost)
            self._used[key] = allowance
        else:
            self._questions.append(Question(key, rate, cost, None))
        self._report_soon()

    async def _renewed(self, key: str, cost: float) -> None:
        allowance = self._allowances[key]
        if allowance.renewed is None:
            allowance.renewed = asyncio.get_running_loop().create_future()
        self._wanted[key] = self._wanted.get(key, 0) + cost
        self._used[key] = allowance
        self._urgent.set()
        self._report_soon()
        await asyncio.shield(allowance.renewed)

    async def _ask(self, key: str, rate: Rate, cost: float) -> float:
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._questions.append(Question(key, rate, cost, answer))
        self._urgent.set()
        self._report_soon()
        return await answer

    # -- reports -----------------------------------------------------------------------------

    def _report_soon(self) -> None:
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.get_running_loop().create_task(self._report_all())

    async def _report_all(self) -> None:
        while self._used or self._questions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_SECONDS):
                    await self._urgent.wait()
            self._urgent.clear()
            await self._report()

    async def _report(self) -> None:
        """Report one batch. What is added during it is in the next one."""
        allowances = [self._used.pop(key) for key in list(self._used)[:BATCH]]
        questions = self._questions[:BATCH]
        del self._questions[:BATCH]
        wanted = [self._wanted.pop(each.key, 0.0) for each in allowances]
        waiting = [(each, each.renewed) for each in allowances]
        keys: list[str] = []
        args: list[float] = []
        for each in allowances:
            keys.append(self._prefix + each.key)
            args += (each.used * each.rate.interval, 0, each.rate.slack)
            each.used, each.renewed = 0.0, None
        for question in questions:
            keys.append(self._prefix + question.key)
            seconds = question.cost * question.rate.interval
            given = question.answer is None
            args += (seconds if given else 0, 0 if given else seconds, question.rate.slack)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answers: Any = [float(text) for text in await self._script(keys=keys, args=args)]
        except Exception as failed:  # of any kind, because commands wait for this report
            answers = None
            self._away_until = self._clock() + AWAY_SECONDS
            if not isinstance(failed, (RedisError, TimeoutError)):
                log.exception("limits not reported")
        now = self._clock()
        if answers:
            for each, until_full, tokens in zip(allowances, answers, wanted, strict=False):
                each.renew(now, until_full, tokens)
        for _, renewed in waiting:
            if renewed and not renewed.done():
                renewed.set_result(None)
        for question, until_full in zip(
            questions, answers[len(allowances) :] if answers else [None] * BATCH, strict=False
        ):
            self._answer(question, until_full)

    def _answer(self, question: Question, until_full: float | None) -> None:
        if question.answer is None or question.answer.done():
            return
        rate, cost = question.rate, question.cost
        if until_full is None:
            question.answer.set_result(self._local.take(question.key, rate, cost))
            return
        wait = until_full + cost * rate.interval - rate.slack
        question.answer.set_result(wait if wait > 1e-6 else 0.0)

    def _sweep(self, now: float) -> None:
        self._allowances = {
            key: each
            for key, each in self._allowances.items()
            if each.expires > now or key in self._used or each.renewed
        }
        self._sweep_at = max(MAX_KEYS, 2 * len(self._allowances))


def rounded(wait: float) -> float:
    """Rounded up to 0.1 s, so that this wait is always long enough."""
    return math.ceil(wait * 10 + 1e-6) / 10
