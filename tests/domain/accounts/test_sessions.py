"""Sessions: access tokens, refresh tokens, expiry, logout, and the list of devices."""

import asyncio
import base64
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from domain.ports.sessions import ACCESS_LIFE, LONGEST_SESSION, REFRESH_REPEATED, Tokens
from server.adapters.field_cipher import AesGcmFieldCipher
from server.adapters.jwt_tokens import ACCESS, AUDIENCE, ISSUER, AccessTokens
from server.config import SecretKey
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD, AnonymousClient, Party, Refused
from tests.support.processes import Processes

pytestmark = one_server


class SlowClock:
    """A clock that is behind by a fixed time: tokens issued with it expire earlier."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return datetime.now(UTC) - self.by


def token_that_expires_soon(market: Market, party: Party, seconds: float = 2) -> str:
    """A valid token of the party's session that expires in about `seconds`."""
    clock = SlowClock(ACCESS_LIFE - timedelta(seconds=seconds))
    tokens = AccessTokens(market.settings.jwt_keys, clock)
    return tokens.sign(party.id, party.role, session_of(party))[0]


def session_of(party: Party) -> str:
    return party.refresh_token.partition(".")[0]


async def same_session(market: Market, party: Party, url: str, token: str = "") -> Party:
    """Another connection of the same session."""
    tokens = Tokens(token or party.token or "", party.refresh_token, datetime.now(UTC))
    other = Party(market.web, url, party.user, tokens)
    market.parties.append(other)
    return await other.connect()


async def refused_code(party: Party, **options: Any) -> str:
    with pytest.raises(Refused) as refused:
        await party.connect(**options)
    return refused.value.code


# -- tokens ------------------------------------------------------------------------------------


FORGERIES = {
    "another key": {"key": b"another key, of forty-eight bytes, for every hash"},
    "no signature": {"algorithm": "none"},
    "another algorithm": {"algorithm": "HS384"},
    "an unknown kid": {"kid": "unknown"},
    "no kid": {"kid": None},
    "another issuer": {"iss": "another"},
    "another audience": {"aud": "somewhere"},
    "another type": {"typ": "refresh"},
    "no type": {"typ": None},
    "no expiry": {"exp": None},
    "no issuer": {"iss": None},
    "no audience": {"aud": None},
    "no subject": {"sub": None},
    "no session": {"sid": None},
    "an unknown role": {"role": "owner"},
    "no text as session": {"sid": 7},
    "no number as generation": {"gen": "1"},
    "a limit that is no truth": {"lim": "no"},
    "an ended session": {"sid": "ses_000000000000000000000000"},
}


def forge_token(market: Market, party: Party, changed: dict[str, Any]) -> str:
    """A token with the party's claims and some changed; None leaves a claim out."""
    key = market.settings.jwt_keys[0]
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "typ": ACCESS,
        "sub": party.id,
        "role": str(party.role),
        "sid": session_of(party),
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "kid": key.kid,
        "key": key.secret,
        "algorithm": "HS256",
        **changed,
    }
    kid, secret, algorithm = claims.pop("kid"), claims.pop("key"), claims.pop("algorithm")
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        "" if algorithm == "none" else secret,
        algorithm,
        headers={"kid": kid} if kid else {},
    )


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_forged_token_is_refused(market: Market) -> None:
    """Fails without `algorithms=[ALGORITHM]`, the issuer, the audience, the `typ` check, the
    required claims, the lookup by `kid`, or `Authenticator.alive`."""
    party = await market.customer(connect=False)
    own = {"Authorization": f"Bearer {forge_token(market, party, {})}"}
    assert (await party.http("GET", "/api/account/me", headers=own))[0] == 200
    for name, changed in FORGERIES.items():
        token = forge_token(market, party, changed)
        headers = {"Authorization": f"Bearer {token}"}
        status, problem = await party.http("GET", "/api/account/me", headers=headers)
        assert (status, problem["code"]) == (401, "unauthenticated"), name
        code = await refused_code(party, token=token, namespaces=["/account"])
        assert code == "unauthenticated", name


async def test_a_malformed_token_is_refused(market: Market) -> None:
    """Fails without the `except` branches of AccessTokens.verify (the answer is `internal`)."""
    party = await market.customer(connect=False)
    for token in ("", "nonsense", "a.b.c", "x" * 5000):
        headers = {"Authorization": f"Bearer {token}"}
        status, problem = await party.http("GET", "/api/account/me", headers=headers)
        assert (status, problem["code"]) == (401, "unauthenticated"), token
        party.token = token
        assert await refused_code(party) == "unauthenticated", token


async def test_an_expired_token_is_reported_as_expired(market: Market) -> None:
    """Fails without the ExpiredSignatureError branch of AccessTokens.verify."""
    party = await market.customer(connect=False)
    token = token_that_expires_soon(market, party, seconds=-60)
    headers = {"Authorization": f"Bearer {token}"}
    status, problem = await party.http("GET", "/api/account/me", headers=headers)
    assert (status, problem["code"]) == (401, "token_expired")
    assert await refused_code(party, token=token) == "token_expired"


@both_paths
async def test_the_admin_namespace_is_refused_to_others(market: Market) -> None:
    """Fails without the `namespace == ADMIN` guard in Realtime._admit."""
    assert (await market.admin()).connected("/admin")
    customer = await market.customer(connect=False)
    assert await refused_code(customer, namespaces=["/admin"]) == "forbidden"


@both_paths
async def test_sockets_close_when_the_token_expires(market: Market) -> None:
    """Fails without `session_registry._timer_fired`."""
    party = await market.customer(connect=False)
    await party.connect(token=token_that_expires_soon(market, party))
    assert party.connected()
    for namespace in party.namespaces:
        await party.wait_until_disconnected(namespace)
    push = await party.pushed("/account", "session.revoked")
    assert (push.data["reason"], push.seq) == ("expired", None)


# -- refreshing --------------------------------------------------------------------------------


async def refresh(party: Party, token: str) -> tuple[int, Any]:
    return await party.http("POST", "/api/account/refresh", {"refresh_token": token})


@own_server
@both_paths
async def test_a_reused_refresh_token_ends_the_family(market: Market, server: Server) -> None:
    """Fails without the `reused` branch of ROTATE, or `end_session` in `sign_in.refresh`."""
    party = await market.customer()
    other = await market.sign_in(party.user)
    status, pair = await refresh(party, party.refresh_token)
    assert status == 200 and pair["refresh_token"] != party.refresh_token
    party.token = pair["access_token"]
    assert (await party.http("GET", "/api/account/me"))[0] == 200
    assert party.connected()

    server.web.sessions._clock = SlowClock(-REFRESH_REPEATED - timedelta(seconds=1))
    status, problem = await refresh(party, party.refresh_token)
    assert (status, problem["code"]) == (401, "unauthenticated")
    for namespace in party.namespaces:
        await party.wait_until_disconnected(namespace)
    assert (await party.push("/account", "session.revoked"))["reason"] == "revoked"
    assert (await party.http("GET", "/api/account/me"))[0] == 401
    assert (await refresh(party, pair["refresh_token"]))[0] == 401
    assert other.connected(), "another device of the same user is another family"


@own_server
async def test_a_session_has_a_longest_life(market: Market, server: Server) -> None:
    """Guard: `left` in ROTATE: refreshing again and again does not extend it for ever."""
    user = await market.customer(connect=False)
    sessions = server.web.sessions
    sessions._clock = SlowClock(timedelta(hours=1) - LONGEST_SESSION)
    status, pair = await refresh(user, user.refresh_token)
    assert status == 200
    key = sessions._key(session_of(user))
    assert (
        timedelta() < timedelta(milliseconds=await sessions._redis.pttl(key)) <= timedelta(hours=1)
    )
    sessions._clock = SlowClock(timedelta(hours=-1) - LONGEST_SESSION)
    status, problem = await refresh(user, pair["refresh_token"])
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert await sessions._redis.exists(key) == 0


async def test_simultaneous_refreshes_get_the_same_pair(market: Market) -> None:
    """Fails when ROTATE is not atomic in Redis, or without its `successor`. Guard: `issued` in
    `RedisSessions.rotate`; without it the access tokens differ."""
    party = await market.customer(connect=False)
    answers = await asyncio.gather(*(refresh(party, party.refresh_token) for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    pair = answers[0][1]
    assert all(again == pair for _, again in answers)
    assert (await refresh(party, pair["refresh_token"]))[0] == 200


@own_server
@both_paths
async def test_a_refresh_is_repeated_after_a_lost_answer(market: Market, server: Server) -> None:
    """Guard: REFRESH_REPEATED in ROTATE. The last repetition is a moment before it is over."""
    party = await market.customer(connect=False)
    first = await refresh(party, party.refresh_token)
    assert first[0] == 200
    tab = await same_session(market, party, party.url, first[1]["access_token"])
    body = {"refresh_token": party.refresh_token}
    assert await tab.call("/account", "refresh", body) == first[1]
    server.web.sessions._clock = SlowClock(-REFRESH_REPEATED + timedelta(seconds=10))
    assert await refresh(party, party.refresh_token) == first
    party.token = first[1]["access_token"]
    assert (await party.http("GET", "/api/account/me"))[0] == 200


async def test_a_token_before_the_last_one_is_reused_even_at_once(market: Market) -> None:
    """Guard: `previous` in ROTATE: a client that has the successor has shown that it arrived."""
    party = await market.customer(connect=False)
    _, second = await refresh(party, party.refresh_token)
    _, third = await refresh(party, second["refresh_token"])
    assert await refresh(party, second["refresh_token"]) == (200, third)
    assert (await refresh(party, party.refresh_token))[0] == 401
    assert (await refresh(party, third["refresh_token"]))[0] == 401


async def test_redis_holds_no_usable_refresh_token(market: Market) -> None:
    """Guard: `_encrypt` and `_digest` in `redis_sessions`."""
    party = await market.customer(connect=False)
    _, pair = await refresh(party, party.refresh_token)
    row = await market._redis.hgetall(market.sessions._key(session_of(party)))
    secrets = [token.partition(".")[2] for token in (party.refresh_token, pair["refresh_token"])]
    for secret in secrets:
        raw = base64.urlsafe_b64decode(f"{secret}=")
        assert not {secret.encode(), raw, raw.hex().encode()} & set(row.values())


@own_server
async def test_two_processes_give_the_same_pair(processes: Processes) -> None:
    """Guard: the successor is in Redis and not in a process; a true reuse ends it on both."""
    one, two = await processes.web(), await processes.web()
    market = processes.market
    party = await market.customer(url=one.url)
    body = {"refresh_token": party.refresh_token}
    answers = await asyncio.gather(
        *(party.http("POST", "/api/account/refresh", body, url=each.url) for each in (one, two) * 3)
    )
    assert {status for status, _ in answers} == {200}
    assert all(pair == answers[0][1] for _, pair in answers)

    market.sessions._clock = SlowClock(REFRESH_REPEATED + timedelta(seconds=1))
    earlier = await market.sessions.rotate(answers[0][1]["refresh_token"])
    body = {"refresh_token": answers[0][1]["refresh_token"]}
    assert (await party.http("POST", "/api/account/refresh", body, url=two.url))[0] == 401
    await party.wait_until_disconnected()
    body = {"refresh_token": earlier.tokens.refresh_token}
    assert (await party.http("POST", "/api/account/refresh", body, url=one.url))[0] == 401


async def test_an_unknown_refresh_token_is_refused(market: Market) -> None:
    """Fails without the `gone` branch of ROTATE."""
    for token in ("", "ses_x", "ses_x.y", ".", "a.b.c"):
        status, problem = await market.anonymous_client().http(
            "POST", "/api/account/refresh", {"refresh_token": token}
        )
        assert (status, problem["code"]) == (401, "unauthenticated"), token


async def test_a_wrong_secret_ends_only_a_known_session(market: Market) -> None:
    """Fails when ROTATE does not compare the digest."""
    party = await market.customer(connect=False)
    assert (await refresh(party, f"{session_of(party)}.wrong"))[0] == 401
    assert (await party.http("GET", "/api/account/me"))[0] == 401


@own_server
async def test_refresh_extends_the_sockets_in_place_on_all_processes(
    processes: Processes,
) -> None:
    """Fails without the `extended` announcement in RedisSessions, SessionEvents.publish,
    or the `extended` branch of Realtime.on_session_event."""
    one, two = await processes.web(), await processes.web(REALTIME="stock")
    market = processes.market
    party = await market.customer(url=one.url, connect=False)
    token = token_that_expires_soon(market, party, seconds=4)
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    await party.connect(token=token)
    elsewhere = await same_session(market, party, two.url, token)
    unextended = await market.customer(url=two.url, connect=False)
    await unextended.connect(
        token=token_that_expires_soon(market, unextended, seconds=expires - time.time())
    )

    pair = await party.call("/account", "refresh", {"refresh_token": party.refresh_token})
    assert pair["expires_at"] > datetime.fromtimestamp(expires, UTC).isoformat()
    # The others would be disconnected at the same moment.
    await unextended.wait_until_disconnected(seconds=10)
    await asyncio.sleep(max(0.0, expires - time.time()) + 0.5)
    for extended in (party, elsewhere):
        assert await extended.call("/account", "me")
        assert all(extended.connected(namespace) for namespace in extended.namespaces)


# -- logout ------------------------------------------------------------------------------------


@own_server
async def test_logout_is_acknowledged_and_closes_the_session_everywhere(
    processes: Processes,
) -> None:
    """Fails without `client.ending` and `busy` in Realtime (the ack is lost), or without the
    `revoked` announcement in RedisSessions.end."""
    one, two = await processes.web(), await processes.web(REALTIME="stock")
    market = processes.market
    party = await market.customer(url=one.url)
    elsewhere = await same_session(market, party, two.url)
    other_device = await market.sign_in(party.user, url=two.url)

    ack = await party.ack("/account", "logout")
    assert ack == {"ok": True, "data": {"session_id": session_of(party)}}
    for connection in (party, elsewhere):
        for namespace in connection.namespaces:
            await connection.wait_until_disconnected(namespace)
        assert (await connection.push("/account", "session.revoked"))["reason"] == "revoked"
        assert await refused_code(connection) == "unauthenticated"
    assert (await refresh(party, party.refresh_token))[0] == 401
    assert await other_device.call("/account", "me")


@both_paths
async def test_sessions_are_listed_and_one_is_revoked(market: Market) -> None:
    """Fails without the order or `current` in `account.sessions`, or without `end` in revoke."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user)
    listed = await laptop.call("/account", "sessions")
    assert [entry["id"] for entry in listed] == [session_of(phone), session_of(laptop)]
    assert [entry["current"] for entry in listed] == [False, True]
    assert all(entry["address"] for entry in listed)

    await laptop.call("/account", "revoke", {"session_id": session_of(phone)})
    await phone.wait_until_disconnected()
    assert await laptop.call("/account", "me")
    left = await laptop.call("/account", "sessions")
    assert [entry["id"] for entry in left] == [session_of(laptop)]


async def test_revoking_the_session_of_another_user_is_refused(market: Market) -> None:
    """Fails when RedisSessions.end deletes a session without a check of its owner."""
    victim, attacker = await market.customer(), await market.contractor()
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await attacker.call("/account", "revoke", {"session_id": session_of(victim)})
    assert refused.value.code == "not_found"
    assert await victim.call("/account", "me")
    assert [entry["id"] for entry in await attacker.call("/account", "sessions")] == [
        session_of(attacker)
    ]
    assert await market.traces() == before


async def test_a_busy_redis_does_not_count_as_unreachable(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: BlockingConnectionPool in `Container`; without it a call that finds no free
    connection treats an ended session as alive."""
    monkeypatch.setattr(server.web.redis.connection_pool, "max_connections", 2)
    sessions = server.web.sessions
    found = await asyncio.gather(*(sessions.alive(["ses_ended"]) for _ in range(300)))
    assert all(alive == set() for alive in found)
    assert await sessions.reachable()


@own_server
async def test_sessions_outlive_the_key_of_their_address(market: Market, server: Server) -> None:
    """Guard: `except UndecipherableField` in `RedisSessions._decrypted`: after the old key was
    removed, its users sign in, and see their sessions."""
    party = await market.customer()
    server.web.sessions._cipher = AesGcmFieldCipher([SecretKey("new", os.urandom(32))])
    [session] = await party.call("/account", "sessions")
    assert session["address"] == ""
    stranger = AnonymousClient(market.web, server.url)
    fields = {"email": party.email, "password": PASSWORD}
    assert (await stranger.http("POST", "/api/account/login", fields))[0] == 200


async def test_the_sessions_of_a_user_are_limited(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `_end_unused` in `RedisSessions.start`: the session that was unused for longest ends,
    on open connections too, and what has expired is forgotten."""
    monkeypatch.setattr("server.adapters.redis_sessions.MAX_SESSIONS", 3)
    sessions, party = server.web.sessions, await market.customer()
    await server.web.redis.sadd(sessions._user_key(party.id), "ses_expired")
    started = []
    for _ in range(2):
        await asyncio.sleep(0.002)  # the clock counts milliseconds
        started += [await sessions.start(party.id, party.role, "")]
    await party.call("/account", "me")
    await asyncio.sleep(0.002)
    rotated = await sessions.rotate(party.refresh_token)
    started += [await sessions.start(party.id, party.role, "")]
    ids = {tokens.refresh_token.partition(".")[0] for tokens in (rotated.tokens, *started[1:])}
    assert {session.id for session in await sessions.list(party.id)} == ids
    assert await server.web.redis.scard(sessions._user_key(party.id)) == 3
    started += [await sessions.start(party.id, party.role, "") for _ in range(3)]
    await party.wait_until_disconnected()
