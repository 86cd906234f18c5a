"""Resetting a lost password by a mailed link, and changing a known one."""

import asyncio
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from structlog.testing import capture_logs

from domain.accounts.mailed_tokens import MAILS, MailedToken, Purpose
from domain.accounts.password_policy import MIN_CHARACTERS
from domain.accounts.password_reset import request_reset
from domain.accounts.user import User
from domain.kernel.outbox import OutboxRow
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD, AnonymousClient, Party, Refused
from tests.support.processes import Processes
from tests.support.smtp_server import ReceivedMail, SmtpServer

pytestmark = one_server

NEW = "a fence of larch wood"
SUBJECT = "Set a new password"
INVALID_LINK = (422, "invalid", {"field": "token", "rule": "value"})


async def request(who: AnonymousClient, email: str) -> tuple[int, Any]:
    return await who.http("POST", "/api/account/reset_request", {"email": email})


async def reset(who: AnonymousClient, token: str, password: str = NEW) -> tuple[int, Any, Any]:
    body = {"token": token, "password": password}
    status, answer = await who.http("POST", "/api/account/reset", body)
    return status, answer.get("code"), answer.get("details")


async def login(who: AnonymousClient, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    return (await who.http("POST", "/api/account/login", body))[0]


async def mailed(
    smtp: SmtpServer, market: Market, party: Party, url: str | None = None
) -> ReceivedMail:
    stranger = market.anonymous_client(url)
    assert await request(stranger, party.email) == (200, {})
    return await smtp.mail(party.email, SUBJECT)


async def test_a_mailed_link_sets_a_new_password_once(smtp: SmtpServer, market: Market) -> None:
    """Guard: `password_reset.reset`, `end_all_sessions` in `_set_password`, and `use_up`."""
    party = await market.customer()
    stranger = market.anonymous_client()
    mail = await mailed(smtp, market, party)
    weak = await reset(stranger, mail.token, "1234567890")
    told = {"field": "password", "rule": "min_length", "limit": MIN_CHARACTERS}
    assert weak == (422, "invalid", told)
    assert await reset(stranger, mail.token) == (200, None, None)

    await party.wait_until_disconnected()
    assert (await party.http("GET", "/api/account/me"))[0] == 401
    assert await login(stranger, party.email, PASSWORD) == 401
    assert await login(stranger, party.email, NEW) == 200
    assert await reset(stranger, mail.token) == INVALID_LINK
    assert (await smtp.mail(party.email, "Your password was changed")).text
    [user] = await market.rows(User)
    assert user.verified_at is not None


async def test_a_reset_does_not_replace_the_second_factor(smtp: SmtpServer, market: Market) -> None:
    """Guard: `sign_in.login` asks for it after a reset too; `password_reset.reset` opens no
    session."""
    party = await market.customer()
    secret = (await party.call("/account", "totp_begin"))["secret"]
    await party.call("/account", "totp_confirm", {"code": pyotp.TOTP(secret).now()})
    stranger = market.anonymous_client()
    mail = await mailed(smtp, market, party)
    status, answer = await stranger.http(
        "POST", "/api/account/reset", {"token": mail.token, "password": NEW}
    )
    assert status == 200 and "access_token" not in answer
    proof = {"email": party.email, "password": NEW}
    status, problem = await stranger.http("POST", "/api/account/login", proof)
    assert (status, problem["code"]) == (401, "second_factor_required")


@own_server
async def test_a_reset_ends_the_sessions_on_all_processes(
    smtp: SmtpServer, processes: Processes
) -> None:
    """Guard: `end_all_sessions` in `_set_password`; the token needs no state of a process."""
    one, two = await processes.web(), await processes.web()
    market = processes.market
    laptop = await market.customer(url=one.url)
    phone = await market.sign_in(laptop.user, url=two.url)
    mail = await mailed(smtp, market, laptop, one.url)
    stranger = market.anonymous_client(two.url)
    assert await reset(stranger, mail.token) == (200, None, None)
    for device, other in ((laptop, two), (phone, one)):
        await device.wait_until_disconnected()
        assert (await device.http("GET", "/api/account/me", url=other.url))[0] == 401
    assert await reset(market.anonymous_client(one.url), mail.token) == INVALID_LINK
    assert await login(market.anonymous_client(one.url), laptop.email, NEW) == 200


async def test_another_link_is_void_after_a_reset(smtp: SmtpServer, market: Market) -> None:
    """Guard: `void` in `password_reset._set_password` and in `password_change.password`."""
    party = await market.customer(connect=False)
    stranger = market.anonymous_client()
    first = await mailed(smtp, market, party)
    smtp.mails.clear()
    second = await mailed(smtp, market, party)
    assert await reset(stranger, second.token) == (200, None, None)
    assert await reset(stranger, first.token) == INVALID_LINK


async def test_a_token_that_is_not_valid_changes_nothing(smtp: SmtpServer, market: Market) -> None:
    """Guard: `mailed_tokens.get_token` and `MailedSecrets.read`."""
    party = await market.customer()
    mail = await mailed(smtp, market, party)
    uow, [row] = market.store.single(), await market.rows(MailedToken)
    id, _, signature = mail.token.partition(".")
    assert row.expires_at - row.created_at == timedelta(minutes=30)
    await uow.add(uow.new(MailedToken, **_others(row) | {"number": 2}))
    stranger, before = market.anonymous_client(), await market.traces()
    for token in (f"{id}.{signature[:-2]}AA", f"mtk_other.{signature}", "no token"):
        assert await reset(stranger, token) == INVALID_LINK, token
    assert await market.traces() == before
    changes: list[dict[str, Any]] = [
        {"purpose": Purpose.VERIFY},
        {"purpose": row.purpose, "expires_at": uow.now},
    ]
    for changed in changes:
        await uow.change(MailedToken, row.id, **changed)
        before = await market.traces()
        assert await reset(stranger, mail.token) == INVALID_LINK, changed
        assert await market.traces() == before
    assert party.connected()
    await uow.change(MailedToken, row.id, expires_at=row.expires_at)
    assert await reset(stranger, mail.token) == (200, None, None), "all else is valid"


def _others(row: MailedToken) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in row.__struct_fields__
        if name not in ("id", "version", "created_at", "updated_at")
    } | {"id": "mtk_other"}


@own_server
async def test_a_request_does_not_reveal_whether_an_account_exists(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `password_reset.reset_request` answers and writes the same for everybody, so it takes
    the same time; `SendReset` finds out."""
    party = await market.customer(connect=False)
    stranger = market.anonymous_client()
    for email in (party.email, "nobody@people.test"):
        assert await request(stranger, email) == (200, {})
    await market.settled()
    assert {mail.to for mail in smtp.mails} == {party.email}

    await server.web.relay.stop()
    written = []
    for email in (party.email, "nobody@people.test"):
        trail, rows = await market.trail(), await market.rows(OutboxRow)
        assert await request(stranger, email) == (200, {})
        trail = (await market.trail())[len(trail) :]
        rows = (await market.rows(OutboxRow))[len(rows) :]
        written.append(
            [
                [row.operation for row in trail],
                [(row.lane, row.body["type"], sorted(row.body)) for row in rows],
            ]
        )
    assert written[0] == written[1]
    assert [len(each) for each in written[0]] == [1, 1]


async def test_who_gets_no_further_mail_has_a_link_that_is_valid(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `mailed_tokens._is_used_up`. A stranger asks all day long: there is always a link that
    is valid for 15 minutes, no request voids one, and the number of mails is bounded."""
    party = await market.customer(connect=False)
    counts = []
    for _ in range(8):
        for _ in range(MAILS + 1):
            await server.store.transact(lambda uow: request_reset(uow, party.id))
        await market.settled()
        counts.append(len(smtp.mails))
        now = market.store.clock.now()
        rows = await market.rows(MailedToken)
        assert rows[-1].expires_at > now + timedelta(minutes=14)
        assert all(row.used_at is None for row in rows)
        await market.age_mails(timedelta(minutes=15, seconds=1))
    assert counts == [3, 4, 6, 7, 9, 10, 11, 12], "after ten, one in a quarter of an hour"
    stranger = market.anonymous_client()
    *_, earlier, last = smtp.mails
    assert await reset(stranger, earlier.token) == INVALID_LINK, "it has expired"
    assert await reset(stranger, last.token) == (200, None, None)


async def test_a_link_is_mailed_after_those_before_were_voided(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `used_at` in `mailed_tokens._is_used_up`: the undo of a change of address voids the
    links that a stranger asked for, so its own is not withheld."""
    party = await market.customer(verified_at=market.store.clock.now())
    fields = {"password": PASSWORD, "email": "new@people.test"}
    await party.call("/account", "email_change", fields)
    for _ in range(MAILS):
        await server.store.transact(lambda uow: request_reset(uow, party.id))
    await market.settled()
    undo = next(mail for mail in smtp.mails if "undo-email" in mail.text)
    smtp.mails.clear()
    stranger, body = market.anonymous_client(), {"token": undo.token_for("undo-email")}
    assert (await stranger.http("POST", "/api/account/email_confirm", body))[0] == 200
    mail = await smtp.mail(party.email, SUBJECT)
    assert await reset(stranger, mail.token) == (200, None, None)


async def test_an_account_gets_three_mails_at_once(smtp: SmtpServer, market: Market) -> None:
    """Guard: `MAILS` in `mailed_tokens.issue`, and MAILS_PER_ADDRESS."""
    party = await market.customer(connect=False)
    stranger = market.anonymous_client()
    asked = await asyncio.gather(*(request(stranger, party.email) for _ in range(5)))
    assert asked == [(200, {})] * 5
    await market.settled()
    assert smtp.subjects(party) == [SUBJECT] * 3
    assert await reset(stranger, smtp.mails[0].token) == (200, None, None), "one of them is enough"


@own_server
@pytest.mark.usefixtures("prompt_retries")
async def test_tokens_are_stored_and_logged_nowhere(
    smtp: SmtpServer, market: Market, server: Server
) -> None:
    """Guard: `MailedSecrets` derives them; the mail server is down first, so the task waits."""
    party = await market.customer(connect=False)
    smtp.recipient_answers.append("451 Later")
    with capture_logs() as logs:
        mail = await mailed(smtp, market, party)
        assert [row for row in await market.rows(OutboxRow) if mail.token in str(row)] == []
        stored = [
            [row async for row in server.store.database[name].find()]
            for name in await server.store.database.list_collection_names()
        ]
        assert await reset(market.anonymous_client(), mail.token) == (200, None, None)
    signature = mail.token.partition(".")[2]
    assert signature not in str(stored) and signature not in str(logs)
    assert NEW not in str(await market.trail()) and signature not in str(await market.trail())


async def test_banned_and_deleted_accounts_get_no_link(smtp: SmtpServer, market: Market) -> None:
    """Guard: `banned_at` and `deleted_at` in `SendReset.run` and `password_reset.reset`."""
    now = market.store.clock.now()
    banned = await market.customer(connect=False, banned_at=now)
    deleted = await market.customer(connect=False, deleted_at=now)
    for party in (banned, deleted):
        assert await request(market.anonymous_client(), party.email) == (200, {})
    await market.settled()
    assert smtp.mails == []
    party = await market.customer(connect=False)
    mail = await mailed(smtp, market, party)
    await market.store.single().change(User, party.id, banned_at=now)
    assert await reset(market.anonymous_client(), mail.token) == INVALID_LINK


# -- changing it -----------------------------------------------------------------------------------


async def test_a_changed_password_ends_the_other_sessions(smtp: SmtpServer, market: Market) -> None:
    """Guard: `keep` of `end_all_sessions` in `password_change.password`; the owner gets a mail."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user)
    link = await mailed(smtp, market, laptop)
    fields = {"current_password": PASSWORD, "password": NEW}
    assert await laptop.call("/account", "password", fields) == {"count": 1}
    await phone.wait_until_disconnected()
    assert laptop.connected()
    assert (await phone.http("GET", "/api/account/me"))[0] == 401
    assert (await laptop.http("GET", "/api/account/me"))[0] == 200
    assert (await smtp.mail(laptop.email, "Your password was changed")).text
    assert (await laptop.pushed("/account", "security.changed")).data["kind"] == "password_changed"
    stranger = market.anonymous_client()
    assert await login(stranger, laptop.email, PASSWORD) == 401
    assert await login(stranger, laptop.email, NEW) == 200
    assert await reset(stranger, link.token) == INVALID_LINK


REFUSED = [
    ({"current_password": "not the password", "password": NEW}, "wrong_credentials"),
    ({"current_password": PASSWORD, "password": "1234567890"}, "invalid"),
    ({"current_password": PASSWORD, "password": "123456789012"}, "invalid"),
    ({"password": NEW}, "invalid"),
]


async def test_a_refused_change_leaves_no_trace(market: Market) -> None:
    """Guard: `verify_password` and `check_password` in `password_change.password`."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user)
    before = await market.traces()
    for fields, code in REFUSED:
        with pytest.raises(Refused) as refused:
            await laptop.call("/account", "password", fields)
        assert refused.value.code == code, fields
    assert await market.traces() == before
    assert phone.connected()


async def test_all_other_sessions_end_at_once(market: Market) -> None:
    """Guard: `password_change.sessions_end_others`."""
    laptop = await market.customer()
    phone, tablet = [await market.sign_in(laptop.user) for _ in range(2)]
    stranger = await market.customer("Otto Other")
    assert await laptop.call("/account", "sessions_end_others") == {"count": 2}
    for device in (phone, tablet):
        await device.wait_until_disconnected()
    assert laptop.connected() and stranger.connected()
    assert len(await laptop.call("/account", "sessions")) == 1
