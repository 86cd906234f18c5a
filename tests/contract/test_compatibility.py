"""What breaks clients, and what does not: each kind of change of the documents.

The oldest client has been written against DOCUMENTS, and each row changes one thing.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.compatibility import compare
from tests.contract.model import bare, contract
from tests.contract.snapshot import complaints, text_of

Json = dict[str, Any]

TEXT = {"type": "string", "minLength": 1, "maxLength": 100}
SCHEMAS = {
    "PostFields": {
        "type": "object",
        "properties": {
            "title": TEXT,
            "budget": {"type": "integer", "minimum": 1, "maximum": 1000},
            "kind": {"enum": ["fixed", "hourly"]},
            "near": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "days": {"type": "array", "items": {"type": "integer"}, "maxItems": 7},
        },
        "required": ["title"],
        "additionalProperties": False,
    },
    "Job": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "status": {"enum": ["open", "done"]},
            "price": {"type": "integer"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "parent": {"anyOf": [{"$ref": "#/components/schemas/Job"}, {"type": "null"}]},
            "place": {"anyOf": [{"$ref": "#/components/schemas/Place"}, {"type": "null"}]},
        },
        "required": ["id", "status", "price", "note"],
    },
    "Place": {
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
    },
    "Error": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
}
FACTS = {"x-roles": ["admin", "customer"], "x-codes": ["invalid"], "x-repeat": "request_id"}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def either(data: Json) -> Json:
    done = {"type": "object", "properties": {"ok": {"const": True}, "data": data}}
    failed = {"type": "object", "properties": {"ok": {"const": False}, "error": ref("Error")}}
    return {"oneOf": [done, failed]}


OK = {"content": {"application/json": {"schema": ref("Job")}}}
OPENAPI: Json = {
    "openapi": "3.1.0",
    "info": {"version": "1.0.0", "title": "Jobs"},
    "paths": {
        "/api/job": {
            "post": {
                "operationId": "job.post",
                "summary": "Post a job.",
                "security": [{"bearer": []}],
                "parameters": [{"$ref": "#/components/parameters/Key"}],
                "requestBody": {"content": {"application/json": {"schema": ref("PostFields")}}},
                "responses": {
                    "200": OK,
                    "422": {"x-codes": ["invalid"]},
                },
                **FACTS,
            },
            "get": {
                "operationId": "job.list",
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 9}}
                ],
                "responses": {"200": OK},
                "x-roles": [],
                "x-codes": [],
            },
        }
    },
    "components": {
        "parameters": {"Key": {"in": "header", "name": "Key", "schema": {"type": "string"}}},
        "schemas": SCHEMAS,
    },
}
PUSH = {
    "action": "send",
    "channel": {"$ref": "#/channels/job"},
    "messages": [{"$ref": "#/components/messages/updated"}],
    "x-numbering": "feed",
}
ASYNCAPI: Json = {
    "asyncapi": "3.0.0",
    "info": {"version": "1.0.0", "title": "Jobs"},
    "channels": {"job": {"address": "/job", "messages": {}}},
    "operations": {
        "job.post": {
            "action": "receive",
            "channel": {"$ref": "#/channels/job"},
            "messages": [{"$ref": "#/components/messages/post"}],
            "reply": {"messages": [{"$ref": "#/components/messages/posted"}]},
            **FACTS,
        },
        "push.job.updated": PUSH,
    },
    "components": {
        "messages": {
            "post": {"name": "post", "payload": ref("PostFields")},
            "posted": {"payload": either(ref("Job"))},
            "updated": {"name": "job.updated", "payload": ref("Job")},
        },
        "schemas": SCHEMAS,
    },
}
DOCUMENTS = {"openapi": OPENAPI, "asyncapi": ASYNCAPI}
CONTRACT = contract(**DOCUMENTS)


def put(*path: Any, value: Any) -> Callable[[Json], None]:
    """A change of both documents: of what is at this path in either."""

    def change(documents: Json) -> None:
        for document in (documents["openapi"], documents["asyncapi"]):
            node = document
            for key in path[:-1]:
                node = node.get(key, {}) if isinstance(node, dict) else node[key]
            if isinstance(node, list) or path[0] in document:
                node[path[-1]] = value

    return change


def without(*path: str) -> Callable[[Json], None]:
    def change(documents: Json) -> None:
        for document in (documents["openapi"], documents["asyncapi"]):
            node = document
            for key in path[:-1]:
                node = node.get(key, {})
            node.pop(path[-1], None)

    return change


FIELDS = ("components", "schemas", "PostFields", "properties")
ANSWER = ("components", "schemas", "Job", "properties")
POST = ("paths", "/api/job", "post")
COMMAND = ("operations", "job.post")
NULL = {"type": "null"}


def moved(documents: Json) -> None:
    paths = documents["openapi"]["paths"]
    paths["/api/jobs"] = {"get": paths["/api/job"].pop("get")}


BREAKS = [
    (without("paths", "/api/job", "get"), "job.list: the operation is gone"),
    (without("operations", "push.job.updated"), "push.job.updated: the command or push is gone"),
    (moved, "job.list: moved from GET /api/job to GET /api/jobs"),
    (put(*POST, "x-codes", value=["invalid", "too_many"]), "job.post: may answer too_many"),
    (
        put(*POST, "responses", value={"200": OK, "400": {"x-codes": ["invalid"]}}),
        "invalid: its status is 400, not 422",
    ),
    (put(*POST, "x-roles", value=["admin"]), "job.post: refuses the role customer"),
    (put("paths", "/api/job", "get", "x-roles", value=["admin"]), "asks for a sign-in"),
    (put(*POST, "x-repeat", value="no"), "x-repeat is no, not request_id"),
    (put(*POST, "requestBody", "required", value=True), "needs a body"),
    (without(*POST, "requestBody", "content", "application/json"), "is never application/json"),
    (without(*POST, "responses", "200"), "never answers 200"),
    (put("paths", "/api/job", "get", "parameters", value=[]), "the parameter query limit is gone"),
    (put("components", "parameters", "Key", "required", value=True), "Key is required"),
    (put("channels", "job", "address", value="/jobs"), "namespace is /jobs, not /job"),
    (put("components", "messages", "post", "name", value="create"), "event is create, not post"),
    (put("operations", "push.job.updated", "x-numbering", value="never"), "x-numbering is never"),
    (put("operations", "job.post", "x-socket", value="none"), "x-socket is none, not None"),
    (put("components", "schemas", "PostFields", "required", value=["title", "kind"]), "required"),
    (without(*FIELDS, "budget"), "PostFields (input): budget is gone"),
    (put(*FIELDS, "budget", "maximum", value=500), "maximum is 500, not 1000"),
    (put(*FIELDS, "budget", "exclusiveMinimum", value=0), "exclusiveMinimum is 0"),
    (put(*FIELDS, "title", "minLength", value=3), "minLength is 3, not 1"),
    (put(*FIELDS, "title", "pattern", value="^a"), "pattern is ^a"),
    (put(*FIELDS, "title", "format", value="email"), "format is email"),
    (put(*FIELDS, "kind", "enum", value=["fixed"]), "hourly is no choice any more"),
    (put(*FIELDS, "title", "enum", value=["a"]), "is one of a list"),
    (put(*FIELDS, "near", "anyOf", value=[{"type": "string"}]), "is never null any more"),
    (put(*FIELDS, "near", "default", value="here"), "is here, not None, if it is left out"),
    (put(*FIELDS, "days", "items", "type", value="string"), "is never integer any more"),
    (put(*FIELDS, "budget", "type", value="string"), "is never integer any more"),
    (without(*ANSWER, "price"), "Job (answer): price is gone"),
    (put("components", "schemas", "Job", "required", value=["id"]), "note may be missing"),
    (put(*ANSWER, "price", "type", value="number"), "Job (answer).price: may be number"),
    (put(*ANSWER, "price", value={"type": ["integer", "null"]}), "may be null"),
    (put(*ANSWER, "id", "format", value="uuid"), "format is uuid"),
    (put(*ANSWER, "place", "anyOf", value=[NULL, {"type": "string"}]), "may be string"),
    (without("components", "schemas", "Place", "properties", "town"), "Place (answer): town"),
]

COMPATIBLE = [
    (put("paths", "/api/me", value={"get": {"operationId": "me"}}), "me: a new operation"),
    (put("operations", "push.job.new", value=PUSH), "push.job.new: a new command or push"),
    (put(*POST, "x-codes", value=[]), "never answers invalid any more"),
    (put(*POST, "x-roles", value=["admin", "customer", "guest"]), "allows the role guest"),
    (put(*POST, "x-roles", value=[]), "is open to anyone"),
    (put(*FIELDS, "extra", value=TEXT), "PostFields (input): extra is new"),
    (put(*FIELDS, "budget", "maximum", value=5000), "maximum is 5000, not 1000"),
    (without(*FIELDS, "title", "maxLength"), "maxLength is None, not 100"),
    (put(*FIELDS, "kind", "enum", value=["fixed", "hourly", "daily"]), "daily is a new choice"),
    (put(*FIELDS, "budget", "type", value="number"), "may be number"),
    (put("components", "schemas", "PostFields", "required", value=[]), "title may be missing"),
    (put(*ANSWER, "extra", value=TEXT), "Job (answer): extra is new"),
    (put(*ANSWER, "status", "enum", value=["open", "done", "late"]), "late is a new choice"),
    (put(*ANSWER, "note", value={"type": "string"}), "is never null any more"),
    (put(*ANSWER, "id", "maxLength", value=64), "maxLength is 64"),
    (put(*POST, "responses", "304", value={}), "job.post: may answer 304"),
]


def changed(change: Callable[[Json], None]) -> Json:
    documents = copy.deepcopy(DOCUMENTS)
    change(documents)
    found = contract(**documents)
    assert found != CONTRACT
    return found


@pytest.mark.parametrize(("change", "said"), BREAKS, ids=[said for _, said in BREAKS])
def test_what_breaks_clients(change: Callable[[Json], None], said: str) -> None:
    found = compare(CONTRACT, changed(change))
    assert [each for each in found if each.breaks and said in str(each)], found


@pytest.mark.parametrize(("change", "said"), COMPATIBLE, ids=[said for _, said in COMPATIBLE])
def test_what_does_not_break_clients(change: Callable[[Json], None], said: str) -> None:
    found = compare(CONTRACT, changed(change))
    assert [each for each in found if each.breaks] == []
    assert [each for each in found if said in str(each)], found


def test_equal_documents_have_no_changes() -> None:
    """Records that refer to themselves end, too."""
    assert compare(CONTRACT, copy.deepcopy(CONTRACT)) == []


def test_prose_and_order_are_not_stored() -> None:
    """Fields may have the names of the words that are left out."""
    field = {"type": "string", "description": "What it is.", "examples": ["Fence"]}
    schema = {
        "properties": {"title": field, "description": field},
        "required": ["title", "description"],
    }
    assert bare(schema) == {
        "properties": {"title": {"type": "string"}, "description": {"type": "string"}},
        "required": ["description", "title"],
    }
    assert text_of({"a": [1, 2]}) == '{"a": [1, 2]}'
    assert text_of({"a": [{"b": "x" * 90}, {"b": "y" * 90}]}).count("\n") == 5
    assert text_of(["x" * 90, "y" * 90]).count("\n") == 0


def test_the_version_and_the_changelog_follow() -> None:
    """A break needs a new major version, and each change a line in the changelog."""
    log = "- Contract 1.1.0: more.\n- Contract 2.0.0: less."
    more = changed(put(*ANSWER, "extra", value=TEXT)) | {"version": "1.1.0"}
    less = changed(without(*ANSWER, "price"))
    assert complaints(CONTRACT, more, log) == []
    assert "no line about contract 1.1.0" in complaints(CONTRACT, more, "")[0]
    found = complaints(CONTRACT, less | {"version": "1.1.0"}, log)
    assert found[0] == "breaks clients: Job (answer): price is gone"
    assert complaints(CONTRACT, less | {"version": "2.0.0"}, log) == []
