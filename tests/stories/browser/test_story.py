"""The whole story in a real browser, on a real process that is killed in the middle of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from domain import ledger
from domain.chat.conversation import Conversation
from server.dev.sandbox_settings import STRICT
from tests.stories.browser.job_steps import (
    AGREED,
    TITLE,
    apply,
    milestone,
    offer,
    pay,
    post,
)
from tests.stories.browser.tabs import TIMEOUT_MS, TOUCH, Profiles, Tab, Tabs, in_the_browser
from tests.support.file_samples import picture
from tests.support.installations import Installation
from tests.support.market import Market
from tests.support.parties import Party
from tests.support.processes import Processes

pytestmark = [in_the_browser, pytest.mark.timeout(300)]

AWAY = "The server cannot be reached."
FUNDS_SECONDS = 5  # until the customer's money is available at Stripe, days in reality
FEE = 120_000 * 290 // 10_000 + 30  # 2.9 % of 1,200.00 USD and 30 cents
LOST = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket")


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(profiles: Profiles, installation: Installation) -> AsyncIterator[Tabs]:
    """Tabs of a server that the test starts."""
    tabs = Tabs(profiles, installation.settings.public_url)
    yield tabs
    await tabs.close()


async def meet(customer: Tab, contractor: Tab) -> None:
    """A job, an application, and a place on the shortlist, of which each hears from the other."""
    await post(customer)
    await apply(contractor)
    await customer.sees_notice(f"Colin Contractor applied to “{TITLE}”")
    await customer.sees("I have painted a hundred fences.")
    await customer.press("Shortlist")
    await contractor.sees_notice("You are on the shortlist")


async def talk_with_a_file(customer: Tab, contractor: Tab) -> None:
    await customer.press("Chat")
    await customer.choose("Attach files", "fence.png", picture())
    await customer.fill(Message_to="This is the fence.")
    await customer.press("Send")
    await contractor.sees_notice("Carla Customer: This is the fence.")
    await contractor.go("Chat")
    await contractor.page.get_by_role("link", name="Carla Customer").click()
    await contractor.sees_picture("fence.png")
    await expect(customer.page.locator(".receipt.read")).to_be_visible()
    await contractor.fill(Message_to="I can do that.")
    await contractor.press("Send")
    await customer.sees("I can do that.")
    said = customer.page.locator(".message.own").get_by_text("This is the fence.")
    await said.click(button="right")
    await customer.page.get_by_role("menuitem", name="Edit").click()
    await customer.fill(Message_to="This is the whole fence.")
    await customer.press("Save")
    await contractor.sees("This is the whole fence.")
    await customer.screenshot("chat")


async def negotiate(customer: Tab, contractor: Tab) -> None:
    """An offer after 3-D Secure, other terms, and a second offer with two milestones."""
    await customer.go("My jobs")
    await customer.open_job(TITLE)
    await offer(customer, "Visa with 3-D Secure")
    await customer.page.get_by_role("button", name="Complete").click()
    await customer.sees_notice("The money is held, and the offer is out.")
    await contractor.sees("Look at the offer")
    await contractor.follow("Look at the offer")
    await contractor.press("Other terms")
    await contractor.answer(
        "Answer with other terms", "Send your terms", You_ask_for="1200", Why="The rust, too."
    )
    await customer.sees_notice("A counter-offer of 1,200.00 USD")
    await customer.sees("The rust, too.")
    await customer.follow("Make an offer of 1,200.00 USD")
    await expect(customer.page.get_by_label("Say what is to be done")).to_have_value(AGREED)
    await customer.press("Split it into milestones")
    for number, (title, amount) in enumerate([("Sand it", "700"), ("Paint it", "500")]):
        await customer.page.get_by_label(f"Milestone {number + 1}", exact=True).fill(title)
        await customer.page.get_by_label("Amount").nth(number).fill(amount)
    await pay(customer, "Visa •••• 4242,", "1,200.00 USD", holding="“Sand it”490.00 USD")
    await customer.sees_notice("The money is held, and the offer is out.")


async def work(customer: Tab, contractor: Tab) -> None:
    """The first of two milestones is delivered and approved: exactly that one is paid."""
    await contractor.sees_notice("an offer of 1,200.00 USD")
    await contractor.go("My work")
    await contractor.follow(TITLE)
    await contractor.press("Accept")
    await contractor.answer("Accept this offer?", "Accept 1,200.00 USD")
    await customer.sees_notice("was accepted")
    await contractor.press("Start the work")
    await customer.sees_notice("has started")
    await contractor.press("Deliver", milestone(contractor, "Sand it"))
    await contractor.choose("Add files", "smooth.png", picture())
    await contractor.answer("Deliver", "Deliver", What_have_you_done="It is smooth.")
    await customer.sees_notice("was delivered")
    await customer.sees("It is smooth.")
    await customer.sees_picture("smooth.png")
    await customer.screenshot("delivered")
    await customer.press("Approve and pay", milestone(customer, "Sand it"))
    await expect(customer.dialog("Approve")).to_contain_text("500.00 USD stay safe")
    await customer.answer("Approve", "Approve and pay")
    await customer.sees_notice("490.00 USD go to Colin Contractor, 210.00 USD are fees")
    await expect(milestone(customer, "Sand it")).to_contain_text("Approved and paid")
    await expect(milestone(customer, "Paint it")).to_contain_text("Not delivered yet")
    await customer.go("Payments")
    await customer.sees("Charged")
    await customer.screenshot("payments")
    await customer.page.go_back()
    await contractor.go("Wallet")
    wallet = contractor.page.get_by_label("Wallet in USD")
    await expect(wallet).to_contain_text("On its way to you490.00 USD")


async def all_is_read(market: Market) -> None:
    async with asyncio.timeout(TIMEOUT_MS / 1_000):
        while True:
            [talk] = await market.rows(Conversation)
            if talk.head in talk.read.values():
                return await market.settled()
            await asyncio.sleep(0.05)


async def lose_the_server(
    processes: Processes, customer: Tab, contractor: Tab, office: Tab
) -> None:
    """What is written while it is away is sent when it is back, and nothing else is said."""
    [web] = processes.started
    await contractor.go("Chat")
    await contractor.page.get_by_role("link", name="Carla Customer").click()
    await all_is_read(processes.market)  # what is cut off in the middle holds its rows for a while
    await web.kill()
    for tab in (customer, contractor, office):
        await expect(tab.page.get_by_text(AWAY)).to_be_visible()
    await contractor.fill(Message_to="Are you there?")
    await contractor.press("Send")
    await expect(contractor.page.locator(".message.sending")).to_contain_text("Are you there?")
    await processes.restart(web)
    for tab in (customer, contractor, office):
        await expect(tab.page.get_by_text(AWAY)).to_have_count(0, timeout=3 * TIMEOUT_MS)
        await expect(tab.page.locator(".toast.bad")).to_have_count(0)
    await customer.go("Chat")
    await customer.page.get_by_role("link", name="Colin Contractor").click()
    await customer.sees("Are you there?")
    await expect(customer.page.locator(".event").last).to_contain_text("Completed: “Sand it”.")
    await expect(customer.page.locator(".event.step")).to_have_count(0)
    await expect(contractor.page.locator(".message.sending")).to_have_count(0)
    for tab in (customer, contractor):
        await expect(tab.page.locator(".message").get_by_text("Are you there?")).to_have_count(1)
    await customer.page.go_back()
    await customer.page.go_back()


async def disagree(customer: Tab, contractor: Tab, office: Tab) -> None:
    """The second milestone is disputed; an administrator resolves it while both watch."""
    await contractor.follow("All conversations")  # a phone shows the conversation alone
    await contractor.go("My work")
    await contractor.follow(TITLE)
    await contractor.press("Deliver", milestone(contractor, "Paint it"))
    await contractor.answer("Deliver", "Deliver", What_have_you_done="It is white.")
    await customer.sees("It is white.")
    await customer.press("Dispute", milestone(customer, "Paint it"))
    await customer.answer("Dispute", "Freeze 500.00 USD", Tell_what_happened="It is grey.")
    await customer.heads(f"Dispute: {TITLE}")
    await expect(milestone(contractor, "Paint it")).to_contain_text("This money is frozen")
    await contractor.follow("Open the dispute")
    await contractor.choose("Add evidence", "white.png", picture())
    await contractor.fill(Your_side="Look: it is white.")
    other_tab = await contractor.page.context.new_page()
    await other_tab.goto(contractor.page.url)
    await expect(other_tab.get_by_label("Your side")).to_have_value("Look: it is white.")
    await other_tab.close()
    await contractor.press("Send")
    await customer.sees("Look: it is white.")
    await customer.sees_picture("white.png")
    await customer.press("Let JobSphere decide")
    await customer.answer("Let JobSphere decide?", "Let JobSphere decide")
    for tab in (customer, contractor):
        await tab.sees("JobSphere decides")
    await office.go("Disputes")
    await office.follow(TITLE)
    await office.sees("Look: it is white.")
    await office.fill(Back_to_the_customer="200", Why="One coat is missing.")
    await office.press("Check and decide")
    await expect(office.dialog("Decide the dispute?")).to_contain_text("gets210.00 USD")
    await office.answer("Decide the dispute?", "Decide")
    for tab in (customer, contractor):
        await tab.sees("200.00 USD went back to the customer")
        await tab.sees("One coat is missing.")


async def withdraw(contractor: Tab) -> None:
    await contractor.go("Wallet")
    wallet = contractor.page.get_by_label("Wallet in USD")
    await expect(wallet).to_contain_text("On its way to you700.00 USD")
    await contractor.press("Set up at Stripe")
    await contractor.press("Go to Stripe", contractor.dialog("Where is your bank account?"))
    await contractor.page.get_by_role("button", name="Submit").click()
    await expect(wallet.locator(".big")).to_have_text("700.00 USD")
    await expect(wallet.locator(".wallet-parts")).to_have_count(0)
    await contractor.screenshot("wallet")
    await contractor.press("Withdraw")
    await contractor.answer("Withdraw to your bank", "Withdraw", Amount="700.00")
    await contractor.sees_notice("700.00 USD are on their way to your bank.")
    await expect(wallet.locator(".big")).to_have_text("0.00 USD")
    await contractor.sees("Arrived")


async def save_a_card(market: Market, customer: Party) -> None:
    """What Stripe's form does, of which there is none for the sandbox."""
    status, setup = await customer.http("POST", "/api/payment/setup")
    assert status == 200
    await market.sandbox.confirm(setup["client_secret"], "pm_card_visa")


async def test_the_whole_story_with_a_server_that_is_killed(
    tabs: Tabs, processes: Processes
) -> None:
    """Guard: `chosen_milestones` of one milestone; `#catchUp` and `retry` of the client for what
    was missed and what waits; `useRecord` and `useList`, which follow pushes while one looks.
    `make_available` books pending -> available; without it the wallet stays at 0.00. Without
    `follow(made.payment, made.offer.id)` and the event table `PUSHED` of the page, the pages would
    show no step. `newestEvent` of the chat: the delivered work asked to be looked at when it was
    approved long ago."""
    await processes.web()
    market = processes.market
    await market.sandbox.settings(**STRICT | {"available_delay_seconds": FUNDS_SECONDS})
    people = await market.customer(connect=False), await market.contractor(connect=False)
    await save_a_card(market, people[0])
    customer, contractor, office = await tabs.open(), await tabs.open(**TOUCH), await tabs.open()
    await customer.sign_in(people[0])
    await contractor.sign_in(people[1], "/jobs")
    await office.sign_in(await market.admin(connect=False), "/admin")
    await meet(customer, contractor)
    await talk_with_a_file(customer, contractor)
    await negotiate(customer, contractor)
    await work(customer, contractor)
    assert tabs.errors == []
    await lose_the_server(processes, customer, contractor, office)
    await disagree(customer, contractor, office)
    await withdraw(contractor)
    await market.settled()
    single = market.store.single()
    assert await ledger.balance_of(single, ledger.STRIPE_FEES) == {"USD": FEE}
    assert await ledger.balance_of(single, ledger.PLATFORM) == {"USD": 30_000 - FEE}
    unexpected = [each for each in tabs.errors if not any(lost in each for lost in LOST)]
    assert unexpected == []
