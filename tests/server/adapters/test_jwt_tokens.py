"""Access tokens and file tickets whose parts have the wrong type."""

import base64
import json
from datetime import timedelta
from types import SimpleNamespace

import jwt
import pytest

from domain.kernel.errors import TokenExpired, Unauthenticated
from server.adapters.jwt_tokens import ALGORITHM, AccessTokens
from server.adapters.system_clock import SystemClock
from server.config import SecretKey
from tests.support.file_samples import upload
from tests.support.parties import Refused

WRONG = [None, 7, 1.5, True, [], ["access"], {}, {"a": 1}]
TIMES = [None, "soon", [], {}, True, -1, 1e18, 1e300, 10**30, float("inf"), float("nan")]
CLAIMS = [
    *((name, value) for name in ("typ", "sub", "role", "sid") for value in WRONG),
    *((name, value) for name in ("exp", "iat", "nbf") for value in TIMES),
    *((name, value) for name in ("iss", "aud") for value in WRONG),
]
HARMLESS = {("nbf", None), ("nbf", True), ("nbf", -1), ("iat", -1), ("iat", True)}


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.fixture
def sign(market):
    """Signs changed claims of a good token, with the server's key."""
    key = market.settings.jwt_keys[0]

    def signed(token: str, header: object = None, **changes: object) -> str:
        claims = jwt.decode(token, options={"verify_signature": False}) | changes
        header = {"kid": key.kid} if header is None else header
        return jwt.PyJWS().encode(json.dumps(claims).encode(), key.secret, ALGORITHM, header)

    return signed


async def test_claims_of_a_wrong_type(market, sign):
    """Guard: `Claims` and UNREADABLE in `jwt_tokens`; with the right signature too, such a token is
    401 and not 500, on both wires."""
    customer = await market.customer()
    good, answers = customer.token, {}
    for number, (name, value) in enumerate(CLAIMS):
        token = sign(good, **{name: value})
        status, problem = await customer.http(
            "GET", "/api/account/me", headers={"Authorization": f"Bearer {token}"}
        )
        answers[name, repr(value)] = status
        if status == 401 and number % 8 == 0:
            with pytest.raises(Refused) as refused:
                await customer.connect(token=token, namespaces=["/account"])
            assert refused.value.code == problem["code"]
    wrong = {key: status for key, status in answers.items() if status != 401}
    assert wrong.keys() <= {(name, repr(value)) for name, value in HARMLESS}
    assert set(wrong.values()) <= {200}


def test_a_token_that_was_read_before_expires(monkeypatch):
    """Guard: `claims.exp <= time.time()` in `AccessTokens._verify`: the claims of a token are kept,
    and are not read again; a token with another signature is not that token."""
    tokens = AccessTokens((SecretKey("test", b"k" * 32),), SystemClock())
    token, until = tokens.sign("usr_1", "customer", "ses_1")
    assert tokens.verify(token) == tokens.verify(token)
    with pytest.raises(Unauthenticated):
        tokens.verify(token[:-4] + "AAAA")
    with pytest.raises(Unauthenticated):
        tokens.holder(token, "file_1")
    then = SimpleNamespace(time=until.timestamp)
    monkeypatch.setattr("server.adapters.jwt_tokens.time", then)
    with pytest.raises(TokenExpired):
        tokens.verify(token)
    assert tokens.verify(token, timedelta(seconds=1))[1] == until


HEADERS = [
    *("[]", "7", "null", '"kid"', "{}", "", "\0", "{", "[" * 1400, '{"kid":' * 200),
    *('{"kid": []}', '{"kid": {}}', '{"kid": 7}', '{"kid": "../test"}', '{"alg": []}'),
    *('{"kid": "test", "alg": "none"}', '{"kid": "test", "alg": 7}'),
    '{"kid": "test", "alg": "HS256", "crit": ["x"]}',
]


async def test_headers_of_a_wrong_type(market):
    """Guard: UNREADABLE in `jwt_tokens`: PyJWT reads a header of any depth before it knows the
    key."""
    customer = await market.customer(connect=False)
    _, claims, signature = customer.token.split(".")
    for header in HEADERS:
        token = f"{part(header)}.{claims}.{signature}"
        headers = {"Authorization": f"Bearer {token}"}
        status, problem = await customer.http("GET", "/api/account/me", headers=headers)
        assert (status, problem["code"]) == (401, "unauthenticated"), header[:40]
        with pytest.raises(Refused) as refused:
            await customer.connect(token=token, namespaces=["/account"])
        assert refused.value.code == "unauthenticated", header[:40]


async def test_tickets_of_a_wrong_type(market, sign):
    """Guard: `Claims.file` in `jwt_tokens.holder`."""
    owner = await market.customer(connect=False)
    file = await upload(owner, b"Hello", "a.txt")
    path = f"/api/files/{file['id']}"
    _, made = await owner.http("POST", f"{path}/ticket")
    owner.token = None
    ticket = made["ticket"]
    for changes in ({"file": [file["id"]]}, {"file": 7}, {"sid": []}, {"exp": 1e300}):
        status, problem = await owner.http("GET", path, params={"ticket": sign(ticket, **changes)})
        assert (status, problem["code"]) == (401, "unauthenticated"), changes
    status, _ = await owner.http("GET", path, params={"ticket": sign(ticket)})
    assert status == 200
