"""What both documents promise to clients, as one dictionary that can be stored and compared.

Without prose and examples, and without what each deployment sets itself. Every schema is there
once, because both documents have the same.
"""

from typing import Any

Json = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
# What people read; lists whose order means nothing; keywords whose keys are names.
PROSE = {"description", "title", "examples", "example"}
SETS = {"enum", "required"}
NAMES = {"properties", "$defs", "patternProperties"}
# Facts about an operation beside its fields.
FACTS = (
    "x-roles",
    "x-codes",
    "x-repeat",
    "x-step-up",
    "x-during-setup",
    "x-socket",
    "x-http",
    "x-joins",
    "x-numbering",
    "security",
)


def contract(openapi: Json, asyncapi: Json) -> Json:
    """Raises AssertionError if the documents contradict each other."""
    schemas = openapi["components"]["schemas"] | asyncapi["components"]["schemas"]
    for document in (openapi, asyncapi):
        own = document["components"]["schemas"]
        assert own.items() <= schemas.items(), "the documents have different schemas of one name"
    http, statuses = _routes(openapi)
    return {
        "version": openapi["info"]["version"],
        "statuses": statuses,
        "acknowledgement": _envelope(asyncapi),
        "parameters": dict(
            _parameter(each) for each in openapi["components"]["parameters"].values()
        ),
        "http": http,
        "sockets": {
            name: _message(asyncapi, operation)
            for name, operation in sorted(asyncapi["operations"].items())
        },
        "schemas": {name: bare(schema) for name, schema in sorted(schemas.items())},
    }


def follow(document: Json, node: Any) -> Any:
    """What a reference within the document stands for."""
    while isinstance(node, dict) and set(node) == {"$ref"}:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def bare(schema: Any, *, names: bool = False) -> Any:
    """A schema without prose. Fields may be called like a keyword."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: sorted(value, key=str)
        if not names and key in SETS
        else bare(value, names=not names and key in NAMES)
        for key, value in sorted(schema.items())
        if names or key not in PROSE
    }


def _facts(operation: Json) -> Json:
    found = {name: operation[name] for name in FACTS if name in operation}
    for name in ("x-roles", "x-codes"):
        if name in found:
            found[name] = " ".join(sorted(found[name]))
    return found


# -- HTTP ------------------------------------------------------------------------------------


def _routes(document: Json) -> tuple[Json, Json]:
    """The operations by name, and the status of each code."""
    found: Json = {}
    statuses: dict[str, set[str]] = {}
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            operation = item[method]
            answers, refusals = _responses(document, operation)
            for code, status in refusals:
                statuses.setdefault(code, set()).add(status)
            route = f"{method.upper()} {path}"
            found[operation["operationId"]] = {
                "route": route,
                **_facts(operation),
                "parameters": dict(
                    _parameter(each) for each in operation.get("parameters", ()) if "in" in each
                ),
                "body": _body(follow(document, operation.get("requestBody", {}))),
                "answers": answers,
            }
    joined = {code: " ".join(sorted(each)) for code, each in sorted(statuses.items())}
    return dict(sorted(found.items())), joined


def _parameter(parameter: Json) -> tuple[str, Json]:
    written, schema = "text", parameter.get("schema")
    for kind, content in parameter.get("content", {}).items():
        written, schema = kind, content["schema"]
    return f"{parameter['in']} {parameter['name']}", {
        "required": parameter.get("required", False),
        "written": written,
        "schema": bare(schema),
    }


def _body(body: Json) -> Json:
    if not body:
        return {}
    return {"required": body.get("required", False), "content": _content(body)}


def _content(message: Json) -> Json:
    return {kind: bare(each.get("schema", {})) for kind, each in message.get("content", {}).items()}


def _responses(document: Json, operation: Json) -> tuple[Json, set[tuple[str, str]]]:
    """The answers by status, and the codes with their statuses: all refusals have one schema."""
    answers: Json = {}
    refusals: set[tuple[str, str]] = set()
    for status, response in sorted(operation.get("responses", {}).items()):
        found = follow(document, response)
        if "x-codes" in found:
            refusals |= {(code, status) for code in found["x-codes"]}
        else:
            answers[status] = _content(found)
    return answers, refusals


# -- sockets ---------------------------------------------------------------------------------


def _message(document: Json, operation: Json) -> Json:
    """A command or a push; `answer` is the schema of the data in the acknowledgement."""
    message = follow(document, operation["messages"][0])
    found = {
        "action": operation["action"],
        "namespace": follow(document, operation["channel"])["address"],
        "event": message["name"],
        **_facts(operation),
        "payload": bare(message["payload"]),
    }
    if "reply" in operation:
        found["answer"] = bare(_acknowledgement(document, operation)[1])
    return found


def _acknowledgement(document: Json, operation: Json) -> tuple[Json, Json]:
    """The envelope of the acknowledgement, and the schema of the data in it."""
    payload = follow(document, operation["reply"]["messages"][0])["payload"]
    done, failed = payload["oneOf"]
    fields = dict(done["properties"])
    data = fields.pop("data")
    return {"oneOf": [{**done, "properties": fields}, failed]}, data


def _envelope(document: Json) -> Json:
    """What all acknowledgements have in common."""
    envelopes = [
        bare(_acknowledgement(document, operation)[0])
        for operation in document["operations"].values()
        if "reply" in operation
    ]
    assert all(envelope == envelopes[0] for envelope in envelopes)
    return envelopes[0]
