"""Fixtures of the Python client's tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.market import Market
from tests.support.one_server import has_one_server
from tests.support.python_clients import PythonClients


@pytest.fixture
def clients(market: Market, request: pytest.FixtureRequest) -> PythonClients:
    """Clients of the package for users of the server inside the test."""
    shared = has_one_server(request.node)
    made: PythonClients = request.getfixturevalue(
        "clients_on_shared_server" if shared else "own_clients"
    )
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def clients_on_shared_server(market: Market) -> AsyncIterator[PythonClients]:
    made = PythonClients(market)
    yield made
    await made.close()


@pytest.fixture
async def own_clients(market: Market) -> AsyncIterator[PythonClients]:
    made = PythonClients(market)
    yield made
    await made.close()
