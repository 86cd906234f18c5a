"""Modules of the pages that need no browser, in Node's own test runner."""

from pathlib import Path

from tests.clients.javascript.test_package import run

HERE = Path(__file__).parent


async def test_modules_of_the_pages() -> None:
    """Guard: each case says what."""
    await run("node", "--test", *(str(path) for path in sorted(HERE.glob("*.test.mjs"))))
