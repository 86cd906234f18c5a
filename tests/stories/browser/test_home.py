"""The home view in a real browser: what is unread is part of what needs the person now."""

from typing import Any

from playwright.async_api import expect

from tests.stories.browser.tabs import PHONE, Tabs, in_the_browser
from tests.support.market import Market

pytestmark = in_the_browser

# Whether the list of conversations is read when pushes are missing for good.
TOO_OLD = """({ server }) => {
    const { list } = server.chat;
    let asked = false;
    server.chat.list = (...fields) => (asked = true) && list(...fields);
    server.feed.tooOld({});
    return asked;
}"""


async def test_what_is_unread_needs_the_person(tabs: Tabs, market: Market) -> None:
    """Guard: `unreadOf` in home.js, which follows the conversations, and `refresh` at `reload` in
    world.js; without it what was read on another device long ago would stay unread."""
    customer, contractor = await market.customer(), await market.contractor()
    talks: list[Any] = []
    for number in range(5):
        job = await market.job(customer, title=f"Fence {number}")
        fields = {"application_id": (await market.application(contractor, job))["id"]}
        await customer.call("/job-request", "accept", fields)
        asked = {"job_id": job["id"], "user_id": contractor.id}
        talks.append(await customer.call("/chat", "open", asked))
    tab = await tabs.open(viewport=PHONE)
    await tab.sign_in(customer)
    done = tab.page.get_by_text("You are up to date.")
    await expect(done).to_be_visible()
    await tab.run("shared/server.js", "({ server }) => server.connect()")
    await tab.run("client/talks.js", "({ readList }) => readList()")  # no list is on its way

    needs = tab.page.locator(".need")
    for talk in talks:
        fields = {"conversation_id": talk["id"], "text": "When shall I begin?"}
        await contractor.call("/chat", "send", fields)
        latest = f"Read 1 message Colin Contractor · {talk['job_title']}"
        await expect(needs.first).to_have_text(latest, use_inner_text=True)
    await expect(needs).to_have_count(4)
    await expect(needs.last).to_contain_text("Read 2 more conversations")
    await expect(done).to_have_count(0)
    assert await tab.fits()
    await tab.screenshot("home")
    for talk in talks:
        await customer.call("/chat", "read", {"conversation_id": talk["id"], "seq": 1})
    await expect(done).to_be_visible()
    assert await tab.run("shared/server.js", TOO_OLD)
    assert tabs.errors == []
