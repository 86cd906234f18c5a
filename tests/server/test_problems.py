"""Every refusal over HTTP is problem+json with a code of the contract, in every layer.

/socket.io is not tried: its protocol has a form of its own.
"""

import re

from pymongo.errors import AutoReconnect
from yarl import URL

from domain.kernel.errors import Code
from tests.support.one_server import one_server
from tests.support.raw_http import ask, request
from tests.support.stripe_event_samples import make_event, post_event

pytestmark = one_server

LAST = "Connection: close"
JSON = "Content-Type: application/json"
FIELDS = {"type", "title", "status", "code", "details"}
UNKNOWN = """
/nowhere /api /api/ /api/job/ /api/nowhere /webhooks /webhooks/other /docs/x /static /static/
/static/js /static/js/ /static/nowhere.js /static/%00 /.well-known/other /dev/other
"""


def routes_of(server) -> list[tuple[str, str]]:
    """(method, path) of all routes."""
    found = []
    for route in server.web.application().router.routes():
        path = route.resource.canonical.replace("{path}", "css/client.css")
        path = re.sub(r"\{\w+\}", "abc", path)
        if not path.startswith("/socket.io"):
            found.append((route.method, path))
    assert len(found) > 100
    return found


async def refused(market, method, path, **options) -> dict:
    """The problem with which this request is refused."""
    url = URL(market.url + path, encoded=True)
    async with market.web.request(method, url, **options) as response:
        where = (method, path, response.status)
        assert response.status >= 400, where
        assert response.content_type == "application/problem+json", where
        if method == "HEAD":
            return {"status": response.status}
        problem = await response.json(content_type=None)
    assert problem.keys() == FIELDS, where
    assert problem["status"] == response.status, where
    assert problem["code"] in set(Code) and problem["title"], where
    return problem


async def test_wrong_methods(market, server):
    """Guard: `problems` in `routes.HttpApi`: the refusals of aiohttp, for pages as well."""
    routes = routes_of(server)
    for path in {path for _, path in routes}:
        served = {method for method, each in routes if each == path}
        for method in {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"} - served:
            status = (await refused(market, method, path))["status"]
            # The path of a list may be one of a record, too, such as /api/job/mine.
            assert status == 405 or (status == 401 and method != "PUT"), (method, path)


async def test_unknown_paths(market):
    """Guard: `_in_our_terms` in `routes.HttpApi`."""
    for path in (*UNKNOWN.split(), "/static/" + "a" * 300):
        problem = await refused(market, "GET", path)
        assert problem["status"] in (403, 404), path
        assert problem["code"] == ("unknown_command" if "/api/" in path else "not_found"), path
    assert (await refused(market, "HEAD", "/static/nowhere.js"))["status"] == 404


async def test_bodies_that_are_too_large(market, server, monkeypatch):
    """Guard: `most` in `routes._body`, MAX_EVENT in `webhooks`, MAX_FILE in `uploads`."""
    monkeypatch.setattr("server.http.protocol.DISCARD_SECONDS", 0.01)
    admin = await market.admin(connect=False)
    for method, path in routes_of(server):
        if method in ("GET", "HEAD"):
            continue
        type = "multipart/form-data; boundary=x" if path == "/api/files" else "application/json"
        lines = (f"Content-Type: {type}", f"Authorization: Bearer {admin.token}", LAST)
        reply = await ask(
            market.url, request(method, path, b"", f"Content-Length: {10**9}", *lines)
        )
        assert reply.headers["Content-Type"] == "application/problem+json", path
        assert (reply.status, reply.code) == (413, "too_large"), path


async def test_types_that_are_not_taken(market, server):
    """Guard: `UnsupportedType` in `routes._body` and `uploads._receive`. The webhook endpoint
    looks at the signature only."""
    admin = await market.admin(connect=False)
    headers = {"Authorization": f"Bearer {admin.token}", "Content-Type": "text/plain"}
    for method, path in routes_of(server):
        if method not in ("GET", "HEAD"):
            problem = await refused(market, method, path, headers=headers, data=b"{}")
            webhook = path.startswith("/webhooks/")
            assert problem["code"] == ("invalid_signature" if webhook else "unsupported_type")


async def test_an_event_that_cannot_be_stored(market, monkeypatch):
    """Guard: UNREACHABLE in `HttpApi.problems`."""

    async def fail(ports, event):
        raise AutoReconnect

    monkeypatch.setattr("handlers.webhooks.receive_event", fail)
    assert await post_event(market, make_event("evt_1")) == 503
