"""Writes the pictures of README: pages of a seeded server in Chromium. `make screenshots`.

With `--views FOLDER` it writes contact sheets of every view instead (`view_sheets.py`).
"""

import argparse
import asyncio
import io
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from server.demo_accounts import DEMO_PASSWORD
from server.dev.stores import ROOT
from tests.support.dev_process import DevServer, clean_environment
from tests.support.processes import free_port
from tests.view_sheets import take_views

PICTURES = ROOT / "static" / "pictures"
DESKTOP, PHONE = (1280, 800), (390, 800)
MOST_BYTES = 150 * 1024
COLOURS = (256, 160, 96, 64)  # until a picture is small enough
SETTLED_MS = 1500  # for pictures and charts after the last request
JOBS, DAYS = 140, 30
KEY = "jobsphere.session"  # as in static/client/session.js

Json = dict[str, Any]


class Shot(NamedTuple):
    """One picture: of which page, for whom, how large, and light or dark."""

    name: str
    account: str
    path: str
    size: tuple[int, int] = DESKTOP
    scheme: str = "light"
    top: str = ""  # the element to begin with


class Client:
    """Signs in and reads, to find what is worth a picture."""

    def __init__(self, server: DevServer, account: str) -> None:
        self.server = server
        login = {"email": f"{account}@demo.test", "password": DEMO_PASSWORD}
        self.session = server.http("POST", "/api/account/login", login)[1]

    def items(self, path: str) -> list[Json]:
        status, page = self.server.http("GET", path, token=self.session["access_token"])
        assert status == 200, page
        found: list[Json] = page["items"]
        return found


def shots(clients: dict[str, Client]) -> list[Shot]:
    """What README shows."""
    customer, contractor, admin = (clients[name] for name in ("customer", "contractor", "admin"))
    work = next(
        offer
        for offer in customer.items("/api/bidding?status=accepted&limit=100")
        if {"delivered", "completed"} <= {part["status"] for part in offer["milestones"]}
    )
    talk = next(
        talk for talk in customer.items("/api/chat?limit=100") if talk["job_id"] == work["job_id"]
    )
    waiting = contractor.items("/api/bidding?status=pending&limit=1")[0]
    payment = admin.items("/api/admin/payments?status=partially_refunded&limit=1")[0]
    chat, offer = f"/chat/{talk['id']}", f"/offers/{work['id']}"
    return [
        *(Shot(f"home-{scheme}", "customer", "/", scheme=scheme) for scheme in ("light", "dark")),
        *(Shot(f"chat-{scheme}", "customer", chat, scheme=scheme) for scheme in ("light", "dark")),
        Shot("offer", "customer", offer),
        Shot("wallet", "contractor", "/wallet"),
        *(
            Shot(f"monitor-{scheme}", "admin", "/admin?span=month", DESKTOP, scheme, "#figures")
            for scheme in ("light", "dark")
        ),
        Shot("payment", "admin", f"/admin/payments/{payment['id']}"),
        Shot("home-phone", "customer", "/", PHONE),
        Shot("chat-phone", "customer", chat, PHONE),
        Shot("offer-phone", "contractor", f"/offers/{waiting['id']}", PHONE),
        Shot("landing-phone", "", "/", PHONE),
    ]


async def take(browser: Browser, server: DevServer, clients: dict[str, Client], shot: Shot) -> None:
    """Take one picture and write it."""
    width, height = shot.size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=shot.size == PHONE,
        is_mobile=shot.size == PHONE,
        device_scale_factor=2 if shot.size == PHONE else 1,
    )
    page = await context.new_page()
    if shot.account:
        stored = json.dumps([KEY, json.dumps(clients[shot.account].session)])
        await page.add_init_script(f"localStorage.setItem(...{stored})")
    await page.goto(server.url + shot.path)
    await _settle(page)
    if shot.top:
        await page.locator(shot.top).evaluate("element => element.scrollIntoView(true)")
        await page.wait_for_timeout(SETTLED_MS)
    kept = smallest(Image.open(io.BytesIO(await page.screenshot())))
    await context.close()
    (PICTURES / f"{shot.name}.png").write_bytes(kept)
    print(f"{shot.name}.png {len(kept) // 1024} KiB", flush=True)


async def _settle(page: Page) -> None:
    await page.locator("h1").first.wait_for()
    await expect(page.locator(".skeleton")).to_have_count(0, timeout=15_000)
    await page.wait_for_timeout(SETTLED_MS)


def smallest(picture: Image.Image) -> bytes:
    """A PNG with a palette, small enough for README."""
    for colours in COLOURS:
        kept = io.BytesIO()
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(
            kept, "PNG", optimize=True
        )
        if kept.tell() <= MOST_BYTES:
            break
    return kept.getvalue()


@asynccontextmanager
async def seeded(given: str) -> AsyncIterator[DevServer]:
    """A dev server on a history; on the data folder `given`, which has one, or on a new one."""
    with tempfile.TemporaryDirectory(prefix="jobsphere-") as folder:
        data, port = Path(given or folder), free_port()
        env = {"DATA_DIR": str(data), "PORT": str(port)}
        if not given:
            words = ("seed", "--jobs", str(JOBS), "--days", str(DAYS))
            python = ROOT / ".venv" / "bin" / "python"
            seeding = await asyncio.create_subprocess_exec(
                python, "-m", "server", *words, cwd=ROOT, env=clean_environment(env)
            )
            assert await seeding.wait() == 0, "the history could not be made"
        server = DevServer(data, port, Path(folder) / "dev.log")
        try:
            server.wait_until_it_serves()
            yield server
        finally:
            server.stop()


async def pictures(browser: Browser, server: DevServer, only: str) -> None:
    """Write the pictures of README."""
    clients = {name: Client(server, name) for name in ("customer", "contractor", "admin")}
    for shot in shots(clients):
        if shot.name.startswith(only):
            await take(browser, server, clients, shot)


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="", help="a data folder that seed has filled")
    arguments.add_argument("--only", default="", help="what names begin with; of views, a part")
    arguments.add_argument("--views", default="", help="a folder for contact sheets of all views")
    arguments.add_argument("--origin", default="", help="a dev server that runs, for the sheets")
    asked = arguments.parse_args()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser_path, "install Chromium"
    async with AsyncExitStack() as stack:
        server = None if asked.origin else await stack.enter_async_context(seeded(asked.data))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        )
        if asked.views:
            origin = server.url if server else asked.origin
            await take_views(browser, origin, Path(asked.views), asked.only)
        else:
            assert server, "the pictures of README are of a server of their own"
            await pictures(browser, server, asked.only)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
