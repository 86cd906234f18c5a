"""Step-up before commands that matter, and the second factor that administrators need."""

import re
from collections.abc import AsyncIterator

import msgspec
import pytest

from domain.accounts.passkey import Passkey
from domain.accounts.second_factor import SecondFactor, reset_second_factors
from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.operations.audit_log import AuditEntry
from handlers import NAMESPACES
from server.config import load
from server.dev.run import _defaults
from tests.conftest import Installation, Server
from tests.domain.accounts.test_passkeys import add_passkey, authenticator, request_options
from tests.domain.accounts.test_totp import answer, challenge_for, code_now, log_in, set_up
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.parties import PASSWORD, Json, Party, Refused
from tests.support.processes import Processes

ADJUSTMENT = {"user_id": "usr_none", "amount": 1000, "currency": "USD", "reason": "A correction"}


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """As in production: a second factor is demanded."""
    env = {**installation.env, "REQUIRE_SECOND_FACTOR": "on"}
    return msgspec.structs.replace(installation, env=env, settings=load(env))


@pytest.fixture
async def admin(market: Market) -> AsyncIterator[Party]:
    """An administrator without a second factor, who has not signed in."""
    yield await market.join(Role.ADMIN, "Ada Admin", connect=False)


async def signed_in(market: Market, admin: Party) -> Party:
    """The party with the tokens of a real sign-in."""
    status, answered = await log_in(market.anonymous_client(), admin)
    assert status == 200
    admin.token, admin.refresh_token = answered["access_token"], answered["refresh_token"]
    return admin


async def refreshed(party: Party) -> Party:
    fields = {"refresh_token": party.refresh_token}
    status, pair = await party.http("POST", "/api/account/refresh", fields)
    assert status == 200
    party.token, party.refresh_token = pair["access_token"], pair["refresh_token"]
    return party


async def set_up_by_http(party: Party) -> tuple[str, list[str]]:
    _, begun = await party.http("POST", "/api/account/totp_begin", {})
    confirm = {"code": code_now(begun["secret"], -1)}
    status, enabled = await party.http("POST", "/api/account/totp_confirm", confirm)
    assert status == 200
    return begun["secret"], enabled["recovery_codes"]


async def code_of(party: Party, name: str, fields: Json) -> str:
    answered = await party.ack("/admin", name, fields)
    return "ok" if answered["ok"] else str(answered["error"]["code"])


# -- administrators need a second factor -----------------------------------------------------------


async def test_an_administrator_without_one_can_only_set_it_up(
    market: Market, admin: Party
) -> None:
    """Guard: `limited` of `start_session`, `Operation.admit` and `Realtime._admit`."""
    _, answered = await log_in(market.anonymous_client(), admin)
    assert answered["second_factor_setup_required"] is True
    await signed_in(market, admin)
    for method, path, body in (
        ("GET", "/api/admin/users", None),
        ("POST", "/api/admin/users/usr_1/freeze", {"reason": "Because"}),
        ("GET", "/api/account/feed?since=0", None),
        ("GET", "/api/admin/commissions.csv?start=2026-01-01T00:00:00Z", None),
        ("GET", "/api/files/file_1", None),
    ):
        status, problem = await admin.http(method, path, body)
        assert (status, problem["code"]) == (403, "second_factor_setup_required"), path
    for namespace in ("/admin", "/account"):
        with pytest.raises(Refused) as refused:
            await admin.connect(namespaces=[namespace])
        assert refused.value.code == "second_factor_setup_required"
    assert (await admin.http("GET", "/api/account/me"))[0] == 200
    await refreshed(admin)
    assert (await admin.http("GET", "/api/admin/users"))[0] == 403, "still limited"

    await set_up_by_http(admin)
    await refreshed(admin)
    assert (await admin.http("GET", "/api/admin/users"))[0] == 200
    assert await (await admin.connect()).call("/admin", "users")


async def test_a_limited_session_reaches_no_other_operation(market: Market, admin: Party) -> None:
    """Guard: `during_setup`; a new operation is refused unless it is named here."""
    await signed_in(market, admin)
    allowed, wrong = set(), []
    for namespace in NAMESPACES:
        for exposed in namespace.exposed:
            op, route = exposed.operation, exposed.route
            if op.during_setup:
                allowed.add(op.name)
            elif route and Role.ADMIN in op.roles:
                path = re.sub(r"{\w+}", "x", route.path)
                status, problem = await admin.http(route.method, path)
                if (status, problem["code"]) != (403, "second_factor_setup_required"):
                    wrong.append((op.name, status, problem))
    assert wrong == []
    assert allowed == {
        "account.me",
        "account.logout",
        "account.totp_begin",
        "account.totp_confirm",
        "account.passkey_begin",
        "account.passkey_add",
        "account.passkeys",
        "account.step_up",
    }


async def test_a_passkey_fulfils_it_too(market: Market, admin: Party) -> None:
    """Guard: `lift_limit` in `passkeys.passkey_add`."""
    await signed_in(market, admin)
    _, options = await admin.http("POST", "/api/account/passkey_begin", {})
    made = {"passkey": authenticator(market).create(options)}
    assert (await admin.http("POST", "/api/account/passkey_add", made))[0] == 200
    await refreshed(admin)
    assert (await admin.http("GET", "/api/admin/users"))[0] == 200


async def test_a_stolen_password_adds_no_factor_beside_the_owners(
    market: Market, admin: Party
) -> None:
    """Guard: `may_set_up`; a limited session of a thief stays limited, and adds nothing."""
    _, thief = await log_in(market.anonymous_client(), admin)
    headers = {"Authorization": f"Bearer {thief['access_token']}"}
    _, begun = await admin.http("POST", "/api/account/passkey_begin", {}, headers=headers)
    await signed_in(market, admin)
    await set_up_by_http(admin)
    made = {"passkey": authenticator(market).create(begun)}
    for path, body in (("passkey_add", made), ("passkey_begin", {}), ("totp_begin", {})):
        status, _ = await admin.http("POST", f"/api/account/{path}", body, headers=headers)
        assert status in (401, 409), path
    fields = {"refresh_token": thief["refresh_token"]}
    _, pair = await admin.http("POST", "/api/account/refresh", fields)
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    assert (await admin.http("GET", "/api/admin/users", headers=headers))[0] == 403


async def test_an_administrator_keeps_the_last_factor(market: Market, admin: Party) -> None:
    """Guard: `must_keep_one` in `totp_disable` and `passkey_remove`."""
    await signed_in(market, admin)
    _, codes = await set_up_by_http(admin)
    await (await refreshed(admin)).connect()
    with pytest.raises(Refused) as refused:
        await admin.call("/account", "totp_disable", {"password": PASSWORD, "code": codes[0]})
    assert refused.value.code == "conflict"
    passkey, _ = await add_passkey(admin, authenticator(market))
    await admin.call("/account", "totp_disable", {"password": PASSWORD, "code": codes[0]})
    with pytest.raises(Refused) as refused:
        await admin.call("/account", "passkey_remove", {"passkey_id": passkey["id"]})
    assert refused.value.code == "conflict"


async def test_an_older_session_of_an_administrator_ends_at_its_refresh(
    market: Market, admin: Party
) -> None:
    """Guard: `_lacks_second_factor` in `sign_in.refresh`, when the demand is switched on later."""
    fields = {"refresh_token": admin.refresh_token}
    status, problem = await admin.http("POST", "/api/account/refresh", fields)
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert (await admin.http("GET", "/api/admin/users"))[0] == 401


async def test_customers_and_contractors_sign_in_without_one(market: Market) -> None:
    """Guard: the role in `start_session`."""
    for party in (await market.customer(), await market.contractor()):
        status, answered = await log_in(market.anonymous_client(), party)
        assert (status, answered["second_factor_setup_required"]) == (200, False)


# -- step-up ---------------------------------------------------------------------------------------


async def test_money_commands_of_administrators_ask_for_a_step_up(
    market: Market, admin: Party
) -> None:
    """Guard: `step_up.StepUpCheck`, and that a confirmation belongs to one session."""
    await signed_in(market, admin)
    secret, codes = await set_up_by_http(admin)
    await (await refreshed(admin)).connect()
    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"
    status, problem = await admin.http("POST", "/api/admin/users/usr_none/adjust", ADJUSTMENT)
    assert (status, problem["code"]) == (403, "step_up_required")
    assert problem["details"]["methods"] == ["password", "code"]
    for wrong, code in (
        ({}, "invalid"),
        ({"password": PASSWORD}, "invalid"),
        ({"code": codes[0]}, "invalid"),
        ({"password": "not the password", "code": codes[0]}, "wrong_credentials"),
        ({"password": PASSWORD, "code": "999 999 9"}, "wrong_credentials"),
    ):
        with pytest.raises(Refused) as refused:
            await admin.call("/account", "step_up", wrong)
        assert refused.value.code == code, wrong
    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"

    right = {"password": PASSWORD, "code": code_now(secret)}
    assert (await admin.call("/account", "step_up", right))["step_up_until"]
    assert await code_of(admin, "adjust", ADJUSTMENT) == "not_found"
    other = await market.sign_in(admin.user)
    assert await code_of(other, "adjust", ADJUSTMENT) == "step_up_required"


async def test_a_passkey_steps_up_alone(market: Market, admin: Party) -> None:
    """Guard: `verified` and `user_id` in `step_up.step_up`."""
    await signed_in(market, admin)
    _, options = await admin.http("POST", "/api/account/passkey_begin", {})
    key, weak = authenticator(market), authenticator(market, verified=False)
    await admin.http("POST", "/api/account/passkey_add", {"passkey": key.create(options)})
    await (await refreshed(admin)).connect()
    await add_passkey(admin, weak)
    stranger, strange = await market.customer(), authenticator(market)
    await add_passkey(stranger, strange)
    for other in (weak, strange):
        signed = other.sign(await request_options(market))
        with pytest.raises(Refused) as refused:
            await admin.call("/account", "step_up", {"passkey": signed})
        assert refused.value.code == "wrong_credentials"
    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"
    signed = key.sign(await request_options(market))
    await admin.call("/account", "step_up", {"passkey": signed})
    assert await code_of(admin, "adjust", ADJUSTMENT) == "not_found"


async def test_a_step_up_ends_and_is_asked_again_when_it_is_lost(
    market: Market, server: Server, admin: Party
) -> None:
    """Guard: `stepped_up_until` in `StepUpCheck.check`: a past or missing one asks again."""
    await signed_in(market, admin)
    await set_up_by_http(admin)
    await (await refreshed(admin)).connect()
    session = admin.refresh_token.partition(".")[0]
    sessions, now = server.web.sessions, market.store.clock.now()
    await sessions.step_up(session, now.replace(year=now.year + 1))
    assert await code_of(admin, "adjust", ADJUSTMENT) == "not_found"
    await sessions.step_up(session, now)
    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"
    await sessions.step_up("ses_ended", now)
    assert not await sessions.alive("ses_ended")


async def test_a_new_way_to_sign_in_asks_again_later(market: Market, server: Server) -> None:
    """Guard: `CREDENTIALS` in `StepUpCheck`: shortly after the sign-in nothing is asked."""
    party = await market.customer()
    begun = await party.call("/account", "passkey_begin")
    assert begun["challenge"]
    session = party.refresh_token.partition(".")[0]
    key = server.web.sessions._key(session)
    await server.web.redis.hset(key, "created", "2026-01-01T00:00:00+00:00")
    for name in ("passkey_begin", "totp_begin"):
        with pytest.raises(Refused) as refused:
            await party.call("/account", name)
        assert refused.value.code == "step_up_required"
        assert refused.value.details["methods"] == ["password"]
    await party.call("/account", "step_up", {"password": PASSWORD})
    assert await party.call("/account", "totp_begin")


async def test_a_withdrawal_to_a_changed_bank_account_asks(
    market: Market, completed_work: JobInProgress
) -> None:
    """Guard: `bank_changed_at` in `account_state.store_account_state` and in `StepUpCheck`."""
    contractor = completed_work.contractor
    await contractor.call("/wallet", "withdraw", {"amount": 100})
    link = await contractor.call("/account", "onboard")
    await market.sandbox.fill_in_onboarding(link["url"], contractor.name, "usd")
    await market.settled()
    [user] = await market.rows(User, _id=contractor.id)
    assert user.bank_changed_at
    with pytest.raises(Refused) as refused:
        await contractor.call("/wallet", "withdraw", {"amount": 100})
    assert refused.value.code == "step_up_required"
    await contractor.call("/account", "step_up", {"password": PASSWORD})
    await contractor.call("/wallet", "withdraw", {"amount": 100})
    other = await market.sign_in(contractor.user)
    assert await other.call("/wallet", "withdraw", {"amount": 100}), "it is known now"


# -- reset -----------------------------------------------------------------------------------------


async def test_a_reset_removes_all_factors_and_ends_the_sessions(
    market: Market, server: Server, admin: Party
) -> None:
    """Guard: `second_factor.reset_second_factors`, for a person who lost everything."""
    await signed_in(market, admin)
    await set_up_by_http(admin)
    await (await refreshed(admin)).connect()
    await add_passkey(admin, authenticator(market))
    challenge = await challenge_for(market, admin)
    entry = AuditEntry(operation="cli.reset_second_factors", fields={})
    user = await reset_second_factors(server.ports, admin.id, entry)
    assert not user.has_second_factor
    await admin.wait_until_disconnected()
    assert await market.rows(SecondFactor) == await market.rows(Passkey) == []
    [row] = await market.trail(operation="cli.reset_second_factors")
    assert admin.id in row.subjects
    status, _ = await answer(market, challenge, "000000")
    assert status == 401
    _, answered = await log_in(market.anonymous_client(), admin)
    assert answered["second_factor_setup_required"]


async def test_under_dev_only_those_with_a_factor_are_asked(market: Market, server: Server) -> None:
    """Guard: `StepUpCheck._asks`; a program that plays a story under `server dev` needs nothing."""
    server.web.ports.step_up._demands = msgspec.structs.replace(
        server.web.ports.demands, second_factor=False
    )
    admin = await market.admin()
    assert await code_of(admin, "adjust", ADJUSTMENT) == "not_found"
    await set_up(admin)
    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"


# -- several processes -----------------------------------------------------------------------------


async def test_second_factors_work_across_processes_and_without_redis(
    isolated_processes: Processes,
) -> None:
    """Guard: `UsedChallenge` and `last_step` in MongoDB, and step-ups beside the session in Redis;
    while Redis is away the answer is `unavailable`. Guard: the warning in `Container.start`."""
    redis = await isolated_processes.redis()
    one = await isolated_processes.web()
    two = await isolated_processes.web(REQUIRE_SECOND_FACTOR="off")  # the admin has one anyway
    warning = "REQUIRE_SECOND_FACTOR is off"
    assert [warning in each.log.read_text() for each in (one, two)] == [False, True]
    assert _defaults({})["REQUIRE_SECOND_FACTOR"] == "off", "under `server dev`"
    market = isolated_processes.market
    admin = await market.admin(url=one.url)
    secret, codes = await set_up(admin)
    stranger, other = market.anonymous_client(one.url), market.anonymous_client(two.url)
    _, problem = await log_in(stranger, admin)
    challenge = problem["details"]["challenge"]
    fields = {"challenge": challenge, "code": code_now(secret)}
    assert (await other.http("POST", "/api/account/login/code", fields))[0] == 200
    assert (await stranger.http("POST", "/api/account/login/code", fields))[0] == 401
    _, problem = await log_in(stranger, admin)
    fields = {"challenge": problem["details"]["challenge"], "code": fields["code"]}
    assert (await stranger.http("POST", "/api/account/login/code", fields))[0] == 401

    assert await code_of(admin, "adjust", ADJUSTMENT) == "step_up_required"
    await admin.call("/account", "step_up", {"password": PASSWORD, "code": codes[0]})
    path = "/api/admin/users/usr_none/adjust"
    assert (await admin.http("POST", path, ADJUSTMENT, url=two.url))[1]["code"] == "not_found"

    await redis.kill()
    status, problem = await admin.http("POST", path, ADJUSTMENT, url=two.url)
    assert (status, problem["code"]) == (503, "unavailable")
    assert (await other.http("POST", "/api/account/passkey_options", {}))[0] == 200
