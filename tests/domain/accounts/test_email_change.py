"""Changing the e-mail address: the new one proves itself, the old one is told and can undo it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.accounts.mailed_tokens import MailedToken
from domain.accounts.passkey import Passkey
from domain.accounts.second_factor import SecondFactor
from domain.accounts.user import User
from tests.support.market import Market
from tests.support.parties import PASSWORD, AnonymousClient, Party, Refused
from tests.support.smtp_server import SmtpServer

ASKED = "The e-mail address of your account is about to change"
DONE = "The e-mail address of your account was changed"
CONFIRM = "Confirm your new e-mail address"
NEW = "new.address@people.test"


async def change(party: Party, email: str = NEW) -> None:
    fields = {"password": PASSWORD, "email": email}
    assert await party.call("/account", "email_change", fields) == {}


async def confirm(who: AnonymousClient, token: str) -> tuple[int, Any]:
    status, answer = await who.http("POST", "/api/account/email_confirm", {"token": token})
    return status, answer.get("details", answer)


async def login(who: AnonymousClient, email: str) -> int:
    body = {"email": email, "password": PASSWORD}
    return (await who.http("POST", "/api/account/login", body))[0]


async def email_of(market: Market, party: Party) -> str:
    return (await market.store.single().get(User, party.id)).email


async def test_the_new_address_counts_once_it_has_proved_itself(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `email_change._take_effect`; the old address is told at the request and the change."""
    party = await market.customer(verified_at=market.store.clock.now())
    stranger = market.anonymous_client()
    await change(party)
    mail = await smtp.mail(NEW, CONFIRM)
    assert party.name not in mail.text
    assert (await smtp.mail(party.email, ASKED)).token
    assert await email_of(market, party) == party.email
    assert await confirm(stranger, mail.token) == (200, {})
    user = await party.push("/account", "account.updated", lambda user: user["email"] == NEW)
    assert user["verified_at"]
    assert (await smtp.mail(party.email, DONE)).token
    assert await confirm(stranger, mail.token) == (422, {"field": "token"})
    assert (await login(stranger, NEW), await login(stranger, party.email)) == (200, 401)
    assert party.connected()


@pytest.mark.parametrize("confirmed", [True, False])
async def test_the_old_address_undoes_it_and_shuts_out_who_did_it(
    smtp: SmtpServer, market: Market, confirmed: bool
) -> None:
    """Guard: `email_change._undo`: sessions, password and open links end, a reset is mailed."""
    party = await market.customer(verified_at=market.store.clock.now())
    stranger = market.anonymous_client()
    await change(party)
    mail = await smtp.mail(NEW, CONFIRM)
    undo = await smtp.mail(party.email, ASKED)
    if confirmed:
        assert await confirm(stranger, mail.token) == (200, {})
    assert await confirm(stranger, undo.token) == (200, {})
    await party.wait_until_disconnected()
    assert await email_of(market, party) == party.email
    assert (await login(stranger, NEW), await login(stranger, party.email)) == (401, 401)
    assert await confirm(stranger, mail.token) == (422, {"field": "token"})
    link = await smtp.mail(party.email, "Set a new password")
    body = {"token": link.token, "password": PASSWORD}
    assert (await stranger.http("POST", "/api/account/reset", body))[0] == 200
    assert await login(stranger, party.email) == 200


async def test_the_undo_removes_factors_that_a_thief_may_have_added(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `second_factor.remove_factors_since`: those of the last week, and all recovery codes;
    an older passkey stays."""
    party = await market.customer(verified_at=market.store.clock.now())
    await change(party)
    uow = market.store.single()
    fields = {"user_id": party.id, "public_key": "x", "sign_count": 0}
    old = uow.new(Passkey, **fields, credential_id="old", name="Mine")
    old = msgspec.structs.replace(old, created_at=uow.now - timedelta(days=30))
    await uow.add(old)
    await uow.add(uow.new(Passkey, **fields, credential_id="new", name="The thief's"))
    app = {"secret": "S", "enabled_at": uow.now, "recovery_codes": ("digest",)}
    await uow.add(uow.new(SecondFactor, id=party.id, **app))
    await uow.change(User, party.id, passkey_count=2, totp_enabled=True)

    undo = await smtp.mail(party.email, ASKED)
    assert await confirm(market.anonymous_client(), undo.token) == (200, {})
    assert [passkey.id for passkey in await market.rows(Passkey)] == [old.id]
    (left,) = await market.rows(SecondFactor)
    assert (left.secret, left.enabled_at, left.recovery_codes) == ("", None, ())
    user = await uow.get(User, party.id)
    assert (user.passkey_count, user.totp_enabled) == (1, False)


async def test_an_old_address_that_was_never_verified_gets_no_link(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `verified_at` in `email_change.email_change`: it may be a stranger's."""
    party = await market.customer()
    await change(party)
    mail = await smtp.mail(NEW, CONFIRM)
    assert await confirm(market.anonymous_client(), mail.token) == (200, {})
    await market.settled()
    assert smtp.mails_to(party) == []


async def test_a_known_address_is_not_revealed_and_its_owner_is_told(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `SendEmailChange.run`, and the unique index at the confirmation."""
    party, owner = await market.customer(), await market.contractor()
    await change(party, owner.email)
    told = await smtp.mail(owner.email, "Your address was entered for another account")
    assert "/#/" not in told.text
    await market.settled()
    assert all(row.used_at or row.email == party.email for row in await market.rows(MailedToken))

    await change(party)
    mail = await smtp.mail(NEW, CONFIRM)
    await market.store.single().change(User, owner.id, email=NEW)
    assert await confirm(market.anonymous_client(), mail.token) == (422, {"field": "token"})
    assert await email_of(market, party) == party.email


REFUSED = [
    ({"password": "not the password", "email": NEW}, "wrong_credentials"),
    ({"password": PASSWORD, "email": "no address"}, "invalid"),
    ({"email": NEW}, "invalid"),
]


async def test_a_refused_change_leaves_no_trace(smtp: SmtpServer, market: Market) -> None:
    """Guard: `verify_password` in `email_change.email_change`."""
    party = await market.customer()
    before = await market.traces()
    for fields, code in REFUSED:
        with pytest.raises(Refused) as refused:
            await party.call("/account", "email_change", fields)
        assert refused.value.code == code, fields
    assert await market.traces() == before
    assert smtp.mails == []


@pytest.mark.parametrize("way", ["password", "reset"])
async def test_a_new_password_ends_the_link_of_a_thief(
    smtp: SmtpServer, market: Market, way: str
) -> None:
    """Guard: `mailed_tokens.void_with_password`. A thief with the old password has asked for
    another address: its link would give them the account back."""
    party = await market.customer(verified_at=market.store.clock.now())
    stranger, better = market.anonymous_client(), "a fence of larch wood"
    await change(party)
    mail, undo = await smtp.mail(NEW, CONFIRM), await smtp.mail(party.email, ASKED)
    if way == "password":
        fields = {"current_password": PASSWORD, "password": better}
        await party.call("/account", "password", fields)
    else:
        await stranger.http("POST", "/api/account/reset_request", {"email": party.email})
        link = await smtp.mail(party.email, "Set a new password")
        body = {"token": link.token, "password": better}
        assert (await stranger.http("POST", "/api/account/reset", body))[0] == 200
    assert await confirm(stranger, mail.token) == (422, {"field": "token"})
    assert await email_of(market, party) == party.email
    assert await confirm(stranger, undo.token) == (200, {}), "the owner's link stays"
