"""The work queues of administrators in a real browser: alerts, reports, differences, the trail."""

from datetime import timedelta

from playwright.async_api import expect

from domain.kernel.outbox import Lane, OutboxRow
from domain.notifications.alerts import alert
from domain.reconciliation.book_difference import BookDifference
from tests.domain.chat.test_conversations import meet
from tests.stories.browser.tabs import Tab, in_the_browser

pytestmark = in_the_browser


async def test_an_admin_works_through_the_queues(tabs, market, server):
    """Guard: activity.js, alerts.js, work.js, work_actions.js, work_lists.js and chain.js in
    static/js/admin: each step asks, takes a reason and is said; two administrators see the same,
    and ids in what was recorded are links."""
    talk = await meet(market)
    said = await talk.say(talk.contractor, "Pay me in cash")
    fields = {"conversation_id": talk.id, "message_id": said["id"], "reason": "fraud"}
    uow = server.store.single()
    dead = {"lane": Lane.MAIL, "owner": "", "lease_until": uow.now, "attempts": 12, "dead": True}
    await uow.add(uow.new(OutboxRow, body={"type": "send_mail", "id": "mail_1"}, **dead))
    span = {"start": uow.now - timedelta(days=2), "end": uow.now, "last_seen_at": uow.now}
    runs = {"first_run": "rec_1", "last_run": "rec_1", "seen_count": 1}
    await uow.add(
        uow.new(
            BookDifference, what="charge", subject="ch_1", expected=None, found=7, **span, **runs
        )
    )
    tab, second = await tabs.open(), await tabs.open()
    admin = await market.admin(connect=False)
    await tab.sign_in(admin, "/admin")
    await second.sign_in(await market.admin("Bob Boss", connect=False), "/admin/alerts")
    await tab.sees("applied for")
    await talk.customer.call("/chat", "report", fields)
    await server.store.transact(lambda uow: alert(uow, "refund_failed", "pay_1", "It came back."))
    await second.sees("It came back.")
    await tab.go("Alerts")
    line = tab.page.locator(".alert", has_text="It came back.")
    await line.get_by_role("button", name="Assign…").click()
    await tab.answer("Who looks after it?", "Assign", Why="I know this bank")
    await expect(line).to_contain_text("You look after it")
    await second.sees("Ada Admin")
    await line.get_by_role("button", name="Close…").click()
    await tab.answer("Close this alert?", "Close it", What_was="Refunded by hand")
    await expect(second.page.locator(".alert", has_text="It came back.")).to_have_count(0)
    await tab.screenshot("alerts")
    await tab.go("Reports")
    await tab.press("Decide…")
    dialog = tab.dialog("Decide about this report")
    await dialog.get_by_label("What to do").select_option("remove_message")
    await tab.answer("Decide about this report", "Decide", Why="Money outside of the platform")
    await tab.sees("remove message: Money outside of the platform")
    await tab.go("Dead letters")
    await tab.press("Discard…")
    await tab.answer("Discard it?", "Discard", Why="Sent by hand")
    await tab.sees("Nothing here")
    await tab.go("Differences")
    await tab.press("Explain…")
    await tab.answer("Explain this difference?", "Explain", What_explains="A charge of a test")
    await tab.sees("A charge of a test")
    await _read_the_trail(tab)
    deleted = await talk.customer.push("/chat", "message", lambda found: found["deleted_at"])
    assert deleted["id"] == said["id"]
    reasons = "".join(row.detail for row in await market.trail(actor_id=admin.id))
    assert all(
        reason in reasons
        for reason in ("Refunded by hand", "Sent by hand", "of a test", "this bank")
    )
    assert tabs.errors == []


async def _read_the_trail(tab: Tab) -> None:
    """It is checked, filtered by days, and its rows lead to what they name."""
    await tab.go("Audit trail")
    await tab.press("Check now…")
    await tab.answer("Check the whole trail?", "Check")
    await tab.sees("Unbroken at the last check")
    await tab.unfold("More filters")
    await tab.page.get_by_label("Before day").fill("2020-01-01")
    await tab.sees("Nothing here")
    await tab.page.get_by_label("Before day").fill("")
    row = tab.page.locator(".detail", has_text="Refunded by hand").first
    await row.locator("summary").click()
    await expect(row.get_by_role("link", name="Alert").first).to_have_attribute(
        "href", "/admin/alerts?show=all"
    )
    await tab.screenshot("audit")
