"""The chat in a real browser: where one begins to read, what is attached, and what is deleted."""

from typing import Any

from playwright.async_api import expect

from domain.kernel.rooms import user_room
from tests.stories.browser.tabs import DESKTOP, PHONE, Tabs, in_the_browser
from tests.support.installations import Server
from tests.support.market import Market

pytestmark = in_the_browser

WAITING = 40
LOST = "({ live }) => new Promise((done) => live.subscribe((now) => now || done()))"
PATIENCE = "({ server }, milliseconds) => (server.commands.patience = milliseconds)"
PASTE = """async (field) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
    const picture = await new Promise((done) => canvas.toBlob(done));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([picture], "fence.png", { type: "image/png" }));
    const options = { clipboardData, bubbles: true, cancelable: true };
    field.dispatchEvent(new ClipboardEvent("paste", options));
}"""
# Opens the first message that was found; returns how it is marked, and the animations of the mark.
OPEN_FOUND = """() => new Promise((done) => {
    new MutationObserver(() => {
        const marked = document.querySelector(".found > .bubble");
        if (marked) done([getComputedStyle(marked).outlineStyle, marked.getAnimations().length]);
    }).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["class"] });
    document.querySelector(".results button").click();
})"""
# Whether the notice and the field that has the focus cover no part of each other.
APART = """() => {
    const notice = document.querySelector(".toast").getBoundingClientRect();
    const field = document.activeElement.getBoundingClientRect();
    return notice.bottom <= field.top || notice.top >= field.bottom;
}"""


async def test_new_messages_are_read_from_the_first_one(tabs: Tabs, market: Market) -> None:
    """Guard: `open` in chat_room.js: they do not count as read before they were on the screen, and
    `attach` in chat_composer.js. `useFarEdge` in toasts.js: notices keep away from the field in
    use. The mark of a message that was searched for does not fade."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    opened: Any = await customer.call(
        "/chat", "open", {"job_id": job["id"], "user_id": contractor.id}
    )
    await customer.call("/chat", "send", {"conversation_id": opened["id"], "text": "Good morning"})
    await contractor.call("/chat", "read", {"conversation_id": opened["id"], "seq": 1})
    for number in range(WAITING):
        fields = {"conversation_id": opened["id"], "text": f"Line {number}"}
        await customer.call("/chat", "send", fields)
    tab = await tabs.open()
    await tab.sign_in(contractor)
    await tab.follow(f"Read {WAITING} messages")
    await expect(tab.page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    await expect(tab.page.get_by_text("New messages", exact=True)).to_be_in_viewport()
    await tab.press(f"{WAITING} new messages")
    # Not in the list of conversations, nor what is said to screen readers.
    messages = tab.page.get_by_role("log")
    last = messages.get_by_text(f"Line {WAITING - 1}", exact=True)
    await expect(last).to_be_in_viewport()
    seen = tab.page.get_by_role("link", name="Chat").get_by_text("waiting")
    await expect(seen).to_have_count(0)

    field = tab.page.get_by_role("textbox", name="Message")
    await field.evaluate(PASTE)
    await field.fill("This is the fence")
    await tab.press("Send")
    said = tab.page.locator("li").filter(has_text="This is the fence").last
    await expect(said.get_by_role("button", name="fence.png")).to_be_visible()
    await said.hover()
    await said.get_by_role("button", name="More").click()
    await tab.page.get_by_role("menuitem", name="Delete").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(tab.page.get_by_text("Message deleted").last).to_be_visible()

    await tab.press("Search in this conversation")
    words = tab.page.get_by_role("searchbox", name="Words to be found")
    await tab.run("shared/toasts.js", "({ say }) => say('This is new.', { tone: 'bad' })")
    for size in (PHONE, DESKTOP):
        await tab.page.set_viewport_size(size)  # type: ignore[arg-type]
        for writing in (words, field):
            await writing.focus()
            assert await tab.page.evaluate(APART)
    await words.fill("Line 7")
    await expect(tab.page.get_by_role("button", name="Line 7")).to_be_visible()
    assert await tab.page.evaluate(OPEN_FOUND) == ["solid", 0]
    await tab.run("shared/router.js", "({ go }) => go('/chat/none')")
    await tab.heads("There is no such conversation")
    await expect(tab.page).to_have_title("There is no such conversation · JobSphere")
    await tab.run("shared/router.js", "({ go }) => go('/none')")
    await expect(tab.page).to_have_title("There is no such page · JobSphere")
    assert tabs.errors == []


async def test_a_message_that_could_not_be_sent_is_counted_until_it_is(
    tabs: Tabs, market: Market, server: Server
) -> None:
    """Guard: `setPending` in talk.js: it is sent on return, so the bar counts it, once."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    opened: Any = await customer.call(
        "/chat", "open", {"job_id": job["id"], "user_id": contractor.id}
    )
    await customer.disconnect()
    tab = await tabs.open()
    await tab.sign_in(customer, f"/chat/{opened['id']}")
    field = tab.page.get_by_role("textbox", name="Message")
    await expect(field).to_be_visible()
    await tab.run("shared/server.js", PATIENCE, 100)
    await tab.page.context.set_offline(True)
    for connection in list(server.web.realtime.rooms.members(user_room(customer.id))):
        connection.close_transport()
    await tab.run("shared/server.js", LOST)  # what was sent before might still be answered
    for text in ("Are you there?", "Never mind"):
        await field.fill(text)
        await tab.press("Send")
    bar = tab.page.locator(".bars")
    failed = tab.page.get_by_role("alert").filter(has_text="Try again")
    await expect(failed).to_have_count(2)
    await expect(bar).to_contain_text("2 changes wait to be sent.")
    await failed.last.get_by_role("button", name="Try again").click()
    await expect(failed).to_have_count(2)
    await expect(bar).to_contain_text("2 changes wait to be sent.")
    await failed.last.get_by_role("button", name="Discard").click()
    await expect(bar).to_contain_text("1 change waits to be sent.")
    await tab.run("shared/server.js", PATIENCE, 60_000)
    await tab.page.context.set_offline(False)
    await expect(failed).to_have_count(0)
    await expect(tab.page.get_by_title("Sending")).to_have_count(0)
    assert await tab.run("shared/server.js", "({ pending }) => pending.peek()") == 0
