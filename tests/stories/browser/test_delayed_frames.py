"""Pages in a real browser whose answers and pushes are delayed or reordered."""

import asyncio

from playwright.async_api import expect

from tests.stories.browser.tabs import in_the_browser

pytestmark = in_the_browser

PENDING = """({ server }) => server.job.list({}).then(() => "answered", ({ code }) => code)"""


async def test_a_push_after_a_list_that_has_the_object_shows_a_notice(tabs, market):
    """Guard: `tellApplied` in news.js, which tells of events, not of objects that are
    not known."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: "application.created" in frame)
    await tab.sign_in(customer, "/jobs")
    await tab.sees(job["title"])  # the page has caught up with the feed: what comes now is news
    await market.application(contractor, job)
    await held.caught.wait()
    await tab.open_job(job["title"])
    await tab.sees("I have painted a hundred fences.")
    held.release()
    await tab.sees_notice(f"Colin Contractor applied to “{job['title']}”")


async def test_a_push_after_a_list_that_has_the_new_status_shows_a_notice(tabs, market):
    """Guard: `heard` in news.js; compared with the last list, the push would be no news."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    application = await market.application(contractor, job)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: "application.updated" in frame)
    await tab.sign_in(contractor, "/work?show=applications")
    await tab.sees(job["title"])
    await customer.call("/job-request", "accept", {"application_id": application["id"]})
    await held.caught.wait()
    await tab.go("Find work")
    await tab.go("My work")
    await tab.follow("Applications")
    await tab.sees("Shortlisted")
    held.release()
    await tab.sees_notice("You are on the shortlist")


async def test_a_notice_that_was_listed_before_it_came_is_shown_and_not_counted(tabs, market):
    """Guard: `putNotice` in world.js shows what comes, whether or not the list has it, and counts
    what was not seen."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: '["notification"' in frame or '["head"' in frame)
    await tab.sign_in(contractor)
    await market.offer(customer, contractor, job)
    await held.caught.wait()
    await tab.go("Notifications")
    await tab.sees("You have an offer of 1,000.00 USD")
    held.release()
    await tab.sees_notice("You have an offer of 1,000.00 USD")
    link = tab.page.get_by_role("navigation").get_by_role("link", name="Notifications")
    await expect(link).to_have_text("Notifications")


async def test_an_answer_older_than_a_push_changes_nothing(tabs, market):
    """Guard: the comparison in `putMe`."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith("43/account,") and customer.email in frame)
    await tab.sign_in(customer, f"/jobs/{job['id']}")
    await held.caught.wait()
    await customer.call("/account", "update", {"name": "Carla Renamed"})
    name = tab.page.locator(".sidebar .me-button")
    await expect(name).to_contain_text("Carla Renamed")
    held.release()
    await tab.go("Payments")
    await tab.sees("No payments yet")  # read after all delayed answers
    await expect(name).to_contain_text("Carla Renamed")


async def test_signing_out_during_requests_causes_no_errors(tabs, market):
    """Guard: the check of `server.user` in `refresh`, and `forget`."""
    customer = await market.customer(connect=False)
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith("43/job,") or customer.email in frame)
    await tab.sign_in(customer, "/settings/devices")
    await held.caught.wait()
    asked = asyncio.create_task(tab.run("shared/server.js", PENDING))
    async with tab.page.expect_response("**/api/account/logout"):
        await tab.press("Sign out")
    assert await asked == "unauthenticated"
    await tab.heads("Sign in")
    assert tabs.errors == []


async def test_a_line_of_the_chat_keeps_its_height_when_its_offer_is_known(tabs, market):
    """Guard: `unknown` in `OfferFacts`, which has the place of what is not read yet."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    await market.offer(customer, contractor, job)
    talk = await customer.call("/chat", "open", {"job_id": job["id"], "user_id": contractor.id})
    tab = await tabs.open()
    held = await tab.hold(lambda frame: frame.startswith("43/bidding,"))
    await tab.sign_in(contractor, f"/chat/{talk['id']}")
    await held.caught.wait()
    line = tab.page.locator("[data-key*='offer.created']")
    before = await line.bounding_box()
    held.release()
    await expect(line.get_by_text("Waiting for an answer")).to_be_visible()
    assert await line.bounding_box() == before
