"""Wrong passwords are limited, and guessing does not lock the owner out."""

import asyncio
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from domain.accounts.sessions import end_all_sessions
from tests.support.parties import PASSWORD, PASSWORD_HASH

HOME, ELSEWHERE, CAFE = "203.0.113.9", "198.51.100.7", "192.0.2.1"
NEIGHBOUR = "198.51.100.200"  # of ELSEWHERE
HOME_6, HOME_6_TOO, ELSEWHERE_6 = "2001:db8:1:2::9", "2001:db8:1:2:ffff::1", "2001:db8:1:3::9"


@pytest.fixture
def proxy(installation):
    """Addresses are what the tests claim. Request this fixture before `market`."""
    trusted = (ip_network("127.0.0.0/8"),)
    installation.settings = msgspec.structs.replace(installation.settings, trusted_proxies=trusted)


class Owner:
    """The owner of an account, and those who guess its password."""

    def __init__(self, market, party) -> None:
        self._client = market.anonymous_client()
        self.email = party.email

    async def sign_in(self, address: str, token: str | None = None, password: str = PASSWORD):
        fields = {"email": self.email, "password": password}
        fields |= {"device_token": token} if token else {}
        headers = {"X-Forwarded-For": address}
        return await self._client.http("POST", "/api/account/login", fields, headers=headers)

    async def outcome(self, *args: Any) -> str:
        status, body = await self.sign_in(*args)
        return "in" if status == 200 else body["code"]

    async def guess(self, address: str, token: str | None = None) -> str:
        _, body = await self.sign_in(address, token, "not this one")
        return body["code"]


@pytest.fixture
async def owner(proxy, market):
    return Owner(market, await market.customer(connect=False))


LOCK_OUT = {
    # name: (where 12 guesses come from, where the owner signs in, with a known device, result)
    "a known device": (ELSEWHERE, CAFE, True, "in"),
    "a known device in the network of the guesses": (ELSEWHERE, NEIGHBOUR, True, "in"),
    "a known device at the very address": (ELSEWHERE, ELSEWHERE, True, "in"),
    "the usual network": (ELSEWHERE, HOME, False, "in"),
    "a new network": (ELSEWHERE, CAFE, False, "in"),
    "the network of the guesses": (ELSEWHERE, NEIGHBOUR, False, "rate_limited"),
    "guesses within the usual network": (HOME, HOME, False, "rate_limited"),
    "guesses within the usual network, a known device": (HOME, HOME, True, "in"),
    "guesses within a /64": (HOME_6_TOO, HOME_6, False, "rate_limited"),
    "guesses in another /64": (ELSEWHERE_6, HOME_6, False, "in"),
}


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "redis away"])
async def test_ten_wrong_guesses_lock_out_nobody_else(owner, server, redis):
    """Guard: `PasswordAttempts._takes`, in Redis and in the process."""
    if not redis:
        server.web.limits._buckets._away_until = float("inf")
    _, signed_in = await owner.sign_in(HOME)
    wrong = {}
    for name, (guessing, address, known, expected) in LOCK_OUT.items():
        await forget(server)
        codes = [await owner.guess(guessing) for _ in range(12)]
        assert codes == ["wrong_credentials"] * 10 + ["rate_limited"] * 2, name
        outcome = await owner.outcome(address, signed_in["device_token"] if known else None)
        if outcome != expected:
            wrong[name] = outcome
    assert wrong == {}


async def forget(server) -> None:
    """Fill all buckets."""
    await server.web.limits._buckets.stop()
    server.web.limits._buckets._local._due.clear()
    async for key in server.web.redis.scan_iter(f"{server.store.name}:limit:*", count=10_000):
        await server.web.redis.delete(key)


async def test_guesses_from_everywhere_are_slowed_down_together(owner):
    """Guard: ELSEWHERE; neither a known device nor the usual network is concerned."""
    _, signed_in = await owner.sign_in(HOME)
    codes = [await owner.guess(f"10.{n}.0.1") for n in range(102)]
    assert codes == ["wrong_credentials"] * 100 + ["rate_limited"] * 2
    assert await owner.outcome(CAFE) == "rate_limited"
    assert await owner.outcome(CAFE, signed_in["device_token"]) == "in"
    assert await owner.outcome(HOME) == "in"


async def test_a_device_counts_by_itself(owner):
    """Guard: `device.id` in `PasswordAttempts._takes`; the token of a repeated sign-in is of the
    same device."""
    _, first = await owner.sign_in(HOME)
    _, again = await owner.sign_in(HOME, first["device_token"])
    _, other = await owner.sign_in(HOME)
    codes = [await owner.guess(HOME, first["device_token"]) for _ in range(10)]
    assert codes == ["wrong_credentials"] * 10
    assert await owner.outcome(HOME, again["device_token"]) == "rate_limited"
    assert await owner.outcome(HOME, other["device_token"]) == "in"


@pytest.mark.parametrize(
    "kind",
    ["of another account", "an access token", "no token", "changed", "from before a new password"],
)
async def test_tokens_that_do_not_count(owner, market, server, kind):
    """Guard: `AccessTokens.recall`, and `device.user_id` in `PasswordAttempts._takes`."""
    stranger = Owner(market, await market.customer("Olga", connect=False))
    _, theirs = await stranger.sign_in(ELSEWHERE)
    _, mine = await owner.sign_in(HOME)
    if kind == "from before a new password":
        await server.store.transact(lambda uow: end_all_sessions(uow, mine["user"]["id"]))
    token = {
        "of another account": theirs["device_token"],
        "an access token": mine["access_token"],
        "no token": "nonsense",
        "changed": mine["device_token"][:-4] + "AAAA",
        "from before a new password": mine["device_token"],
    }[kind]
    for _ in range(10):
        await owner.guess(ELSEWHERE)
    assert await owner.outcome(ELSEWHERE, token) == "rate_limited"


async def test_a_success_uses_up_nothing(owner):
    """Guard: `Attempt.settle`."""
    assert [await owner.outcome(CAFE) for _ in range(15)] == ["in"] * 15
    codes = [await owner.guess(CAFE) for _ in range(11)]
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]


async def test_guesses_at_the_same_time_are_counted(owner):
    """Guard: an attempt is counted before its password is checked."""
    codes = await asyncio.gather(*(owner.guess(ELSEWHERE) for _ in range(30)))
    assert sorted(codes) == ["rate_limited"] * 20 + ["wrong_credentials"] * 10


async def test_unknown_accounts_are_limited_alike(owner, server):
    """Guard: `account_of`: a refusal does not show whether an account exists."""
    server.ports.passwords._decoy = PASSWORD_HASH  # of the least cost
    owner.email = "nobody@example.com"
    codes = [await owner.guess(ELSEWHERE) for _ in range(11)]
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]


async def test_every_session_counts_by_itself(market):
    """Guard: `actor.session_id` in `PasswordAttempts._takes`: a stolen session does not keep the
    owner from deleting the account."""
    owner = await market.customer(connect=False)
    codes = []
    for _ in range(11):
        _, problem = await owner.http("POST", "/api/account/delete", {"password": "wrong"})
        codes.append(problem["code"])
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]
    login = {"email": owner.email, "password": PASSWORD}
    _, signed_in = await market.anonymous_client().http("POST", "/api/account/login", login)
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    status, _ = await owner.http(
        "POST", "/api/account/delete", {"password": PASSWORD}, headers=headers
    )
    assert status == 200


async def test_no_bucket_names_a_person(owner, server):
    """Guard: `_sealed` in `RateLimits`: Redis stores its keys on a disk."""
    await owner.sign_in(HOME)
    await owner.guess(ELSEWHERE)
    await server.web.limits._buckets.stop()
    keys = [key async for key in server.web.redis.scan_iter(f"{server.store.name}:*")]
    assert keys
    names = b" ".join(keys).decode()
    assert not [
        word for word in (owner.email, "203.0.113", "198.51.100", "127.0.0") if word in names
    ]
