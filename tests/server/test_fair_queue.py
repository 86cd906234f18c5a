"""Expensive work is bounded, and a flood of one network delays its own work only."""

import asyncio

import pytest

from domain.kernel.errors import RateLimited
from server.adapters.argon2_passwords import Argon2Passwords
from server.caller import CALLER, Caller
from server.runtime.fair_queue import FairQueue
from tests.support.parties import PASSWORD_HASH


class Work:
    """Pieces of work that end when the test says so."""

    def __init__(self, **bounds: int) -> None:
        self.queue = FairQueue(**{"slots": 1, "most_waiting": 10, "most_of_group": 6} | bounds)
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[str]] = []
        self._done = asyncio.Semaphore(0)

    async def add(self, group: str, member: str = "", known: bool = False) -> asyncio.Task[str]:
        self.tasks.append(asyncio.create_task(self._do(group, member, known)))
        await asyncio.sleep(0)
        return self.tasks[-1]

    async def _do(self, group: str, member: str, known: bool) -> str:
        try:
            async with self.queue.turn(group, member, known):
                self.order.append(f"{group}{member}")
                await self._done.acquire()
        except RateLimited as refused:
            assert refused.details["retry_after"] >= 1
            return "refused"
        return "done"

    async def finish(self) -> list[str]:
        for _ in self.tasks:
            self._done.release()
        outcomes = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert (self.queue.waiting, self.queue._free) == (0, self.queue._slots)
        assert (self.queue._groups, self.queue._sizes) == ({}, {})
        return ["cancelled" if isinstance(each, BaseException) else each for each in outcomes]


async def test_groups_take_turns_and_members_within_them():
    """Guard: `FairQueue._pass_on`."""
    work = Work()
    for member in "xxxy":
        await work.add("a", member)
    await work.add("b")
    await work.add("c")
    assert await work.finish() == ["done"] * 6
    assert work.order == ["ax", "ax", "b", "c", "ay", "ax"]


@pytest.mark.parametrize(
    ("before", "newcomer", "refused"),
    [
        ("aaaaaaa", "b", 0),  # there is room
        ("aaaaaaa", "a", 1),  # the share of its group is used up: it gives way itself
        ("aaaaaaabbbb", "c", 1),  # full: the longest group gives way
        ("abcdefghijk", "l", 1),  # full, and all groups are equal
    ],
)
async def test_what_does_not_fit_is_refused(before, newcomer, refused):
    """Guard: `FairQueue._make_room`."""
    work = Work()
    for group in before:
        await work.add(group)
    mine = await work.add(newcomer)
    outcomes = await work.finish()
    assert outcomes.count("refused") == refused
    assert (mine.result() == "refused") == (newcomer in "al")


async def test_another_account_of_a_network_has_its_turn():
    """Guard: `FairQueue._evict_of_group`: guesses at one account do not fill a network's share."""
    work = Work()
    for _ in range(7):
        await work.add("a", "guessed")
    honest = await work.add("a", "honest")
    assert (await work.finish()).count("refused") == 1
    assert honest.result() == "done"
    assert work.order.index("ahonest") <= 2


async def test_one_who_is_known_comes_first():
    """Guard: `known` in `FairQueue._wait` and `_make_room`: a flood from many networks does not
    keep the owner of an account out."""
    work = Work()
    for group in "abcdefghijk":
        await work.add(group)
    known = [await work.add(name, known=True) for name in ("own", "own", "too")]
    assert (await work.finish()).count("refused") == 3
    assert [task.result() for task in known] == ["done", "refused", "done"]
    assert sorted(work.order[1:3]) == ["own", "too"]


async def test_one_who_leaves_holds_no_slot():
    """Guard: CancelledError in `FairQueue._wait`, before and after the slot is given."""
    work = Work()
    first, second, third = [await work.add("a", name) for name in "xyz"]
    second.cancel()
    first.cancel()
    third.cancel()
    await work.add("b")
    assert await work.finish() == ["cancelled"] * 3 + ["done"]


async def test_one_who_leaves_while_it_is_evicted_frees_no_slot():
    """Guard: `future.exception` in `FairQueue._wait`; the queue would get a slot more each time."""
    work = Work(most_waiting=2, most_of_group=2)
    _, evicted, _ = [await work.add("a", member) for member in ("works", "evicted", "waits")]
    work.tasks.append(asyncio.create_task(work._do("b", "", False)))
    asyncio.get_running_loop().call_soon(evicted.cancel)
    await asyncio.sleep(0)
    assert await work.finish() == ["done", "cancelled", "done", "done"]


async def test_passwords_are_checked_in_the_turns_of_networks():
    """Guard: CALLER in `Argon2Passwords._run`: one who signs in does not wait for a flood."""
    passwords, order = Argon2Passwords(), []
    passwords._decoy = PASSWORD_HASH  # of the least cost

    async def check(network: str, number: int) -> None:
        CALLER.set(Caller(network, f"account {number}"))
        await passwords.verify("wrong", None)
        order.append(network)

    flood = [asyncio.create_task(check("flood", number)) for number in range(14)]
    await asyncio.sleep(0)
    await check("honest", 1)
    await asyncio.gather(*flood)
    assert order.index("honest") < len(flood) / 2  # last of all, if there were no turns


async def test_a_limited_operation_knows_its_caller(market, server):
    """Guard: CALLER in `RateLimits._begin_attempts`."""
    seen, customer = [], await market.customer(connect=False)
    verify = server.ports.passwords.verify

    async def verify_and_note(*args):
        seen.append(CALLER.get())
        return await verify(*args)

    server.ports.passwords.verify = verify_and_note
    fields = {"email": customer.email, "password": "not this one"}
    await market.anonymous_client().http("POST", "/api/account/login", fields)
    await customer.http("POST", "/api/account/delete", {"password": "not this one"})
    [unknown, known] = seen
    assert (unknown.account, unknown.known) == (customer.id, False)
    assert known == Caller(unknown.network, customer.id, known=True)
