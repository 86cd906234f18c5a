"""Accounts and mails in the browser: a lost password, and an address that is confirmed first."""

from playwright.async_api import expect

from domain.accounts.user import User
from tests.stories.browser.tabs import in_the_browser
from tests.support.parties import PASSWORD

pytestmark = in_the_browser

NEW = "a fence of larch wood"
LONGEST_NAME = "Nora " + "🎨" * 75  # 80 characters, of two units each in JavaScript


async def test_a_lost_password_is_reset_by_mail(smtp, tabs, market):
    """Guard: `MAILED` and `Reset` of the pages, and `password_reset.reset`; other tabs are signed
    out."""
    party = await market.customer(connect=False)
    laptop, phone = await tabs.open(), await tabs.open()
    await laptop.sign_in(party)

    await phone.page.goto(f"{phone.origin}/sign-in")
    await phone.page.get_by_role("link", name="Forgot your password?").click()
    await phone.fill(E_mail=party.email)
    await phone.screenshot("forgot")
    await phone.press("Mail me a link")
    await phone.sees_notice("a mail is on its way")
    mail = await smtp.mail(party.email, "Set a new password")
    await phone.page.goto(f"{phone.origin}/#/reset/{mail.token}")
    await phone.fill(New_password=NEW)
    await phone.screenshot("reset")
    await phone.press("Set password")
    await phone.sees_notice("Your new password is set")
    assert mail.token not in phone.page.url
    await laptop.heads("Sign in")

    await phone.fill(E_mail=party.email, Password=NEW)
    await phone.press("Sign in")
    await phone.heads("Hello, Carla")
    assert phone.errors == []


async def test_an_account_begins_with_its_mail(smtp, verification_required, tabs, market):
    """Guard: the pages `Code` and `Verify`; the first by the code, the second by the link. And
    `checkLength` in form.js: the name may have 80 characters, as people see them."""
    first, second = await tabs.open(), await tabs.open()
    for tab, email in ((first, "nora@example.com"), (second, "nils@example.com")):
        await tab.page.goto(f"{tab.origin}/register?role=customer")
        await tab.fill(Name=f"{LONGEST_NAME}🎨", E_mail=email, Password=PASSWORD)
        await tab.press("Create account")
        await expect(tab.page.get_by_text("At most 80 characters; these are 81.")).to_be_visible()
        await tab.fill(Name=LONGEST_NAME)
        await tab.press("Create account")
        await tab.heads("Check your mail")
    subject = "Confirm your e-mail address"
    await first.fill(Code=(await smtp.mail("nora@example.com", subject)).code)
    await first.press("Confirm")
    await first.heads("Hello, Nora")

    token = (await smtp.mail("nils@example.com", subject)).token
    await second.page.goto(f"{second.origin}/#/verify/{token}")
    await second.fill(E_mail="nils@example.com", Password=PASSWORD)
    await second.screenshot("verify")
    await second.press("Sign in")
    await second.heads("Hello, Nora")
    assert token not in second.page.url
    assert tabs.errors == []


async def test_the_settings_change_password_and_address(smtp, tabs, market):
    """Guard: `Password` and `Email` of settings.js: another device, the mailed link, the
    code."""
    party = await market.customer(connect=False)
    tab, phone = await tabs.open(), await tabs.open()
    await tab.sign_in(party, "/settings/security")
    await phone.sign_in(party)
    await tab.press("Mail me a code")
    code = (await smtp.mail(party.email, "Confirm your e-mail address")).code
    await tab.fill(Code_of_the_mail=code)
    await tab.press("Confirm")
    await tab.sees_notice("Your e-mail address is confirmed")

    section = await tab.unfold("Change your password")
    await tab.fill(section, Current_password=PASSWORD, New_password=NEW)
    await tab.screenshot("security")
    await tab.press("Change password")
    await tab.sees_notice("Your password was changed")
    await phone.heads("Sign in")

    section = await tab.unfold("Change your e-mail address")
    await tab.fill(section, New_e_mail="new@example.com", Current_password=NEW)
    await tab.press("Change e-mail")
    await tab.sees_notice("We have sent links to new@example.com and to your old address")
    new = await smtp.mail("new@example.com", "Confirm your new e-mail address")
    await phone.page.goto(f"{phone.origin}/#/confirm-email/{new.token_for('confirm-email')}")
    await phone.press("Confirm")
    await phone.sees_notice("that we mailed to your old address was opened, too")
    old = await smtp.mail(party.email, "The e-mail address of your account is about to change")
    await phone.page.goto(f"{phone.origin}/#/agree-email/{old.token_for('agree-email')}")
    await phone.screenshot("agree")
    await phone.press("Agree")
    await phone.sees_notice("Your new e-mail address is confirmed")
    assert (await market.rows(User))[0].email == "new@example.com"
    assert tab.errors == []
