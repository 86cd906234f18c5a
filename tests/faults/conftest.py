"""Worlds in which tests of several files here begin."""

import pytest

from tests.support.installations import Server
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.worlds import World


async def play_two_jobs(work: JobInProgress) -> None:
    await work.start_and_complete()
    later = JobInProgress(work.market, work.server)
    await later.start(200_000, customer=work.customer, contractor=work.contractor)
    work.later_job = later.job


@pytest.fixture(scope="session")
def world_of_two_jobs() -> World:
    return World(JobInProgress, play_two_jobs)


async def start_early(work: JobInProgress) -> None:
    await work.sandbox.settings(available_delay_seconds=2 * 86_400)
    await work.start()


@pytest.fixture(scope="session")
def world_of_early_work() -> World:
    return World(JobInProgress, start_early)


@pytest.fixture
async def early(world_of_early_work: World, market: Market, server: Server) -> JobInProgress:
    """A job in progress whose money is available at Stripe in two days."""
    return await world_of_early_work.enter(market, server)


@pytest.fixture
async def two_jobs(world_of_two_jobs: World, market: Market, server: Server) -> JobInProgress:
    """`completed_work`, and another job in progress, `later_job`, of twice the amount: 1,400.00 are
    the contractor's when it is completed."""
    return await world_of_two_jobs.enter(market, server)
