"""The web client in a real browser: live updates, a whole job, 3-D Secure, amounts."""

import asyncio

from playwright.async_api import expect

from domain import ledger
from domain.kernel.rooms import user_room
from tests.stories.browser.tabs import PHONE, Tab, in_the_browser
from tests.support.databases import needs
from tests.support.file_samples import picture
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

TITLE = "Paint the fence"
KEY = "jobsphere.session"
REFRESH_TOKEN = f"JSON.parse(sessionStorage.getItem('{KEY}')).refresh_token"
AGED = f"""sessionStorage.setItem('{KEY}', JSON.stringify(
    {{...JSON.parse(sessionStorage.getItem('{KEY}')), expires_at: "2020-01-01T00:00:00Z"}}))"""
READ_AMOUNTS = """async (rows) => {
    const { minor } = await import("/static/js/money.js");
    const read = (text, currency) => {
        try { return minor(text, currency) } catch (problem) { return problem.code }
    };
    return rows.map((row) => read(...row));
}"""
WRITE_AMOUNTS = """async (rows) => {
    const { display } = await import("/static/js/money.js");
    return rows.map((row) => display(...row));
}"""


async def post(tab: Tab) -> None:
    await tab.fill(
        Title=TITLE,
        Description="Twelve metres, two coats.",
        Category="painting",
        Skills="painting, outdoors",
        Budget_from="500",
        to="2,000.00",
    )
    await tab.press("Post job")
    await tab.sees(TITLE, role="heading")


async def apply(tab: Tab) -> None:
    await tab.open_job(TITLE)
    await tab.fill(Why_you="I have painted a hundred fences.", Your_price="1000")
    await tab.press("Apply")
    await tab.sees("Your application", role="heading")


async def offer(tab: Tab, card: str) -> None:
    agreed = tab.page.get_by_label("What is agreed")
    if not await agreed.is_visible():
        await tab.page.get_by_text("Make an offer…").click()
    await tab.fill(What_is_agreed="Two coats of white.")
    await tab.page.get_by_label("Card (test mode)").select_option(card)
    await tab.press("Send offer and hold the money")


async def talk(customer: Tab, contractor: Tab) -> None:
    await customer.page.get_by_role("link", name="Chat").click()
    await customer.fill(Message="White or green?")
    await customer.press("Send")
    await contractor.sees_notice("Carla Customer: White or green?")
    await contractor.go("Messages")
    await contractor.page.locator("a.talk").click()
    await contractor.sees("White or green?")
    await customer.sees("seen")
    await contractor.fill(Message="White, please.")
    await contractor.press("Send")
    await customer.sees("White, please.")
    await contractor.page.locator("li.own summary").click()
    await contractor.press("Edit")
    await contractor.fill(**{"Change your message": "Green, please."})
    await contractor.press("Save")
    await customer.sees("Green, please.")


async def test_a_new_job_appears_in_other_tabs_without_errors(tabs, market):
    """Guard: `publish_job(uow, job, market=True)` in `posting.create`; without it the second
    tab would need a reload. Without `connect-src` in PAGE_HEADERS, or the favicon, the browser
    reports errors."""
    contractor, admin = await tabs.open(), await tabs.open()
    await contractor.sign_in(await market.contractor(connect=False))
    await contractor.sees("No open jobs right now.")
    await admin.sign_in(await market.admin(connect=False), "/admin")
    opened = admin.page.locator("[data-tile=Open] dd")
    await expect(opened).to_have_text("0")
    await market.job(await market.customer(), title=TITLE)
    await contractor.sees(TITLE, role="heading")
    await expect(contractor.page.locator("a.job")).to_contain_text("2,000.00 USD")
    await expect(opened).to_have_text("1")
    await expect(admin.page.locator(".activity li").first).to_contain_text(TITLE)
    await contractor.screenshot("find")
    await admin.screenshot("admin")
    assert tabs.errors == []


async def test_a_whole_job_by_hand(tabs, market, server):
    """Guard: `make_available` books pending -> available; without it the wallet stays at 0.00.
    Without `follow(made.payment)` and the event table of the page, the pages would show no step."""
    customer, contractor = await tabs.open(), await tabs.open()
    await customer.sign_in(await market.customer(connect=False))
    await contractor.sign_in(await market.contractor(connect=False))
    await post(customer)
    await customer.open_job(TITLE)
    await apply(contractor)
    await customer.sees_notice(f"Colin Contractor applied to “{TITLE}”")
    await customer.sees("I have painted a hundred fences.")

    await customer.press("Shortlist")
    await contractor.sees_notice("You are on the shortlist")
    await talk(customer, contractor)
    await customer.screenshot("chat")

    await customer.go("Jobs")
    await customer.open_job(TITLE)
    await offer(customer, "pm_card_visa")
    await customer.sees_notice("The money is held and the offer is out.")
    await customer.screenshot("offered")
    await contractor.sees_notice("an offer of 1,000.00 USD")
    await contractor.go("My work")
    await contractor.press("Accept")
    await customer.sees_notice("was accepted")
    await contractor.screenshot("work")
    await contractor.open_job(TITLE)
    await contractor.press("Start work")
    await customer.sees_notice("has started")
    await contractor.fill(Note="Both coats are dry.")
    await contractor.choose("Files", "fence.png", picture())
    await contractor.press("Deliver")
    await customer.sees_notice("was delivered")
    await customer.sees("Both coats are dry.")
    await customer.sees_picture("fence.png")
    await customer.screenshot("delivered")
    await customer.press("Approve and pay out")
    await customer.sees_notice("700.00 USD go to the contractor, 300.00 USD are fees")
    await customer.go("Payments")
    await customer.sees("captured 1,000.00 USD")
    await customer.screenshot("payments")

    await contractor.go("Wallet")
    pending = contractor.page.locator(".tile[data-part=pending] dd")
    available = contractor.page.locator(".tile[data-part=available] dd")
    await expect(pending).to_have_text("700.00 USD")
    await contractor.press("Set up payouts")
    await contractor.page.get_by_role("button", name="Submit").click()
    await expect(available).to_have_text("700.00 USD", timeout=10_000)
    await expect(pending).to_have_text("0.00 USD")
    await contractor.screenshot("wallet")
    await contractor.fill(Amount="700.00")
    await contractor.press("Withdraw to the bank")
    await contractor.sees_notice("700.00 USD arrived at your bank.")
    await expect(available).to_have_text("0.00 USD")
    await market.settled()
    assert await ledger.balance_of(server.store.single(), ledger.PLATFORM) == {"USD": 30000}
    assert tabs.errors == []


async def test_events_during_a_lost_connection_show_notices_afterwards(tabs, market, server):
    """Guard: `feed.catchUp()` in `recover()`; without it the lists are read again, but the customer
    gets no notice of the application."""
    tab = await tabs.open()
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, title=TITLE)
    await customer.disconnect()
    await tab.sign_in(customer)
    await tab.sees(TITLE, role="heading")
    for connection in list(server.web.realtime.rooms.members(user_room(customer.id))):
        connection.close_transport()  # as when a server ends
    await tab.page.context.set_offline(True)
    await expect(tab.page.get_by_text("Connecting…")).to_be_visible()
    await market.application(contractor, job)
    await market.settled()
    await tab.page.context.set_offline(False)
    await tab.sees_notice(f"Colin Contractor applied to “{TITLE}”")
    await tab.sees("1 application to answer")


async def test_an_offer_is_visible_only_after_3d_secure(tabs, market):
    """Guard: `visible: bool = False` in Offer until `settle_hold`; were it visible when created,
    the contractor would read it. Without `returned()` in the page the customer would get
    no notice."""
    employer, worker = await market.customer(), await market.contractor()
    await market.application(worker, await market.job(employer, title=TITLE))
    customer, contractor = await tabs.open(), await tabs.open(viewport=PHONE)
    await customer.sign_in(employer)
    await contractor.sign_in(worker)
    await customer.open_job(TITLE)
    await contractor.open_job(TITLE)
    await offer(customer, "pm_card_authenticationRequired")
    bank = customer.page.get_by_role("heading", name="3-D Secure test challenge")
    await expect(bank).to_be_visible()
    await market.settled()
    await contractor.page.reload()  # lists do not have the offer either
    await contractor.sees("Your application", role="heading")
    await expect(contractor.page.get_by_text("Offers to you")).to_have_count(0)
    assert (await worker.http("GET", "/api/bidding"))[1]["items"] == []
    await customer.page.get_by_role("button", name="Complete").click()
    await customer.sees_notice("The money is held and the offer is out.")
    await customer.sees("Pending")
    await contractor.sees_notice("an offer of 1,000.00 USD")
    await contractor.sees("Offers to you", role="heading")
    wide = await contractor.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    assert tabs.errors == []


@needs("freed keys")
async def test_a_declined_card_is_explained_and_can_be_replaced(tabs, market):
    """Guard: `settle_payment` ends a declined offer (`settle_decline`), so that another one may be
    made; and `follow` shows the reason."""
    employer = await market.customer()
    job = await market.job(employer, title=TITLE)
    await market.application(await market.contractor(), job)
    customer = await tabs.open()
    await customer.sign_in(employer)
    await customer.open_job(TITLE)
    await offer(customer, "pm_card_chargeDeclined")
    await customer.sees_notice("The payment did not go through (generic decline)")
    await customer.sees("Failed")
    await offer(customer, "pm_card_visa")
    await customer.sees_notice("The money is held and the offer is out.")
    assert tabs.errors == []


async def test_a_new_account_stays_signed_in_over_a_reload_until_it_signs_out(tabs):
    """Guard: `sessionStorage.setItem` in `#keep` (reload) and `removeItem` in `#forget`; without
    `#renew()` in `#fresh` the old refresh token would still be there. Nothing personal is kept."""
    tab = await tabs.open()
    await tab.page.goto(tab.origin)
    await tab.page.get_by_role("link", name="Create an account").click()
    await tab.screenshot("register")
    await tab.fill(Name="Nora New", E_mail="nora@people.test", Password=PASSWORD)
    await tab.press("Create account")
    await tab.sees("Post a job", role="heading")
    await tab.page.evaluate(AGED)
    before = await tab.page.evaluate(REFRESH_TOKEN)
    await tab.page.reload()
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    await tab.sees("Post a job", role="heading")
    assert await tab.page.evaluate(REFRESH_TOKEN) != before
    await expect(tab.page.get_by_role("link", name="Nora New")).to_be_visible()
    kept = await tab.page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    assert "Nora" not in kept and "nora@" not in kept
    async with tab.page.expect_response("**/api/account/logout"):
        await tab.press("Sign out")
        await tab.sees("Sign in", role="heading")
    assert await tab.page.evaluate("sessionStorage.length") == 0
    await tab.page.reload()
    await tab.sees("Sign in", role="heading")
    assert tabs.errors == []


async def test_two_tabs_of_one_session_stay_signed_in_over_an_expiry(tabs, market):
    """Guard: `#share` in session.js. A tab that used the refresh token that another one has
    exchanged would end the session of both. One that has old tokens gets those of the other."""
    party = await market.customer(connect=False)
    tab = await tabs.open()
    await tab.sign_in(party)
    twin = await tab.duplicate()
    tokens = {await each.page.evaluate(REFRESH_TOKEN) for each in (tab, twin)}
    for renewing in ([tab, twin], [tab], [twin]):
        for each in renewing:
            await each.page.evaluate(AGED)
        await asyncio.gather(*(each.page.reload() for each in renewing))
        for each in renewing:
            await expect(each.page.get_by_text("Live", exact=True)).to_be_visible()
        token = await renewing[0].page.evaluate(REFRESH_TOKEN)
        assert token not in tokens or len(renewing) == 1  # the other one has told it
        tokens = {token}
        for each in (tab, twin):
            await each.page.wait_for_function(f"{REFRESH_TOKEN} === '{token}'")
            await each.sees("Post a job", role="heading")
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
    assert await tab.page.evaluate(READ_AMOUNTS, list(read)) == list(read.values())
    written = {
        (70000, "USD"): "700.00 USD",
        (5, "USD"): "0.05 USD",
        (-123456, "EUR"): "-1,234.56 EUR",
        (1234567, "JPY"): "1,234,567 JPY",
        (1250, "KWD"): "1.250 KWD",
        (0, "JPY"): "0 JPY",
    }
    assert await tab.page.evaluate(WRITE_AMOUNTS, list(written)) == list(written.values())
