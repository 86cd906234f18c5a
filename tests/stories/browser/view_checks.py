"""What is asked of every view: that it is accessible, whole at every width, still, and harmless."""

import re
from typing import Any
from urllib.parse import urlsplit

from server.dev.stores import ROOT
from tests.stories.browser.hostile_world import TAG, TEXT
from tests.stories.browser.tabs import TIMEOUT_MS, Tab
from tests.support.property_sizes import SEED

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
# Without `preload`, with which axe would write <style> elements, which the CSP forbids.
RULES = """(exclude) => axe.run({ exclude },
        {resultTypes: ["violations"], preload: false, selectors: false})
    .then(({violations}) => violations
    .filter(({impact}) => impact !== "minor")
    .map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)}`))"""
SHELL = [".skip", ".sidebar", ".topbar", ".tabbar"]  # around the views, two thirds of a page
WIDTHS = (320, 375, 768, 1280)
SCHEMES: Any = ("light", "dark")
MOST_SHIFT = 0.02
LEAVING = re.compile(r"/return$|/onboarding/")  # these lead on to another view at once
# The landing page has no router, and a chat opens beside the list, where a phone has its bar.
STAYS = re.compile(r"/$|/chat/")

WATCH = """
    window.hit = () => (window.attacked = true);
    window.violations = [];
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
        violations.push(`${violatedDirective} ${blockedURI} ${sample}`));
    window.shifts = [];
    const named = ({ node, previousRect: { y: from }, currentRect: { y: to } }) =>
        `${(node?.outerHTML ?? node?.data ?? "").slice(0, 90)} from ${from | 0} to ${to | 0}`;
    new PerformanceObserver((list) => {
        for (const { value, hadRecentInput, sources } of list.getEntries())
            if (!hadRecentInput) shifts.push({ value, what: sources.map(named) });
    }).observe({ type: "layout-shift", buffered: true });
"""
READY = """() => document.querySelector("main h1")?.checkVisibility()
    && document.fonts.status === "loaded"
    && !document.querySelector(".skeleton:not(.sample *), main [aria-busy=true]")"""
# Goes to another view inside the page. Chromium ignores what moves within 500 ms of a resize.
GO = """async ({ go }, address) => {
    await new Promise((done) => setTimeout(done, 550));
    shifts.length = 0;
    go(address);
    for (const _ of [1, 2]) await new Promise(requestAnimationFrame); // the new view has begun
}"""
# Elements beyond the edges of the window, which no container of theirs scrolls or shortens.
CUT = """() => {
    const kept = (element) => {
        for (let up = element; up && up !== document.body; up = up.parentElement) {
            const { overflowX, position } = getComputedStyle(up);
            const hidden = position === "absolute" && up.offsetWidth <= 1;
            if (hidden || overflowX !== "visible") return true;
        }
        return false;
    };
    const beyond = [...document.body.querySelectorAll("*")].filter((element) => {
        const { left, right, width, height } = element.getBoundingClientRect();
        return width && height && (right > innerWidth + 1 || left < -1)
            && element.checkVisibility() && !kept(element);
    });
    const wide = document.documentElement.scrollWidth - innerWidth;
    return wide > 0 || beyond.length
        ? [`${wide} px`, ...beyond.slice(-2).map(({ outerHTML }) => outerHTML.slice(0, 160))] : [];
}"""
# Writes a text into all fields; returns what the view said before, and what has gone wrong.
FILL = """async (text) => {
    const said = document.querySelector("main").innerText;
    for (const field of document.querySelectorAll("main :is(input, textarea)")) {
        const textual = field.matches("textarea, [type=text], [type=search], :not([type])");
        if (!textual || field.readOnly || !field.checkVisibility()) continue;
        const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value");
        set.call(field, text);
        field.dispatchEvent(new Event("input", { bubbles: true }));
        field.dispatchEvent(new Event("change", { bubbles: true }));
    }
    await new Promise((done) => setTimeout(done, 60));
    const markup = document.querySelectorAll(
        "img[src=x], main svg[onload], a[href^='javascript:']");
    return [said, [...(window.attacked ? ["a script has run"] : []), ...violations,
        ...[...markup].map(({ outerHTML }) => outerHTML)]];
}"""


class ViewChecks:
    """Opens views in a tab and collects what is wrong with them, by their addresses.

    Every third view is loaded from nothing, the others are opened inside the page, as by a link.
    With `half`, 0 or 1, axe-core looks at every second view only: the same view of another role is
    looked at by the other half. It looks at the shell with the views that are loaded from nothing.
    With a `SEED`, all is done with each view.
    """

    def __init__(self, tab: Tab, half: int | None = None) -> None:
        self.tab = tab
        self.half = half
        self.page = tab.page
        self.scheme = ""
        self.inside = False  # the present view was opened inside the page
        self.wrong: list[str] = []
        self.with_text: list[str] = []
        self.hosts: set[str] = set()

    async def watch(self) -> None:
        """Call it before the first view is opened."""
        await self.page.add_init_script(WATCH)
        await self.page.add_init_script(AXE)  # the page's CSP forbids it as a script
        self.page.on("request", self._asked)
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.tab.origin, "data:", "blob:", "about:")):
            self.hosts.add(request.url)

    async def check(self, number: int, address: str) -> None:
        """Check a view at all widths; it is opened at one of them, with `SEED` at each."""
        for width in WIDTHS if SEED else (WIDTHS[number % 4],):
            await self._open(address, width, SCHEMES[number // 4 % 2], inside=number % 3 > 0)
            self._note(address, width, "it shifts", await self._shift())
        for scheme in SCHEMES if SEED else ():
            await self._color(scheme)
            for width in (375, 1280):
                await self._resize(width)
                self._note(address, width, scheme, await self._violations())
        if not SEED and self.half in (None, number % 2):
            self._note(address, width, "axe", await self._violations())
        for back in range(4):  # from the present width to the one that the next view is opened at
            width = WIDTHS[(number - back) % 4]
            await self._resize(width)
            self._note(address, width, "it is cut", await self.page.evaluate(CUT))
        text, harm = await self.page.evaluate(FILL, TEXT)
        if TAG in text:
            self.with_text.append(address)
        self._note(address, 0, "harm", harm)

    async def _open(self, address: str, width: int, scheme: Any, *, inside: bool) -> None:
        await self._color(scheme)
        await self._resize(width)
        here, there = urlsplit(self.page.url).path, urlsplit(address).path
        staying = here in (there, "/") or STAYS.match(there)
        self.inside = inside and not SEED and not staying
        if self.inside:
            await self.tab.run("shared/router.js", GO, address)
        else:
            await self.page.goto(self.tab.origin + address)
        await self.page.wait_for_function(READY, polling=50, timeout=2 * TIMEOUT_MS)

    async def _color(self, scheme: Any) -> None:
        if self.scheme != scheme:
            self.scheme = scheme
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")

    async def _resize(self, width: int) -> None:
        size: Any = {"width": width, "height": 800}
        if self.page.viewport_size != size:
            await self.page.set_viewport_size(size)

    async def _shift(self) -> list[Any]:
        found = await self.page.evaluate("() => shifts")
        return found if sum(each["value"] for each in found) > MOST_SHIFT else []

    async def _violations(self) -> list[str]:
        found: list[str] = await self.page.evaluate(RULES, SHELL if self.inside else [])
        return found

    def _note(self, address: str, width: int, what: str, found: list[Any]) -> None:
        self.wrong.extend(f"!! {address} at {width}: {what}: {each}" for each in found)
