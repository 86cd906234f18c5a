"""Fixtures: a Node process with clients."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.javascript.node_clients import Node, running_node


@pytest.fixture
async def node(client: None) -> AsyncIterator[Node]:
    async with running_node() as node:
        yield node
