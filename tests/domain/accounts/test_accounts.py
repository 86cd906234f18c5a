"""Registration, login, the profile, and a contractor's Stripe account."""

import asyncio
from typing import Any

import pytest

from domain.accounts.user import MAX_CLOSED_ACCOUNTS, User
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import PASSWORD, Refused

pytestmark = one_server

NEW = {"email": "New@Example.com", "password": PASSWORD, "name": "Nia New", "role": "customer"}


# -- registration and login --------------------------------------------------------------------


async def test_registration_signs_in_and_returns_no_secrets(market: Market) -> None:
    """Guard: `command.Email`, `email_address.email_to_find`, `User.PRIVATE`."""
    stranger = market.anonymous_client()
    status, registered = await stranger.http("POST", "/api/account/register", NEW)
    assert status == 200
    assert registered["user"]["email"] == "new@example.com"
    assert not {"password_hash", "connect_id", "password"} & registered["user"].keys()

    login = {"email": "NEW@example.com", "password": PASSWORD}
    status, signed_in = await stranger.http("POST", "/api/account/login", login)
    assert (status, signed_in["user"]["id"]) == (200, registered["user"]["id"])
    assert signed_in["refresh_token"] != registered["refresh_token"]
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    status, me = await stranger.http("GET", "/api/account/me", headers=bearer)
    assert (status, me) == (200, signed_in["user"])


REFUSED_REGISTRATIONS: list[tuple[dict[str, Any], str]] = [
    ({"role": "admin"}, "invalid"),
    ({"role": "owner"}, "invalid"),
    ({"password": "too-short"}, "invalid"),
    ({"email": "no address"}, "invalid"),
    ({"name": ""}, "invalid"),
    ({"transfers_active": True}, "invalid"),
    ({"email": "NEW@EXAMPLE.COM"}, "email_taken"),
]


async def test_a_refused_registration_leaves_no_trace(market: Market) -> None:
    """Fails without the guard on Role.ADMIN in register, the limits of Register, its refusal of
    unknown fields, or the unique index on `email`."""
    stranger = market.anonymous_client()
    assert (await stranger.http("POST", "/api/account/register", NEW))[0] == 200
    before = await market.traces()
    for changed, code in REFUSED_REGISTRATIONS:
        fields = {**NEW, "email": "other@example.com", **changed}
        status, problem = await stranger.http("POST", "/api/account/register", fields)
        expected = (code, 409 if code == "email_taken" else 422)
        assert (problem.get("code"), status) == expected, changed
    assert await market.traces() == before


async def test_one_of_simultaneous_registrations_gets_the_address(market: Market) -> None:
    """Fails without `unique=True` on the index over `email`."""
    stranger = market.anonymous_client()
    answers = await asyncio.gather(
        *(stranger.http("POST", "/api/account/register", NEW) for _ in range(4))
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    assert len(await market.rows(User)) == 1


async def test_login_does_not_reveal_whether_an_account_exists(
    market: Market, server: Server
) -> None:
    """Fails without `hash or self._decoy` in Argon2Passwords.verify (the answer would come sooner),
    or when an unknown account gets an error of its own (response text)."""
    stranger = market.anonymous_client()
    await stranger.http("POST", "/api/account/register", NEW)

    async def attempt(email: str) -> tuple[int, Any]:
        login = {"email": email, "password": "not the password"}
        return await stranger.http("POST", "/api/account/login", login)

    status, problem = known = await attempt("new@example.com")
    assert (status, problem["code"]) == (401, "wrong_credentials")
    assert "_decoy" not in vars(server.ports.passwords)
    assert await attempt("nobody@example.com") == known
    assert "_decoy" in vars(server.ports.passwords), "the password was compared with this"


# -- the profile -------------------------------------------------------------------------------


async def test_a_changed_profile_reaches_the_other_devices(market: Market) -> None:
    """Fails without `uow.publish` in profile.update, or when it sets fields that are not given."""
    laptop = await market.contractor()
    phone = await market.sign_in(laptop.user)
    changed = await laptop.call("/account", "update", {"headline": "Fences", "skills": ["wood"]})
    assert (changed["headline"], changed["name"], changed["version"]) == ("Fences", laptop.name, 2)
    for device in (laptop, phone):
        push = await device.pushed("/account", "account.updated")
        assert (push.data, push.seq) == (changed, 1)
    assert "password_hash" not in str(phone.pushes)


REFUSED_CHANGES: list[dict[str, Any]] = [
    {"role": "admin"},
    {"email": "other@example.com"},
    {"password_hash": "x"},
    {"transfers_active": True},
    {"name": ""},
    {"name": "x" * 81},
    {"skills": ["x"] * 31},
    {"skills": [""]},
    {"name": 5},
]


async def test_a_refused_change_leaves_no_trace(market: Market) -> None:
    """Fails without `forbid_unknown_fields` on Command or the limits of Update."""
    party = await market.contractor()
    before = await market.traces()
    for fields in REFUSED_CHANGES:
        answer = await party.ack("/account", "update", fields, request_id="one")
        assert answer["ok"] is False and answer["error"]["code"] == "invalid", fields
    assert await market.traces() == before


async def test_onboarding_creates_one_stripe_account_whose_state_is_pushed(market: Market) -> None:
    """Fails without the `connect_id is None` guards, the task's idempotency key, or
    transfer_tasks.apply_account."""
    contractor = await market.contractor()
    links = await asyncio.gather(*(contractor.call("/account", "onboard") for _ in range(3)))
    assert all(link["url"] for link in links)
    again = await contractor.call("/account", "onboard")
    await market.sandbox.fill_in_onboarding(again["url"], contractor.name, "usd")
    updated = await contractor.push(
        "/account", "account.updated", lambda user: user["payouts_enabled"]
    )
    assert updated["transfers_active"]
    assert (await contractor.call("/account", "me"))["transfers_active"]
    accounts = await market.sandbox.api("GET", "accounts")
    assert len(accounts["data"]) == 1


async def test_accounts_that_were_closed_at_stripe_are_limited(market: Market) -> None:
    """Guard: MAX_CLOSED_ACCOUNTS in `onboarding.onboard`."""
    contractor = await market.contractor()
    closed = tuple(f"acct_{number}" for number in range(MAX_CLOSED_ACCOUNTS))
    await market.store.single().change(User, contractor.id, closed_accounts=closed)
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await contractor.call("/account", "onboard")
    assert refused.value.code == "too_many"
    assert await market.traces() == before


async def test_onboarding_is_refused_for_customers_and_administrators(market: Market) -> None:
    """Fails when `account.onboard` allows other roles than contractors."""
    for party in (await market.customer(), await market.admin()):
        before = await market.traces()
        with pytest.raises(Refused) as refused:
            await party.call("/account", "onboard")
        assert refused.value.code == "forbidden"
        assert await market.traces() == before
