"""Fixtures of the tests that run the command line."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.dev_process import DevServer


@pytest.fixture
def started() -> Iterator[list[DevServer]]:
    servers: list[DevServer] = []
    yield servers
    for dev in servers:
        dev.stop(signal.SIGKILL)
        print(dev.output)
