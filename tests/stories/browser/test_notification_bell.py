"""The notification bell in a real browser: counting, listing, marking as seen, reloading."""

from playwright.async_api import expect

from domain.notifications.alerts import alert
from tests.stories.browser.tabs import PHONE, in_the_browser

pytestmark = in_the_browser

FENCE = "“Paint the fence”"


async def test_the_bell_counts_and_lists_new_notices(tabs, market):
    """Guard: `state.seen` from `account.seen` in bell.js; without it all is new again after a
    reload. Guard: `loadTold` in `reload()`; without it the list would be empty. Guard: `own` in
    `told`; without it users get notices of their own actions."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    tab, other = await tabs.open(viewport=PHONE), await tabs.open()
    await tab.sign_in(contractor)
    await other.sign_in(customer)
    offer = await market.offer(customer, contractor, job)
    await tab.sees_notice(f"You have an offer of 1,000.00 USD for {FENCE}.")
    await tab.press("Notices, 1 new")
    line = tab.page.locator(".told li")
    await expect(line).to_have_count(1)
    await expect(line).to_contain_text("The money is set aside already")
    await tab.screenshot("bell")
    await tab.page.set_viewport_size(PHONE)
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= 375
    await expect(tab.page.get_by_role("button", name="Notices", exact=True)).to_be_visible()
    await line.get_by_role("link").click()
    await tab.sees("Paint the fence", role="heading")
    await expect(line).to_have_count(0)

    await market.accept(contractor, offer)
    await tab.sees_notice(f"{FENCE} is yours: you can start.")
    await tab.page.get_by_role("button", name="Notices, 1 new").wait_for()
    await tab.page.reload()
    await tab.press("Notices, 1 new")
    await expect(line).to_have_count(2)
    await expect(tab.page.locator(".told .fresh")).to_contain_text("is yours: you can start")
    await tab.press("No mails about this, please")
    await tab.page.get_by_role("button", name="Send me mails about this again").wait_for()
    await tab.page.keyboard.press("Escape")
    await expect(tab.page.locator(".told")).to_have_count(0)
    me = await contractor.call("/account", "me")
    assert me["mail_notices"] is False

    await other.sees_notice("was accepted")
    await other.press("Notices, 1 new")  # the offer that went out is listed, and no news
    await expect(other.page.locator(".told li")).to_have_count(2)
    await other.screenshot("bell-customer")
    assert tabs.errors == []


async def test_an_alert_reaches_the_monitor(tabs, market, server):
    """Guard: `tell(data, seq)` in admin.js."""
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await server.store.transact(lambda uow: alert(uow, "refund_failed", "pay_1", "Look at it."))
    await tab.sees_notice("Alert: A refund failed.")
    await tab.press("Notices, 1 new")
    await expect(tab.page.locator(".told li")).to_contain_text("Look at it.")
    await tab.screenshot("bell-admin")
    assert tabs.errors == []
