"""Worlds: a test that has a deal restored goes on as the one that played it."""

import pytest

from domain.audit_trail import hash_chain, verification
from tests.support.job_in_progress import JobInProgress
from tests.support.worlds import World

PLAYED = []


async def play(work):
    PLAYED.append(await work.start())


@pytest.fixture(scope="module")
def world_of_two_tests():
    return World(JobInProgress, play)


@pytest.mark.parametrize("test", ["first", "second"])
async def test_a_deal_is_played_once(world_of_two_tests, market, server, test):
    """Guard: `World.prepare` and `World.enter`. The deal goes on up to the payout with both people,
    Stripe's events arrive, and the audit trail and the books are whole."""
    work = await world_of_two_tests.enter(market, server)
    assert (len(PLAYED), len(market.parties)) == (1, 2)
    assert [party.received("/bidding", "offer.accepted") for party in market.parties] == [[], []]
    await work.complete()
    await market.settled()
    await work.withdraw(70_000)
    assert await work.platform_and_escrow() == (30_000, 0)
    await hash_chain.extend(server.ports)
    proof = await verification.verify(server.ports)
    assert (proof.rows > 0, proof.findings) == (True, [])
