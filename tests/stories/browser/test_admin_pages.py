"""The admin pages and CSV downloads in a real browser."""

import csv

from playwright.async_api import expect

from domain.files.file import File
from domain.kernel import process_registry
from domain.kernel.rooms import LIVE_MONITOR
from domain.monitor import writer
from domain.monitor.bucket import SeriesBucket, Step
from domain.monitor.series import SERIES, SeriesMinute, SeriesUpdate
from tests.stories.browser.tabs import PHONE, in_the_browser
from tests.support.parties import PASSWORD

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
    before = tab.page.viewport_size
    await tab.page.set_viewport_size(PHONE)
    fits = await tab.fits()
    await tab.page.set_viewport_size(before)
    return fits


async def test_an_admin_finds_and_bans_a_user(tabs, market):
    """Guard: admin/user_actions.js and admin/user.js, the list `users` of admin/money_lists.js, and
    `find` of admin/frame.js in shared/palette.js. `revoked` of static/client/session.js: an open
    page says why its session is over, and `sayNext` of admin/main.js takes it along."""
    tab, theirs = await tabs.open(), await tabs.open()
    customer = await market.customer("Frida Fraud", connect=False)
    await market.customer("Hanna Honest", connect=False)
    admin, other = await market.admin(connect=False), await market.admin("Bob", connect=False)
    asked = []
    theirs.page.on("request", lambda request: asked.append(request.url.partition("/api/")[2]))
    await tab.sign_in(admin, "/admin")
    await theirs.sign_in(customer)
    await tab.go("Users")
    await tab.sees("Frida Fraud")
    await tab.fill(Name="fri")
    await expect(tab.page.locator("tbody tr")).to_have_count(1)
    await tab.follow("Frida Fraud")
    await tab.heads("Frida Fraud")
    await tab.page.keyboard.press("Control+k")
    await tab.page.get_by_role("combobox").fill("hanna")
    await expect(tab.page.get_by_role("option", name="Hanna Honest")).to_have_count(1)
    await tab.page.keyboard.press("Enter")
    await tab.heads("Hanna Honest")
    await tab.page.go_back()
    await tab.heads("Frida Fraud")
    await tab.press("Sign all out…")
    await tab.answer("Sign Frida Fraud out everywhere?", "Sign out", Why="They asked for it")
    await theirs.heads("Sign in")
    await theirs.sees_notice("You were signed out on another device.")
    await theirs.sign_in(customer)
    await tab.press("Ban…")
    await tab.answer("Ban Frida Fraud?", "Ban", Why="Stolen cards")
    await tab.sees_notice("Frida Fraud is banned.")
    await theirs.heads("Sign in")
    await theirs.sees_notice("This account has been banned")
    assert asked.count("account/refresh") == 2
    await tab.sees("Stolen cards")
    await tab.screenshot("user")
    assert await fits(tab)
    await tab.press("Let in again…")
    await tab.answer("Let Frida Fraud in again?", "Let in", Why="The cards were theirs")
    await tab.sees("Active")
    assert (await market.trail(operation="admin.unban"))[0].subjects == (customer.id,)
    await other.http("POST", f"/api/admin/users/{admin.id}/ban", {"reason": "Has left"})
    await tab.heads("Sign in")
    await tab.sees_notice("This account has been banned")
    assert [error for error in tabs.errors if "401" not in error] == []


async def test_an_admin_has_all_settings(tabs, market):
    """Guard: the routes of admin/main.js below /admin/settings, and `enter` of client/app.js: mails
    have the addresses that others use."""
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/settings/security")
    await tab.sees("Passkeys", role="heading")
    bar = tab.page.get_by_role("navigation", name="Settings")
    for name, title in {
        "Profile": "Profile",
        "Devices": "Where you are signed in",
        "Notices and privacy": "Privacy",
        "Your data": "Export",
    }.items():
        await bar.get_by_role("link", name=name).click()
        await tab.sees(title, role="heading")
    await expect(tab.page.get_by_text("Delete your account")).to_have_count(0)
    await tab.fill(Current_password=PASSWORD)
    await tab.press("Export my data")
    await tab.sees_notice("Your data export is ready")
    [file] = await market.rows(File)
    await tab.page.goto(f"{tab.origin}/settings/export/{file.id}")
    await tab.sees("Your data export", role="heading")
    async with tab.page.expect_download() as saving:
        await tab.press("Download")
    assert (await saving.value).suggested_filename == file.name
    assert tab.page.url == f"{tab.origin}/admin/settings/export/{file.id}"
    assert tabs.errors == []


async def test_an_admin_and_a_contractor_read_their_accounts(tabs, market, completed_work):
    """Guard: the columns of admin/money_lists.js and `Payment` of admin/payment.js; `typing` in
    admin/list.js: the stats that are pushed each second must not take what one types.
    Guard: `again` of `step` in admin/work.js: an amount that has changed is read again.
    Guard: `statement_csv` in wallet.js and `commissions_csv` in commissions.js: a URL without
    the token would be refused."""
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await tab.go("Payments")
    await expect(tab.page.locator("tbody tr")).to_have_count(1)
    await tab.screenshot("payments")
    assert await fits(tab)
    await tab.follow("Paint the fence")
    await tab.heads("Paint the fence")
    await tab.sees("The customer was charged")
    await tab.press("Refund…")
    dialog = tab.dialog("Refund the customer?")
    await tab.fill(dialog, Amount="60.00", Why="The gate is crooked")
    await expect(dialog.locator("dd.total")).to_have_text("60.00 USD")
    await tab.press("Refund", dialog)
    await tab.sees("Refunded in part")
    await tab.press("Refund…")
    await completed_work.refund(40_00)  # while the dialog names all that is left
    await tab.answer("Refund the customer?", "Refund", Why="All of it")
    await tab.sees_notice("The amount is 900.00 USD by now")
    await tab.follow("Refunds")
    await tab.sees("The gate is crooked")
    await tab.follow("Stripe")
    await tab.sees((await completed_work.stored_payment()).intent_id)
    assert await fits(tab)
    await tab.go("Escrow")
    await tab.heads("Money in escrow")
    await tab.go("Journal")
    await tab.heads("Journal")
    kind = tab.page.get_by_label("Kind")
    await kind.click()  # waits until it is shown, which pressing keys does not
    await kind.press_sequentially("captured", delay=200)
    await expect(kind).to_have_value("captured")
    record = tab.page.locator("tbody tr")
    await expect(record).to_have_count(1)
    await expect(record).to_contain_text("stripe → escrow of Paint the fence")
    await tab.screenshot("transactions")
    assert await fits(tab)
    await tab.go("Commissions")
    await expect(tab.page.locator("tbody tr").first).to_contain_text("270.00")
    name, rows = await saved(tab, "CSV")
    assert name.startswith("commissions-") and name.endswith(".csv")
    assert [(row["platform_fees"], row["net"]) for row in rows] == [("100.00", "270.00")]
    await tab.screenshot("commissions")
    assert await fits(tab)
    await tab.page.context.close()

    tab = await tabs.open()  # the contractor's
    await tab.sign_in(completed_work.contractor, "/wallet")
    name, rows = await saved(tab, "CSV")
    assert name.startswith("statement-USD-")
    assert [row["balance"] for row in rows][:2] == ["700.00", "700.00"]
    await tab.screenshot("statement")
    assert await fits(tab)
    assert tabs.errors == []


async def test_an_admin_watches_the_figures(tabs, market, server, completed_work):
    """Guard: charts.js, figures.js, series.js and processes.js in static/js/admin: a chart in words
    and as a table, a minute that is pushed, another span in the address, and the processes."""
    await writer.write_series(server.ports)
    await process_registry.send_heartbeat(server.store, server.web.process_figures())
    tab = await tabs.open()
    await tab.sign_in(await market.admin(connect=False), "/admin")
    await tab.sees("1 captured, 0 failed in the last hour")
    await tab.sees("Healthy")
    volume = tab.page.locator("figure", has_text="Gross volume")
    await volume.get_by_text("As a table").click()
    await expect(volume.locator("tbody")).to_contain_text("1,000.00 USD")
    await expect(volume.locator("canvas")).to_have_count(1)
    minutes = await market.rows(SeriesBucket, step=Step.MINUTE.value)
    [minute] = [each for each in minutes if each.values.get("payments_captured")]
    values = {**minute.values, "payments_captured": 5, "payments_failed:expired_card": 2}
    update = SeriesUpdate(60, [SeriesMinute(minute.at, values)])
    server.web.push(SERIES, update, room=LIVE_MONITOR)
    await tab.sees("5 captured, 2 failed in the last hour")
    await tab.sees("Expired card")
    await tab.follow("Day")
    await tab.sees("1 captured, 0 failed in the last 24 hours")
    assert "span=day" in tab.page.url
    await tab.screenshot("monitor")
    assert await fits(tab)
    assert tabs.errors == []
