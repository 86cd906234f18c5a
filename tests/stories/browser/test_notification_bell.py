"""Notifications in a real browser: counting, listing, marking as seen, reloading."""

from playwright.async_api import expect

from domain.notifications.alerts import alert
from tests.stories.browser.tabs import PHONE, in_the_browser

pytestmark = in_the_browser

FENCE = "“Paint the fence”"


async def test_notifications_are_counted_and_listed(tabs, market):
    """Guard: `marks.unread` in `refresh`; without it nothing is new after a reload.
    Guard: `server.account.seen` in notifications.js; without it all would be new. Guard: `own` in
    `putNotice`; without it users get notices of their own actions."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    tab, other = await tabs.open(viewport=PHONE), await tabs.open()
    await tab.sign_in(contractor)
    await other.sign_in(customer)
    offer = await market.offer(customer, contractor, job)
    await tab.sees_notice(f"You have an offer of 1,000.00 USD for {FENCE}.")
    bell = tab.page.get_by_role("link", name="Notifications")
    await expect(bell).to_have_accessible_name("Notifications, 1 new")
    await bell.click()
    line = tab.page.locator("main li")
    await expect(line).to_have_count(1)
    await expect(line).to_contain_text("The money is set aside already")
    await tab.screenshot("notifications")
    await tab.page.set_viewport_size(PHONE)
    assert await tab.fits()
    await expect(bell).to_have_accessible_name("Notifications")
    await line.get_by_role("link").click()
    await tab.heads("Paint the fence")

    await market.accept(contractor, offer)
    await tab.sees_notice(f"{FENCE} is yours: you can start.")
    await expect(bell).to_have_accessible_name("Notifications, 1 new")
    await tab.page.reload()
    await expect(bell).to_have_accessible_name("Notifications, 1 new")
    await bell.click()
    await expect(line).to_have_count(2)
    await expect(line.filter(has_text="New")).to_contain_text("is yours: you can start")
    await tab.page.get_by_role("link", name="Settings").click()
    await tab.follow("Notices and privacy")
    mails = tab.page.get_by_label("Mail me about my money")
    await mails.uncheck()
    await tab.page.reload()
    await expect(mails).not_to_be_checked()
    assert (await contractor.call("/account", "me"))["mail_notices"] is False

    await other.sees_notice("was accepted")
    await expect(other.page.get_by_role("link", name="Notifications 1 waiting")).to_be_visible()
    await other.go("Notifications")  # the offer that went out is listed, and no news
    await expect(other.page.locator("main li")).to_have_count(2)
    await expect(other.page.locator("main li").filter(has_text="New")).to_have_count(1)
    await other.screenshot("notifications-customer")
    assert tabs.errors == []


async def test_an_alert_reaches_administrators_wherever_they_are(tabs, market, server):
    """Guard: the listener of `notification` in admin/main.js, and of `alert` in monitor.js."""
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await tab.sees("Nothing has happened in the last seven days")
    await server.store.transact(lambda uow: alert(uow, "refund_failed", "pay_1", "Look at it."))
    await tab.sees("Look at it.")
    await tab.sees_notice("Alert: A refund failed.")
    await tab.screenshot("alert")
    await tab.go("Users")
    await server.store.transact(lambda uow: alert(uow, "payout_failed", "wd_1", "Look again."))
    await tab.sees_notice("Alert: A withdrawal came back.")
    assert tabs.errors == []
