"""Rules of every route with JSON: its type, its query. A new route is tried by itself."""

import re

import pytest

from domain.operations.command import Style
from handlers import NAMESPACES
from handlers.expose import Exposed
from server.http.routes import MAX_PARAMETERS
from server.runtime.json_input import MAX_DEPTH
from tests.support.one_server import one_server

pytestmark = one_server

ROUTES = [exposed for each in NAMESPACES for exposed in each.exposed if exposed.route]
WITH_BODY = [e for e in ROUTES if e.route and e.route.method != "GET" and not e.streamed]
WITH_QUERY = [e for e in ROUTES if e.route and e.route.method == "GET"]
# What a form of another site can send without asking this server. Source: Fetch, "CORS-safelisted".
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
# Not only in MongoDB.
READ_ELSEWHERE = {
    "account.sessions",
    "admin.audit_chain",
    "admin.overview",
    "admin.sessions",
    "admin.user",
    "payment.methods",
}
OTHERS = (*FORMS, "text/json", "application/json-patch+json", "application/jsonp", "; =", "")


def address(exposed: Exposed) -> tuple[str, str]:
    assert exposed.route
    return exposed.route.method, re.sub(r"\{\w+\}", "abc", exposed.route.path)


async def test_every_body_is_json(market):
    """Guard: JSON in `routes._body`: a form of another site reaches no operation (CSRF)."""
    parties = [await market.customer(), await market.contractor(), await market.admin()]
    before = await market.traces()
    for exposed in WITH_BODY:
        method, path = address(exposed)
        for number, type in enumerate(OTHERS):
            party = parties[number % 3]
            status, problem = await party.http(
                method, path, data=b'{"email": "a@b.test"}', headers={"Content-Type": type}
            )
            assert (status, problem["code"]) == (415, "unsupported_type"), (path, type)
            assert problem["details"]["allowed"] == ["application/json"]
    assert await market.traces() == before


async def test_a_type_may_have_parameters(market):
    """Guard: `content_type` in `routes._body`, without the parameters and in lower case."""
    customer = await market.customer()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    status, me = await customer.http(
        "PATCH", "/api/account/me", data=b'{"name": "Ada"}', headers=headers
    )
    assert (status, me["name"]) == (200, "Ada")
    status, _ = await customer.http("POST", "/api/account/logout")  # no body has no type
    assert status == 200


async def test_null_is_no_body(market):
    """Guard: null in `routes._body`; another value that is no object is refused."""
    customer = await market.customer()
    headers = {"Content-Type": "application/json"}
    for body, code in ((b"[]", "invalid"), (b" null\n", None)):
        status, answer = await customer.http(
            "POST", "/api/account/logout", data=body, headers=headers
        )
        assert (status, answer.get("code")) == (422 if code else 200, code)


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"a{n}=1" for n in range(MAX_PARAMETERS + 1)),
        "q={" + '"a":{' * MAX_DEPTH + "}" * (MAX_DEPTH + 1),
        "q={" + ",".join(f'"{n}":1e308' for n in range(200)) + "}",
    ],
)
async def test_queries_are_bounded_before_they_are_read(market, query):
    """Guard: MAX_PARAMETERS in `routes._query`, and `json_input` for its objects."""
    admin = await market.admin(connect=False)
    for exposed in WITH_QUERY:
        if not exposed.streamed:
            _, path = address(exposed)
            status, problem = await admin.http("GET", f"{path}?{query}")
            assert (status, problem["code"]) == (422, "invalid"), path
            assert "query" in problem["title"] or "JSON" in problem["title"], path


def test_no_get_changes_anything():
    """Fails when an operation that writes gets a route that a link or an image can call."""
    others = {e.operation.name for e in WITH_QUERY if e.operation.style is not Style.READ}
    assert others == READ_ELSEWHERE


async def test_nothing_is_said_twice(market):
    """Guard: `routes._query`, and the comparison of body and address in `HttpApi.route`."""
    customer = await market.customer()
    status, problem = await customer.http("GET", "/api/job/mine?limit=1&limit=2")
    assert (status, problem["details"]) == (422, {"field": "limit", "rule": "type"})
    job = await market.job(customer)
    path = f"/api/job/{job['id']}/cancel"
    status, problem = await customer.http("POST", path, {"job_id": "job_other"})
    assert (status, problem["details"]) == (422, {"field": "job_id", "rule": "value"})
