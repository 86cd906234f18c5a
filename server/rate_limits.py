"""Checks the rate limits that operations declare.

They are counted for all processes together; see `token_buckets`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from domain.kernel.actor import Actor
from domain.kernel.errors import DomainError, Invalid, RateLimited
from domain.kernel.networks import network_of
from domain.operations.command import Meta
from domain.operations.limits import ANSWER_BYTES, Limit, Per, Usage
from domain.operations.operation import Operation
from domain.ports.sessions import Devices
from server.caller import CALLER, Caller
from server.password_attempts import AccountOf, Attempt, PasswordAttempts
from server.token_buckets import HOLD_SECONDS, Rate, SharedBuckets, Turns, rounded

# Limits per user are declared for this many commands a second, limits per address for this many
# sign-ins a minute; they scale with the configured numbers.
USUAL_COMMANDS, USUAL_SIGN_INS = 50, 60
BYTES = 4096  # of a command for one token of its user; each command takes one at least
MOST_OWED = 4  # bursts, after requests that turned out to cost much


class RateTable:
    """The rates of all limits in force: of a user's commands together, and of each declared limit.

    `per_second` commands of a user, five times as many at once; `sign_ins` per minute of an
    address.
    """

    def __init__(self, per_second: int = USUAL_COMMANDS, sign_ins: int = USUAL_SIGN_INS) -> None:
        self.of_user = Rate(5 * per_second, per_second)
        self._factors = {
            Per.USER: per_second / USUAL_COMMANDS,
            Per.ADDRESS: sign_ins / USUAL_SIGN_INS,
            Per.ACCOUNT: 1,
        }
        self._rates: dict[Limit, Rate] = {}

    def of(self, limit: Limit) -> Rate:
        rate = self._rates.get(limit)
        if rate is None:
            declared = Rate(limit.requests, limit.requests / limit.seconds)
            rate = self._rates[limit] = declared.times(self._factors[limit.per])
        return rate

    def described(self, operations: Iterable[Operation]) -> dict[str, Any]:
        """The limits in force, for clients: so many `requests` at once, and then in `seconds`.
        Operations with the same `bucket` are counted together."""
        return {
            "all": {"requests": self.of_user.burst, "seconds": self.of_user.slack},
            "command_bytes": BYTES,
            "answer_bytes": ANSWER_BYTES,
            "operations": {
                op.name: [self._describe(op, limit) for limit in op.limits]
                for op in operations
                if op.limits
            },
        }

    def _describe(self, op: Operation, limit: Limit) -> dict[str, Any]:
        """`cost` is what one request takes; null if it depends on the request or its answer."""
        rate = self.of(limit)
        varies = callable(limit.cost) or limit.later_cost
        return {
            "per": limit.per,
            "bucket": limit.bucket or op.name,
            "requests": rate.burst,
            "seconds": rate.slack,
            "cost": None if varies else limit.cost,
        }


class RateLimits:
    """`seal` makes the names of buckets that come from personal data.

    `account_of` and `devices` are for limits per account.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        table: RateTable,
        seal: Callable[[bytes], str],
        account_of: AccountOf,
        devices: Devices,
    ) -> None:
        self._user = table.of_user
        self._rate = table.of
        self._buckets = SharedBuckets(redis, prefix)
        self._turns = Turns()
        self._seal = seal
        self._attempts = PasswordAttempts(
            redis, prefix, self._buckets, self._sealed, account_of, devices
        )
        self.audience: Callable[[str], int] = lambda room: 0

    async def stop(self) -> None:
        await self._buckets.stop()

    async def check(
        self, op: Operation, fields: Any, actor: Actor | None, meta: Meta
    ) -> Sequence[Attempt]:
        """Count a request. Attempts at a password are to be settled. Raises RateLimited."""
        key, cost = actor.id if actor else self._address(meta), 1 + meta.size // BYTES
        if self._buckets.take_at_once(key, self._user, cost) != 0:
            await self._take(key, self._user, cost)
        if not op.limits:
            return ()
        personal = False
        for limit in op.limits:
            personal = personal or limit.per is not Per.USER
            if limit.per is not Per.ACCOUNT and (key := self._key(limit, op, actor, meta)):
                tokens = self._cost(limit, op, fields, meta)
                await self._take(key, self._rate(limit), tokens, in_order=op.pipelined)
        return await self._begin_attempts(op, fields, actor, meta) if personal else ()

    def admit_at_once(self, op: Operation, actor: Actor | None, meta: Meta) -> bool:
        """Count a request to which only the limit on all commands applies; False: `check` it."""
        if op.limits or actor is None:
            return False
        return self._buckets.take_at_once(actor.id, self._user, 1 + meta.size // BYTES) == 0

    async def _take(self, key: str, rate: Rate, cost: float, *, in_order: bool = False) -> None:
        """Raises RateLimited. Requests `in_order` that were sent together are all refused from the
        first refusal on, not each second one as tokens come back."""
        if wait := await self._buckets.take(key, rate, cost):
            if in_order and not self._turns.outstanding(key):
                self._buckets.charge(key, rate, HOLD_SECONDS * rate.per_second)
                wait += HOLD_SECONDS
            wait = self._turns.give(key, wait, min(cost, rate.burst) * rate.interval)
            raise RateLimited(retry_after=rounded(wait))

    async def _begin_attempts(
        self, op: Operation, fields: Any, actor: Actor | None, meta: Meta
    ) -> Sequence[Attempt]:
        """Count attempts at a password or code, and note the caller. Raises RateLimited."""
        attempts: list[Attempt] = []
        try:
            for limit in op.limits:
                if limit.per is Per.ACCOUNT:
                    bucket, rate = limit.bucket or op.name, self._rate(limit)
                    if attempt := await self._attempts.begin(bucket, rate, fields, actor, meta):
                        attempts.append(attempt)
        except DomainError:
            for attempt in attempts:
                attempt.give_back()
            raise
        network = self._address(meta)
        callers = [Caller(network, attempt.account, attempt.known) for attempt in attempts]
        CALLER.set(callers[0] if callers else Caller(network, ""))
        return attempts

    def charge(self, op: Operation, actor: Actor | None, meta: Meta, answer: Any) -> None:
        """Take what a request that was answered turned out to cost."""
        for limit in op.limits:
            if limit.later_cost and (key := self._key(limit, op, actor, meta)):
                rate = self._rate(limit)
                cost = limit.later_cost(answer, Usage(meta.size, self.audience))
                self._buckets.charge(key, rate, min(cost, MOST_OWED * rate.burst))

    def charge_answer(self, actor: Actor | None, size: int) -> None:
        """Take what a large answer costs: it was read, decrypted and encoded."""
        if actor and size > ANSWER_BYTES:
            self._buckets.charge(actor.id, self._user, size / ANSWER_BYTES)

    def _key(self, limit: Limit, op: Operation, actor: Actor | None, meta: Meta) -> str:
        """The bucket of a request, or an empty text if the limit does not concern it."""
        bucket = limit.bucket or op.name
        if limit.per is Per.ADDRESS:
            return f"{bucket} {self._address(meta)}"
        return f"{bucket} {actor.id}" if actor else ""

    def _cost(self, limit: Limit, op: Operation, fields: Any, meta: Meta) -> float:
        if not callable(limit.cost):
            return limit.cost
        try:
            _, command = op.parse(fields, meta.text)
        except Invalid:
            return 1
        return max(1, limit.cost(command, Usage(meta.size, self.audience)))

    def _address(self, meta: Meta) -> str:
        return self._sealed(network_of(meta.address))

    def _sealed(self, personal: str) -> str:
        return self._seal(f"limit {personal}".encode())
