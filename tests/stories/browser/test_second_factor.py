"""Second factors in a real browser: codes, passkeys of a virtual authenticator, step-up."""

import time

import msgspec
import pyotp
import pytest
from playwright.async_api import expect

from server.config import load
from tests.stories.browser.tabs import Tab, in_the_browser
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

PLATFORM_AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def installation(installation):
    """As in production: a second factor is demanded."""
    env = {**installation.env, "REQUIRE_SECOND_FACTOR": "on"}
    return msgspec.structs.replace(installation, env=env, settings=load(env))


async def with_authenticator(tab: Tab) -> None:
    """Give a tab's device a security chip that holds passkeys."""
    devtools = await tab.page.context.new_cdp_session(tab.page)
    await devtools.send("WebAuthn.enable")
    await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": PLATFORM_AUTHENTICATOR})


async def open_account(tab: Tab) -> None:
    await tab.page.get_by_label("Notices").first.click()
    await tab.page.get_by_role("link", name="Signing in and security").click()
    await tab.sees("Passkeys", role="heading")


def unexpected(tabs):
    """Refusals are expected; the browser reports each of their responses."""
    expected = ("401", "403", "error: Failed to load resource")
    return [error for error in tabs.errors if not error.startswith(expected)]


async def test_a_passkey_signs_in_without_a_password(tabs, market):
    """Guard: passkeys.js, `sign_in_passkey` in sign_in.js and `passkey_add` in account.js."""
    tab = await tabs.open()
    await with_authenticator(tab)
    await tab.sign_in(await market.customer("Carla Customer", connect=False))
    await open_account(tab)
    await tab.fill(Name_of_the_passkey="My laptop")
    await tab.press("Add a passkey")
    await tab.sees("My laptop")
    await expect(tab.page.locator("ol.codes li")).to_have_count(10)
    await tab.press("I have kept them")
    await tab.screenshot("account")
    await tab.press("Sign out")
    await tab.press("Sign in with a passkey")
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    await tab.press("Sign out")
    await tab.screenshot("sign-in")
    customer = market.parties[0]
    await tab.fill(E_mail=customer.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.press("Use a passkey")
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    assert unexpected(tabs) == []


async def test_an_administrator_sets_codes_up_and_signs_in_with_them(tabs, market):
    """Guard: `setUp` in admin.js, `added` in account.js and `sign_in_code` in sign_in.js."""
    tab = await tabs.open()
    admin = await market.admin(connect=False)
    await tab.page.goto(tab.origin + "/admin")
    await tab.fill(E_mail=admin.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.sees("Set up a second factor", role="heading")
    await tab.press("Set up codes")
    secret = await tab.page.locator("code[data-secret]").inner_text()
    await tab.screenshot("set-up")
    earlier = int(time.time()) - 30  # the code of the next sign-in is then a later one
    await tab.fill(Code_that_the_app_shows=pyotp.TOTP(secret).at(earlier))
    await tab.press("Switch codes on")
    await expect(tab.page.locator("ol.codes li")).to_have_count(10)
    await tab.press("I have kept them")
    await tab.press("Continue")
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    await tab.sees("Activity", role="heading")
    await tab.press("Sign out")
    await tab.fill(E_mail=admin.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.fill(Code_of_your_app="000000")
    await tab.press("Confirm")
    await tab.sees_notice("The code is wrong.")
    await tab.fill(Code_of_your_app=pyotp.TOTP(secret).now())
    await tab.press("Confirm")
    await expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    assert unexpected(tabs) == []


async def test_the_page_asks_who_one_is_and_goes_on(tabs, market, server):
    """Guard: step_up.js, and `step_up_required` in frame.js: the action follows the answer."""
    tab = await tabs.open()
    customer = await market.customer(connect=False)
    await tab.sign_in(customer)
    await open_account(tab)
    for session in await server.web.sessions.list(customer.id):  # as if signed in long ago
        key = server.web.sessions._key(session.id)
        await server.web.redis.hset(key, "created", "2026-01-01T00:00:00+00:00")
    await tab.press("Set up codes")
    asking = tab.page.get_by_role("dialog", name="Confirm that it is you")
    await expect(asking).to_be_visible()
    await tab.screenshot("step-up")
    await tab.fill(asking, Password=PASSWORD)
    await asking.get_by_role("button", name="Confirm", exact=True).click()
    await expect(tab.page.locator("code[data-secret]")).to_be_visible()
    await expect(asking).to_have_count(0)
    assert unexpected(tabs) == []
