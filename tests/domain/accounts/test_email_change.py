"""Changing the e-mail address: both addresses confirm, and the old one can refuse and undo it."""

import asyncio
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from domain.accounts.email_change import MAILS_A_DAY, NOTICES_A_DAY, SUSPECT, SendEmailChange
from domain.accounts.mailed_tokens import MailedToken, Purpose, add_token, new_token_id
from domain.accounts.passkey import Passkey
from domain.accounts.search_keys import search_keys
from domain.accounts.second_factor import SecondFactor
from domain.accounts.user import User
from domain.operations.task import TryAgain
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import PASSWORD, AnonymousClient, Party, Refused
from tests.support.smtp_server import SmtpServer

pytestmark = one_server

ASKED = "The e-mail address of your account is about to change"
DONE = "The e-mail address of your account was changed"
CONFIRM = "Confirm your new e-mail address"
NEW = "new.address@people.test"
BETTER = "a fence of larch wood"
INVALID_LINK = (422, {"field": "token", "rule": "value"})


class Links(NamedTuple):
    """The tokens of the mails about one change."""

    new: str
    old: str
    undo: str


async def change(party: Party, email: str = NEW) -> Any:
    return await party.call("/account", "email_change", {"password": PASSWORD, "email": email})


async def asked(smtp: SmtpServer, party: Party, email: str = NEW) -> Links:
    """The links of a change that needs both addresses."""
    assert await change(party, email) == {"agreement_required": True}
    to_old = await smtp.mail(party.email, ASKED)
    new = (await smtp.mail(email, CONFIRM)).token_for("confirm-email")
    return Links(new, to_old.token_for("agree-email"), to_old.token_for("undo-email"))


async def confirm(who: AnonymousClient, token: str) -> tuple[int, Any]:
    status, answer = await who.http("POST", "/api/account/email_confirm", {"token": token})
    return status, answer.get("details", answer)


def waits(confirmed: str) -> tuple[int, Any]:
    return 200, {"pending": True, "confirmed": confirmed}


async def login(who: AnonymousClient, email: str) -> int:
    body = {"email": email, "password": PASSWORD}
    return (await who.http("POST", "/api/account/login", body))[0]


async def email_of(market: Market, party: Party) -> str:
    user = await market.store.single().get(User, party.id)
    assert user.deleted_at or user.search_keys == search_keys(user.name, user.email)
    return user.email


async def verified(market: Market) -> Party:
    return await market.customer(verified_at=market.store.clock.now())


@pytest.mark.parametrize("sides", [("new", "old"), ("old", "new")], ids=" then ".join)
async def test_the_change_takes_effect_when_both_addresses_have_confirmed(
    smtp: SmtpServer, market: Market, sides: tuple[str, str]
) -> None:
    """Guard: `email_change._confirm`, in either order; the first answer says that one is missing,
    also when its link is opened twice."""
    party, stranger = await verified(market), market.anonymous_client()
    links = await asked(smtp, party)
    assert all(party.name not in mail.text for mail in smtp.mails)
    first, last = (getattr(links, side) for side in sides)
    for _ in range(2):
        assert await confirm(stranger, first) == waits(sides[0])
    await market.settled()
    assert await email_of(market, party) == party.email
    assert party.pushes == [] and len(smtp.mails) == 2

    assert await confirm(stranger, last) == (200, {})
    user = await party.push("/account", "account.updated", lambda user: user["email"] == NEW)
    assert user["verified_at"]
    assert (await smtp.mail(party.email, DONE)).token_for("undo-email") == links.undo
    for token in (first, last):
        assert await confirm(stranger, token) == INVALID_LINK
    assert (await login(stranger, NEW), await login(stranger, party.email)) == (200, 401)
    assert party.connected()


async def test_links_that_are_opened_at_the_same_moment_change_the_address_once(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: both sides write one row in `email_change._confirm`, so one sees the other."""
    stranger = market.anonymous_client()
    for round in range(3):
        party = await verified(market)
        links = await asked(smtp, party, email := f"new.{round}@people.test")
        answers = await asyncio.gather(*(confirm(stranger, token) for token in links[:2] * 2))
        assert answers.count((200, {})) == 1, answers
        assert await email_of(market, party) == email
        await market.settled()
        changes = [push for push in party.pushes if push.name == "security.changed"]
        assert [push.data["kind"] for push in changes] == ["email_changed"]
        assert smtp.subjects(party).count(DONE) == 1


@pytest.mark.parametrize("opened", [(), ("new",), ("old",), ("new", "old")], ids=" and ".join)
async def test_the_old_address_undoes_it_and_shuts_out_who_did_it(
    smtp: SmtpServer, market: Market, opened: tuple[str, ...]
) -> None:
    """Guard: `email_change._undo`: sessions, password and open links end, a reset is mailed."""
    party, stranger = await verified(market), market.anonymous_client()
    links = await asked(smtp, party)
    for side in opened:
        assert (await confirm(stranger, getattr(links, side)))[0] == 200
    assert await confirm(stranger, links.undo) == (200, {})
    await party.wait_until_disconnected()
    assert await email_of(market, party) == party.email
    assert (await login(stranger, NEW), await login(stranger, party.email)) == (401, 401)
    for token in links:
        assert await confirm(stranger, token) == INVALID_LINK
    link = await smtp.mail(party.email, "Set a new password")
    body = {"token": link.token, "password": PASSWORD}
    assert (await stranger.http("POST", "/api/account/reset", body))[0] == 200
    assert await login(stranger, party.email) == 200


# -- a lost old mailbox ----------------------------------------------------------------------------

OLD, RECENT = SUSPECT + timedelta(hours=1), SUSPECT - timedelta(hours=1)


async def add_factors(
    market: Market, party: Party, passkeys: list[timedelta], app: timedelta | None = None
) -> None:
    """Factors that were added so long ago."""
    uow = market.store.single()
    fields = {"user_id": party.id, "public_key": "x", "sign_count": 0, "name": "Key"}
    for age in passkeys:
        passkey = uow.new(Passkey, **fields, credential_id=f"{age}")
        await uow.add(msgspec.structs.replace(passkey, created_at=uow.now - age))
    if app is not None:
        row = {"secret": "S", "enabled_at": uow.now - app, "recovery_codes": ("digest",)}
        await uow.add(uow.new(SecondFactor, id=party.id, **row))
    await uow.change(User, party.id, passkey_count=len(passkeys), totp_enabled=app is not None)


TRUSTED: list[tuple[list[timedelta], timedelta | None]] = [([OLD], None), ([], OLD), ([OLD], OLD)]


@pytest.mark.parametrize(("passkeys", "app"), TRUSTED)
async def test_an_old_second_factor_stands_in_for_the_old_address(
    smtp: SmtpServer, market: Market, passkeys: list[timedelta], app: timedelta | None
) -> None:
    """Guard: `second_factor.has_old_factors_only`; the old address is notified, and can undo it."""
    party, stranger = await verified(market), market.anonymous_client()
    await add_factors(market, party, passkeys, app)
    assert await change(party) == {}
    told = await smtp.mail(party.email, ASKED)
    assert "agree-email" not in told.text and told.token_for("undo-email")
    assert await confirm(stranger, (await smtp.mail(NEW, CONFIRM)).token) == (200, {})
    assert await email_of(market, party) == NEW


STOLEN: list[tuple[list[timedelta], timedelta | None]] = [
    ([RECENT], None),
    ([], RECENT),
    ([OLD], RECENT),
    ([RECENT], OLD),
    ([OLD, RECENT], None),
]


@pytest.mark.parametrize(("passkeys", "app"), STOLEN)
async def test_a_thief_gains_nothing_by_adding_a_second_factor(
    smtp: SmtpServer, market: Market, passkeys: list[timedelta], app: timedelta | None
) -> None:
    """Guard: `since` in `second_factor.has_old_factors_only`, also beside one of the owner's."""
    party, stranger = await verified(market), market.anonymous_client()
    await add_factors(market, party, passkeys, app)
    links = await asked(smtp, party)
    assert await confirm(stranger, links.new) == waits("new")
    assert await email_of(market, party) == party.email


async def test_who_has_a_second_factor_is_asked_before_a_change(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `ADDRESS` in `StepUpCheck`, also where no second factor is demanded."""
    party = await verified(market)
    await add_factors(market, party, [OLD])
    key = server.web.sessions._key(party.refresh_token.partition(".")[0])
    await server.web.redis.hset(key, "created", "2026-01-01T00:00:00+00:00")
    with pytest.raises(Refused) as refused:
        await change(party)
    assert refused.value.code == "step_up_required"
    assert await market.rows(MailedToken) == []


async def test_the_undo_removes_factors_that_a_thief_may_have_added(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `second_factor.remove_factors_since`: those of the last week, and all recovery codes;
    an older passkey stays."""
    party = await verified(market)
    links = await asked(smtp, party)
    uow = market.store.single()
    await add_factors(market, party, [timedelta(days=30), timedelta()], timedelta())
    [old] = [key.id for key in await market.rows(Passkey) if key.created_at < uow.now - SUSPECT]
    assert await confirm(market.anonymous_client(), links.undo) == (200, {})
    assert [passkey.id for passkey in await market.rows(Passkey)] == [old]
    (left,) = await market.rows(SecondFactor)
    assert (left.secret, left.enabled_at, left.recovery_codes) == ("", None, ())
    user = await uow.get(User, party.id)
    assert (user.passkey_count, user.totp_enabled) == (1, False)


# -- addresses that are not verified, or known -----------------------------------------------------


async def test_an_old_address_that_was_never_verified_gets_no_link(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `verified_at` in `email_change._add_links`: it may be a stranger's."""
    party = await market.customer()
    assert await change(party) == {}
    mail = await smtp.mail(NEW, CONFIRM)
    assert await confirm(market.anonymous_client(), mail.token) == (200, {})
    await market.settled()
    assert smtp.mails_to(party) == []


async def test_an_address_that_is_verified_meanwhile_must_agree(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `EMAIL_CHANGE` in `email_verification._confirm_address`: it ends an earlier link,
    which did not wait for the old address."""
    party = await market.customer()
    await change(party)
    await party.call("/account", "verify_send")
    proof = await smtp.mail(party.email, "Confirm your e-mail address")
    await party.call("/account", "verify", {"code": proof.code})
    mail = await smtp.mail(NEW, CONFIRM)
    assert await confirm(market.anonymous_client(), mail.token) == INVALID_LINK
    assert await email_of(market, party) == party.email


async def test_a_known_address_is_not_revealed_and_its_owner_is_told(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `SendEmailChange.run`, also when the mail has to wait; the old address agrees as to
    any other; and the unique index at the confirmation."""
    party, owner = await verified(market), await market.contractor()
    stranger, told = market.anonymous_client(), "Your address was entered for another account"
    assert await change(party, owner.email) == {"agreement_required": True}
    assert "/#/" not in (await smtp.mail(owner.email, told)).text
    agree = (await smtp.mail(party.email, ASKED)).token_for("agree-email")
    assert await confirm(stranger, agree) == waits("old")
    [token] = await market.rows(MailedToken, purpose=Purpose.EMAIL_CHANGE)
    await market.settled()
    smtp.mails.clear()
    smtp.data_answers.append("451 Try again later")
    task = SendEmailChange(token.id, market.store.clock.now())
    with pytest.raises(TryAgain):
        await task.run(server.ports)
    await task.run(server.ports)
    assert smtp.subjects(owner) == [told]

    links = await asked(smtp, party)
    await market.store.single().change(User, owner.id, email=NEW)
    assert await confirm(stranger, links.old) == waits("old")
    assert await confirm(stranger, links.new) == INVALID_LINK
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


async def test_an_address_gets_a_bounded_number_of_mails_about_changes(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: MAILS_A_DAY, counted over all accounts. A request that sends no mail leaves the links
    of the one before valid, and answers the same."""
    party, stranger = await verified(market), market.anonymous_client()
    links = await asked(smtp, party)
    await changes_by_others(market, NEW, MAILS_A_DAY - 1)
    assert await change(party) == {"agreement_required": True}
    await market.settled()
    assert len(smtp.mails) == 2
    assert await confirm(stranger, links.new) == waits("new")
    assert await confirm(stranger, links.old) == (200, {})


async def test_an_owner_gets_few_notices_about_changes(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: NOTICES_A_DAY in `SendEmailChange.run`, counted over all accounts."""
    owner = await market.contractor()
    for token in await changes_by_others(market, owner.email, NOTICES_A_DAY + 2):
        await SendEmailChange(token.id, token.created_at).run(server.ports)
    assert len(smtp.subjects(owner)) == NOTICES_A_DAY


async def changes_by_others(market: Market, email: str, count: int) -> list[MailedToken]:
    uow, purpose = market.store.single(), Purpose.EMAIL_CHANGE
    return [
        await add_token(uow, new_token_id(), f"usr_{number}", purpose, email)
        for number in range(count)
    ]


# -- links that end --------------------------------------------------------------------------------


async def end_by_password(smtp: SmtpServer, market: Market, party: Party) -> None:
    fields = {"current_password": PASSWORD, "password": BETTER}
    await party.call("/account", "password", fields)


async def end_by_reset(smtp: SmtpServer, market: Market, party: Party) -> None:
    stranger = market.anonymous_client()
    await stranger.http("POST", "/api/account/reset_request", {"email": party.email})
    body = {"password": BETTER, "token": (await smtp.mail(party.email, "Set a new password")).token}
    assert (await stranger.http("POST", "/api/account/reset", body))[0] == 200


async def end_by_newer_request(smtp: SmtpServer, market: Market, party: Party) -> None:
    await change(party, "newer@people.test")


async def end_by_ban(smtp: SmtpServer, market: Market, party: Party) -> None:
    await (await market.admin()).call("/admin", "ban", {"user_id": party.id, "reason": "Fraud"})


async def end_by_deletion(smtp: SmtpServer, market: Market, party: Party) -> None:
    assert (await party.http("POST", "/api/account/delete", {"password": PASSWORD}))[0] == 200


@pytest.mark.parametrize(
    "end", [end_by_password, end_by_reset, end_by_newer_request, end_by_ban, end_by_deletion]
)
@pytest.mark.parametrize("opened", ["new", "old"])
async def test_both_links_end_together(
    smtp: SmtpServer, market: Market, end: Any, opened: str
) -> None:
    """Guard: `mailed_tokens.void_with_password`, `void` in `email_change._add_links`, and
    `OPEN_ACCOUNT` in `email_change._confirm`. A thief with the old password has asked for another
    address: its link would give them the account back. Where one was opened, neither helps."""
    party, stranger = await verified(market), market.anonymous_client()
    links = await asked(smtp, party)
    assert await confirm(stranger, getattr(links, opened)) == waits(opened)
    await end(smtp, market, party)
    for token in (links.new, links.old):
        assert await confirm(stranger, token) == INVALID_LINK
    assert await email_of(market, party) != NEW
    undone = INVALID_LINK if end is end_by_deletion else (200, {})
    assert await confirm(stranger, links.undo) == undone, "the owner's link stays"


async def test_a_link_that_has_expired_confirms_nothing(smtp: SmtpServer, market: Market) -> None:
    """Guard: `expires_at` in `email_change._confirm`."""
    party, stranger = await verified(market), market.anonymous_client()
    links = await asked(smtp, party)
    uow = market.store.single()
    [row] = await market.rows(MailedToken, purpose=Purpose.EMAIL_CHANGE)
    await uow.change(MailedToken, row.id, expires_at=uow.now)
    assert await confirm(stranger, links.old) == INVALID_LINK
