"""Passkeys: adding and removing them, and signing in with one, alone or after the password."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from domain.accounts.passkey import Passkey
from domain.accounts.passkeys import MOST_PASSKEYS
from domain.accounts.user import User
from tests.domain.accounts.test_totp import answer, challenge_for, set_up
from tests.support.authenticator import Authenticator
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Json, Party, Refused

pytestmark = one_server

OPTIONS, LOGIN = "/api/account/passkey_options", "/api/account/passkey_login"


def authenticator(market: Market, **options: bool) -> Authenticator:
    return Authenticator(market.settings.public_url, **options)


async def add_passkey(
    party: Party, key: Authenticator, name: str = "My key"
) -> tuple[Json, list[str] | None]:
    options = await party.call("/account", "passkey_begin")
    fields = {"passkey": key.create(options), "name": name}
    added = await party.call("/account", "passkey_add", fields)
    return added["passkey"], added["recovery_codes"]


async def request_options(market: Market, challenge: str | None = None) -> Json:
    fields = {"challenge": challenge} if challenge else {}
    status, options = await market.anonymous_client().http("POST", OPTIONS, fields)
    assert status == 200
    return dict(options)


async def sign_in(market: Market, passkey: Json, challenge: str | None = None) -> tuple[int, Any]:
    fields = {"passkey": passkey, **({"challenge": challenge} if challenge else {})}
    return await market.anonymous_client().http("POST", LOGIN, fields)


async def test_a_passkey_signs_in_without_a_password(market: Market) -> None:
    """Guard: `passkeys.passkey_add` and `second_step.passkey_login`."""
    party, key = await market.customer(), authenticator(market)
    passkey, codes = await add_passkey(party, key)
    assert (passkey["name"], len(codes or ())) == ("My key", 10)
    assert not {"public_key", "credential_id", "user_id"} & passkey.keys()
    options = await request_options(market)
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert not options.get("allowCredentials")
    status, signed_in = await sign_in(market, key.sign(options))
    assert (status, signed_in["user"]["id"]) == (200, party.id)
    [listed] = (await party.call("/account", "passkeys"))["items"]
    assert listed["id"] == passkey["id"] and listed["last_used_at"]
    assert await party.push("/account", "notification", lambda n: n["kind"] == "passkey_added")


async def test_a_passkey_completes_a_sign_in_with_a_password(market: Market) -> None:
    """Guard: `challenge` of `second_step.passkey_options` and `passkey_login`; after the password
    the authenticator need not check its user."""
    party, key = await market.customer(), authenticator(market, verified=False)
    await add_passkey(party, key)
    challenge = await challenge_for(market, party)
    options = await request_options(market, challenge)
    assert [each["id"] for each in options["allowCredentials"]] == [key.sign(options)["id"]]
    status, signed_in = await sign_in(market, key.sign(options), challenge)
    assert (status, signed_in["user"]["id"]) == (200, party.id)
    again = await sign_in(market, key.sign(await request_options(market)), challenge)
    assert again[1]["code"] == "unauthenticated", "the challenge is used up"
    alone = await sign_in(market, key.sign(await request_options(market)))
    assert alone[1]["code"] == "wrong_credentials", "alone it must check its user"


async def test_recovery_codes_help_who_lost_the_passkey(market: Market) -> None:
    """Guard: `keep_recovery_codes` in `passkeys.passkey_add`."""
    party = await market.customer()
    _, codes = await add_passkey(party, authenticator(market))
    assert codes
    assert (await answer(market, await challenge_for(market, party), codes[3]))[0] == 200
    _, more = await add_passkey(party, authenticator(market))
    assert more is None


async def test_an_answer_is_used_once(market: Market) -> None:
    """Guard: `challenges.use_up` in `second_step.use_passkey` and in `passkey_add`."""
    party, key = await market.customer(), authenticator(market, counts=False)
    options = await party.call("/account", "passkey_begin")
    made = {"passkey": key.create(options)}
    await party.call("/account", "passkey_add", made)
    with pytest.raises(Refused) as refused:
        await party.call("/account", "passkey_add", made)
    assert refused.value.code in ("unauthenticated", "conflict")
    signed = key.sign(await request_options(market))
    answers = await asyncio.gather(*(sign_in(market, signed) for _ in range(3)))
    assert sorted(status for status, _ in answers) == [200, 401, 401]


def elsewhere(key: Authenticator, options: Json) -> Json:
    return key.sign(options, origin="https://jobsphere.evil.test")


def other_host(key: Authenticator, options: Json) -> Json:
    return key.sign({**options, "rpId": "evil.test"})


def made_up_challenge(key: Authenticator, options: Json) -> Json:
    return key.sign({**options, "challenge": "AAAA"})


def other_type(key: Authenticator, options: Json) -> Json:
    return key.sign(options, type="webauthn.create")


def wrong_signature(key: Authenticator, options: Json) -> Json:
    signed = key.sign(options)
    signed["response"]["signature"] = key.sign(options)["response"]["signature"][:-4] + "AAAA"
    return signed


def unknown_passkey(key: Authenticator, options: Json) -> Json:
    return {**key.sign(options), "id": "AAAA", "rawId": "AAAA"}


def unverified(key: Authenticator, options: Json) -> Json:
    key.verified = False
    return key.sign(options)


FORGERIES: list[Callable[[Authenticator, Json], Json]] = [
    elsewhere,
    other_host,
    made_up_challenge,
    other_type,
    wrong_signature,
    unknown_passkey,
    unverified,
]


async def test_a_forged_answer_is_refused(market: Market) -> None:
    """Guard: `PyWebAuthn.signed` is given the challenge, the origins, the host and the key."""
    party = await market.customer()
    for forge in FORGERIES:
        key = authenticator(market)
        await add_passkey(party, key)
        status, problem = await sign_in(market, forge(key, await request_options(market)))
        expected = "unauthenticated" if forge is made_up_challenge else "wrong_credentials"
        assert (status, problem["code"]) == (401, expected), forge.__name__
        assert not {"access_token", "user"} & problem.keys(), forge.__name__


async def test_a_copied_passkey_is_locked_and_its_owner_told(market: Market) -> None:
    """Guard: the comparison of `sign_count` in `passkey.find_signed`."""
    party, key = await market.customer(), authenticator(market)
    await add_passkey(party, key)
    assert (await sign_in(market, key.sign(await request_options(market))))[0] == 200
    key.count = 0  # as a copy of it counts that was made before
    assert (await sign_in(market, key.sign(await request_options(market))))[0] == 401
    notice = await party.push("/account", "notification", lambda n: "suspect" in n["kind"])
    assert "My key" in notice["title"]
    assert (await sign_in(market, key.sign(await request_options(market))))[0] == 401, "locked"
    [stored] = await market.rows(Passkey)
    assert stored.suspect_at


async def test_a_repeated_answer_does_not_lock_the_passkey(market: Market) -> None:
    """Guard: `challenges.refuse_used` in `passkey._lock`: a response was lost, or a button was
    pressed twice."""
    party, key = await market.customer(), authenticator(market)
    await add_passkey(party, key)
    signed = key.sign(await request_options(market))
    assert [(await sign_in(market, signed))[0] for _ in range(2)] == [200, 401]
    signed = key.sign(await request_options(market))
    answers = await asyncio.gather(*(sign_in(market, signed) for _ in range(3)))
    assert sorted(status for status, _ in answers) == [200, 401, 401]
    [stored] = await market.rows(Passkey)
    assert stored.suspect_at is None
    assert (await sign_in(market, key.sign(await request_options(market))))[0] == 200


async def test_a_passkey_is_added_only_by_whom_it_was_begun(market: Market) -> None:
    """Guard: `challenge.subject` in `passkeys.passkey_add`, and the purpose of challenges."""
    party, other = await market.customer(), await market.contractor()
    options = await party.call("/account", "passkey_begin")
    signing = await request_options(market)
    for challenge in (options["challenge"], signing["challenge"]):
        made = authenticator(market).create({**options, "challenge": challenge})
        with pytest.raises(Refused) as refused:
            await other.call("/account", "passkey_add", {"passkey": made})
        assert refused.value.code == "unauthenticated"
    assert await market.rows(Passkey) == []


async def test_the_number_of_passkeys_is_bounded(market: Market) -> None:
    """Guard: `_check_room` in `passkeys.passkey_add`, also for additions at the same time."""
    party = await market.customer()
    begun = [await party.call("/account", "passkey_begin") for _ in range(2)]
    await market.store.single().change(User, party.id, passkey_count=MOST_PASSKEYS - 1)
    answers = await asyncio.gather(
        *(
            party.http(
                "POST",
                "/api/account/passkey_add",
                {"passkey": authenticator(market).create(options)},
            )
            for options in begun
        )
    )
    assert sorted(status for status, _ in answers) == [200, 409]
    with pytest.raises(Refused) as refused:
        await party.call("/account", "passkey_begin")
    assert refused.value.code == "too_many"


async def test_a_passkey_is_removed_by_its_owner_only(market: Market) -> None:
    """Guard: `user_id` in `passkeys.passkey_remove`; with the last factor go the recovery codes."""
    party, other, key = await market.customer(), await market.customer(), authenticator(market)
    passkey, _ = await add_passkey(party, key)
    path = f"/api/account/passkeys/{passkey['id']}"
    assert (await other.http("DELETE", path))[0] == 404
    assert (await party.http("DELETE", path))[0] == 200
    assert (await sign_in(market, key.sign(await request_options(market))))[0] == 401
    [user] = await market.rows(User, _id=party.id)
    assert not user.has_second_factor
    removed = await party.push("/account", "notification", lambda n: n["kind"] == "passkey_removed")
    assert "My key" in removed["title"]


async def test_another_users_passkey_completes_no_sign_in(market: Market) -> None:
    """Guard: `user_id` in `second_step.use_passkey`."""
    party, other, key = await market.customer(), await market.contractor(), authenticator(market)
    await add_passkey(other, key)
    await set_up(party)
    challenge = await challenge_for(market, party)
    for options in (await request_options(market, challenge), await request_options(market)):
        status, problem = await sign_in(market, key.sign(options), challenge)
        assert (status, problem["code"]) == (401, "wrong_credentials")
