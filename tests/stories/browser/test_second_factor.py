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


async def open_security(tab: Tab) -> None:
    await tab.page.get_by_role("link", name="Settings").click()
    await tab.heads("Settings")
    await tab.follow("Signing in")
    await tab.sees("Passkeys", role="heading")


async def sign_out(tab: Tab) -> None:
    await tab.page.get_by_role("link", name="Settings").click()
    await tab.press("Sign out")
    await tab.heads("Sign in")


def unexpected(tabs):
    """Refusals are expected; the browser reports each of their responses."""
    expected = ("401", "403", "error: Failed to load resource")
    return [error for error in tabs.errors if not error.startswith(expected)]


async def test_a_passkey_signs_in_without_a_password(tabs, market):
    """Guard: passkeys.js, `withPasskey` in entry.js and `Passkeys` in settings.js."""
    tab = await tabs.open()
    await with_authenticator(tab)
    await tab.sign_in(await market.customer("Carla Customer", connect=False))
    await open_security(tab)
    await tab.fill(Name_of_the_passkey="My laptop")
    await tab.press("Add a passkey")
    await tab.sees("My laptop")
    await expect(tab.page.locator("ol.codes li")).to_have_count(10)
    await tab.press("I have kept them")
    await tab.screenshot("security")
    await sign_out(tab)
    await tab.press("Sign in with a passkey")
    await tab.live()
    await sign_out(tab)
    await tab.screenshot("sign-in")
    customer = market.parties[0]
    await tab.fill(E_mail=customer.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.press("Use a passkey")
    await tab.live()
    assert unexpected(tabs) == []


async def test_an_administrator_sets_codes_up_and_signs_in_with_them(tabs, market):
    """Guard: `settingUp` in admin/main.js, `added` in settings.js and `SecondStep` in entry.js."""
    tab = await tabs.open()
    admin = await market.admin(connect=False)
    await tab.page.goto(tab.origin + "/admin")
    await tab.fill(E_mail=admin.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.sees("Set one of them up here to go on.")
    await tab.go("Users")
    await tab.heads("Settings")  # there is no way around it
    await tab.press("Set up codes")
    await expect(tab.page.locator("code[data-secret]")).to_be_visible()
    secret = await tab.page.locator("code[data-secret]").inner_text()
    await tab.screenshot("set-up")
    earlier = int(time.time()) - 30  # the code of the next sign-in is then a later one
    await tab.fill(Code=pyotp.TOTP(secret).at(earlier))
    await tab.press("Switch codes on")
    await expect(tab.page.locator("ol.codes li")).to_have_count(10)
    await tab.press("I have kept them")
    await tab.go("Monitor")
    await tab.live()
    await tab.heads("Monitor")
    await sign_out(tab)
    await tab.fill(E_mail=admin.email, Password=PASSWORD)
    await tab.press("Sign in")
    await tab.fill(Code_of_your_app="000000")
    await tab.press("Confirm")
    await tab.sees_notice("The code is wrong.")
    await tab.fill(Code_of_your_app=pyotp.TOTP(secret).now())
    await tab.press("Confirm")
    await tab.live()
    await tab.heads("Settings")  # where one was
    assert unexpected(tabs) == []


async def test_the_page_asks_who_one_is_and_goes_on(tabs, market, server):
    """Guard: `withStepUp` in steps.js: the action follows the answer."""
    tab = await tabs.open()
    customer = await market.customer(connect=False)
    await tab.sign_in(customer)
    await open_security(tab)
    for session in await server.web.sessions.list(customer.id):  # as if signed in long ago
        key = server.web.sessions._key(session.id)
        await server.web.redis.hset(key, "created", "2026-01-01T00:00:00+00:00")
    await tab.press("Set up codes")
    await expect(tab.dialog("Confirm that it is you")).to_be_visible()
    await tab.screenshot("step-up")
    await tab.answer("Confirm that it is you", "Confirm", Password=PASSWORD)
    await expect(tab.page.locator("code[data-secret]")).to_be_visible()
    assert unexpected(tabs) == []
