"""Pages of listed origins call the API over HTTP and read its answers; others do neither."""

import re

import pytest

from handlers import NAMESPACES
from server.cross_origin import READABLE, SENT
from tests.support.file_samples import picture, upload
from tests.support.raw_http import ask, request

LAST = "Connection: close"
METHODS: dict[str, set[str]] = {}
for exposed in (each for namespace in NAMESPACES for each in namespace.exposed if each.route):
    path = re.sub(r"\{\w+\}", "abc", exposed.route.path)
    METHODS.setdefault(path, set()).add(exposed.route.method)
OTHERS = ("http://evil.test", "null", "http://127.0.0.1:1", "")
ALLOW, EXPOSE = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"


@pytest.fixture
def listed(server) -> str:
    return server.web.settings.cors_origins[0]


def shared_with(response) -> str | None:
    """The origin whose pages may read this response."""
    headers = response.headers
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Vary"] == "Origin"
    if ALLOW in headers:
        assert headers[EXPOSE] == READABLE
    return headers.get(ALLOW)


async def ask_before(market, path, origin, method="POST"):
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return await market.web.options(market.url + path, headers=headers)


async def test_every_path_answers_a_preflight_with_its_methods(market, listed):
    """Guard: `CrossOrigin.preflight`: a new route has it by itself."""
    for path, methods in METHODS.items():
        async with await ask_before(market, path, listed) as response:
            assert (response.status, await response.read()) == (204, b""), path
            allowed = response.headers["Access-Control-Allow-Methods"].split(", ")
            assert methods <= set(allowed), path
            assert response.headers["Access-Control-Allow-Headers"] == SENT
            assert int(response.headers["Access-Control-Max-Age"]) > 0
            assert shared_with(response) == listed
    async with await ask_before(market, "/api/nowhere", listed) as response:
        assert (response.status, shared_with(response)) == (404, listed)


@pytest.mark.parametrize("origin", OTHERS)
async def test_an_origin_that_is_not_listed(market, origin):
    """Guard: `Forbidden` in `CrossOrigin.preflight`, and `CrossOrigin.headers`."""
    async with await ask_before(market, "/api/job", origin) as response:
        assert (response.status, shared_with(response)) == (403, None)
        assert (await response.json())["code"] == "forbidden"
        assert "Access-Control-Allow-Methods" not in response.headers
    headers = {"Origin": origin}
    async with market.web.get(market.url + "/api/job", headers=headers) as response:
        assert (response.status, shared_with(response)) == (401, None)


async def test_answers_files_and_refusals_can_be_read(market, listed):
    """Guard: `CrossOrigin.complete`: a hook, so that no kind of response is without."""
    customer = await market.customer(connect=False)
    file = await upload(customer, picture())
    anyone = {"Origin": listed}
    signed = anyone | {"Authorization": f"Bearer {customer.token}"}
    large = {"data": bytes(300_000)}
    for expected, method, path, options in (
        (200, "GET", "/api/account/me", {"headers": signed}),
        (200, "GET", f"/api/files/{file['id']}", {"headers": signed}),
        (401, "GET", "/api/account/me", {"headers": anyone}),
        (401, "POST", "/api/files", {"headers": anyone}),
        (404, "GET", "/api/job/job_none", {"headers": signed}),
        (404, "GET", "/api/nowhere", {"headers": anyone}),
        (405, "DELETE", "/api/job", {"headers": anyone}),
        (405, "PUT", "/api/job", {"headers": anyone}),
        (413, "POST", "/api/job", {"headers": signed | {"Content-Type": "application/json"}}),
        (415, "POST", "/api/job", {"headers": signed}),
        (415, "POST", "/api/files", {"headers": signed}),
    ):
        if method == "POST" and expected > 401:
            options |= large
        async with market.web.request(method, market.url + path, **options) as response:
            assert (response.status, shared_with(response)) == (expected, listed), path
            if expected >= 400:
                assert (await response.json(content_type=None))["status"] == expected


async def test_a_failure_can_be_read(market, server, listed, monkeypatch):
    """Guard: `CrossOrigin.complete` for 429 and 500, which no route answers."""

    def fail(address: str) -> float:
        raise RuntimeError

    for expected, charge in ((429, lambda address: 3.0), (500, fail)):
        monkeypatch.setattr(server.web.http, "_charge", charge)
        async with market.web.get(market.url + "/api/job", headers={"Origin": listed}) as response:
            assert (response.status, shared_with(response)) == (expected, listed)


async def test_a_refused_connection_can_be_read(server, listed, monkeypatch):
    """Guard: `CrossOrigin.headers_for_bytes`: it is refused before its request is parsed."""
    monkeypatch.setattr(server.web.admission, "admit", lambda new, address: 429)
    for path, origin, reader in (
        ("/api/job", listed, listed),
        ("/api/job", "http://evil.test", None),
        ("/webhooks/stripe", listed, None),
    ):
        reply = await ask(server.url, request("GET", path, b"", LAST, f"origin: {origin}"))
        assert (reply.status, reply.code) == (429, "rate_limited")
        assert reply.headers.get(ALLOW) == reader


async def test_nothing_else_is_shared(market, listed):
    """Guard: SHARED in `cross_origin`."""
    for path in ("/", "/admin", "/static/css/client.css", "/webhooks/stripe", "/livez", "/readyz"):
        async with market.web.get(market.url + path, headers={"Origin": listed}) as response:
            assert ALLOW not in response.headers, path
        async with await ask_before(market, path, listed) as response:
            assert response.status == 405
            assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_sockets_and_http_have_the_same_list(server):
    """Guard: `cors_origins` in `app.Web.__init__`."""
    assert set(server.web.realtime.eio.cors_allowed_origins) == server.web.cross_origin._origins
