"""The same of every view of administrators, in a file of its own: it runs beside the others."""

import pytest

from tests.stories.browser.hostile_world import HostileWorld
from tests.stories.browser.tabs import Tabs, in_the_browser
from tests.stories.browser.test_views import checked, routes
from tests.stories.browser.view_checks import ViewChecks
from tests.support.installations import Server
from tests.support.market import Market

pytestmark = [in_the_browser, pytest.mark.timeout(1800)]


async def test_views_of_administrators(tabs: Tabs, market: Market, server: Server) -> None:
    """Guard: the views of static/js/admin; each has its `h1`, and texts are never markup."""
    world = await HostileWorld(market, server).build(queues=True)
    tab = await tabs.open()
    checks = ViewChecks(tab)
    await checks.watch()
    await tab.sign_in(world.admin, "/admin")
    lists = await tab.run("admin/lists.js", "({ LISTS }) => Object.keys(LISTS)")
    found = [each for each in routes("admin/main.js", open=False) if each != "/admin/:list"]
    await checked(checks, world.addresses("admin", [*found, *(f"/admin/{each}" for each in lists)]))
