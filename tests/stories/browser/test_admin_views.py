"""The same of every view of administrators, in a file of its own: it runs beside the others."""

import pytest
from playwright.async_api import expect

from tests.stories.browser.hostile_world import HostileWorld
from tests.stories.browser.tabs import Tab, Tabs, in_the_browser
from tests.stories.browser.test_views import checked, routes
from tests.stories.browser.view_checks import ViewChecks
from tests.support.installations import Server
from tests.support.market import Market

pytestmark = [in_the_browser, pytest.mark.timeout(1800)]


async def test_views_of_administrators(tabs: Tabs, market: Market, server: Server) -> None:
    """Guard: the views of static/js/admin; each has its `h1`, and texts are never markup. `Write`
    of chargeback.js sends the file that is chosen as evidence."""
    world = await HostileWorld(market, server).build(queues=True)
    tab = await tabs.open()
    checks = ViewChecks(tab)
    await checks.watch()
    await tab.sign_in(world.admin, "/admin")
    lists = await tab.run("admin/lists.js", "({ LISTS }) => Object.keys(LISTS)")
    found = [each for each in routes("admin/main.js", open=False) if each != "/admin/:list"]
    await checked(checks, world.addresses("admin", [*found, *(f"/admin/{each}" for each in lists)]))
    await _choose_evidence(tab, world)


async def _choose_evidence(tab: Tab, world: HostileWorld) -> None:
    """A file of the job's dispute becomes evidence in its chargeback."""
    id = world.ids["chargebacks"]
    await tab.page.goto(f"{tab.origin}/admin/chargebacks/{id}")
    file = tab.page.get_by_label("Send “")
    await expect(file).to_have_count(1)  # the picture of a delivery is no evidence
    await file.select_option("A receipt")
    await tab.press("Continue…")
    await tab.answer("Save a draft?", "Save", Why="It shows the work")
    await tab.sees("File: A receipt")
    await expect(file).to_have_value("receipt")
    last, *_ = (await world.admin.call("/admin", "chargeback", {"chargeback_id": id}))["evidence"]
    assert [each["field"] for each in last["files"]] == ["receipt"]
