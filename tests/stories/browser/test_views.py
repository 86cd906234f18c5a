"""Every view with hostile texts: accessible, whole at every width, still as it loads, harmless."""

import re
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.dev.stores import ROOT
from server.http.headers import page_policy
from server.http.pages import page_routes
from tests.stories.browser.hostile_world import HostileWorld
from tests.stories.browser.tabs import Profiles, Tabs, in_the_browser
from tests.stories.browser.view_checks import LEAVING, ViewChecks
from tests.support.installations import Server
from tests.support.market import Market

pytestmark = [in_the_browser, pytest.mark.timeout(1800)]

PAGES = ROOT / "static" / "js"
ROUTE = re.compile(r'^  "(/[^"]*)": (?:\{ \.\.\.)?(\w+)', re.MULTILINE)


def routes(module: str, *, open: bool) -> list[str]:
    """The addresses of a page's views."""
    found = ROUTE.findall((PAGES / module).read_text())
    return [
        path for path, kind in found if (kind == "openView") is open and not LEAVING.search(path)
    ]


async def checked(checks: ViewChecks, addresses: list[str], least: float = 0.5) -> None:
    """Check all views. At least such a part of them shows what others have written."""
    for number, address in enumerate(addresses):
        await checks.check(number, address)
    print(*checks.wrong, sep="\n")  # what pytest shows of a long list is cut
    assert checks.wrong == []
    assert len(checks.with_text) > len(addresses) * least
    assert checks.hosts == set()
    assert checks.tab.errors == []


async def test_views_of_nobody(tabs: Tabs, market: Market) -> None:
    """Guard: entry.js, mailed.js, and the landing page."""
    tab = await tabs.open()
    checks = ViewChecks(tab)
    await checks.watch()
    await checked(checks, ["/", *routes("client/app.js", open=True)], least=-1)


async def test_components(profiles: Profiles, port: int) -> None:
    """Guard: components.html and components.js, which only `dev` serves; they need no market."""
    origin = f"http://127.0.0.1:{port}"
    app = web.Application()
    app.add_routes(page_routes(PAGES.parent, partial(page_policy, origin, False), dev=True))
    async with TestServer(app, host="127.0.0.1", port=port):
        tabs = Tabs(profiles, origin)
        checks = ViewChecks(await tabs.open())
        await checks.watch()
        for number in (0, 5):  # opened narrow and light, and as wide as a phone and dark
            await checks.check(number, "/static/components.html")
        await tabs.close()
    assert (checks.wrong, checks.hosts, tabs.errors) == ([], set(), [])


async def test_views_of_the_client(tabs: Tabs, market: Market, server: Server) -> None:
    """Guard: the views of static/js/client; each has its `h1`, and texts are never markup."""
    world = await HostileWorld(market, server).build()
    for half, role in enumerate(("customer", "contractor")):
        tab = await tabs.open()
        checks = ViewChecks(tab, half)
        await checks.watch()
        await tab.sign_in(getattr(world, role), "javascript:hit()")
        await checked(checks, world.addresses(role, routes("client/app.js", open=False)))
