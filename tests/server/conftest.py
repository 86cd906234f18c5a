"""Fixtures of the tests that run the command line."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.dev_process import Dev


@pytest.fixture
def started() -> Iterator[list[Dev]]:
    servers: list[Dev] = []
    yield servers
    for dev in servers:
        dev.end(signal.SIGKILL)
        print(dev.output)
