"""Token buckets: in one process, shared by several through Redis, and while Redis is away."""

import asyncio

import pytest
from redis.asyncio import Redis

from domain.kernel.networks import network_of
from server import token_buckets
from server.token_buckets import Buckets, Rate, SharedBuckets, Turns

SLOW = 1e-6  # a second: nothing comes back during a test


class Hand:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate():
    """Guard: `wait` in `Buckets.take`."""
    clock = Hand()
    buckets, rate = Buckets(clock), Rate(3, 2)
    assert [buckets.take("a", rate) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", rate) == pytest.approx(0.5)
    assert buckets.take("b", rate) == 0
    clock.now += 0.5
    assert buckets.take("a", rate) == 0
    assert buckets.take("a", rate) > 0


def test_buckets_are_forgotten(monkeypatch):
    """Guard: MAX_KEYS; one key for each address that ever came would fill the memory."""
    monkeypatch.setattr("server.token_buckets.MAX_KEYS", 10)
    clock = Hand()
    buckets = Buckets(clock)
    for number in range(100):
        clock.now += 1
        buckets.take(f"address {number}", Rate(1, 1))
    assert len(buckets._due) <= 11


async def test_allowances_are_forgotten(monkeypatch, server):
    """Guard: `_sweep` in `SharedBuckets`."""
    monkeypatch.setattr("server.token_buckets.MAX_KEYS", 10)
    clock = Hand()
    buckets = SharedBuckets(server.web.redis, "many", clock)
    for number in range(100):
        clock.now += 2
        await buckets.take(f"user {number}", Rate(100, 1))
        await reported(buckets)
    assert len(buckets._allowances) <= 11


async def reported(*processes: SharedBuckets) -> None:
    for buckets in processes:
        await buckets.stop()


async def taken(buckets: SharedBuckets, rate: Rate, most: int, cost: float = 1) -> int:
    """How many times `cost` is given, up to the first refusal."""
    for number in range(most):
        if await buckets.take("user", rate, cost):
            return number
    return most


@pytest.mark.parametrize(("burst", "slack"), [(40, 0), (400, 20)])
async def test_processes_share_a_bucket(server, burst, slack):
    """Guard: `SCRIPT`. Small buckets are exact; of larger ones each process has an allowance, which
    is taken from the bucket afterwards."""
    processes = [SharedBuckets(server.web.redis, f"shared {burst}") for _ in range(4)]
    rate = Rate(burst, SLOW)
    counts = await asyncio.gather(*(taken(each, rate, burst) for each in processes))
    assert burst <= sum(counts) <= burst + len(processes) * slack
    await reported(*processes)
    [late] = [SharedBuckets(server.web.redis, f"shared {burst}")]
    assert await taken(late, rate, burst) <= rate.credit
    await reported(late)


async def test_most_commands_do_not_wait_for_redis(server):
    """Guard: `take_at_once` in `SharedBuckets`, and `_urgent`, which renews in the background."""
    buckets, rate = SharedBuckets(server.web.redis, "quick"), Rate(1000, 1000)
    for _ in range(20):
        answers = [buckets.take_at_once("user", rate) for _ in range(4)]
        assert answers == [0, 0, 0, 0]
        await reported(buckets)


async def test_many_buckets_are_reported_in_one_call(server):
    """Guard: `SharedBuckets._report`."""
    buckets, calls = SharedBuckets(server.web.redis, "one call"), []
    script = buckets._script

    async def counted(keys, args):
        calls.append(len(keys))
        return await script(keys=keys, args=args)

    buckets._script = counted
    users = (buckets.take(f"user {n}", Rate(100, 1)) for n in range(50))
    await asyncio.gather(*users, *(buckets.take(f"address {n}", Rate(1, 1)) for n in range(50)))
    await reported(buckets)
    assert (len(calls), sum(calls)) == (1, 100)


async def test_costs_and_giving_back(server):
    """Guard: `cost` in `SharedBuckets.take`, which is at most the whole bucket; `give_back`."""
    buckets, rate = SharedBuckets(server.web.redis, "costs"), Rate(10, SLOW)
    assert await taken(buckets, rate, 10, cost=4) == 2
    assert await taken(buckets, rate, 10) == 2
    buckets.give_back("user", rate, 5)
    assert await taken(buckets, rate, 10) == 5
    assert await buckets.take("another", rate, 1000) == 0
    assert await buckets.take("another", rate) > 0
    large = Rate(100, SLOW)
    assert await buckets.take("third", large, 60) == 0
    assert await buckets.take("third", large, 60) > 0


async def test_a_refusal_says_when_to_come_back(server):
    """Guard: `Allowance.use` and `SharedBuckets._answer`."""
    buckets = SharedBuckets(server.web.redis, "later")
    for rate in (Rate(10, 10), Rate(100, 10)):
        key = f"user {rate.burst}"
        assert await buckets.take(key, rate, rate.burst) == 0
        assert await buckets.take(key, rate, 5) == pytest.approx(0.5, abs=0.1)
    await reported(buckets)


async def test_without_redis_each_process_counts(monkeypatch):
    """Guard: `_away_until` in `SharedBuckets`; no caller waits for Redis repeatedly."""
    monkeypatch.setattr(token_buckets, "AWAY_SECONDS", 60)
    away = Redis.from_url("redis://127.0.0.1:1")
    buckets = SharedBuckets(away, "away")
    small, large = Rate(10, SLOW), Rate(200, SLOW)
    assert await taken(buckets, large, 300) == 200 + large.credit
    results = [await buckets.take("another", small) for _ in range(11)]
    assert results[:10] == [0] * 10 and results[10] > 0
    buckets.give_back("another", small, 1)
    assert await buckets.take("another", small) == 0
    await reported(buckets)
    await away.aclose()


async def test_nobody_waits_for_a_report_that_failed_unexpectedly():
    """Guard: `except Exception` in `SharedBuckets._report`; its callers would wait forever."""
    buckets = SharedBuckets(Redis.from_url("redis://127.0.0.1:1"), "broken")

    async def broken(**_):
        raise RuntimeError("not an error of Redis")

    buckets._script = broken
    async with asyncio.timeout(10):
        assert await buckets.take("exact", Rate(10, SLOW)) == 0
        buckets._away_until = 0.0
        assert await taken(buckets, Rate(200, SLOW), 20) == 20
    await reported(buckets)


async def test_a_redis_that_hangs_is_away(monkeypatch):
    """Guard: ANSWER_SECONDS."""
    monkeypatch.setattr(token_buckets, "ANSWER_SECONDS", 0.05)
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    hanging = Redis.from_url(f"redis://127.0.0.1:{port}")
    buckets = SharedBuckets(hanging, "hangs")
    assert await taken(buckets, Rate(10, SLOW), 100) == 10
    await hanging.aclose()
    silent.close()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_networks_of_addresses(address, network):
    """Guard: `networks.network_of`."""
    assert network_of(address) == network


def test_neighbours_of_an_address():
    """Guard: `ipv4_bits` in `networks.network_of`."""
    assert network_of("203.0.113.7", 24) == network_of("::ffff:203.0.113.200", 24)
    assert network_of("203.0.113.7", 24) == "203.0.113.0/24"


@pytest.mark.parametrize("burst", [10, 100])
async def test_what_was_used_already_is_owed(server, burst):
    """Guard: `SharedBuckets.charge`, with and without an allowance, for every process."""
    here, there = (SharedBuckets(server.web.redis, f"owed {burst}") for _ in range(2))
    rate = Rate(burst, SLOW)
    assert await here.take("user", rate) == 0
    here.charge("user", rate, 2 * burst)
    await reported(here)
    for buckets in (here, there):
        wait = await buckets.take("user", rate, burst)
        assert wait * rate.per_second == pytest.approx(2 * burst + 1, rel=0.01)


def test_refused_requests_get_turns(monkeypatch):
    """Guard: `Turns.give`: those that are refused together come back one by one; what others were
    told adds a bounded wait. Old turns are forgotten."""
    monkeypatch.setattr("server.token_buckets.MAX_KEYS", 10)
    clock = Hand()
    turns = Turns(clock)
    assert [turns.give("a", 0.5, 2) for _ in range(3)] == [0.5, 2.5, 4.5]
    assert [turns.give("a", 0.5, 50) for _ in range(3)] == [54.5, 60.5, 60.5]
    assert turns.give("b", 0.5, 2) == 0.5
    clock.now += 100
    assert turns.give("a", 0.5, 2) == 0.5
    for number in range(10):
        turns.give(str(number), 0.5, 2)
    assert "b" not in turns._last and "9" in turns._last
