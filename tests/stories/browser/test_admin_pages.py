"""The admin pages and CSV downloads in a real browser."""

import csv

from playwright.async_api import expect

from tests.stories.browser.tabs import PHONE, in_the_browser

pytestmark = in_the_browser


async def saved(tab, press):
    """The name and rows of the CSV file that a button downloads."""
    async with tab.page.expect_download() as download:
        await tab.press(press)
    found = await download.value
    with open(await found.path(), newline="") as file:  # noqa: ASYNC230 - it is short, and here
        return found.suggested_filename, list(csv.DictReader(file))


async def fits(tab):
    """Whether the page fits the width of a phone."""
    await tab.page.set_viewport_size(PHONE)
    return await tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_an_admin_finds_and_bans_a_user(tabs, market):
    """Guard: `ban` and `put` in office/users.js, and its entry in office/sections.js."""
    tab, theirs = await tabs.open(), await tabs.open()
    customer = await market.customer("Frida Fraud", connect=False)
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await theirs.sign_in(customer)
    await tab.go("Users")
    await tab.sees("Frida Fraud")
    await tab.fill(E_mail_or_id=customer.email)
    await tab.press("Find")
    await expect(tab.page.locator("li.record")).to_have_count(1)
    await tab.page.get_by_text("Ban…").click()
    await tab.fill(Reason="Stolen cards")
    await tab.press("Ban this user")
    await tab.sees_notice("The user is out, everywhere.")
    await tab.sees("Banned: Stolen cards")
    await theirs.sees("Sign in", role="heading")
    await tab.screenshot("users")
    assert await fits(tab)
    await tab.press("Let in again")
    await expect(tab.page.get_by_text("Stolen cards")).to_have_count(0)
    assert [error for error in tabs.errors if not error.startswith("401")] == []


async def test_an_admin_and_a_contractor_read_their_accounts(tabs, market, completed_work):
    """Guard: `row` of office/payments.js and transactions.js, and the columns of commissions.js;
    `filters()`, created again for each drawing: moved inputs lose the focus each second.
    Guard: `Authorization` in download.js; a URL without it would be refused."""
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await tab.go("Payments")
    await tab.sees((await completed_work.stored_payment()).charge_id)
    await tab.screenshot("payments")
    assert await fits(tab)
    await tab.go("Transactions")
    kind = tab.page.get_by_label("Kind")
    await kind.press_sequentially("captured", delay=200)  # stats are pushed every second
    await expect(kind).to_have_value("captured")
    await tab.press("Find")
    record = tab.page.locator("li.record")
    await expect(record).to_have_count(1)
    await expect(record).to_contain_text("world:stripe")
    await tab.screenshot("transactions")
    assert await fits(tab)
    await tab.go("Commissions")
    await expect(tab.page.locator("tbody tr")).to_contain_text("300.00 USD")
    await tab.screenshot("commissions")
    assert await fits(tab)
    name, rows = await saved(tab, "Download as CSV")
    assert name.startswith("commissions-") and name.endswith(".csv")
    assert [(row["platform_fees"], row["net"]) for row in rows] == [("100.00", "300.00")]
    await tab.page.context.close()

    tab = await tabs.open()  # the contractor's
    await tab.sign_in(completed_work.contractor)
    await tab.go("Wallet")
    name, rows = await saved(tab, "Download as CSV")
    assert name.startswith("statement-USD-")
    assert [row["balance"] for row in rows] == ["700.00", "700.00"]
    await tab.screenshot("statement")
    assert await fits(tab)
    assert tabs.errors == []
