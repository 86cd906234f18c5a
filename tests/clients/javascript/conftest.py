"""Fixtures: a Node process with clients."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients.javascript.node_clients import Node, NodeProgram


@pytest.fixture(scope="session")
def node_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProgram]:
    program = NodeProgram(tmp_path_factory.mktemp("node"))
    yield program
    program.stop()


@pytest.fixture
async def node(client: None, node_program: NodeProgram) -> AsyncIterator[Node]:
    """Clients of a test, in the process of all."""
    async with node_program.connected() as node:
        yield node
