"""The JavaScript client in Chromium: two tabs of one session."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.stories.browser.tabs import in_the_browser
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.parties import PASSWORD

EMPTY = "<!doctype html><link rel=icon href=data:,>"
START = """async (login) => {
  const { JobSphere } = await import("/static/client/jobsphere.js");
  window.client = new JobSphere({ storage: localStorage });
  if (login) await client.account.login(login);
  await client.connect();
  return client.session.current.refresh_token;
}"""
TOKEN = "() => client.session.current.refresh_token"
RENEWED = "(before) => client.session.current.refresh_token !== before"
RENEW = "() => client.session.renew()"
ME = "async () => (await client.account.me()).id"
ENDED = "() => client.user === null && !client.live"


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    yield context
    await context.close()


@in_the_browser
async def test_two_tabs_share_a_session(
    context: BrowserContext, server: Server, market: Market
) -> None:
    """Guard: `#renewOnce` in session.js: one tab at a time asks, and the other takes its answer.
    Signing out in one tab ends the session in both."""
    party = await market.customer(connect=False)
    asked: list[str] = []
    await context.route("**/nothing", lambda route: route.fulfill(body=EMPTY))
    context.on("request", lambda request: asked.append(request.url))

    async def tab(login: Any = None) -> tuple[Page, str]:
        page = await context.new_page()
        await page.goto(f"{server.web.settings.public_url}/nothing")
        return page, await page.evaluate(START, login)

    first, token = await tab({"email": party.email, "password": PASSWORD})
    second, same = await tab()
    assert token == same
    await first.evaluate(RENEW)
    await second.wait_for_function(RENEWED, arg=token)
    assert await first.evaluate(TOKEN) == await second.evaluate(TOKEN)
    assert sum(url.endswith("/api/account/refresh") for url in asked) == 1
    assert {await page.evaluate(ME) for page in (first, second)} == {party.id}
    await second.evaluate("() => client.account.logout()")
    await first.wait_for_function(ENDED)
    assert await second.evaluate(ENDED)
    assert await first.evaluate("() => localStorage.getItem('jobsphere.session')") is None
