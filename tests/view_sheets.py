"""Contact sheets of every view, of dialogs that move money, and of what is empty or refused.

`python -m tests.screenshots --views FOLDER` writes a sheet for each view: all widths in light, and
below them in dark. It prints what is wider than its window, what moves while it loads, and what
browsers report as errors.
"""

import asyncio
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw
from playwright.async_api import Browser, BrowserContext, Page
from playwright.async_api import Error as BrowserError

from tests.stories.browser.test_views import PAGES, routes
from tests.stories.browser.view_checks import CUT, MOST_SHIFT, READY, SCHEMES, WATCH, WIDTHS
from tests.support.server_reader import Reader

LEAST, MOST = 700, 1600  # px in height: a window that shows the whole view, within reason
GAP = 16
PAPER = (128, 128, 140)
TABS = 3  # at once
READY_MS = 20_000
STRIP = 40  # px at the top of a picture
TRIES = 5
DRAWN_MS = 250  # for pictures and charts after the last request
DOCS = ("start", "errors", "limits", "schemas", "job.create", "push.job.updated", "schema.Offer")
NEWCOMERS = {"new-customer": "customer", "new-contractor": "contractor"}
BEGINNINGS = ("/", "/jobs", "/chat", "/work", "/payments", "/disputes", "/wallet", "/notifications")
UNKNOWN = ("/jobs/none", "/offers/none", "/chat/none", "/payments/none", "/disputes/none")
LIST = re.compile(r'^  "?([a-z-]+)"?: \{$', re.MULTILINE)  # of the back office
HEIGHT = """() => Math.max(...[...document.querySelectorAll("html, main, dialog")]
    .map(({ scrollHeight }) => scrollHeight))"""
FILL = """() => {
    for (const area of document.querySelectorAll("main textarea")) {
        const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(area), "value");
        set.call(area, "As we have agreed.");
        area.dispatchEvent(new Event("input", { bubbles: true }));
    }
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
KEY = "jobsphere.session"  # as in static/client/session.js

Json = dict[str, Any]


class Wanted(NamedTuple):
    """A view as somebody sees it, after pressing buttons whose names begin with `press`."""

    account: str
    address: str
    state: str = ""
    press: tuple[str, ...] = ()
    refused: bool = False  # that the server refuses to show it is what is looked at

    @property
    def name(self) -> str:
        path = re.sub(r"(?<=[/=])[a-z]+_\w{20,}", "id", self.address)
        words = [self.account or "nobody", *re.split("[/?#&]", path), self.state, *self.press]
        return "-".join(re.sub(r"\W+", "_", word).strip("_").lower() for word in words if word)


# -- which views ---------------------------------------------------------------------------------


def wanted(readers: dict[str, Reader]) -> list[Wanted]:
    """All views, with records of the history in the addresses of their routes."""
    return [
        *(Wanted("", path) for path in ("/", *routes("client/app.js", open=True))),
        *(Wanted("", f"/docs#{place}") for place in DOCS),
        Wanted("", "/static/components.html"),
        Wanted("", "/jobs/" + readers["contractor"].one("/api/job")["id"], "visitor"),
        *_of_client(readers["customer"]),
        *_of_client(readers["contractor"]),
        *_of_admin(readers["admin"]),
        *(Wanted(who, path, "empty") for who in NEWCOMERS for path in BEGINNINGS),
        *(Wanted("customer", path, "unknown", refused=True) for path in UNKNOWN),
        Wanted("admin", "/admin/payments/none", "unknown", refused=True),
    ]


def _of_client(reader: Reader) -> Iterator[Wanted]:
    role = reader.account
    customer = role == "customer"
    offers = reader.by_status("/api/bidding")
    worked = [each for each in offers["accepted"] if len(each["milestones"]) > 1]
    delivered = [
        each
        for each in worked
        if not each["contested_amount"] and any(map(_waits_for_approval, each["milestones"]))
    ]
    jobs = reader.by_status("/api/job/mine")
    payments = reader.by_status("/api/payment")
    disputes = reader.by_status("/api/payment/disputes")
    talks = reader.items("/api/chat")
    ids = {
        "chat": talks[0]["id"],
        "offers": (delivered or worked)[0]["id"],
        "payments": payments["captured"][0]["id"],
        "disputes": next(iter(disputes.values()))[0]["id"],
        "jobs": next(iter(jobs.values()))[0]["id"],
        "wallet": "" if customer else reader.one("/api/wallet/withdrawals")["id"],
    }
    for route in routes("client/app.js", open=False):
        address = _filled(route, ids)
        of_other = route.startswith("/wallet/withdrawals" if customer else "/jobs/new")
        if not of_other and not route.endswith(("/edit", "/export/:id", "/offers/new")):
            yield Wanted(role, address)
    yield from (Wanted(role, f"/offers/{of[0]['id']}", state) for state, of in offers.items())
    yield from (Wanted(role, f"/jobs/{of[0]['id']}", state) for state, of in jobs.items())
    yield from (Wanted(role, f"/payments/{of[0]['id']}", state) for state, of in payments.items())
    yield from (Wanted(role, f"/disputes/{of[0]['id']}", state) for state, of in disputes.items())
    step = {state: f"/offers/{of[0]['id']}" for state, of in offers.items()}
    if customer:
        open_job = f"/jobs/{jobs['open'][0]['id']}"
        yield Wanted(role, f"{open_job}/edit")
        for new_offer in _new_offers(reader, jobs["open"]):
            yield Wanted(role, new_offer, "terms")
            yield Wanted(role, new_offer, "terms", ("Check and send",))
        yield Wanted(role, open_job, "open", ("Cancel the job",))
        for job in jobs.get("assigned", [])[:1]:
            yield Wanted(role, f"/jobs/{job['id']}", "assigned", ("Cancel the job",))
        if delivered:
            for press in ("Approve", "Dispute"):
                yield Wanted(role, f"/offers/{delivered[0]['id']}", "delivered", (press,))
        yield Wanted(role, step["pending"], "pending", ("Withdraw",))
        yield Wanted(role, "/jobs?state=cancelled")
    else:
        for press in ("Accept", "Decline", "Other terms"):
            yield Wanted(role, step["pending"], "pending", (press,))
        if delivered:
            yield Wanted(role, f"/offers/{delivered[0]['id']}", "delivered", ("Deliver",))
        yield Wanted(role, "/wallet", "", ("Withdraw",))
        yield from (
            Wanted(role, f"/work?show={show}") for show in ("applications", "offers", "done")
        )
        yield Wanted(role, f"/jobs/{reader.one('/api/job')['id']}", "to-apply")
        yield Wanted(role, "/jobs?q=nothingofthekind", "nothing")
    for state, of in disputes.items():
        if state == "proposed":
            yield Wanted(role, f"/disputes/{of[0]['id']}", state, ("Agree",))
        if state in ("open", "proposed"):
            yield Wanted(role, f"/disputes/{of[0]['id']}", state, ("Check and propose",))
            yield Wanted(role, f"/disputes/{of[0]['id']}", state, ("Let JobSphere decide",))


def _waits_for_approval(milestone: Json) -> bool:
    return milestone["status"] == "delivered" and not milestone["dispute_id"]


def _new_offers(reader: Reader, jobs: list[Json]) -> Iterable[str]:
    """The address of the form for a new offer to one who has applied."""
    for job in jobs:
        for each in reader.items(f"/api/job-request?job_id={job['id']}"):
            if each["status"] == "accepted":
                return [f"/offers/new?job={job['id']}&contractor={each['contractor_id']}"]
    return []


def _of_admin(reader: Reader) -> Iterator[Wanted]:
    payments = reader.by_status("/api/admin/payments")
    disputes = reader.by_status("/api/admin/disputes")
    ids = {
        "users": payments["captured"][0]["contractor_id"],
        "payments": payments["captured"][0]["id"],
        "jobs": reader.one("/api/admin/jobs")["id"],
        "offers": reader.one("/api/admin/offers")["id"],
        "disputes": disputes["escalated"][0]["id"],
        "chargebacks": reader.one("/api/payment/chargebacks")["id"],
        "webhook-events": reader.one("/api/admin/webhook_events")["id"],
        "reconciliations": reader.one("/api/admin/reconciliations")["id"],
    }
    for route in routes("admin/main.js", open=False):
        if route != "/admin/:list":
            yield Wanted("admin", _filled(route, ids))
    for module in ("work_lists.js", "money_lists.js"):
        for name in LIST.findall((PAGES / "admin" / module).read_text()):
            yield Wanted("admin", f"/admin/{name}")
    for state, of in (*payments.items(), *disputes.items()):
        kind = "payments" if of[0]["id"].startswith("pay") else "disputes"
        yield Wanted("admin", f"/admin/{kind}/{of[0]['id']}", state)
    yield Wanted("admin", "/admin?span=month", "month")
    paid = f"/admin/payments/{ids['payments']}"
    yield Wanted("admin", paid, "captured", ("Refund",))
    for press in ("Ban", "Freeze", "Correct"):
        yield Wanted("admin", f"/admin/users/{ids['users']}", "", (press,))
    yield Wanted("admin", f"/admin/disputes/{ids['disputes']}", "escalated", ("Check and decide",))


def _filled(route: str, ids: dict[str, str]) -> str:
    section = next((part for part in route.split("/") if part not in ("", "admin")), "")
    return re.sub(r":\w+", ids.get(section, "none"), route)


# -- taking them ---------------------------------------------------------------------------------


class Taker:
    """Takes all pictures of a view in one tab, and notes what is wrong with it."""

    def __init__(self, page: Page, origin: str, folder: Path) -> None:
        self.page, self.origin, self.folder = page, origin, folder
        self.errors: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"crash: {error}"))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    async def take(self, view: Wanted, number: int) -> list[str]:
        """Write the sheet of a view, which is loaded at one of the widths. Its faults."""
        self.errors.clear()
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        await self._resize(WIDTHS[number % len(WIDTHS)], LEAST)
        try:
            await self.page.goto("about:blank")  # else another place on the page loads nothing
            await self.page.goto(self.origin + view.address)
            await self.page.wait_for_function(READY, timeout=READY_MS)
            await self.page.wait_for_timeout(DRAWN_MS)
            shifts = await self.page.evaluate("() => shifts")
            if view.press:
                await self.page.evaluate(FILL)
            for name in view.press:
                button = re.compile(rf"^{re.escape(name)}")
                await self.page.locator("main").get_by_role("button", name=button).first.click()
                await self.page.locator("dialog[open]").wait_for(timeout=READY_MS)
        except BrowserError as failed:
            return [f"{view.name}: {view.address}: {failed.message.splitlines()[0]}"]
        faults = [f"it shifts: {shifts}"] if _sum(shifts) > MOST_SHIFT else []
        rows = []
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            rows.append([await self._picture(width, faults) for width in WIDTHS])
        _write(joined(view.name, rows), self.folder / f"{view.name}.png")
        faults += [] if view.refused else self.errors
        return [f"{view.name}: {view.address}: {fault}" for fault in dict.fromkeys(faults)]

    async def _picture(self, width: int, faults: list[str]) -> Image.Image:
        await self._resize(width, LEAST)
        height = await self.page.evaluate(HEIGHT)
        await self._resize(width, min(max(height, LEAST), MOST))
        faults.extend(f"wide at {width}: {found}" for found in await self.page.evaluate(CUT))
        for _ in range(TRIES):
            await self.page.evaluate(DRAWN)
            await self.page.wait_for_timeout(DRAWN_MS)
            picture = Image.open(io.BytesIO(await self.page.screenshot())).convert("RGB")
            if not _repeats(picture):
                break
        return picture

    async def _resize(self, width: int, height: int) -> None:
        await self.page.set_viewport_size({"width": width, "height": height})


def _repeats(picture: Image.Image) -> bool:
    """Whether its top comes again below: a frame of the size before, on a busy machine."""
    pixels, strip = picture.tobytes(), picture.width * 3 * STRIP
    top = pixels[:strip]
    return top != top[:3] * (len(top) // 3) and pixels.find(top, strip) > 0


def _sum(shifts: list[Json]) -> float:
    return sum(each["value"] for each in shifts)


def _write(sheet: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


def joined(title: str, rows: list[list[Image.Image]]) -> Image.Image:
    """Pictures beside each other, the rows below each other, with a title."""
    width = max(sum(picture.width + GAP for picture in row) for row in rows) + GAP
    height = sum(max(picture.height for picture in row) + GAP for row in rows) + 2 * GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((GAP, GAP // 2), title, fill="white")
    top = 2 * GAP
    for row in rows:
        left = GAP
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + GAP
        top += max(picture.height for picture in row) + GAP
    return sheet


async def take_views(browser: Browser, origin: str, folder: Path, only: str) -> None:
    """Write the sheets of the views whose names have `only` in them, and print faults."""
    readers = {name: Reader(origin, name) for name in ("customer", "contractor", "admin")}
    for name, role in NEWCOMERS.items():
        readers[name] = Reader.registered(origin, name, role)
    views = {view.name: view for view in wanted(readers) if only in view.name}
    contexts = {
        name: await _signed_in(browser, origin, readers.get(name))
        for name in {view.account for view in views.values()}
    }
    waiting = list(enumerate(views.values()))
    done: list[str] = []

    async def work() -> None:
        while waiting:
            number, view = waiting.pop(0)
            page = await contexts[view.account].new_page()
            for fault in await Taker(page, origin, folder).take(view, number):
                print(fault, flush=True)
            await page.close()
            done.append(view.name)

    await asyncio.gather(*(work() for _ in range(TABS)))
    for context in contexts.values():
        await context.close()
    print(f"{len(done)} sheets in {folder}")


async def _signed_in(browser: Browser, origin: str, reader: Reader | None) -> BrowserContext:
    kept = [{"name": KEY, "value": json.dumps(reader.session)}] if reader else []
    state: Any = {"cookies": [], "origins": [{"origin": origin, "localStorage": kept}]}
    context = await browser.new_context(storage_state=state, reduced_motion="reduce")
    await context.add_init_script(WATCH)
    return context
