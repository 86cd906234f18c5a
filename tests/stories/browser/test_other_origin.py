"""Pages of other origins in a real browser: those of a listed one work, those of others do not."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from domain.kernel.actor import Role
from server.dev.stores import ROOT, Addresses
from tests.stories.browser.tabs import in_the_browser
from tests.support.installations import Database, Installation, new_installation
from tests.support.market import Market
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

WORK = """async ([url, email, password]) => {
    const { JobSphere } = await import("/static/client/jobsphere.js");
    const client = new JobSphere({ url });
    try {
        await client.account.login({ email, password });
        await client.connect();
        const pushed = client.account.next("account.updated", (user) => user.name === "Ada");
        await client.account.update({ name: "Ada" });
        const { name } = await client.account.me({}, { via: "http" });
        const file = new Blob([new Uint8Array(8)]);
        const refused = await client.files.upload({ file, name: "a.exe" }).catch((r) => r.code);
        return [(await pushed).name, name, refused];
    } finally {
        client.close();
    }
}"""
SIGN_IN = """async ([url, email, password]) => {
    const body = JSON.stringify({ email, password });
    const headers = { "Content-Type": "application/json" };
    try {
        return (await fetch(url + "/api/account/login", { method: "POST", headers, body })).status;
    } catch (failed) {
        return failed.name;
    }
}"""
CONNECT = """async ([url, token]) => {
    const { io } = await import("/static/vendor/socket.io.esm.min.js");
    const options = (transports) => ({ auth: { token }, transports, reconnection: false });
    const connected = (transports) => new Promise((done) => {
        const socket = io(url + "/account", { ...options(transports), forceNew: true });
        const end = (result) => { socket.disconnect(); done(result); };
        socket.on("connect", () => end("connected"));
        socket.on("connect_error", () => end("refused"));
    });
    return [await connected(["websocket"]), await connected(["polling"])];
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def sites() -> AsyncIterator[list[str]]:
    """The origins of two web sites, which serve their own copies of the client."""
    servers = []
    for _ in range(2):
        site = web.Application()
        site.add_routes([web.get("/", _page), web.static("/static", ROOT / "static")])
        server = TestServer(site, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
    yield [str(server.make_url("/")).rstrip("/") for server in servers]
    for server in servers:
        await server.close()


async def _page(request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>A site</title>", content_type="text/html")


@pytest_asyncio.fixture(loop_scope="session")
async def installation(
    stores: Addresses, database: Database, realtime: str, sites: list[str]
) -> AsyncIterator[Installation]:
    """The first site is listed."""
    async with new_installation(stores, database, realtime) as installation:
        installation.configure(CORS_ORIGINS=f"{installation.url},{sites[0]}")
        yield installation


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser, sites: list[str]) -> AsyncIterator[list[Page]]:
    """A page of each site."""
    contexts = [await browser.new_context() for _ in sites]
    pages = [await context.new_page() for context in contexts]
    for page, site in zip(pages, sites, strict=True):
        await page.goto(site)
    yield pages
    for context in contexts:
        await context.close()


async def test_pages_of_a_listed_origin_work_and_others_do_not(
    market: Market, pages: list[Page]
) -> None:
    """Guard: `server.cross_origin.CrossOrigin`, and the `origins` of `Realtime`."""
    listed, other = pages
    party = await market.join(Role.CUSTOMER, "Carla", connect=False)
    account = [market.url, party.email, PASSWORD]
    assert await listed.evaluate(WORK, account) == ["Ada", "Ada", "unsupported_type"]
    assert await listed.evaluate(SIGN_IN, account) == 200
    assert await other.evaluate(SIGN_IN, account) == "TypeError"
    token = [market.url, party.token]
    assert await listed.evaluate(CONNECT, token) == ["connected", "connected"]
    assert await other.evaluate(CONNECT, token) == ["refused", "refused"]
