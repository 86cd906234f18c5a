"""Browser tabs for tests: signing in, filling forms, reading, and the errors browsers report."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.support.parties import PASSWORD

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 800}
TOUCH = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)
# The event loop of the browser, which the tests share.
in_the_browser = pytest.mark.asyncio(loop_scope="session")
# Calls a function with a module of the page, whose address has a version in it.
RUN = """async (argument) => {{
    const main = document.querySelector("script[type=module]").src;
    return ({code})(await import(new URL("../{module}", main).href), argument);
}}"""
CONNECTED = """async ({ live, server }) => {
    await new Promise((done) => live.subscribe((now) => now && done(true)));
    await server.feed.begun(); // what comes now is news
}"""
# Keeps the texts of all notices: on a slow machine one may be gone before a test looks for it.
NOTICES = """
    window.notices = new Set();
    new MutationObserver(() => {
        for (const { textContent } of document.querySelectorAll(".toast"))
            notices.add(textContent.replace(/\\s+/g, " "));
    }).observe(document, { childList: true, subtree: true, characterData: true });
"""
PICTURES = os.environ.get("PICTURES")  # a folder for screenshots


class Held:
    """Frames from the server to a page; chosen ones are held until `release`."""

    def __init__(self, waits: Callable[[str], bool]) -> None:
        self.waits = waits
        self.caught = asyncio.Event()
        self.kept: list[tuple[WebSocketRoute, str | bytes]] = []

    def follow(self, page: WebSocketRoute) -> None:
        def take(frame: str | bytes) -> None:
            if self.waits(str(frame)):
                self.kept.append((page, frame))
                self.caught.set()
            else:
                page.send(frame)

        page.connect_to_server().on_message(take)

    def release(self) -> None:
        self.waits = lambda frame: False
        for page, frame in self.kept:
            page.send(frame)


class Tab:
    """One user's tab with its own browser context: tabs share no cookies and no storage."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.errors: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"crash: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and self.page.url.startswith(self.origin):
            self.errors.append(f"{message.type}: {message.text}")

    def _failed(self, request: Any) -> None:
        left = request.failure == "net::ERR_ABORTED"  # aborted by a reload
        if request.url.startswith(self.origin) and not left:
            self.errors.append(f"failed: {request.url} {request.failure}")

    def _response(self, response: Any) -> None:
        if response.url.startswith(self.origin) and response.status >= 400:
            self.errors.append(f"{response.status}: {response.url}")

    async def sign_in(self, party: Any, path: str = "/") -> None:
        """Sign in by hand, and go on to `path`."""
        await self.page.goto(f"{self.origin}/sign-in?{urlencode({'next': path})}")
        await self.fill(E_mail=party.email, Password=PASSWORD)
        await self.press("Sign in")
        await self.live()

    async def live(self) -> None:
        """Wait for the sections of who is signed in, for the connection, and for its feed."""
        await expect(self.page.get_by_role("navigation", name="Sections")).to_be_visible()
        async with asyncio.timeout(TIMEOUT_MS / 1_000):
            await self.run("shared/server.js", CONNECTED)

    async def run(self, module: str, code: str, argument: Any = None) -> Any:
        """Call a function with a module that the page has loaded, and an argument."""
        return await self.page.evaluate(RUN.format(module=module, code=code), argument)

    async def duplicate(self) -> "Tab":
        """A second tab at the same page, with the same cookies and local storage. It closes with
        this one, and its errors are among those of this one."""
        twin = Tab(await self.page.context.new_page(), self.origin)
        twin.errors = self.errors
        await twin.page.goto(self.page.url)
        await twin.live()
        return twin

    async def hold(self, waits: Callable[[str], bool]) -> Held:
        """Hold the frames for which `waits` is true. Call it before `sign_in`."""
        held = Held(waits)
        await self.page.route_web_socket("**/socket.io/**", held.follow)
        return held

    async def fill(self, within: Locator | None = None, **fields: str) -> None:
        """Fill inputs by how their labels begin; `_` stands for a space or a hyphen."""
        for label, value in fields.items():
            found = re.compile(r"^\s*" + label.replace("_", "[ -]"))
            await (within or self.page).get_by_label(found).first.fill(value)

    async def choose(self, label: str, name: str, data: bytes) -> None:
        """Choose a file for upload."""
        file: Any = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        async with self.page.expect_file_chooser() as choosing:
            await self.page.locator("label, button").filter(has_text=label).click()
        await (await choosing.value).set_files(file)

    async def press(self, name: str, within: Locator | None = None) -> None:
        await (within or self.page).get_by_role("button", name=name, exact=True).click()

    async def follow(self, name: str) -> None:
        """Follow a link of the view."""
        await self.page.locator("main").get_by_role("link", name=name).first.click()

    async def unfold(self, summary: str) -> Locator:
        """Open what is folded, and return it."""
        folded = self.page.locator("details").filter(has_text=summary)
        await folded.locator("summary").click()
        return folded

    def dialog(self, title: str) -> Locator:
        return self.page.get_by_role("dialog", name=title)

    async def answer(self, title: str, yes: str, **fields: str) -> None:
        """Answer the question of a dialog, and wait until it is gone."""
        dialog = self.dialog(title)
        await self.fill(dialog, **fields)
        await self.press(yes, dialog)
        await expect(dialog).to_have_count(0)

    async def go(self, name: str) -> None:
        """Follow a link of the sections."""
        bar = self.page.get_by_role("navigation", name="Sections")
        await bar.get_by_role("link", name=name).click()

    async def open_job(self, title: str) -> None:
        """Follow the link of a list to a job."""
        found = self.page.locator("main a[href^='/jobs/job_']").filter(has_text=title)
        await found.first.click()
        await self.heads(title)

    async def heads(self, title: str) -> None:
        """Assert that this is the heading of the view."""
        heading = self.page.get_by_role("heading", name=title, level=1)
        await expect(heading).to_be_visible(timeout=TIMEOUT_MS)

    async def sees(self, text: str, role: str = "") -> None:
        main = self.page.locator("main")
        found = main.get_by_role(role, name=text) if role else main.get_by_text(text)  # type: ignore[arg-type]
        await expect(found.filter(visible=True).first).to_be_visible(timeout=TIMEOUT_MS)

    async def sees_picture(self, name: str) -> None:
        """Assert that a file's thumbnail is drawn, and that the file is saved under its name."""
        shown = self.page.get_by_role("button", name=f"Picture {name}")
        image = await shown.locator("img").element_handle()
        drawn = "image => image.complete && image.naturalWidth > 0"
        await self.page.wait_for_function(drawn, arg=image, timeout=TIMEOUT_MS)
        await shown.click()
        async with self.page.expect_download() as saving:
            await self.press("Save", self.dialog(name))
        assert (await saving.value).suggested_filename == name
        await self.press("Close", self.dialog(name))

    async def sees_notice(self, text: str) -> None:
        """Assert that a notice is shown, or was shown since the page was loaded."""
        told = "text => [...notices].some((notice) => notice.includes(text))"
        await self.page.wait_for_function(told, arg=text, timeout=TIMEOUT_MS)

    async def fits(self) -> bool:
        """Whether the page is as wide as the window."""
        return bool(await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    async def screenshot(self, name: str) -> None:
        """Save screenshots for phone and desktop if PICTURES names a folder."""
        if PICTURES:
            for size in (PHONE, DESKTOP):
                await self.page.set_viewport_size(size)  # type: ignore[arg-type]
                path = Path(PICTURES) / f"{name}-{size['width']}.png"
                await self.page.screenshot(path=path)


class Profiles:
    """Browser contexts that tests use one after the other. They keep their process and what it has
    loaded, which is most of the work of a first page; cookies and storage they do not keep."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._idle: dict[str, list[Page]] = {}  # a blank page of each, by the options

    async def take(self, options: dict[str, Any]) -> Page:
        """A blank page of a profile that is like a new one."""
        if idle := self._idle.get(repr(options)):
            return idle.pop()
        context = await self.browser.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        await context.add_init_script(NOTICES)
        return await context.new_page()

    async def give_back(self, options: dict[str, Any], used: Page, origin: str) -> None:
        """Close the pages of a profile and clear it, unless the test has closed it already. What a
        test adds, such as scripts and listeners, it adds to pages."""
        if used.is_closed():
            return
        blank, pages = await used.context.new_page(), used.context.pages
        for page in pages:
            if page is not blank:
                await page.close()
        await blank.context.set_offline(False)
        await blank.context.clear_cookies()
        devtools = await blank.context.new_cdp_session(blank)
        everything = {"origin": origin, "storageTypes": "all"}
        await devtools.send("Storage.clearDataForOrigin", everything)
        await devtools.detach()
        self._idle.setdefault(repr(options), []).append(blank)


class Tabs:
    """Opens tabs and collects the errors of all of them."""

    def __init__(self, profiles: Profiles, origin: str) -> None:
        self.profiles = profiles
        self.origin = origin
        self.opened: list[tuple[Tab, dict[str, Any]]] = []

    async def open(self, *, viewport: Any = DESKTOP, **options: Any) -> Tab:
        tab = Tab(await self.profiles.take(options), self.origin)
        await tab.page.set_viewport_size(viewport)
        self.opened.append((tab, options))
        return tab

    async def close(self) -> None:
        for tab, options in self.opened:
            await self.profiles.give_back(options, tab.page, self.origin)

    @property
    def errors(self) -> list[str]:
        return [error for tab, _ in self.opened for error in tab.errors]
