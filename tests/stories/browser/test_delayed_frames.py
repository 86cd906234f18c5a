"""Pages in a real browser whose answers and pushes are delayed or reordered."""

import asyncio

from playwright.async_api import expect

from domain.notifications.alerts import alert
from tests.stories.browser.tabs import in_the_browser

pytestmark = in_the_browser

PENDING = """import("/static/js/api.js").then(({ api }) =>
    api.command("/job", "list").then(() => "answered", (problem) => problem.code))"""


async def test_a_push_after_a_list_that_has_the_object_shows_a_notice(tabs, market):
    """Guard: `applied` in events.js, which compares events, not the known objects."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: "application.created" in frame)
    await tab.sign_in(customer)
    await tab.sees(job["title"])  # the page has caught up with the feed: what comes now is news
    await market.application(contractor, job)
    await held.caught.wait()
    await tab.open_job(job["title"])
    await tab.sees("I have painted a hundred fences.")
    held.release()
    await tab.sees_notice(f"Colin Contractor applied to “{job['title']}”")


async def test_a_push_after_a_list_that_has_the_new_status_shows_a_notice(tabs, market):
    """Guard: `heard` in state.js; compared with the last list, the push would be no news."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: "application.updated" in frame)
    await tab.sign_in(contractor, "/#/work")
    await tab.sees(job["title"])
    await customer.call("/job-request", "accept", {"application_id": application["id"]})
    await held.caught.wait()
    await tab.go("Find work")
    await tab.go("My work")
    await tab.sees("Shortlisted")
    held.release()
    await tab.sees_notice("You are on the shortlist")


async def test_a_notice_that_was_listed_before_it_came_is_shown(tabs, market, server):
    """Guard: `told` in bell.js shows what comes, whether or not the list has it."""
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith('42/account,["notification"'))
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await server.store.transact(lambda uow: alert(uow, "refund_failed", "pay_1", "Look at it."))
    await held.caught.wait()
    await tab.page.evaluate('import("/static/js/bell.js").then(({ loadTold }) => loadTold())')
    await tab.page.get_by_role("button", name="Notices, 1 new").wait_for()
    held.release()
    await tab.sees_notice("Alert: A refund failed.")


async def test_an_answer_older_than_a_push_changes_nothing(tabs, market):
    """Guard: the comparison in `putUser`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith("43/account,") and customer.email in frame)
    await tab.sign_in(customer, f"/#/job/{job['id']}")
    await held.caught.wait()
    await customer.call("/account", "update", {"name": "Carla Renamed"})
    name = tab.page.locator(".person .name")
    await expect(name).to_have_text("Carla Renamed")
    held.release()
    await tab.sees("I have painted a hundred fences.")  # read after all delayed answers
    await expect(name).to_have_text("Carla Renamed")


async def test_signing_out_during_requests_causes_no_errors(tabs, market):
    """Guard: `me` within `Promise.all` in `reload`; outside of it its rejection would be
    unhandled."""
    customer = await market.customer(connect=False)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith("43/job,") or customer.email in frame)
    await tab.sign_in(customer)
    await held.caught.wait()
    asked = asyncio.create_task(tab.page.evaluate(PENDING))
    async with tab.page.expect_response("**/api/account/logout"):
        await tab.press("Sign out")
    assert await asked == "unauthenticated"
    await tab.sees("Sign in", role="heading")
    assert tabs.errors == []
