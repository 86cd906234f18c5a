"""Fixtures of the Python client's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.support.market import Market
from tests.support.python_clients import PythonClients


@pytest.fixture
async def clients(market: Market) -> AsyncIterator[PythonClients]:
    """Clients of the package for users of the server inside the test."""
    made = PythonClients(market)
    yield made
    await made.close()
