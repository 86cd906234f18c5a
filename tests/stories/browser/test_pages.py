"""The web client in a real browser: live updates, 3-D Secure, sessions."""

import asyncio

from playwright.async_api import Route, expect

from domain.kernel.rooms import user_room
from tests.stories.browser.job_steps import TITLE, offer, pay, shortlisted
from tests.stories.browser.tabs import PHONE, in_the_browser
from tests.support.databases import needs
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

NOTHING = "<!doctype html><link rel=icon href=data:,>"
KEY = "jobsphere.session"
REFRESH_TOKEN = f"JSON.parse(localStorage.getItem('{KEY}')).refresh_token"
AGED = f"""localStorage.setItem('{KEY}', JSON.stringify(
    {{...JSON.parse(localStorage.getItem('{KEY}')), expires_at: "2020-01-01T00:00:00Z"}}))"""
TOKEN = "({ server }) => server.session.current.refresh_token"
EXPIRE = "({ server }) => server.session.adopt({ expires_at: '2020-01-01T00:00:00Z' })"
ASK = "({ server }) => server.account.me({}, { via: 'http' })"


async def without_stripe(route: Route) -> None:
    """Answer as a server that has neither a sandbox nor a key for Stripe's form."""
    response = await route.fetch()
    meta = await response.json()
    meta["payments"] |= {"sandbox": False, "stripe_publishable_key": ""}
    await route.fulfill(response=response, json=meta)


async def test_a_new_job_appears_in_other_tabs_without_errors(tabs, market):
    """Guard: `publish_job(uow, job, market=True)` in `posting.create`; without it the second
    tab would need a reload. Without `connect-src` in PAGE_HEADERS, or the favicon, the browser
    reports errors."""
    contractor, admin = await tabs.open(), await tabs.open()
    await contractor.sign_in(await market.contractor(connect=False), "/jobs")
    await contractor.sees("No open jobs right now")
    await admin.sign_in(await market.admin(connect=False), "/admin")
    opened = admin.page.locator("dt:has-text('Open') + dd")
    await admin.sees("Open connections")
    await expect(opened).to_have_count(0)
    await market.job(await market.customer(), title=TITLE)
    await contractor.sees(TITLE)
    await contractor.sees("500.00 to 2,000.00 USD")
    await expect(opened).to_have_text("1")
    await admin.sees(TITLE)
    await contractor.screenshot("find")
    await admin.screenshot("admin")
    assert tabs.errors == []


async def test_events_during_a_lost_connection_show_notices_afterwards(tabs, market, server):
    """Guard: `#catchUp` of the client's feed; without it the lists are read again, but the customer
    gets no notice of the application."""
    tab = await tabs.open()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, title=TITLE)
    await customer.disconnect()
    await tab.sign_in(customer, "/jobs")
    await tab.sees("No application to answer")
    for connection in list(server.web.realtime.rooms.members(user_room(customer.id))):
        connection.close_transport()  # as when a server ends
    await tab.page.context.set_offline(True)
    await expect(tab.page.get_by_text("The server cannot be reached.")).to_be_visible()
    await market.application(contractor, job)
    await market.settled()
    await tab.page.context.set_offline(False)
    await tab.sees_notice(f"Colin Contractor applied to “{TITLE}”")
    await tab.sees("1 application to answer")
    await expect(tab.page.get_by_text("The server cannot be reached.")).to_have_count(0)


@needs("freed keys")
async def test_an_offer_is_visible_only_after_3d_secure(tabs, market):
    """Guard: `settle_payment` ends a declined offer (`settle_decline`), so that another one may be
    made; and `failureOf` tells the reason.
    Guard: `visible: bool = False` in Offer until `settle_hold`; were it visible when created,
    the contractor would read it. Without `returned()` in the page the customer would get
    no notice. `cannotPay` in payment_setup.js: without a sandbox there are no test cards."""
    employer, worker = await market.customer(), await market.contractor()
    await shortlisted(market, employer, worker)
    customer, contractor = await tabs.open(), await tabs.open(viewport=PHONE)
    await customer.page.route("**/api/meta", without_stripe)
    await customer.sign_in(employer, "/jobs")
    await contractor.sign_in(worker, "/work?show=applications")
    await customer.open_job(TITLE)
    await customer.follow("Make an offer")
    await customer.sees("Nothing can be paid on this server yet")
    await expect(customer.page.get_by_role("button", name="Check and send")).to_have_count(0)
    await customer.page.unroute("**/api/meta")
    await customer.page.go_back()
    await customer.page.reload()
    await customer.live()
    await contractor.open_job(TITLE)
    await offer(customer, "Declined card")
    await customer.sees("The payment did not go through: the bank declined it. Nothing was sent.")
    await pay(customer, "Visa with 3-D Secure", "1,000.00 USD")
    bank = customer.page.get_by_role("heading", name="3-D Secure test challenge")
    await expect(bank).to_be_visible()
    await market.settled()
    await contractor.page.reload()  # lists do not have the offer either
    await contractor.sees("Your application", role="heading")
    await expect(contractor.page.get_by_role("heading", name="Offers")).to_have_count(0)
    assert (await worker.http("GET", "/api/bidding"))[1]["items"] == []
    await customer.page.get_by_role("button", name="Complete").click()
    await customer.sees_notice("The money is held, and the offer is out.")
    await customer.sees("Waiting for an answer")
    await contractor.sees_notice("an offer of 1,000.00 USD")
    await contractor.sees("Offers", role="heading")
    assert await contractor.fits()
    assert tabs.errors == []


async def test_a_new_account_stays_signed_in_over_a_reload_until_it_signs_out(tabs):
    """Guard: `setItem` in `#keep` (reload) and `removeItem` in `#forget`; without
    `renew()` in `token` the old refresh token would still be there. Nothing personal is kept."""
    tab = await tabs.open()
    await tab.page.goto(tab.origin)
    await tab.heads("Good work, agreed in minutes")
    await tab.page.get_by_role("link", name="Create an account").click()
    await tab.screenshot("register")
    await tab.page.get_by_label("I have work to be done").check()
    await tab.fill(Name="Nora New", E_mail="nora@people.test", Password=PASSWORD)
    await tab.press("Create account")
    await tab.sees("Post a job")
    await tab.page.evaluate(AGED)
    before = await tab.page.evaluate(REFRESH_TOKEN)
    await tab.page.reload()
    await tab.live()
    await tab.heads("Hello, Nora")
    assert await tab.page.evaluate(REFRESH_TOKEN) != before
    await tab.page.get_by_role("link", name="Nora New").click()
    kept = await tab.page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    assert "Nora" not in kept and "nora@" not in kept
    async with tab.page.expect_response("**/api/account/logout"):
        await tab.press("Sign out")
        await tab.heads("Sign in")
    assert await tab.page.evaluate("Object.keys(localStorage)") in ([], ["jobsphere.device"])
    await tab.page.reload()
    await tab.heads("Sign in")
    assert tabs.errors == []


async def test_two_tabs_of_one_session_stay_signed_in_over_an_expiry(tabs, market):
    """Guard: `#alone` and `#share` in session.js. A tab that used the refresh token that
    another one has exchanged would end the session of both. One that has old tokens gets those of
    the other."""
    tab = await tabs.open()
    await tab.sign_in(await market.customer(connect=False))
    twin = await tab.duplicate()
    token = await tab.page.evaluate(REFRESH_TOKEN)
    asked: list[str] = []
    for page in (tab.page, twin.page):
        page.on("request", lambda request: asked.append(request.url))
        await page.route("**/nothing", lambda route: route.fulfill(body=NOTHING))
    for away, renewals in (([tab, twin], 1), ([tab], 0), ([twin], 0)):
        await asyncio.gather(*(each.page.goto(f"{tab.origin}/nothing") for each in away))
        await away[0].page.evaluate(AGED)
        asked.clear()
        await asyncio.gather(*(each.page.goto(tab.origin) for each in away))
        for each in (tab, twin):
            await each.live()
            await each.sees("Post a job")
        assert sum(url.endswith("/api/account/refresh") for url in asked) == renewals
        found = {await each.run("shared/server.js", TOKEN) for each in (tab, twin)}
        assert len(found) == 1
        assert (found == {token}) is (renewals == 0)
        token = found.pop()
    for each in (tab, twin):  # open pages, whose tokens expire at once
        await each.run("shared/server.js", EXPIRE)
    asked.clear()
    await asyncio.gather(*(each.run("shared/server.js", ASK) for each in (tab, twin)))
    assert sum(url.endswith("/api/account/refresh") for url in asked) == 1
    assert tabs.errors == []
