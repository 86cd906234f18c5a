"""What most of these tests begin with."""

import pytest

from tests.support.job_in_progress import Work
from tests.support.offer_scene import Scene


@pytest.fixture
async def scene(market, server):
    """A customer, an applicant and a job."""
    return await Scene(market, server).set()


@pytest.fixture
async def work(market, server):
    """A job in progress."""
    return await Work(market, server).begin()


@pytest.fixture
async def done(market, server):
    """A job that was completed and paid to the wallet."""
    return await Work(market, server).done()


@pytest.fixture
def impatient(monkeypatch):
    """Before `market`: the gateway gives Stripe one second."""
    monkeypatch.setattr("server.adapters.stripe_gateway.TIMEOUT_SECONDS", 1)
