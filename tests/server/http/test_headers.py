"""Security headers on every kind of response."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from server.config import ConfigError, load
from server.http.headers import SECURITY_TXT, page_policy, security_headers
from server.http.protocol import HttpRunner
from tests.support.one_server import one_server
from tests.support.processes import free_port

pytestmark = one_server

ANSWERS = {
    "/api/account/me": 401,
    "/api/nowhere": 404,
    "/nowhere": 404,
    "/livez": 200,
    "/readyz": 200,
    "/webhooks/stripe": 405,
    "/socket.io/?EIO=4&transport=polling": 200,
    "/socket.io?EIO=4&transport=polling": 200,
    "/socket.io/": 400,
    SECURITY_TXT: 200,
}
PAGES = (
    "/",
    "/jobs/job_1",
    "/admin",
    "/docs",
)
FILES = ("/static/css/client.css", "/static/js/client/main.js", "/static/nowhere")


async def test_answers_are_not_stored_and_run_nothing(market):
    """Guard: `security_headers`: a hook of the application, so that a new route has them."""
    customer = await market.customer(connect=False)
    for path, expected in ANSWERS.items():
        async with market.web.get(market.url + path) as response:
            assert response.status == expected, path
            check_answer(response)
    status = await market.web.get(
        market.url + "/api/account/me", headers={"Authorization": f"Bearer {customer.token}"}
    )
    assert status.status == 200
    check_answer(status)


def check_answer(response):
    headers = response.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    check_policy(response)
    assert headers["Server"] == "JobSphere"
    assert "Strict-Transport-Security" not in headers


def check_policy(response):
    parts = response.headers["Content-Security-Policy"].split("; ")
    denied = ("default-src", "object-src", "base-uri", "form-action", "frame-ancestors")
    assert dict(part.split() for part in parts) == dict.fromkeys(denied, "'none'")


@pytest.mark.parametrize("path", PAGES)
async def test_pages(market, path):
    """Guard: `_page_headers`."""
    async with market.web.get(market.url + path) as response:
        headers = response.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    public = market.settings.public_url.removeprefix("http://")
    scripts = policy.pop("script-src", None)
    assert scripts and re.fullmatch(r"'self' 'sha256-\S{43}='", scripts)  # the import map
    assert policy == {
        "default-src": "'self'",
        "connect-src": f"'self' ws://{public}",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "publickey-credentials-get=(self)" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == "no-cache"
    assert (headers["X-Content-Type-Options"], headers["Server"]) == ("nosniff", "JobSphere")


@pytest.mark.parametrize("path", FILES)
async def test_what_pages_load_may_do_nothing_by_itself(market, path):
    """Guard: `of_files` in `security_headers`: each file is a request of a page's first view, so
    its headers are few."""
    async with market.web.get(market.url + path) as response:
        check_policy(response)
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Permissions-Policy" not in response.headers


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/", "text/html"),
        ("/static/css/client.css", "text/css"),
        ("/static/favicon.svg", "image/svg+xml"),
        (SECURITY_TXT, "text/plain"),
    ],
)
async def test_texts_say_their_encoding(market, path, type):
    """Guard: `TEXT` in `headers`."""
    async with market.web.get(market.url + path) as response:
        assert response.headers["Content-Type"] == f"{type}; charset=utf-8"


HIDDEN = (
    "/.git/config",
    "/.git/",
    "/pyproject.toml",
    "/server/config.py",
    "/.data/secrets.json",
    "/static",
    "/static/",
    "/static/js/",
    "/static/js",
    "/static/../pyproject.toml",
    "/static/%2e%2e/pyproject.toml",
    "/static/.git/config",
)


async def test_nothing_is_served_beside_the_pages(market):
    """Guard: `pages.page_routes`: one folder, without listings."""
    for path in HIDDEN:
        url = URL(market.url + path, encoded=True)
        async with market.web.get(url, allow_redirects=False) as response:
            assert response.status in (403, 404), path


async def test_behind_tls():
    """Guard: HSTS in `security_headers`, and the websocket address in `_page_headers`."""
    app, port = web.Application(), free_port()
    app.on_response_prepare.append(security_headers("https://jobs.test"))
    runner = HttpRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}/") as response:
            headers = response.headers
    finally:
        await runner.cleanup()
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert "connect-src 'self' wss://jobs.test;" in headers["Content-Security-Policy"]


async def test_security_txt(market):
    """Guard: `security_txt`; its date is computed, because a written one passes."""
    async with market.web.get(market.url + SECURITY_TXT) as response:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        lines = dict(line.split(": ", 1) for line in (await response.text()).splitlines())
    assert lines["Contact"] == "mailto:security@localhost"
    assert lines["Canonical"] == market.settings.public_url + SECURITY_TXT
    left = datetime.fromisoformat(lines["Expires"]) - datetime.now(UTC)
    assert timedelta(days=30) < left < timedelta(days=365)


async def test_its_contact_is_a_setting(installation):
    """Guard: `config._contact`."""
    env = installation.env
    for good in ("mailto:hole@jobs.test", "https://jobs.test/report"):
        assert load(env | {"SECURITY_CONTACT": good}).security_contact == good
    for bad in ("hole@jobs.test", "http://jobs.test", "mailto:a b@c", "https://x\nExpires: never"):
        with pytest.raises(ConfigError, match="SECURITY_CONTACT"):
            load(env | {"SECURITY_CONTACT": bad})


def test_only_pages_that_take_real_cards_may_load_stripe() -> None:
    """Guard: `headers.STRIPE`: no other host is named where a sandbox takes Stripe's place."""
    assert "stripe" not in page_policy("https://jobs.test", False, ["'sha256-x'"])
    policy = page_policy("https://jobs.test", True, ["'sha256-x'"])
    assert "script-src 'self' 'sha256-x' https://js.stripe.com" in policy
    assert "connect-src 'self' wss://jobs.test https://api.stripe.com" in policy
    assert "frame-src 'self' https://js.stripe.com" in policy
