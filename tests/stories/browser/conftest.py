"""Fixtures: a real browser on the server inside the test."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import async_playwright

from tests.conftest import Server
from tests.stories.browser.tabs import Tabs

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


@pytest.fixture
async def tabs(server: Server) -> AsyncIterator[Tabs]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("install Chromium: the pages are tested in a real browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, headless=True
        )
        yield Tabs(browser, server.web.settings.public_url)
        await browser.close()
