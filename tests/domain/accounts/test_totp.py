"""Codes of an authenticator app as the second factor, and recovery codes."""

import asyncio
import time
from typing import Any

import pyotp
import pytest

from domain.accounts.second_factor import (
    ALPHABET,
    CODES_PER_ACCOUNT,
    GROUP,
    GROUPS,
    MOST_FAILURES,
    RECOVERY_CODES,
    SecondFactor,
    new_recovery_codes,
)
from domain.accounts.sessions import end_all_sessions
from domain.accounts.user import User
from domain.operations.limits import PASSWORDS_PER_ACCOUNT
from server.token_buckets import Rate
from tests.conftest import Server
from tests.domain.accounts.test_revocations import take_redis_away
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.operation_cases import VALUES
from tests.support.parties import PASSWORD, AnonymousClient, Party, Refused

pytestmark = one_server

CODE = "/api/account/login/code"


def code_now(secret: str, steps: int = 0) -> str:
    """The code that an app shows now, or showed `steps` of 30 seconds earlier or later."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


async def set_up(party: Party, before: int = -1) -> tuple[str, list[str]]:
    """The secret and the recovery codes. The code used is of an earlier step by default."""
    begun = await party.call("/account", "totp_begin")
    confirm = {"code": code_now(begun["secret"], before)}
    enabled = await party.call("/account", "totp_confirm", confirm)
    return begun["secret"], enabled["recovery_codes"]


async def log_in(stranger: AnonymousClient, party: Party, password: str = PASSWORD) -> Any:
    fields = {"email": party.email, "password": password}
    return await stranger.http("POST", "/api/account/login", fields)


async def challenge_for(market: Market, party: Party) -> str:
    status, problem = await log_in(market.anonymous_client(), party)
    assert (status, problem["code"]) == (401, "second_factor_required")
    return str(problem["details"]["challenge"])


async def answer(market: Market, challenge: str, code: str) -> tuple[int, Any]:
    fields = {"challenge": challenge, "code": code}
    return await market.anonymous_client().http("POST", CODE, fields)


async def test_a_sign_in_needs_the_code_once_it_is_set_up(market: Market) -> None:
    """Guard: `has_second_factor` in `sign_in.login`, and `second_step.login_code`."""
    party = await market.customer()
    begun = await party.call("/account", "totp_begin")
    assert begun["otpauth_url"].startswith("otpauth://totp/JobSphere:")
    assert (await log_in(market.anonymous_client(), party))[0] == 200, "not confirmed yet"
    confirm = {"code": code_now(begun["secret"], -1)}
    enabled = await party.call("/account", "totp_confirm", confirm)
    assert len(set(enabled["recovery_codes"])) == RECOVERY_CODES
    assert enabled["user"]["totp_enabled"]

    status, problem = await log_in(market.anonymous_client(), party)
    assert (status, problem["code"]) == (401, "second_factor_required")
    assert problem["details"]["methods"] == ["totp", "recovery_code"]
    assert "access_token" not in str(problem)
    status, signed_in = await answer(
        market, problem["details"]["challenge"], code_now(begun["secret"])
    )
    assert (status, signed_in["user"]["id"]) == (200, party.id)
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    assert (await party.http("GET", "/api/account/me", headers=bearer))[0] == 200


async def test_a_wrong_password_says_nothing_about_the_factor(market: Market) -> None:
    """Guard: the order of the checks in `sign_in.login`."""
    party = await market.customer()
    await set_up(party)
    status, problem = await log_in(market.anonymous_client(), party, "not the password")
    assert (status, problem["code"]) == (401, "wrong_credentials")


async def test_a_code_is_accepted_once(market: Market) -> None:
    """Guard: `last_step` in `second_factor.accept_code`; of requests at once, one is signed in."""
    party = await market.customer()
    secret, _ = await set_up(party)
    challenges = [await challenge_for(market, party) for _ in range(3)]
    code = code_now(secret)
    answers = await asyncio.gather(*(answer(market, each, code) for each in challenges))
    assert sorted(status for status, _ in answers) == [200, 401, 401]
    again = await answer(market, await challenge_for(market, party), code)
    assert (again[0], again[1]["code"]) == (401, "wrong_credentials")


async def test_one_step_of_skew_is_accepted(market: Market) -> None:
    """Guard: `SKEW` in `adapters.totp`."""
    party = await market.customer()
    secret, _ = await set_up(party, 1)  # the latest step that is accepted
    for steps, status in ((-2, 401), (-1, 200), (1, 200), (2, 401)):
        await market.store.single().change(SecondFactor, party.id, last_step=0)
        challenge = await challenge_for(market, party)
        if time.time() % 30 > 25:  # the step must not end during the request
            await asyncio.sleep(30 - time.time() % 30)
        assert (await answer(market, challenge, code_now(secret, steps)))[0] == status, steps


async def test_recovery_codes_work_once_each_and_are_renewed(market: Market) -> None:
    """Guard: `_accept_recovery_code` and `keep_recovery_codes` in `second_factor`."""
    party = await market.customer()
    secret, codes = await set_up(party)
    typed = codes[0].upper().replace("-", " ")
    assert (await answer(market, await challenge_for(market, party), typed))[0] == 200
    notice = await party.push("/account", "notification", lambda n: "recovery" in n["kind"])
    assert "9 left" in notice["text"]
    again = await answer(market, await challenge_for(market, party), codes[0])
    assert again[1]["code"] == "wrong_credentials"
    twice = [await challenge_for(market, party) for _ in range(2)]
    answers = await asyncio.gather(*(answer(market, each, codes[1]) for each in twice))
    assert sorted(status for status, _ in answers) == [200, 401]

    renew = {"password": PASSWORD, "code": code_now(secret)}
    fresh = await party.call("/account", "recovery_codes", renew)
    assert len(fresh["recovery_codes"]) == RECOVERY_CODES
    void = await answer(market, await challenge_for(market, party), codes[2])
    assert void[1]["code"] == "wrong_credentials"
    new = fresh["recovery_codes"][0]
    assert (await answer(market, await challenge_for(market, party), new))[0] == 200


def test_recovery_codes_cannot_be_guessed_from_their_digests() -> None:
    """Guard: `new_recovery_codes`: 112 bits or more, as the digests have no salt."""
    assert len(set(ALPHABET)) ** (GROUPS * GROUP) > 2**112
    codes = [code for _ in range(20) for code in new_recovery_codes()]
    assert len(set(codes)) == len(codes)
    assert all(len(code.replace("-", "")) == GROUPS * GROUP for code in codes)


async def test_no_secret_and_no_code_is_stored_in_clear_or_logged(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    """Guard: digests in `keep_recovery_codes`, `UNLOGGED` of the commands and of SecondFactor."""
    party = await market.customer()
    secret, codes = await set_up(party)
    challenge = await challenge_for(market, party)
    await answer(market, challenge, codes[0])
    trail = str(await market.trail())
    for hidden in (secret, challenge, *codes):
        assert hidden not in trail and hidden not in caplog.text
    raw = await market.store.database[SecondFactor.COLLECTION].find_one()
    assert secret not in str(raw), "encrypted at rest"
    [stored] = await market.rows(SecondFactor)
    assert not any(code.replace("-", "") in str(stored) for code in codes)


async def test_switching_off_needs_password_and_code_and_is_mailed(market: Market) -> None:
    """Guard: `verify_password` and `accept_code` in `totp.totp_disable`, and its `announce`."""
    party = await market.customer()
    secret, codes = await set_up(party)
    for wrong in (
        {"password": "not the password", "code": code_now(secret)},
        {"password": PASSWORD, "code": "abcdefgh"},
    ):
        with pytest.raises(Refused) as refused:
            await party.call("/account", "totp_disable", wrong)
        assert refused.value.code == "wrong_credentials"
    right = {"password": PASSWORD, "code": code_now(secret)}
    assert not (await party.call("/account", "totp_disable", right))["totp_enabled"]
    assert await party.push("/account", "notification", lambda n: n["kind"] == "totp_disabled")
    assert (await log_in(market.anonymous_client(), party))[0] == 200
    assert await market.rows(SecondFactor) == []
    again = await answer(market, "none", codes[0])
    assert again[1]["code"] == "unauthenticated"


async def test_a_confirmed_secret_is_not_replaced(market: Market) -> None:
    """Guard: the check of `totp_enabled` in `totp.totp_begin` and `totp_confirm`."""
    party = await market.customer()
    secret, _ = await set_up(party)
    for name, fields in (("totp_begin", {}), ("totp_confirm", {"code": code_now(secret)})):
        with pytest.raises(Refused) as refused:
            await party.call("/account", name, fields)
        assert refused.value.code == "conflict"


async def test_a_wrong_first_code_changes_nothing(market: Market) -> None:
    """Guard: `totp.step` in `totp.totp_confirm`."""
    party = await market.customer()
    begun = await party.call("/account", "totp_begin")
    wrong = {"code": code_now(begun["secret"], 10)}
    with pytest.raises(Refused) as refused:
        await party.call("/account", "totp_confirm", wrong)
    assert refused.value.code == "wrong_credentials"
    [user] = await market.rows(User)
    assert not user.totp_enabled


@own_server
async def test_guesses_are_limited_and_told_and_do_not_lock_the_owner_out(
    market: Market, server: Server
) -> None:
    """Guard: `CODES_PER_ACCOUNT`, counted by the challenge's account; `count_wrong_codes`; and
    MOST_FAILURES in `second_factor.accept_code`, which leaves recovery codes."""
    party = await market.customer()
    secret, codes = await set_up(party)
    guesses = [
        (await answer(market, await challenge_for(market, party), f"{guess:06}"))[1]["code"]
        for guess in range(10)
    ]
    assert guesses == ["wrong_credentials"] * 10
    notice = await party.push("/account", "notification", lambda n: "guessed" in n["kind"])
    assert "5 wrong codes" in notice["text"]
    server.web.rates._rates[PASSWORDS_PER_ACCOUNT] = Rate(10_000, 1)
    status, problem = await answer(market, await challenge_for(market, party), "000000")
    assert (status, problem["code"]) == (429, "rate_limited")

    server.web.rates._rates[CODES_PER_ACCOUNT] = Rate(10_000, 1)
    await market.store.single().change(SecondFactor, party.id, failures=MOST_FAILURES)
    locked = await answer(market, await challenge_for(market, party), code_now(secret))
    assert (locked[0], "recovery code" in locked[1]["title"]) == (401, True)
    assert (await answer(market, await challenge_for(market, party), codes[0]))[0] == 200
    assert (await answer(market, await challenge_for(market, party), code_now(secret)))[0] == 200


async def test_the_first_code_is_not_guessed(market: Market) -> None:
    """Guard: `CODES_PER_ACCOUNT` of `totp.totp_confirm`: the owner may have begun and left it at
    that, and a thief of the session would get the recovery codes."""
    party = await market.customer()
    await party.call("/account", "totp_begin")
    codes = []
    for guess in range(11):
        with pytest.raises(Refused) as refused:
            await party.call("/account", "totp_confirm", {"code": f"{guess:06}"})
        codes.append(refused.value.code)
    assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]


@own_server
async def test_recovery_codes_are_shown_although_redis_is_away(
    market: Market, server: Server
) -> None:
    """Guard: `second_factor.lift_limit`, after the commit: they are shown once."""
    party = await market.customer()
    begun = await party.call("/account", "totp_begin")
    await take_redis_away(server)
    confirm = {"code": code_now(begun["secret"])}
    enabled = await party.call("/account", "totp_confirm", confirm)
    assert len(enabled["recovery_codes"]) == RECOVERY_CODES


@own_server
async def test_guesses_in_a_signed_in_session_are_told_and_limited(
    market: Market, server: Server
) -> None:
    """Guard: `count_wrong_codes` in `step_up.step_up`, `totp.totp_disable` and
    `totp.recovery_codes`; a sign-in unlocks the session, whose owner may be the victim."""
    party = await market.customer()
    secret, _ = await set_up(party)
    wrong = {"password": PASSWORD, "code": "000000"}
    for name in ("step_up", "totp_disable", "recovery_codes", "step_up", "step_up"):
        with pytest.raises(Refused) as refused:
            await party.call("/account", name, wrong)
        assert refused.value.code == "wrong_credentials"
    notice = await party.push("/account", "notification", lambda n: "guessed" in n["kind"])
    assert "5 wrong codes" in notice["text"]

    server.web.rates._rates[CODES_PER_ACCOUNT] = Rate(10_000, 1)
    await market.store.single().change(SecondFactor, party.id, session_failures=MOST_FAILURES)
    right = {"password": PASSWORD, "code": code_now(secret)}
    with pytest.raises(Refused) as refused:
        await party.call("/account", "step_up", right)
    assert "recovery code" in str(refused.value)
    assert (await answer(market, await challenge_for(market, party), code_now(secret)))[0] == 200
    right["code"] = code_now(secret, 1)
    assert (await party.call("/account", "step_up", right))["step_up_until"]


# -- challenges ----------------------------------------------------------------------------------


async def test_a_challenge_is_no_token_and_no_token_is_a_challenge(market: Market) -> None:
    """Guard: the type and the purpose of tokens in `jwt_tokens.AccessTokens.read`."""
    party = await market.customer()
    secret, _ = await set_up(party)
    challenge = await challenge_for(market, party)
    headers = {"Authorization": f"Bearer {challenge}"}
    status, problem = await party.http("GET", "/api/account/me", headers=headers)
    assert (status, problem["code"]) == (401, "unauthenticated")
    with pytest.raises(Refused) as refused:
        await party.connect(token=challenge)
    assert refused.value.code == "unauthenticated"
    _, options = await market.anonymous_client().http("POST", "/api/account/passkey_options", {})
    for other in (party.token or "", challenge[:-2] + "AA", options["challenge"], "none"):
        status, problem = await answer(market, other, code_now(secret))
        assert (status, problem["code"]) == (401, "unauthenticated"), other


async def test_a_challenge_is_used_once_and_by_its_own_account(market: Market) -> None:
    """Guard: `challenges.use_up` and `challenge.subject` in `second_step.login_code`."""
    party, other = await market.customer(), await market.contractor()
    secret, codes = await set_up(party)
    _, others = await set_up(other)
    challenge = await challenge_for(market, party)
    stolen = await answer(market, challenge, others[0])
    assert stolen[1]["code"] == "wrong_credentials"
    assert (await answer(market, challenge, "000 000"))[1]["code"] == "wrong_credentials"
    assert (await answer(market, challenge, code_now(secret)))[0] == 200, "a slip is forgiven"
    assert (await answer(market, challenge, codes[0]))[1]["code"] == "unauthenticated"


async def test_a_banned_user_is_refused_at_the_second_step(market: Market) -> None:
    """Guard: `banned_at` in `second_step._signing_in`."""
    party, admin = await market.customer(), await market.admin()
    _, codes = await set_up(party)
    challenge = await challenge_for(market, party)
    await admin.call("/admin", "ban", {"user_id": party.id, "reason": "Stolen cards"})
    status, problem = await answer(market, challenge, codes[0])
    assert (status, problem["code"]) == (403, "banned")


async def test_a_challenge_ends_with_the_sessions(market: Market) -> None:
    """Guard: `generation` of challenges; without it an old password outlives a new one."""
    party = await market.customer()
    _, codes = await set_up(party)
    challenge = await challenge_for(market, party)
    await market.store.transact(lambda uow: end_all_sessions(uow, party.id))
    for path, fields in (
        (CODE, {"challenge": challenge, "code": codes[0]}),
        ("/api/account/passkey_login", {"challenge": challenge, "passkey": VALUES["passkey"]}),
    ):
        status, problem = await market.anonymous_client().http("POST", path, fields)
        assert (status, problem["code"]) == (401, "unauthenticated")
    fresh = await challenge_for(market, party)
    assert (await answer(market, fresh, codes[0]))[0] == 200
