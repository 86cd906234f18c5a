"""The pages in a real browser: live across tabs, the whole story by hand, 3-D Secure."""

from playwright.async_api import expect

from domain import ledger
from tests.browser.tabs import Tab
from tests.parties import PASSWORD

TITLE = "Paint the fence"


async def post(tab: Tab) -> None:
    await tab.fill(
        Title=TITLE, Description="Twelve metres, two coats.", Category="painting",
        Skills="painting, outdoors", Budget_from="500", to="2,000.00",
    )  # fmt: skip
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


async def test_a_job_appears_elsewhere_at_once_and_nothing_complains(tabs, market):
    """Guard: `announce(uow, job, market=True)` in `jobs.create`; without it the second tab would
    need a reload. Without `connect-src` in PAGE_HEADERS, or the favicon, the browser complains."""
    customer, contractor, admin = await tabs.open(), await tabs.open(), await tabs.open()
    await contractor.sign_in(await market.contractor(connect=False))
    await contractor.sees("No open jobs right now.")
    await admin.sign_in(await market.admin(connect=False), "/admin")
    opened = admin.page.locator("[data-tile=Open] dd")
    await expect(opened).to_have_text("0")
    await customer.sign_in(await market.customer(connect=False))
    await post(customer)
    await contractor.sees(TITLE, role="heading")
    await expect(contractor.page.locator("a.job")).to_contain_text("500.00 – 2,000.00 USD")
    await expect(opened).to_have_text("1")
    await expect(admin.page.locator(".activity li").first).to_contain_text(TITLE)
    assert tabs.complaints == []


async def test_the_whole_story_by_hand(tabs, market, server):
    """Guard: `make_available` books pending -> available; without it the wallet stays at 0.00.
    Without `follow(made.payment)` and the event table of the page, nobody would see a step."""
    customer, contractor = await tabs.open(), await tabs.open()
    await customer.sign_in(await market.customer(connect=False))
    await contractor.sign_in(await market.contractor(connect=False))
    await post(customer)
    await customer.open_job(TITLE)
    await apply(contractor)
    await customer.is_told(f"Colin Contractor applied to “{TITLE}”")
    await customer.sees("I have painted a hundred fences.")

    await customer.press("Shortlist")
    await contractor.is_told("You are on the shortlist")
    await customer.page.get_by_role("link", name="Chat").click()
    await customer.fill(Message="White or green?")
    await customer.press("Send")
    await contractor.is_told("Carla Customer: White or green?")
    await contractor.go("Messages")
    await contractor.page.locator("a.talk").click()
    await contractor.sees("White or green?")
    await customer.sees("seen")
    await contractor.fill(Message="White, please.")
    await contractor.press("Send")
    await customer.sees("White, please.")
    await customer.picture("chat")

    await customer.go("Jobs")
    await customer.open_job(TITLE)
    await offer(customer, "pm_card_visa")
    await customer.is_told("The money is held and the offer is out.")
    await customer.picture("offered")
    await contractor.is_told("The offer of 1,000.00 USD")
    await contractor.go("My work")
    await contractor.press("Accept")
    await customer.is_told("was accepted")
    await contractor.picture("work")
    await contractor.open_job(TITLE)
    await contractor.press("Start work")
    await customer.is_told("has started")
    await contractor.fill(Note="Both coats are dry.")
    await contractor.press("Deliver")
    await customer.is_told("was delivered")
    await customer.sees("Both coats are dry.")
    await customer.picture("delivered")
    await customer.press("Approve and pay out")
    await customer.is_told("700.00 USD go to the contractor, 300.00 USD are fees")
    await customer.go("Payments")
    await customer.sees("captured 1,000.00 USD")
    await customer.picture("payments")

    await contractor.go("Wallet")
    pending = contractor.page.locator(".tile[data-part=pending] dd")
    available = contractor.page.locator(".tile[data-part=available] dd")
    await expect(pending).to_have_text("700.00 USD")
    await contractor.press("Set up payouts")
    await contractor.page.get_by_role("button", name="Submit").click()
    await expect(available).to_have_text("700.00 USD", timeout=10_000)
    await expect(pending).to_have_text("0.00 USD")
    await contractor.picture("wallet")
    await contractor.fill(Amount="700.00")
    await contractor.press("Withdraw")
    await contractor.is_told("700.00 USD arrived at your bank.")
    await expect(available).to_have_text("0.00 USD")
    await market.settled()
    assert await ledger.balance_of(server.store.single(), ledger.PLATFORM) == {"USD": 30000}
    assert tabs.complaints == []


async def test_an_offer_is_out_once_3d_secure_is_passed(tabs, market):
    """Guard: `held` makes the offer `visible`, nothing before does; were it visible when created,
    the contractor would see it. Without `returned()` in the page the customer would not be told."""
    customer, contractor = await tabs.open(), await tabs.open()
    await customer.sign_in(await market.customer(connect=False))
    await contractor.sign_in(await market.contractor(connect=False))
    await post(customer)
    await customer.open_job(TITLE)
    await apply(contractor)
    await contractor.go("My work")
    await offer(customer, "pm_card_authenticationRequired")
    bank = customer.page.get_by_role("heading", name="3-D Secure test challenge")
    await expect(bank).to_be_visible()
    await market.settled()
    await contractor.page.reload()  # not even what is read afresh has it
    await contractor.sees("Your applications", role="heading")
    await contractor.sees("Paint the fence")
    await expect(contractor.page.get_by_text("Offers to answer")).to_have_count(0)
    await customer.page.get_by_role("button", name="Complete").click()
    await customer.is_told("The money is held and the offer is out.")
    await customer.sees("Pending")
    await contractor.is_told("The offer of 1,000.00 USD")
    await contractor.sees("Offers to answer", role="heading")
    assert tabs.complaints == []


async def test_a_declined_card_is_explained_and_can_be_replaced(tabs, market):
    """Guard: `settle` ends a declined offer (`declined`), so that another one may be made; and
    `follow` tells why."""
    customer, contractor = await tabs.open(), await tabs.open(viewport={"width": 375, "height": 800})
    await customer.sign_in(await market.customer(connect=False))
    await contractor.sign_in(await market.contractor(connect=False))
    await post(customer)
    await customer.open_job(TITLE)
    await apply(contractor)
    await offer(customer, "pm_card_chargeDeclined")
    await customer.is_told("The payment did not go through (generic decline)")
    await customer.sees("Failed")
    await offer(customer, "pm_card_visa")
    await customer.is_told("The money is held and the offer is out.")
    wide = await contractor.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 375
    assert tabs.complaints == []


async def test_a_new_account_stays_signed_in_over_a_reload_until_it_signs_out(tabs):
    """Guard: `sessionStorage.setItem` in `#keep` (reload) and `removeItem` in `#forget`."""
    tab = await tabs.open()
    await tab.page.goto(tab.origin)
    await tab.page.get_by_role("link", name="Create an account").click()
    await tab.picture("register")
    await tab.fill(Name="Nora New", E_mail="nora@people.test", Password=PASSWORD)
    await tab.press("Create account")
    await tab.sees("Post a job", role="heading")
    await tab.page.reload()
    await tab.sees("Post a job", role="heading")
    await tab.press("Sign out")
    await tab.sees("Sign in", role="heading")
    await tab.page.reload()
    await tab.sees("Sign in", role="heading")
    assert tabs.complaints == []
