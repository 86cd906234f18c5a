"""Fixtures: a Node process with clients."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.clients.javascript.node_clients import Node, NodeProgram
from tests.support.one_server import has_one_server


@pytest.fixture(scope="session")
def node_program(client: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProgram]:
    program = NodeProgram(tmp_path_factory.mktemp("node"))
    yield program
    program.stop()


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Node:
    """Clients of a test, in the process of all."""
    shared = has_one_server(request.node)
    node: Node = request.getfixturevalue("node_beside_shared_server" if shared else "own_node")
    return node


@pytest_asyncio.fixture(loop_scope="module")
async def node_beside_shared_server(node_program: NodeProgram) -> AsyncIterator[Node]:
    async with node_program.connected() as node:
        yield node


@pytest.fixture
async def own_node(node_program: NodeProgram) -> AsyncIterator[Node]:
    async with node_program.connected() as node:
        yield node
