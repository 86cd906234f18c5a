"""The steps of a job, taken in tabs by clicking and typing."""

from playwright.async_api import Locator, expect

from tests.stories.browser.tabs import Tab
from tests.support.file_samples import picture
from tests.support.market import Market
from tests.support.parties import Party

TITLE = "Paint the fence"
AGREED = "Two coats of white."


async def post(customer: Tab) -> None:
    """Write a job with a picture, load the page again, and send what is kept of it."""
    await customer.follow("Post a job")
    await customer.fill(
        Title=TITLE,
        Description="Twelve metres, two coats.",
        Category="painting",
        Skills="painting, outdoors",
        From="500",
        To="2,000.00",
    )
    await customer.choose("Add files", "gate.png", picture())
    await expect(customer.page.locator(".job-preview .picture")).to_be_visible()
    await customer.page.reload()
    await customer.live()
    await expect(customer.page.get_by_role("button", name="Leave out gate.png")).to_be_visible()
    await customer.press("Post the job")
    await customer.heads(TITLE)


async def apply(contractor: Tab) -> None:
    await contractor.open_job(TITLE)
    await contractor.sees_picture("gate.png")
    await contractor.fill(
        Why_you="I have painted a hundred fences.", Your_price="1000", Days_of_work="5"
    )
    await contractor.press("Apply")
    await contractor.sees("Your application", role="heading")


async def shortlisted(market: Market, customer: Party, contractor: Party) -> None:
    """A job with an applicant who is on the shortlist."""
    application = await market.application(contractor, await market.job(customer, title=TITLE))
    await customer.call("/job-request", "accept", {"application_id": application["id"]})


async def offer(customer: Tab, card: str) -> None:
    """Make an offer of what the first applicant asks for."""
    await customer.follow("Make an offer")
    await customer.fill(Say_what_is_to_be_done=AGREED)
    await pay(customer, card, "1,000.00 USD")


async def pay(customer: Tab, card: str, amount: str, *, holding: str = "") -> None:
    """Choose how an offer is paid, check what it says, and send it."""
    await customer.page.get_by_label(card).check()
    await customer.press("Check and send")
    dialog = customer.dialog(f"Offer {amount}")
    await expect(dialog).to_contain_text(holding)
    await customer.press(f"Hold {amount}", dialog)


def milestone(tab: Tab, title: str) -> Locator:
    return tab.page.get_by_role("article").filter(
        has=tab.page.get_by_role("heading", name=title, level=3)
    )
