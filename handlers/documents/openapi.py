"""`/api/openapi.json`: every HTTP path, in OpenAPI 3.1."""

from collections.abc import Iterator
from typing import Any

from domain.kernel.errors import Invalid, TooLarge, UnsupportedType
from handlers import CONTRACT_VERSION, NAMESPACES, files
from handlers.documents import http_parts
from handlers.documents.examples import answer_example, fields_example, schema_example
from handlers.documents.facts import Rates, described, facts_of, summary_of, words, writes
from handlers.documents.http_parts import IDEMPOTENCY_KEY, IF_NONE_MATCH, Part
from handlers.documents.introductions import SECTIONS
from handlers.documents.schemas import all_exposed, placeholders, schemas
from handlers.documents.server_paths import SERVER_PATHS, UNREADY, ServerPath
from handlers.expose import Exposed, Route
from handlers.statements import DOWNLOADS, Download

TITLE = "JobSphere"
ABOUT = """\
Jobs, bidding, chat and held payments. Most operations are also commands on a socket, which
`/api/asyncapi.json` describes: the same names, the same schemas.

Amounts are integers in minor units of the `currency` beside them. Times are in UTC, as
`date-time`. Text has no null characters (U+0000). Answers may get further fields: ignore those
that you do not know. Bodies and queries with fields that an operation does not have are refused.

A refusal is `application/problem+json` with a `code`; `x-codes` lists those of an operation. What
is no valid HTTP is refused with 400, a path that has not the method with 405 (`unknown_command`),
and any path may answer 429 with `Retry-After`.

`x-roles` are the roles that may call an operation; there are none if anyone may. `x-rate-limits`
are its own limits: `requests` at once, and from then on as many in `seconds`, counted `per` user,
address or account, and together with all that have the same `bucket`. One request takes `cost` of
them, null if that depends on the request. Operations with `x-step-up` may ask for
`account.step_up` first.

`x-repeat` says what a client may do that got no answer. `request_id`: repeat with the same
`Idempotency-Key`, it is carried out once and answered the same. `safe`: repeat. `no`: it may have
been carried out, so ask the person.
"""
LICENSE = {"name": "MIT", "identifier": "MIT"}
BEARER: dict[str, list[str]] = {"bearer": []}
TICKET: dict[str, list[str]] = {"ticket": []}
SERVER_TAG = "server"


def openapi(rates: Rates, url: str) -> dict[str, Any]:
    """The document of the server at `url`, with the rate limits in force there."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation in _operations(rates):
        paths.setdefault(path, {})[method.lower()] = operation
    responses = http_parts.shared_refusals()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": CONTRACT_VERSION,
            "description": f"{ABOUT}\n{SECTIONS}",
            "license": LICENSE,
        },
        "servers": [{"url": url}],
        "tags": [{"name": name} for name in (*map(_tag, NAMESPACES), SERVER_TAG)],
        "paths": paths,
        "components": {
            "schemas": schemas().used_by([paths, responses]),
            "responses": responses,
            "parameters": {"IdempotencyKey": IDEMPOTENCY_KEY, "IfNoneMatch": IF_NONE_MATCH},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a sign-in or of `account.refresh`.",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "Of `files.ticket`: for one file and 60 seconds.",
                },
            },
        },
    }


def _operations(rates: Rates) -> Iterator[tuple[str, str, Part]]:
    """The path, the method and the description of every operation."""
    for namespace, exposed in all_exposed():
        if exposed.route:
            operation = _operation(namespace, exposed, rates)
            yield exposed.route.path, exposed.route.method, operation
    for download in DOWNLOADS:
        yield download.path, "GET", _download(download, rates)
    for path in SERVER_PATHS:
        yield path.path, path.method, _server_operation(path)


def _operation(namespace: str, exposed: Exposed, rates: Rates) -> Part:
    op, route = exposed.operation, exposed.route
    assert route
    reads = route.method == "GET"
    parameters = http_parts.path_parameters(op, placeholders(route))
    if reads:
        parameters += http_parts.query_parameters(op, placeholders(route))
    if writes(op):
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    described_operation: Part = {
        "operationId": op.name,
        "tags": [namespace.removeprefix("/")],
        **words(summary_of(op), described(op)),
        "security": [BEARER] if op.roles else [],
    }
    codes = set(op.codes) | {UnsupportedType.code}
    if op is files.UPLOAD:
        described_operation["requestBody"] = http_parts.UPLOADED_FILE
        answers = http_parts.json_answer(schemas().answer(op), answer_example(op))
    elif op is files.GET:
        described_operation["security"] = [BEARER, TICKET]
        parameters += http_parts.OF_DOWNLOADS
        answers = http_parts.FILE
    else:
        versioned = reads and "version" in schemas().resolved(schemas().answer(op)).get(
            "properties", {}
        )
        if versioned:
            parameters.append({"$ref": "#/components/parameters/IfNoneMatch"})
        answers = http_parts.json_answer(
            schemas().answer(op), answer_example(op), conditional=versioned
        )
        if not reads:
            codes.add(TooLarge.code)
            body = schemas().body(op)
            described_operation |= http_parts.body(body, fields_example(body, op.name))
    if parameters:
        described_operation["parameters"] = parameters
    described_operation["responses"] = answers | http_parts.refusals(codes, placeholders(route))
    socket = {"x-socket": {"namespace": namespace, "event": exposed.event}}
    return described_operation | facts_of(exposed, codes, rates) | (socket if exposed.event else {})


def _download(download: Download, rates: Rates) -> Part:
    op = download.operation
    codes = {*op.codes, UnsupportedType.code}
    return {
        "operationId": f"{op.name}.csv",
        "tags": [op.name.partition(".")[0]],
        **words(f"{summary_of(op)}, as a file", f"The columns: {', '.join(download.header)}."),
        "security": [BEARER],
        "parameters": http_parts.query_parameters(op, frozenset()),
        "responses": http_parts.CSV | http_parts.refusals(codes),
        **facts_of(Exposed(op, None, Route("GET", download.path)), codes, rates),
    }


def _server_operation(path: ServerPath) -> Part:
    schema = schemas().of(path.answer)
    example = schema_example(schema) if path.example is None else path.example
    answers = http_parts.json_answer(schema, example, conditional=path.cached)
    if path.unready:
        answers["503"] = http_parts.json_answer(schema, UNREADY)["200"]
    codes = {Invalid.code, *(error.code for error in path.errors)}
    operation: Part = {
        "operationId": path.name,
        "tags": [SERVER_TAG],
        **words(path.summary, path.description),
        "security": [],
        "responses": answers | http_parts.refusals(codes),
        "x-operation": path.name,
        "x-roles": [],
        "x-codes": sorted(codes),
        "x-rate-limits": [],
        "x-repeat": "safe",
    }
    if path.cached:
        operation["parameters"] = [{"$ref": "#/components/parameters/IfNoneMatch"}]
    if path.body:
        operation |= http_parts.STRIPE_EVENT
    return operation


def _tag(namespace: Any) -> str:
    return str(namespace.name.removeprefix("/"))
