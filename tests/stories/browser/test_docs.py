"""The documents for programs in a real browser: reading, finding, and sending commands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.stories.browser.tabs import DESKTOP, PHONE, Tab, Tabs, in_the_browser
from tests.support.market import Market
from tests.support.parties import PASSWORD
from tests.support.property_sizes import SEED

pytestmark = in_the_browser

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"
# Without `preload`, with which axe would write <style> elements, which the CSP forbids.
RULES = """(exclude) => axe.run({ exclude }, {resultTypes: ["violations"], preload: false})
    .then(({violations}) => violations)"""
CONTENTS = "#contents"  # the same beside every place, and most of each
# Each kind of page. All of them at both sizes are for `make test-deep`.
PLACES = ["start", "job.create", "push.job.updated", "schema.Job", "console"]
LONG_PLACES = ["errors", "limits", "schemas", "job", "bidding.create"]
EVERY = 1 if SEED else 4
# What is shown at every place, or at one of `every`, and where its links lead.
VISIT = """async (every) => {
    const [openapi, asyncapi] = await Promise.all(["openapi", "asyncapi"]
        .map(async (name) => (await fetch(`/api/${name}.json`)).json()));
    const { reference } = await import("/static/js/docs/reference.js");
    const { namespaces, operations, pushes, schemas, errors } = reference(openapi, asyncapi);
    const guide = ["start", "errors", "limits", "schemas", "console"];
    const named = (prefix, names) => [...names].map((name) => `${prefix}.${name}`);
    const known = new Set([...guide, ...namespaces.keys(), ...operations.keys(), ...pushes.keys(),
        ...named("errors", errors.keys()), ...named("schema", schemas.keys())]);
    const places = [...known].filter((_, number) => number < guide.length || number % every === 0);
    const drawn = () => new Promise((done) => {
        addEventListener("hashchange", () => setTimeout(done), { once: true });
    });
    const found = { places: places.length, dead: [], wide: [], empty: [] };
    for (const place of places) {
        if (location.hash !== `#${place}`) {
            const waiting = drawn();
            location.hash = place;
            await waiting;
        }
        const main = document.querySelector("main");
        const heading = main.querySelector("h1")?.textContent ?? "";
        if (!heading || heading === "Nothing is here") found.empty.push(place);
        if (document.documentElement.scrollWidth > innerWidth) found.wide.push(place);
        for (const { hash } of main.querySelectorAll('a[href^="#"]')) {
            const to = hash.slice(1).replace(/^console\\./, "");
            if (!known.has(to)) found.dead.push(`${place}: ${to}`);
        }
    }
    return found;
}"""


async def opened(tabs: Tabs, place: str = "", **options: Any) -> Tab:
    tab = await tabs.open(**options)
    await tab.page.goto(f"{tab.origin}/docs#{place}")
    await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    return tab


async def reads(tab: Tab, heading: str) -> None:
    await expect(tab.page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()


async def test_an_operation_is_found_and_read_without_signing_in(tabs: Tabs) -> None:
    """Guard: `search` in docs/search.js, `operationPage` in docs/operation_view.js."""
    tab = await opened(tabs)
    await reads(tab, "Build on JobSphere")
    await tab.page.keyboard.press("Tab")
    await expect(tab.page.get_by_role("link", name="To the content")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("main")).to_be_focused()
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("post job")
    await tab.page.get_by_label("Contents").get_by_role("link", name="job.create").click()
    await reads(tab, "job.create")
    for text in (
        "POST /api/job",
        "budget_min_amount",
        "1 to 120 characters",
        "email_unverified",
    ):
        await tab.sees(text)
    await tab.press("Python")
    await tab.sees("job = await client.job.create(")
    await tab.press("JavaScript")
    await tab.sees("const job = await client.job.create({")
    await tab.page.get_by_role("link", name="Job", exact=True).click()
    await reads(tab, "Job")
    await tab.sees("contractor_id")
    await tab.page.go_back()
    await reads(tab, "job.create")
    await tab.sees("const job = await client.job.create({")
    await tab.page.get_by_role("link", name="currency_not_supported").click()
    await expect(tab.page.locator("[id='errors.currency_not_supported']")).to_be_focused()
    await tab.page.goto(f"{tab.origin}/docs#push.job.updated")
    await reads(tab, "job.updated")
    for nothing in ("job.nothing", "100%"):
        await tab.page.goto(f"{tab.origin}/docs#{nothing}")
        await reads(tab, "Nothing is here")
    assert tabs.errors == []


async def test_every_place_is_shown_and_no_link_is_dead(tabs: Tabs) -> None:
    """Guard: `reference` in docs/reference.js, `placeOf` in docs/text.js, and docs.css."""
    tab = await opened(tabs, viewport=PHONE)
    found = await tab.page.evaluate(VISIT, EVERY)
    assert found.pop("places") > 400 / EVERY
    assert found == {"dead": [], "wide": [], "empty": []}
    assert tabs.errors == []


async def violations(tab: Tab, *exclude: str) -> list[str]:
    await tab.page.evaluate(AXE.read_text())  # not as a script of the page, which its CSP forbids
    found = await tab.page.evaluate(RULES, exclude)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"] if SEED else ["light"])
async def test_the_documents_are_accessible(tabs: Tabs, scheme: str) -> None:
    """Guard: docs.css, and the roles and labels of static/js/docs. Source: axe-core."""
    tab = await opened(tabs, color_scheme=scheme)
    known: tuple[str, ...] = ()
    for place in PLACES + (LONG_PLACES if SEED else []):
        await tab.page.goto(f"{tab.origin}/docs#{place}")
        await expect(tab.page.locator("main")).to_have_attribute("data-key", place)
        for size in (PHONE, DESKTOP) if SEED else (DESKTOP,):
            await tab.page.set_viewport_size(size)  # type: ignore[arg-type]
            assert (place, size, await violations(tab, *known)) == (place, size, [])
        known = () if SEED else (CONTENTS,)
        await tab.screenshot(f"docs-{place}-{scheme}")
    await tab.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await tab.press("Contents")
    await tab.fill(Search="offer")
    assert await violations(tab) == []
    assert tabs.errors == []


async def test_a_command_is_sent_and_its_pushes_are_seen(tabs: Tabs, market: Market) -> None:
    """Guard: `send` in docs/console.js, and its listener of pushes."""
    customer = await market.customer("Carla Customer", connect=False)
    tab = await opened(tabs, "job.create")
    await tab.page.get_by_role("link", name="Try it in the console").click()
    await reads(tab, "Console")
    await tab.page.get_by_role("link", name="Sign in").click()
    await tab.fill(E_mail=customer.email, Password=PASSWORD)
    await tab.press("Sign in")
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    fields = tab.page.get_by_label("Fields (JSON)")
    described = json.loads(await fields.input_value())
    assert described["title"] == "Paint the fence"
    await fields.fill(json.dumps(described | {"title": "Mow the lawn"}))
    await tab.press("Send")
    ack = tab.page.get_by_role("region", name="Acknowledgement of job.create")
    await expect(ack).to_contain_text('"ok": true')
    await expect(ack).to_contain_text("Mow the lawn")
    pushed = tab.page.locator("summary").filter(has_text="job.updated")
    await pushed.click()
    push = tab.page.get_by_role("region", name="Push job.updated")
    await expect(push).to_contain_text("Mow the lawn")
    await fields.fill("{")
    await fields.press("Control+Enter")
    await expect(tab.page.get_by_role("alert")).to_contain_text("The fields are not JSON")
    await tab.page.get_by_role("combobox", name="Command").select_option("bidding.get")
    await expect(fields).to_have_value(re.compile(r'^\{\s+"offer_id": "\w+"\s+\}$'))
    await fields.press("Control+Enter")
    refused = tab.page.get_by_role("region", name="Acknowledgement of bidding.get")
    await expect(refused).to_contain_text("not_found")
    await tab.screenshot("docs-console")
    assert await violations(tab) == []
    await tab.press("Sign out")
    await expect(tab.page.get_by_role("link", name="Sign in")).to_be_visible()
    assert tabs.errors == []
