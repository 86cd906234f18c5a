"""The documents of the API: valid, complete, and of the operations that are exposed."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from domain.kernel.errors import Code
from handlers import CONTRACT_VERSION, NAMESPACES
from handlers.documents.asyncapi import asyncapi
from handlers.documents.examples import (
    answer_example,
    command_example,
    problem_example,
)
from handlers.documents.openapi import openapi
from handlers.documents.schemas import all_exposed
from handlers.meta import operations
from server.http.pages import PAGES
from server.rate_limits import RateTable
from tests.support import documented
from tests.support.fork_server import ForkServer
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.property_sizes import SEED

URL = "http://localhost:8080"
PARSER = Path(__file__).parent / "asyncapi" / "node_modules" / "@asyncapi"
WARNING = 1  # errors are 0
# Pages and files of the server, the sockets, and what only `server dev` has.
NOT_OF_THE_API = re.compile(rf"/(({'|'.join(PAGES)}|static|socket\.io|\.well-known|dev)(/.*)?)?")


@cache
def http() -> Any:
    return openapi(RateTable().described(operations().values())["operations"], URL)


@cache
def sockets() -> Any:
    return asyncapi(RateTable().described(operations().values())["operations"], URL)


def of_http() -> Iterator[tuple[str, str, Any]]:
    for path, methods in http()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def shared(response: Any) -> Any:
    """A response that many operations have is a component."""
    name = response.get("$ref", "").rpartition("/")[2]
    return http()["components"]["responses"][name] if name else response


def test_openapi_is_valid() -> None:
    """Guard: `openapi.openapi`. Source: the schema of OpenAPI 3.1."""
    from openapi_spec_validator import OpenAPIV31SpecValidator  # loads for long

    document = json.loads(json.dumps(http()))
    assert [str(each) for each in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.skipif(not SEED, reason="`make test-deep` installs the parser; it takes seconds")
def test_asyncapi_is_valid(tmp_path: Path) -> None:
    """Guard: `asyncapi.asyncapi`. Source: the parser of the AsyncAPI initiative."""
    path = tmp_path / "asyncapi.json"
    path.write_text(json.dumps(sockets()))
    checked = subprocess.run(
        ["node", str(PARSER.parents[1] / "check.mjs"), str(path)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    report = json.loads(checked.stdout)
    assert [each for each in report["found"] if each["severity"] <= WARNING] == []
    assert report["operations"] == len(sockets()["operations"])


def test_both_have_the_version_of_the_contract() -> None:
    """Guard: `openapi.openapi`, `asyncapi.asyncapi`."""
    assert {each["info"]["version"] for each in (http(), sockets())} == {CONTRACT_VERSION}


async def test_openapi_has_the_routes_of_the_server(server: Server) -> None:
    """Fails for a route that is not described, and for a described path without a route."""
    found = {
        (route.method, route.resource.canonical)
        for route in server.web.application().router.routes()
        if route.resource and route.method != "HEAD"
    }
    api = {(method, path) for method, path in found if path.startswith("/api/")}
    rest = {(method, path) for method, path in found - api if not NOT_OF_THE_API.fullmatch(path)}
    assert api | rest == {(method, path) for method, path, _ in of_http()}


def test_asyncapi_has_the_commands_and_pushes() -> None:
    """Guard: `asyncapi._operations`, `asyncapi._channel`."""
    commands = {each.operation.name for _, each in all_exposed() if each.event}
    pushes = {f"push.{event.name}" for each in NAMESPACES for event in each.pushes}
    assert set(sockets()["operations"]) == commands | pushes
    in_channels = [name for each in sockets()["channels"].values() for name in each["messages"]]
    assert sorted(in_channels) == sorted(sockets()["components"]["messages"])
    assert len(in_channels) == 2 * len(commands) + len(pushes)


def test_both_name_the_same_operations() -> None:
    """Guard: `openapi._operation`, `asyncapi._command`: roles, limits, and the other wire."""
    found = {operation["operationId"]: operation for *_, operation in of_http()}
    for namespace, exposed in all_exposed():
        op = exposed.operation
        wires = [found[op.name]] if exposed.route else []
        wires += [sockets()["operations"][op.name]] if exposed.event else []
        for wire in wires:
            assert wire["x-roles"] == sorted(op.roles)
            assert set(wire["x-codes"]) >= op.codes
            assert len(wire["x-rate-limits"]) == len(op.limits)
        if exposed.route and exposed.event:
            assert found[op.name]["x-socket"] == {"namespace": namespace, "event": exposed.event}
            route = f"{exposed.route.method} {exposed.route.path}"
            assert sockets()["operations"][op.name]["x-http"] == route


def test_shared_schemas_are_the_same() -> None:
    """Guard: `Schemas.used_by`."""
    one, other = (each["components"]["schemas"] for each in (http(), sockets()))
    assert len(one.keys() & other.keys()) > 100
    assert all(one[name] == other[name] for name in one.keys() & other.keys())


def test_codes_are_listed_with_their_statuses() -> None:
    """Guard: `http_parts.refusals`."""
    for _, _, operation in of_http():
        refused = [shared(each).get("x-codes", ()) for each in operation["responses"].values()]
        listed = {code for codes in refused for code in codes}
        assert listed - {Code.UNKNOWN_COMMAND} == set(operation["x-codes"]), operation


def test_every_operation_is_described() -> None:
    """Guard: `facts.summary_of`. Fails for a docstring that says nothing to clients."""
    found = {operation["operationId"]: operation for *_, operation in of_http()}
    internal = re.compile(r"\bRaises\b|\.py\b|[A-Z]+_[A-Z]+")
    for name in operations():
        described = found.get(name) or sockets()["operations"][name]
        assert 5 < len(described["summary"]) <= 100, name
        assert not internal.search(described.get("description", "")), name


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
async def test_a_document_is_served_and_cached(name: str, market: Market, server: Server) -> None:
    """Guard: `Web._documents`, `cached_read.cached_read`. It tells the limits in force here."""
    client = market.anonymous_client()
    status, document = await client.http("GET", f"/api/{name}.json")
    assert status == 200 and document["info"]["version"] == CONTRACT_VERSION
    async with client.web.get(f"{server.url}/api/{name}.json") as first:
        tag = first.headers["ETag"]
    again = {"If-None-Match": tag}
    async with client.web.get(f"{server.url}/api/{name}.json", headers=again) as second:
        assert second.status == 304
    if name == "asyncapi":
        limits = document["operations"]["job.create"]["x-rate-limits"]
        assert limits[0]["requests"] == 60 * server.web.settings.commands_per_second / 50


def test_the_command_writes_both(tmp_path: Path, fork_server: ForkServer) -> None:
    """Guard: `documents.write`. It needs no configuration."""
    done = fork_server.run("documents", str(tmp_path), env={})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "openapi.json").read_text()) == json.loads(json.dumps(http()))
    assert json.loads((tmp_path / "asyncapi.json").read_text())["asyncapi"] == "3.0.0"


def test_every_field_is_described() -> None:
    """Fails for a field of a command, answer or push without `about`, and a struct without a
    docstring."""
    for document in (http(), sockets()):
        for name, schema in document["components"]["schemas"].items():
            for field, described in schema.get("properties", {}).items():
                assert described.get("description"), f"{name}.{field}"
            commands = ("Fields", "Body")
            assert schema.get("description") or name.endswith(commands), name


def test_every_amount_says_its_unit() -> None:
    """Fails for an amount whose description names no unit."""
    for name, schema in http()["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if field == "amount" or field.endswith("_amount"):
                assert "minor unit" in described["description"], f"{name}.{field}"


def test_every_command_and_answer_has_an_example() -> None:
    """Guard: `examples.command_example`, `examples.answer_example`. They are of the right types."""
    for name, op in operations().items():
        op.parse(command_example(op), text=False)
        assert documented.misfit(answer_example(op), documented.ANSWERS[name]) is None, name


def test_every_push_has_an_example() -> None:
    """Guard: `examples.push_example`."""
    for (space, name), (kinds, _) in documented.PUSHES.items():
        message = sockets()["components"]["messages"][f"push.{name}"]
        example = message["examples"][0]["payload"]
        assert documented.misfit(example["data"], kinds) is None, (space, name)


def test_every_refusal_has_an_example() -> None:
    """Guard: `examples.problem_example`."""
    for code in Code:
        example = problem_example(code)
        assert documented.misfit(example["details"], [documented.DETAILS]) is None, code
        assert example["title"].endswith(".") and example["status"] >= 400, code


def test_examples_fit_the_schemas_that_are_published() -> None:
    """Guard: `http_parts.json_answer`, `http_parts.body`."""
    document = http()
    for _, _, operation in of_http():
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for part in parts:
            for content in part.get("content", {}).values():
                if "example" in content:
                    schema = {"components": document["components"], **content["schema"]}
                    jsonschema.validate(content["example"], schema)


def parts(node: Any) -> Iterator[Any]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node:
        if isinstance(each, dict | list):
            yield from parts(each)


DOCUMENTS = pytest.mark.parametrize("document", [http, sockets])


@DOCUMENTS
def test_integers_say_whether_they_need_64_bits(document: Any) -> None:
    """Guard: `schemas._complete`. Generators of typed clients take 32 bits otherwise."""
    for schema in parts(document()):
        if schema.get("type") in ("integer", ["integer", "null"]):
            small = schema.get("maximum", 2**31) < 2**31
            assert small or schema.get("format") == "int64", schema


@DOCUMENTS
def test_choices_have_a_type(document: Any) -> None:
    """Guard: `schemas._complete`. Generators do not compile a choice of booleans."""
    for schema in parts(document()):
        if isinstance(schema.get("enum"), list):
            assert schema["type"] == "string", schema
        if isinstance(schema.get("const"), bool):
            assert schema["type"] == "boolean", schema


@DOCUMENTS
def test_answers_say_that_they_may_get_further_fields(document: Any) -> None:
    """Guard: `schemas._complete`. Some clients refuse them otherwise."""
    for name, schema in document()["components"]["schemas"].items():
        if "properties" in schema:
            assert isinstance(schema["additionalProperties"], bool), name


def test_what_is_generated_has_a_name() -> None:
    """Guard: `asyncapi._envelopes`, `schemas._name_choices`: pushes, acknowledgements, and answers
    of one type or another."""
    components, messages = (sockets()["components"][each] for each in ("schemas", "messages"))
    for name, message in messages.items():
        if name.startswith("push."):
            title = message["payload"]["$ref"].rpartition("/")[2]
            assert components[title]["title"] == title
        elif name.endswith(".ack"):
            done, refused = message["payload"]["oneOf"]
            assert message["payload"]["title"] and done["title"]
            assert refused == {"$ref": "#/components/schemas/CommandRefused"}
            assert "anyOf" not in done["properties"]["data"], name
    answer = http()["components"]["schemas"]["AccountRegisterAnswer"]
    assert answer["description"].startswith("`SignedIn` if it has `user`, else")


def test_every_push_says_when_and_to_whom_it_is_sent() -> None:
    """Fails for an `Event` without `about`, and for two of the same words."""
    told = {event: event.about for each in NAMESPACES for event in each.pushes}
    assert len(set(told.values())) == len(told)
    for event, about in told.items():
        assert about.endswith(".") and " to " in f" {about}", event.name
        push = sockets()["operations"][f"push.{event.name}"]
        assert push.get("description", f"{push['summary']}.") == about


@DOCUMENTS
def test_no_text_is_about_the_source(document: Any) -> None:
    """Fails for a file or a constant of the source in a text for its readers."""
    source = re.compile(
        r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|README|\w\.(py|md)\b|\b(domain|handlers|server|static)/"
    )
    for part in parts(document()):
        for key in ("title", "summary", "description"):
            if isinstance(text := part.get(key), str):
                assert not source.search(text), text


@DOCUMENTS
def test_patterns_have_no_lookaheads(document: Any) -> None:
    """Guard: `PYTHON_END` in `schemas._complete`: not all languages have them."""
    patterns = {part["pattern"] for part in parts(document()) if "pattern" in part}
    assert len(patterns) >= 5
    assert [each for each in patterns if "(?" in str(each)] == []


@DOCUMENTS
def test_the_introduction_names_what_there_is(document: Any) -> None:
    """Guard: `introductions.SECTIONS`. Fails for a command or push that was renamed."""
    text = document()["info"]["description"]
    pushes = {event.name for each in NAMESPACES for event in each.pushes}
    named = set(re.findall(r"`([a-z-]+\.[a-z_]+)`", text))
    assert named - pushes - operations().keys() == {"payments.stripe_publishable_key"}
    assert len(named & pushes) >= 8
    joining = {name for name, op in operations().items() if op.joins}
    assert joining <= named
