"""Counts attempts at the password or code of an account, so that others cannot lock its owner out.

An attempt takes its tokens before it is made, so that parallel guesses cannot exceed a limit. It
gets them back unless it was wrong. What it takes from depends on who makes it:

| who | bucket |
|---|---|
| a signed-in session | its own |
| a known device, by its token | its own |
| a network from which the user has signed in before | that network's |
| any other | its network's, and the one of all others together |

So wrong guesses from elsewhere never refuse the right password from a known device, nor from the
owner's usual network. Guesses from many networks share one bucket, which slows them down.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.accounts.devices import Account
from domain.kernel.actor import Actor
from domain.kernel.errors import Code, RateLimited
from domain.kernel.networks import NEIGHBOURS, network_of
from domain.operations.command import Meta
from domain.operations.limits import ELSEWHERE
from domain.ports.sessions import Devices
from server.token_buckets import ANSWER_SECONDS, Rate, SharedBuckets, rounded

USUAL_SECONDS = 90 * 24 * 3600  # after a sign-in its network is a usual one
MAX_REMEMBERED = 20_000  # networks that this process remembers while Redis is away

# Errors of attempts that were right, or not made. Any other error counts as a wrong guess.
NOT_WRONG = frozenset(
    {
        Code.BANNED,
        Code.MONEY_OUTSTANDING,
        Code.SECOND_FACTOR_REQUIRED,
        Code.SECOND_FACTOR_SETUP_REQUIRED,
        Code.STEP_UP_REQUIRED,
        Code.CONFLICT,
        Code.FORBIDDEN,
        Code.RATE_LIMITED,
        Code.UNAVAILABLE,
        Code.INTERNAL,
    }
)

AccountOf = Callable[[Any, Actor | None], Awaitable[Account | None]]


class UsualNetworks:
    """The networks from which a user signed in lately; their names are keyed digests."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{prefix}:usual"
        self._remembered: dict[str, None] = {}

    async def add(self, name: str) -> None:
        self._remembered.pop(name, None)
        self._remembered[name] = None
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        with contextlib.suppress(RedisError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.set(f"{self._prefix}:{name}", 1, ex=USUAL_SECONDS)

    async def has(self, name: str) -> bool:
        if name in self._remembered:
            return True
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return bool(await self._redis.exists(f"{self._prefix}:{name}"))
        except (RedisError, TimeoutError):
            return False


class Attempt:
    """What one attempt took, until it is known whether it was wrong."""

    def __init__(
        self,
        buckets: SharedBuckets,
        usual: UsualNetworks,
        account: str,
        network: str,
    ) -> None:
        self.account = account
        self.known = False
        self._buckets = buckets
        self._usual = usual
        self._network = network
        self._taken: dict[str, Rate] = {}

    async def settle(self, error: str | None) -> None:
        """Give back what was taken, unless the error says that the guess was wrong."""
        if error is None:
            await self._usual.add(self._network)
        if error is None or error in NOT_WRONG:
            self.give_back()

    async def take(self, key: str, rate: Rate) -> None:
        """Raises RateLimited, and then gives back what was taken."""
        if wait := await self._buckets.take(key, rate):
            self.give_back()
            raise RateLimited(retry_after=rounded(wait))
        self._taken[key] = rate

    def give_back(self) -> None:
        for key, rate in self._taken.items():
            self._buckets.give_back(key, rate)


class PasswordAttempts:
    """`account_of` finds the account that a request is about, `seal` makes names of buckets."""

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        buckets: SharedBuckets,
        seal: Callable[[str], str],
        account_of: AccountOf,
        devices: Devices,
    ) -> None:
        self._buckets = buckets
        self._usual = UsualNetworks(redis, prefix)
        self._seal = seal
        self._account_of = account_of
        self._devices = devices

    async def begin(
        self, bucket: str, rate: Rate, fields: Any, actor: Actor | None, meta: Meta
    ) -> Attempt | None:
        """Count an attempt; None if the input names no account. Raises RateLimited."""
        account = await self._account_of(fields, actor)
        if account is None:
            return None
        network = self._seal(f"{account.id} {network_of(meta.address, NEIGHBOURS)}")
        takes = await self._takes(
            f"{bucket} {self._seal(account.id)}", account, fields, actor, network
        )
        attempt = Attempt(self._buckets, self._usual, account.id, network)
        attempt.known = len(takes) == 1
        for key, factor in takes.items():
            await attempt.take(key, Rate(rate.burst * factor, rate.per_second, exact=True))
        return attempt

    async def _takes(
        self, name: str, account: Account, fields: Any, actor: Actor | None, network: str
    ) -> dict[str, int]:
        """The buckets that an attempt takes from, and their sizes as factors."""
        if actor:
            return {f"{name} {actor.session_id}": 1}
        token = fields.get("device_token") if isinstance(fields, dict) else None
        device = self._devices.recall(token) if token else None
        if device and (device.user_id, device.generation) == account:
            return {f"{name} {device.id}": 1}
        if await self._usual.has(network):
            return {f"{name} {network}": 1}
        return {f"{name} {network}": 1, f"{name} elsewhere": ELSEWHERE}
