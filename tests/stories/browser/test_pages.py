"""The web client in a real browser: live updates, a whole job, 3-D Secure, amounts."""

import asyncio

from playwright.async_api import expect

from domain import ledger
from domain.kernel.rooms import user_room
from tests.stories.browser.job_steps import TITLE, apply, offer, pay, post, shortlisted
from tests.stories.browser.tabs import PHONE, Tab, in_the_browser
from tests.support.databases import needs
from tests.support.file_samples import picture
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

NOTHING = "<!doctype html><link rel=icon href=data:,>"
KEY = "jobsphere.session"
REFRESH_TOKEN = f"JSON.parse(localStorage.getItem('{KEY}')).refresh_token"
AGED = f"""localStorage.setItem('{KEY}', JSON.stringify(
    {{...JSON.parse(localStorage.getItem('{KEY}')), expires_at: "2020-01-01T00:00:00Z"}}))"""
READ_AMOUNTS = """({ minor }, rows) => rows.map(([text, currency]) => {
    try { return minor(text, currency) } catch (problem) { return problem.code }
})"""
TOKEN = "({ server }) => server.session.current.refresh_token"
EXPIRE = "({ server }) => server.session.adopt({ expires_at: '2020-01-01T00:00:00Z' })"
ASK = "({ server }) => server.account.me({}, { via: 'http' })"
WRITE_AMOUNTS = "({ display }, rows) => rows.map((row) => display(...row))"


async def talk(customer: Tab, contractor: Tab) -> None:
    await customer.press("Chat")
    await customer.fill(Message_to="White or green?")
    await customer.press("Send")
    await contractor.sees_notice("Carla Customer: White or green?")
    await contractor.go("Chat")
    await contractor.page.get_by_role("link", name="Carla Customer").click()
    await contractor.sees("White or green?")
    await expect(customer.page.locator(".receipt.read")).to_be_visible()
    await contractor.fill(Message_to="White, please.")
    await contractor.press("Send")
    await customer.sees("White, please.")
    await contractor.page.locator(".message.own").click(button="right")
    await contractor.page.get_by_role("menuitem", name="Edit").click()
    await contractor.fill(Message_to="Green, please.")
    await contractor.press("Save")
    await customer.sees("Green, please.")


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


async def test_a_whole_job_by_hand(tabs, market, server):
    """Guard: `make_available` books pending -> available; without it the wallet stays at 0.00.
    Without `follow(made.payment, made.offer.id)` and the event table `PUSHED` of the page, the
    pages would show no step. `newestEvent` of the chat: the delivered work asked to be looked at
    when it was approved long ago."""
    customer, contractor = await tabs.open(), await tabs.open()
    await customer.sign_in(await market.customer(connect=False))
    await contractor.sign_in(await market.contractor(connect=False), "/jobs")
    await post(customer)
    await apply(contractor)
    await customer.sees_notice(f"Colin Contractor applied to “{TITLE}”")
    await customer.sees("I have painted a hundred fences.")

    await customer.press("Shortlist")
    await contractor.sees_notice("You are on the shortlist")
    await talk(customer, contractor)
    await customer.screenshot("chat")

    await customer.go("My jobs")
    await customer.open_job(TITLE)
    await offer(customer, "Visa •••• 4242")
    await customer.sees_notice("The money is held, and the offer is out.")
    await customer.screenshot("offered")
    await contractor.sees_notice("an offer of 1,000.00 USD")
    await contractor.go("My work")
    await contractor.follow(TITLE)
    await contractor.press("Accept")
    await contractor.answer("Accept this offer?", "Accept 1,000.00 USD")
    await customer.sees_notice("was accepted")
    await contractor.screenshot("work")
    await contractor.press("Start the work")
    await customer.sees_notice("has started")
    await contractor.press("Deliver")
    await contractor.choose("Add files", "fence.png", picture())
    await contractor.answer("Deliver", "Deliver", What_have_you_done="Both coats are dry.")
    await customer.sees_notice("was delivered")
    await customer.sees("Both coats are dry.")
    await customer.sees_picture("fence.png")
    await customer.screenshot("delivered")
    await customer.press("Approve and pay")
    await customer.answer("Approve", "Approve and pay")
    await customer.sees_notice("700.00 USD go to Colin Contractor, 300.00 USD are fees")
    await customer.go("Payments")
    await customer.sees("Charged")
    await customer.screenshot("payments")
    await customer.go("Chat")
    await customer.follow("Colin Contractor")
    await expect(customer.page.locator(".event").last).to_contain_text("The work is completed")
    await expect(customer.page.locator(".event.step")).to_have_count(0)

    await contractor.go("Wallet")
    wallet = contractor.page.get_by_label("Wallet in USD")
    await expect(wallet.locator(".wallet-parts")).to_contain_text("On its way to you700.00 USD")
    await contractor.press("Set up at Stripe")
    await contractor.press("Go to Stripe", contractor.dialog("Where is your bank account?"))
    await contractor.page.get_by_role("button", name="Submit").click()
    await expect(wallet.locator(".big")).to_have_text("700.00 USD", timeout=10_000)
    await expect(wallet.locator(".wallet-parts")).to_have_count(0)
    await contractor.screenshot("wallet")
    await contractor.press("Withdraw")
    await contractor.answer("Withdraw to your bank", "Withdraw", Amount="700.00")
    await contractor.sees_notice("700.00 USD are on their way to your bank.")
    await expect(wallet.locator(".big")).to_have_text("0.00 USD")
    await contractor.sees("Arrived")
    await market.settled()
    assert await ledger.balance_of(server.store.single(), ledger.PLATFORM) == {"USD": 30000}
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


async def test_an_offer_is_visible_only_after_3d_secure(tabs, market):
    """Guard: `visible: bool = False` in Offer until `settle_hold`; were it visible when created,
    the contractor would read it. Without `returned()` in the page the customer would get
    no notice."""
    employer, worker = await market.customer(), await market.contractor()
    await shortlisted(market, employer, worker)
    customer, contractor = await tabs.open(), await tabs.open(viewport=PHONE)
    await customer.sign_in(employer, "/jobs")
    await contractor.sign_in(worker, "/work?show=applications")
    await customer.open_job(TITLE)
    await contractor.open_job(TITLE)
    await offer(customer, "Visa with 3-D Secure")
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


@needs("freed keys")
async def test_a_declined_card_is_explained_and_can_be_replaced(tabs, market):
    """Guard: `settle_payment` ends a declined offer (`settle_decline`), so that another one may be
    made; and `failureOf` tells the reason."""
    employer = await market.customer()
    await shortlisted(market, employer, await market.contractor())
    customer = await tabs.open()
    await customer.sign_in(employer, "/jobs")
    await customer.open_job(TITLE)
    await offer(customer, "Declined card")
    await customer.sees("The payment did not go through: the bank declined it. Nothing was sent.")
    await pay(customer, "Visa •••• 4242", "1,000.00 USD")
    await customer.sees_notice("The money is held, and the offer is out.")
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


async def test_amounts_are_parsed_and_formatted_exactly(tabs):
    """Guard: the check of `kept.length > places` in `minor` (1.005 USD), and `EXPONENTS`."""
    tab = await tabs.open()
    await tab.page.goto(tab.origin)
    read = {
        ("1000", "USD"): 100000,
        ("1,000.50", "USD"): 100050,
        ("0.07", "USD"): 7,
        ("8.50000", "USD"): 850,
        ("1.", "USD"): 100,
        ("999999.99", "USD"): 99999999,
        ("500", "JPY"): 500,
        ("1.25", "KWD"): 1250,
        ("1.005", "USD"): "invalid",
        ("1.5", "JPY"): "invalid",
        ("1,5", "USD"): "invalid",
        ("-1", "USD"): "invalid",
        ("1e3", "USD"): "invalid",
        ("", "USD"): "invalid",
        ("1000000", "USD"): "invalid",
    }
    found = await tab.run("shared/money.js", READ_AMOUNTS, list(read))
    assert found == list(read.values())
    written = {
        (70000, "USD"): "700.00 USD",
        (5, "USD"): "0.05 USD",
        (-123456, "EUR"): "-1,234.56 EUR",
        (1234567, "JPY"): "1,234,567 JPY",
        (1250, "KWD"): "1.250 KWD",
        (0, "JPY"): "0 JPY",
    }
    found = await tab.run("shared/money.js", WRITE_AMOUNTS, list(written))
    assert found == list(written.values())
