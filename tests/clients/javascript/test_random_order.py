"""Feed and conversations of the JavaScript client under random losses, duplicates and delays."""

import json
from pathlib import Path

from tests.clients.javascript.test_package import run
from tests.support.property_sizes import SEED, size

PROGRAM = Path(__file__).with_name("random_order.mjs")
RUNS = size(500, deep=20_000)


async def test_everything_comes_in_order_and_once() -> None:
    """Guard: `Progress` in conversations.js and `#run` in feed.js. The server answers a few items
    at a time, so its answers and pushes cross. A problem names the seed that repeats it."""
    output = await run("node", str(PROGRAM), str(SEED or 1), str(RUNS))
    assert json.loads(output) == []
