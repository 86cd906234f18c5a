"""The main path of a job by the keyboard alone: no pointer touches the pages."""

import re

import pytest
from playwright.async_api import Locator, expect

from tests.stories.browser.job_steps import TITLE
from tests.stories.browser.tabs import Tab, in_the_browser
from tests.support.parties import PASSWORD

pytestmark = [in_the_browser, pytest.mark.timeout(300)]

MOST_STOPS = 60
HAS_FOCUS = "element => element === document.activeElement"


class Keys:
    """Somebody who has only a keyboard."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.page = tab, tab.page

    async def reach(self, wanted: Locator) -> None:
        """Go on with Tab until something has the focus, which can be seen then."""
        await expect(wanted).to_be_visible()
        for _ in range(MOST_STOPS):
            if await wanted.evaluate(HAS_FOCUS):
                assert await wanted.evaluate("element => element.matches(':focus-visible')")
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} cannot be reached")

    async def push(self, role: str, name: str, within: Locator | None = None) -> None:
        """Reach a button or a link, and push it."""
        scope = within or self.page
        pattern = re.compile(rf"^{re.escape(name)}")
        await self.reach(scope.get_by_role(role, name=pattern).first)  # type: ignore[arg-type]
        await self.page.keyboard.press("Enter")

    async def write(self, label: str, text: str) -> None:
        await self.reach(self.page.get_by_label(re.compile(rf"^\s*{label}")).first)
        await self.page.keyboard.press("ControlOrMeta+A")
        await self.page.keyboard.insert_text(text)

    async def sign_in(self, party, path: str) -> None:
        await self.page.goto(f"{self.tab.origin}/sign-in?next={path}")
        await self.write("E-mail", party.email)
        await self.write("Password", PASSWORD)
        await self.page.keyboard.press("Enter")
        await self.tab.live()

    async def skip(self) -> None:
        """Jump over the sections."""
        await self.page.reload()
        await self.tab.live()
        await self.push("link", "Skip to the content")

    async def agree(self, title: str, yes: str) -> None:
        """Answer a dialog, in which the focus is."""
        dialog = self.tab.dialog(title)
        assert await dialog.evaluate("element => element.contains(document.activeElement)")
        await self.push("button", yes, dialog)
        await expect(dialog).to_have_count(0)


async def test_the_focus_follows_the_views(tabs, market):
    """Guard: `focusView` of shell.js in `Door` of entry.js, and in the first view after signing in;
    the link of index.html, whose address still opens the landing page."""
    keys, party = Keys(await tabs.open()), await market.customer(connect=False)
    page = keys.page

    async def has_focus(title: str) -> None:
        await expect(page.get_by_role("heading", name=title, level=1)).to_be_focused()

    await page.goto(keys.tab.origin)
    await keys.push("link", "Skip to the content")
    await expect(page.locator("main")).to_be_focused()
    await page.reload()
    await keys.push("link", "Sign in")
    await expect(page.get_by_label("E-mail")).to_be_focused()
    for title in ("Create an account", "Sign in", "Forgot your password?"):
        await keys.push("link", title)
        if title == "Sign in":
            await expect(page.get_by_label("E-mail")).to_be_focused()
        else:
            await has_focus(title)
    await keys.push("link", "Sign in")
    await keys.write("E-mail", party.email)
    await keys.write("Password", PASSWORD)
    await page.keyboard.press("Enter")
    await keys.tab.live()
    await page.wait_for_function("document.activeElement.matches('main, main h1')")
    await party.http("POST", "/api/account/sessions_end_others")
    await keys.tab.heads("Sign in")
    await expect(page.get_by_label("E-mail")).to_be_focused()
    assert [error for error in tabs.errors if "401" not in error] == []


async def test_a_job_by_the_keyboard(tabs, market):
    """Guard: `focusView` in shell.js, `showModal` in dialog.js and the way back from it; all
    that one can do is a button, a link or a field, in an order that makes sense. `Answer` and
    `Approve` in chat_event.js: the newest card of a conversation takes its step, and has the focus
    after it."""
    customer, contractor = Keys(await tabs.open()), Keys(await tabs.open())
    employer, worker = await market.customer(connect=False), await market.contractor(connect=False)
    await customer.sign_in(employer, "/")
    await contractor.sign_in(worker, "/jobs")

    await customer.skip()
    await customer.push("link", "Post a job")
    for label, text in {
        "Title": TITLE,
        "Category": "painting",
        "Description": "Twelve metres.",
        "From": "500",
        "To": "2000",
    }.items():
        await customer.write(label, text)
    await customer.page.keyboard.press("Enter")
    await customer.tab.heads(TITLE)

    await contractor.push("link", TITLE)
    await contractor.tab.heads(TITLE)
    for label, text in {"Your price": "1000", "Days of work": "5", "Why you": "I like it."}.items():
        await contractor.write(label, text)
    await contractor.push("button", "Apply")
    await contractor.tab.sees("Your application", role="heading")

    await customer.push("button", "Shortlist")
    await customer.push("link", "Make an offer")
    await customer.write("Say what is to be done", "Two coats.")
    await customer.push("button", "Check and send")
    await customer.agree("Offer 1,000.00 USD", "Hold 1,000.00 USD")
    await customer.tab.sees("Waiting for an answer")

    await contractor.tab.sees("Offers", role="heading")
    await contractor.push("link", "Chat")
    await contractor.push("link", "Carla Customer")
    await contractor.push("button", "Decline the offer of 1,000.00 USD")
    await expect(contractor.tab.dialog("Decline this offer?")).to_contain_text("1,000.00 USD")
    await contractor.page.keyboard.press("Escape")
    await contractor.push("button", "Accept the offer of 1,000.00 USD")
    await contractor.agree("Accept this offer?", "Accept 1,000.00 USD")
    await expect(contractor.page.locator(".event:focus")).to_contain_text("An offer of")
    await contractor.push("link", "Go to the work")
    await contractor.push("button", "Start the work")
    await contractor.push("button", "Deliver")
    await contractor.write("What have you done", "It is white.")
    await contractor.agree("Deliver", "Deliver")

    await customer.tab.sees("It is white.")
    await customer.push("button", "Approve and pay")
    await expect(customer.tab.dialog("Approve")).to_be_visible()
    await customer.page.keyboard.press("Escape")  # closes the question, and leads back
    await expect(customer.tab.dialog("Approve")).to_have_count(0)
    await customer.push("link", "Chat")
    await customer.push("link", "Colin Contractor")
    await customer.push("button", "Approve and pay")
    await expect(customer.tab.dialog("Approve")).to_contain_text("Colin Contractor gets700.00 USD")
    await customer.agree("Approve", "Approve and pay")
    await customer.tab.sees_notice("700.00 USD go to Colin Contractor")
    await customer.tab.sees("The work is completed.")
    await expect(customer.page.locator(".event button")).to_have_count(0)
    assert tabs.errors == []
