"""Rate limits hold, and a client that exceeds them affects no other."""

import asyncio

import pytest

from domain.jobs.job import MARKET_PUSHES
from domain.operations.limits import PUSHED_BYTES
from handlers import NAMESPACES
from server.rate_limits import MOST_OWED, RateLimits
from server.token_buckets import Rate
from tests.support.parties import PASSWORD, Refused


async def test_a_user_who_is_too_fast_is_told_when_to_go_on(market, server):
    """Guard: `limits.check` in `Web._limited`, the same on both wires; others go on."""
    server.web.limits._user = Rate(5, 2)
    fast, other = await market.customer(), await market.customer("Bob")
    for _ in range(5):
        await fast.call("/account", "me")
    with pytest.raises(Refused) as refused:
        await fast.call("/account", "me")
    assert refused.value.code == "rate_limited"
    wait = refused.value.details["retry_after"]
    assert 0 < wait <= 0.6
    url = f"{server.url}/api/account/me"
    async with fast.web.get(url, headers={"Authorization": f"Bearer {fast.token}"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
    await other.call("/account", "me")
    await asyncio.sleep(wait)
    await fast.call("/account", "me")


async def test_declared_limits_are_enforced_and_scaled(market, server):
    """Guard: `op.limits` in `RateLimits.check`, and `_factors`."""
    declared = {
        each.operation.name: each.operation.limits for n in NAMESPACES for each in n.exposed
    }
    limited = {name: limits for name, limits in declared.items() if limits}
    assert limited.keys() >= {
        "account.register",
        "account.login",
        "account.login_code",
        "account.passkey_login",
        "account.step_up",
        "account.delete",
        "bidding.create",
        "chat.send",
        "files.upload",
        "job-request.apply",
        "job.create",
        "job.update",
        "payment.dispute_say",
    }
    limits = RateLimits(
        server.web.redis, "scaled", per_second=100, sign_ins=30, seal=str, challenged=str
    )
    chosen = (limited["job.create"][0], *limited["account.login"])
    rates = [limits._rate(limit) for limit in chosen]
    assert [(rate.burst, rate.interval) for rate in rates] == [(120, 1 / 2), (30, 2), (10, 30)]
    limit = limited["job.create"][0]
    server.web.limits._rates[limit] = Rate(1, 1 / 100)
    customer = await market.customer()
    await market.job(customer)
    with pytest.raises(Refused) as refused:
        await market.job(customer)
    assert refused.value.code == "rate_limited"


async def test_a_push_to_the_market_is_paid_by_its_audience(market, server):
    """Guard: `RateLimits.charge` with `job._market_cost`: the size of the answer counts and not
    the size of the command. Other customers go on."""
    customer, other = await market.customer(), await market.customer()
    job = await market.job(customer, description="\U0001f600" * 4000)
    update = {"job_id": job["id"], "title": "Paint it again"}
    for _ in range(50):
        await customer.call("/job", "update", update)
    rate = server.web.limits._rate(MARKET_PUSHES)
    server.web.limits.audience = lambda room: int(rate.burst) * PUSHED_BYTES // 16_000
    await customer.call("/job", "update", update)
    with pytest.raises(Refused) as refused:
        await customer.call("/job", "update", update)
    assert refused.value.code == "rate_limited"
    assert 0 < refused.value.details["retry_after"] <= MOST_OWED * rate.slack
    with pytest.raises(Refused):
        await market.job(customer)
    await market.job(other)
    await customer.call("/account", "me")


async def test_passwords_are_not_guessed(market, server):
    """Guard: `PASSWORDS_PER_ACCOUNT`; Redis counts it for all processes together."""
    customer = await market.customer()
    wrong = {"email": customer.email.upper(), "password": "not this one"}
    codes = []
    for _ in range(11):
        _, problem = await market.anonymous_client().http("POST", "/api/account/login", wrong)
        codes.append(problem["code"])
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]
    right = {"email": customer.email, "password": PASSWORD}
    assert (await market.anonymous_client().http("POST", "/api/account/login", right))[0] == 429
