"""Fixtures: one real browser for all tests of this folder, on servers inside the tests.

The browser belongs to one event loop. These tests and what they use run on it: each has its own
server all the same, and each tab its own cookies and storage. The servers have the same port one
after the other, so what a profile has cached for one test serves the next.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from server.dev.stores import Addresses
from tests.stories.browser.tabs import Profiles, Tabs
from tests.support import clean_books
from tests.support.fork_server import ForkServer
from tests.support.installations import (
    Database,
    Installation,
    Server,
    new_installation,
    new_mail_server,
    new_market,
    new_processes,
    running_server,
)
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.processes import Processes, free_port
from tests.support.smtp_server import SmtpServer

# The first is Chromium without its windows, which needs a quarter less CPU time.
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # No spare processes: the pages of one tab share one.
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail(f"install one of {', '.join(BROWSERS)}: the pages are tested in a real browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, headless=True
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
def profiles(browser: Browser) -> Profiles:
    return Profiles(browser)


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(profiles: Profiles, server: Server) -> AsyncIterator[Tabs]:
    tabs = Tabs(profiles, server.web.settings.public_url)
    yield tabs
    await tabs.close()


@pytest.fixture(scope="package")
def port() -> int:
    return free_port()


@pytest_asyncio.fixture(loop_scope="session")
async def installation(
    stores: Addresses, database: Database, realtime: str, port: int
) -> AsyncIterator[Installation]:
    async with new_installation(stores, database, realtime, port) as installation:
        yield installation


@pytest_asyncio.fixture(loop_scope="session")
async def smtp(installation: Installation) -> AsyncIterator[SmtpServer]:
    async with new_mail_server(installation) as smtp:
        yield smtp


@pytest_asyncio.fixture(loop_scope="session")
async def server(
    installation: Installation, request: pytest.FixtureRequest
) -> AsyncIterator[Server]:
    async with running_server(installation) as server:
        yield server
        if clean_books.is_checked(request.node):
            await clean_books.check_books(server)


@pytest_asyncio.fixture(loop_scope="session")
async def market(server: Server, installation: Installation) -> AsyncIterator[Market]:
    async with new_market(server, installation) as market:
        yield market


@pytest_asyncio.fixture(loop_scope="session")
async def processes(
    installation: Installation,
    tmp_path: Path,
    fork_server: ForkServer,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Processes]:
    async with new_processes(installation, tmp_path, fork_server) as processes:
        yield processes
        if clean_books.is_checked(request.node):
            await clean_books.check_books_of_processes(installation, processes)


@pytest_asyncio.fixture(loop_scope="session")
async def completed_work(market: Market, server: Server) -> JobInProgress:
    return await JobInProgress(market, server).start_and_complete()
