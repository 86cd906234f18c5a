"""Verified addresses: registering, the code and the link, and what an unverified account may do."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.accounts.mailed_tokens import ATTEMPTS, MAILS
from domain.accounts.registration import TRIED, Registration, SendRegistration
from domain.accounts.search_keys import search_keys
from domain.accounts.user import User
from domain.kernel.outbox import OutboxRow
from domain.kernel.store import UnitOfWork
from domain.notifications.notices import notify
from domain.operations.task import TryAgain
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD, AnonymousClient, Json, Party, Refused
from tests.support.smtp_server import SmtpServer

pytestmark = one_server

NEW = {"email": "nia@example.com", "password": PASSWORD, "name": "Nia New", "role": "customer"}
CONFIRM = "Confirm your e-mail address"
THEIRS = "the attacker's own choice"
REQUIRED = (200, {"verification_required": True})


async def register(who: AnonymousClient, **fields: Any) -> tuple[int, Any]:
    return await who.http("POST", "/api/account/register", NEW | fields)


async def login(who: AnonymousClient, **fields: Any) -> tuple[int, Any]:
    body = {"email": NEW["email"], "password": PASSWORD, **fields}
    return await who.http("POST", "/api/account/login", body)


async def code_of(refused: Any) -> str:
    with pytest.raises(Refused) as found:
        await refused
    return found.value.code


# -- registering where verification is demanded -------------------------------------------------


@pytest.mark.parametrize("way", ["code", "token"])
async def test_the_mailed_proof_opens_the_account(
    smtp: SmtpServer, verification_required: None, market: Market, way: str
) -> None:
    """Guard: `registration.complete_registration`, and `_find_proof` for both proofs."""
    stranger = market.anonymous_client()
    assert await register(stranger) == REQUIRED
    mail = await smtp.mail("nia@example.com", CONFIRM)
    assert NEW["name"] not in mail.text
    assert (await login(stranger))[0] == 401
    assert (await login(stranger, verification="mtk_none.none"))[0] == 401
    assert await market.rows(User) == []

    proof = getattr(mail, way)
    assert (await login(stranger, password="not the password", verification=proof))[0] == 401
    status, signed_in = await login(stranger, verification=proof)
    assert status == 200 and signed_in["user"]["verified_at"]
    assert (signed_in["user"]["name"], signed_in["user"]["role"]) == ("Nia New", "customer")
    assert await market.rows(Registration) == []
    assert (await login(stranger))[0] == 200
    assert (await login(stranger, verification=proof))[0] == 200, "the link may be opened again"
    [user] = await market.store.single().all(User, {})
    assert user.search_keys == search_keys(user.name, user.email)


@own_server
async def test_registration_answers_the_same_for_a_known_address(
    smtp: SmtpServer, verification_required: None, market: Market, server: Server
) -> None:
    """Guard: `registration.keep_registration` does not look, so that it takes the same time;
    `SendRegistration` notifies the owner."""
    owner = await market.contractor(connect=False, verified_at=market.store.clock.now())
    stranger = market.anonymous_client()
    for email in (owner.email, "unknown@example.com"):
        assert await register(stranger, email=email, name="Buy http://evil.test") == REQUIRED
    assert (await login(stranger, email="unknown@example.com"))[0] == 401
    await market.settled()
    assert set(smtp.subjects(owner)) == {"You have an account already"}
    assert {mail.subject for mail in smtp.mails if mail.to == "unknown@example.com"} == {CONFIRM}
    assert all("evil" not in mail.text for mail in smtp.mails)
    assert await market.rows(User) == [owner.user]
    assert {row.email for row in await market.rows(Registration)} == {"unknown@example.com"}

    await server.web.relay.stop()
    for email in (owner.email, "unknown@example.com"):
        assert await register(stranger, email=email) == REQUIRED
    known, unknown = (await market.rows(Registration))[-2:]
    assert (known.email, unknown.email) == (owner.email, "unknown@example.com")
    assert [row.body["type"] for row in await market.rows(OutboxRow)] == ["send_registration"] * 2


@own_server
async def test_the_owner_is_told_of_a_registration_when_mails_go_out_again(
    smtp: SmtpServer, verification_required: None, market: Market, server: Server
) -> None:
    """Guard: `SendRegistration` needs its registration until the mail is sent."""
    owner = await market.contractor(connect=False, verified_at=market.store.clock.now())
    await server.web.relay.stop()
    assert await register(market.anonymous_client(), email=owner.email) == REQUIRED
    [registration] = await market.rows(Registration)
    task = SendRegistration(registration.id, market.store.clock.now())
    smtp.data_answers.append("451 Try again later")
    with pytest.raises(TryAgain):
        await task.run(server.ports)
    await task.run(server.ports)
    assert smtp.subjects(owner) == ["You have an account already"]
    assert await market.rows(Registration) == []


async def test_nobody_occupies_an_address_or_chooses_its_password(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: a `Registration` occupies nothing, and `_registered_user` needs its own password.

    An attacker registers first. The owner of the address opens the account all the same, and the
    attacker's password opens nothing, not even with the link that the owner may have followed.
    """
    attacker = market.anonymous_client()
    assert await register(attacker, password=THEIRS) == REQUIRED
    foreign = await smtp.mail("nia@example.com", CONFIRM)
    owner = market.anonymous_client()
    assert (await login(owner, verification=foreign.token))[0] == 401, "not registered yet"
    assert await register(owner, role="contractor") == REQUIRED
    await market.settled()
    mail = smtp.mails[-1]
    status, signed_in = await login(owner, verification=mail.token)
    assert (status, signed_in["user"]["role"]) == (200, "contractor")
    assert (await login(attacker, password=THEIRS, verification=foreign.token))[0] == 401


@pytest.mark.parametrize("way", ["code", "token"])
async def test_strangers_who_use_up_the_mails_do_not_keep_the_owner_out(
    smtp: SmtpServer, verification_required: None, market: Market, way: str
) -> None:
    """Guard: `_find_registrations`: each mail to the address proves it for the owner's
    registration, which is found among many by the client that asked."""
    stranger, owner = market.anonymous_client(), market.anonymous_client()
    for _ in range(MAILS):
        await register(stranger, password=THEIRS)
    await market.settled()
    assert len(smtp.mails) == MAILS
    assert await register(owner, role="contractor") == REQUIRED
    await market.settled()
    assert len(smtp.mails) == MAILS, "withheld"
    [own] = await market.rows(Registration, role="contractor")
    [*_, other] = await market.rows(Registration, role="customer")
    flood = [
        {"id": f"mtk_z{number}", "client": "elsewhere", "updated_at": own.updated_at}
        for number in range(TRIED + 1)
    ]
    uow = market.store.single()
    await uow.add_all([msgspec.structs.replace(other, **fields) for fields in flood])

    proof = getattr(smtp.mails[-1], way)
    assert (await login(owner, password="not the password", verification=proof))[0] == 401
    status, signed_in = await login(owner, verification=proof)
    assert (status, signed_in["user"]["role"]) == (200, "contractor")
    assert (await login(stranger, password=THEIRS, verification=proof))[0] == 401


async def test_registrations_take_nothing_from_what_the_owner_asks_for(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: ALLOWANCES are for each purpose: a reset and a verification are mailed all the same,
    and after those the next notice."""
    owner, stranger = await market.customer(), market.anonymous_client()
    known = "You have an account already"
    for _ in range(2 * MAILS):
        await register(stranger, email=owner.email, password=THEIRS)
    await market.settled()
    assert smtp.subjects(owner) == [known] * MAILS
    for _ in range(2 * MAILS):
        await stranger.http("POST", "/api/account/reset_request", {"email": owner.email})
    await owner.call("/account", "verify_send")
    await market.settled()
    wanted = {known: MAILS, "Set a new password": MAILS, CONFIRM: 1}
    assert Counter(smtp.subjects(owner)) == wanted
    assert await owner.call("/account", "verify", {"token": smtp.mails[-1].token}) == {}


async def test_a_code_is_void_after_five_attempts(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: `ATTEMPTS` in `find_token_by_code`, counted before it compares; the link stays."""
    stranger = market.anonymous_client()
    await register(stranger)
    mail = await smtp.mail("nia@example.com", CONFIRM)
    wrong = f"{(int(mail.code) + 1) % 10**6:06}"
    guesses = [login(stranger, verification=wrong) for _ in range(ATTEMPTS)]
    assert {status for status, _ in await asyncio.gather(*guesses)} == {401}
    assert (await login(stranger, verification=mail.code))[0] == 401
    assert (await login(stranger, verification=mail.token))[0] == 200


async def test_an_address_gets_ten_mails_a_day_and_then_a_link_that_is_valid(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: `ALLOWANCES` in `issue`, its `number`, `_is_used_up`, and `CODES`: beyond the
    allowance an address gets a mail only if its links are about to end, and without a code."""
    stranger = market.anonymous_client()

    async def mails_after(pause: timedelta) -> int:
        await market.age_mails(pause)
        await asyncio.gather(*(register(stranger) for _ in range(5)))
        await market.settled()
        return len(smtp.mails)

    half_hour, half_day = timedelta(minutes=31), timedelta(hours=12)
    counts = [await mails_after(pause) for pause in [half_hour] * 5 + [half_day]]
    assert counts == [3, 6, 9, 10, 10, 11]
    assert sum("code:" in mail.text for mail in smtp.mails) == 10
    assert all("/#/verify/" in mail.text for mail in smtp.mails)


# -- an account that is not verified ------------------------------------------------------------


async def test_an_unverified_account_cannot_post_or_apply(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: `verified_user` in `posting.create` and `applications.apply`."""
    verified = {"verified_at": market.store.clock.now()}
    customer = await market.customer()
    contractor = await market.contractor()
    job = await market.job(await market.customer("Vera Verified", **verified))
    before = await market.traces()
    assert await code_of(market.job(customer)) == "email_unverified"
    assert await code_of(market.application(contractor, job)) == "email_unverified"
    assert await market.traces() == before

    assert await customer.call("/account", "verify_send") == {}
    mail = await smtp.mail(customer.email, CONFIRM)
    assert await customer.call("/account", "verify", {"code": mail.code}) == {}
    updated = await customer.pushed("/account", "account.updated")
    assert updated.data["verified_at"]
    assert (await market.job(customer))["status"] == "open"

    assert await contractor.call("/account", "verify_send") == {}
    mail = await smtp.mail(contractor.email, CONFIRM)
    assert await customer_refused(customer, mail.token)
    assert await contractor.call("/account", "verify", {"token": mail.token}) == {}
    assert (await market.application(contractor, job))["status"] == "pending"


async def customer_refused(other: Party, token: str) -> bool:
    """A token is for its own account only."""
    return await code_of(other.call("/account", "verify", {"token": token})) == "invalid"


async def test_an_unverified_address_gets_nothing_but_the_code(
    smtp: SmtpServer, verification_required: None, market: Market, server: Server
) -> None:
    """Guard: `require_verification` in `SendMail.run`; the notification is in the feed."""
    unverified = await market.customer()
    verified = await market.customer("Vera", verified_at=market.store.clock.now())

    async def tell(uow: UnitOfWork) -> None:
        users = [unverified.id, verified.id]
        await notify(uow, users, "payment_failed", "“Visit evil.test”", "Text", "job_1")

    await unverified.call("/account", "verify_send")
    await server.store.transact(tell)
    await market.settled()
    assert smtp.subjects(unverified) == [CONFIRM]
    assert unverified.name not in smtp.mails_to(unverified)[0].text
    assert smtp.subjects(verified) == ["“Visit evil.test”"]


async def test_a_wrong_code_is_refused_and_counted(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: `prove_address`; the right code is refused after `ATTEMPTS` wrong ones."""
    party = await market.customer()
    for fields in ({}, {"code": "123456", "token": "mtk_none.none"}, {"code": "12345"}):
        assert await code_of(party.call("/account", "verify", fields)) == "invalid"
    await party.call("/account", "verify_send")
    mail = await smtp.mail(party.email, CONFIRM)
    wrong: Json = {"code": f"{(int(mail.code) + 1) % 10**6:06}"}
    for _ in range(ATTEMPTS):
        assert await code_of(party.call("/account", "verify", wrong)) == "invalid"
    assert await code_of(party.call("/account", "verify", {"code": mail.code})) == "invalid"
    [user] = await market.rows(User)
    assert user.verified_at is None


async def test_without_the_demand_a_new_account_goes_on_at_once(
    smtp: SmtpServer, market: Market
) -> None:
    """Guard: `open_account` in `sign_in.register`; verification works all the same."""
    status, answer = await register(market.anonymous_client())
    assert status == 200 and answer["user"]["verified_at"] is None
    party = await market.sign_in((await market.rows(User))[0])
    assert (await market.job(party))["status"] == "open"
    mail = await smtp.mail("nia@example.com", CONFIRM)
    assert await party.call("/account", "verify", {"code": mail.code}) == {}
    assert (await party.call("/account", "me"))["verified_at"]
