"""Pages in a real browser whose answers and pushes come late, or in another order."""

import asyncio

from playwright.async_api import expect

PENDING = """import("/static/js/api.js").then(({ api }) =>
    api.command("/job", "list").then(() => "answered", (problem) => problem.code))"""


async def test_news_that_comes_after_a_list_which_has_it_already_is_told(tabs, market):
    """Guard: `applied` in events.js, which looks at the event and not at what is known."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: "application.created" in frame)
    await tab.sign_in(customer)
    await market.application(contractor, job)
    await held.caught.wait()
    await tab.open_job(job["title"])
    await tab.sees("I have painted a hundred fences.")
    held.let_go()
    await tab.is_told(f"Colin Contractor applied to “{job['title']}”")


async def test_a_step_that_comes_after_a_list_which_has_it_already_is_told(tabs, market):
    """Guard: `heard` in state.js; measured against what was read last, it would be no news."""
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
    held.let_go()
    await tab.is_told("You are on the shortlist")


async def test_an_answer_that_comes_after_a_newer_push_changes_nothing(tabs, market):
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
    held.let_go()
    await tab.sees("I have painted a hundred fences.")  # read after all the late answers
    await expect(name).to_have_text("Carla Renamed")


async def test_signing_out_while_lists_are_read_is_no_error(tabs, market):
    """Guard: `me` within `Promise.all` in `reload`; beside it nobody would look at its refusal."""
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
    assert tabs.complaints == []
