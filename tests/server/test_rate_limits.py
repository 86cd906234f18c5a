"""Rate limits hold, and a client that exceeds them affects no other."""

import asyncio
import time

import msgspec
import pytest

from domain.jobs.views import MARKET_PUSHES
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import RateLimited
from domain.operations.command import Meta
from domain.operations.limits import ANSWER_BYTES, PUSHED_BYTES, Limit, Per, stripe_calls
from handlers import NAMESPACES
from server.rate_limits import BYTES, MOST_OWED, RateTable
from server.token_buckets import LONGEST_TURN, Rate
from tests.support.feed_rows import store_events
from tests.support.parties import Refused
from tests.support.raw_socket import open_raw_socket

OPERATIONS = {each.operation.name: each.operation for n in NAMESPACES for each in n.exposed}
VALID = {
    "title": "",
    "description": "Two coats.",
    "category": "painting",
    "budget_min_amount": 1,
    "budget_max_amount": 2,
    "currency": "USD",
}


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


@pytest.mark.made_up
@pytest.mark.parametrize("wire", ["http", "socket", "without an acknowledgement"])
async def test_a_large_answer_is_paid_by_its_bytes(wire, market, server):
    """Guard: `RateLimits.charge_answer`, on both wires, also when no answer is sent."""
    reader = await market.customer()
    await store_events(market.store, reader, 5, 2 * ANSWER_BYTES)
    server.web.limits._user = Rate(8, 1 / 100)
    if wire == "http":
        assert (await reader.http("GET", "/api/account/feed?since=0"))[0] == 200
    elif wire == "socket":
        await reader.call("/account", "sync", {"since": 0})
    else:
        socket = await open_raw_socket(market, reader)
        await socket.connect("/account")
        await socket.send('42/account,["sync",{"since":0}]')
        assert (await socket.emit("/account", '["me"]'))["error"]["code"] == "rate_limited"
    with pytest.raises(Refused) as refused:
        await reader.call("/account", "me")
    # One token for the command and 10 for its five rows; the bucket had 8, and one is asked for.
    # The second that is refused is told a later turn than the first.
    wait = refused.value.details["retry_after"]
    turn = LONGEST_TURN if wire == "without an acknowledgement" else 0
    assert refused.value.code == "rate_limited" and 380 < wait - turn < 420


async def test_declared_limits_are_enforced_and_scaled(market, server):
    """Guard: `op.limits` in `RateLimits.check`, and `RateTable._factors`."""
    declared = {name: op.limits for name, op in OPERATIONS.items()}
    table = RateTable(100, 30)
    chosen = (declared["job.create"][0], *declared["account.login"])
    rates = [table.of(limit) for limit in chosen]
    assert [(rate.burst, rate.interval) for rate in rates] == [(120, 1 / 2), (30, 2), (10, 30)]
    limit = declared["job.create"][0]
    server.web.rates._rates[limit] = Rate(1, 1 / 100)
    customer = await market.customer()
    await market.job(customer)
    with pytest.raises(Refused) as refused:
        await market.job(customer)
    assert refused.value.code == "rate_limited"


async def test_a_push_to_the_market_is_paid_by_its_audience(market, server):
    """Guard: `RateLimits.charge` with `views._market_cost`: the size of the answer counts and not
    the size of the command. Other customers go on."""
    customer, other = await market.customer(), await market.customer()
    job = await market.job(customer, description="\U0001f600" * 4000)
    update = {"job_id": job["id"], "title": "Paint it again"}
    for _ in range(50):
        await customer.call("/job", "update", update)
    rate = server.web.rates.of(MARKET_PUSHES)
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


async def test_costs_of_a_command(server):
    """Guard: `Limit.cost`, computed from the command, its size and its audience; `BYTES`."""
    limits = server.web.limits
    limits.audience = {"watchers": 7}.__getitem__
    actor, seen = Actor("usr_x", Role.CUSTOMER, "ses_x"), []

    def cost(command, usage):
        seen.append((command.title, usage.size, usage.audience("watchers")))
        return 4 if command.title == "Dear" else 0.5

    op = msgspec.structs.replace(OPERATIONS["job.create"], limits=(Limit(10, 1e7, cost=cost),))
    server.web.rates._factors[Per.USER] = 1

    async def create(title, **more):
        await limits.check(op, VALID | {"title": title} | more, actor, Meta(size=300))

    await create("Dear")
    await create("Cheap")
    await create("Cheap", currency="not one")
    await create("Dear")
    with pytest.raises(RateLimited):
        await create("Cheap")
    assert seen == [(title, 300, 7) for title in ("Dear", "Cheap", "Dear", "Cheap")]
    limits._user = Rate(16, 1e-6)
    await limits.check(
        OPERATIONS["account.me"], {}, Actor("usr_y", Role.CUSTOMER, "ses_y"), Meta(size=15 * BYTES)
    )
    with pytest.raises(RateLimited):
        await limits.check(
            OPERATIONS["account.me"], {}, Actor("usr_y", Role.CUSTOMER, "ses_y"), Meta()
        )


async def test_calls_of_stripe_are_limited_together(market, server):
    """Guard: `limits.stripe_calls` in its bucket; a refused command asks nothing of Stripe."""
    customer = await market.customer()
    await customer.call("/payment", "setup")
    for calls in (1, 2):
        server.web.rates._rates[stripe_calls(calls)] = Rate(3, 1e-6)
    await server.web.limits._buckets.stop()
    server.web.limits._buckets._allowances.clear()
    for key in await server.web.redis.keys(f"{server.store.name}:limit:stripe*"):
        await server.web.redis.delete(key)
    for _ in range(2):
        await customer.call("/payment", "methods")
    before = len(await server.sandbox.requests())
    for command in ("setup", "detach"):
        fields = {"method_id": "pm_1"} if command == "detach" else {}
        with pytest.raises(Refused) as refused:
            await customer.call("/payment", command, fields)
        assert refused.value.code == "rate_limited"
    assert len(await server.sandbox.requests()) == before
    await customer.call("/payment", "methods")


async def test_processes_count_together(processes):
    """Guard: `SharedBuckets` in real processes: a user of two of them has one rate, and wrong
    passwords are counted for both."""
    webs = [await processes.web(COMMANDS_PER_SECOND="40") for _ in range(2)]
    market = processes.market
    user, guessed = [await market.customer(connect=False) for _ in range(2)]
    paths = [(web.url, "/api/account/me") for _ in range(200) for web in webs]
    started = time.monotonic()
    answers = await asyncio.gather(*(user.http("GET", path, url=url) for url, path in paths))
    most = 200 + 40 * (time.monotonic() - started)
    given = [status for status, _ in answers].count(200)
    assert 200 <= given <= most + 2 * 10
    wrong = {"email": guessed.email, "password": "not this one"}
    codes = []
    for number in range(14):
        url = webs[number % 2].url
        codes.append((await user.http("POST", "/api/account/login", wrong, url=url))[1]["code"])
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"] * 4
