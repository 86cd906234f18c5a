"""The parts of HTTP operations: parameters, bodies, answers and refusals."""

from collections.abc import Collection, Sequence
from typing import Any

from domain.files.file_names import ENDINGS
from domain.kernel.errors import Code, Invalid, UnknownCommand
from domain.operations.operation import Operation
from handlers.documents.examples import parameter_example, problem_example
from handlers.documents.problems import Problem, by_status, error_classes
from handlers.documents.schemas import NULL, Schema, schemas

Part = dict[str, Any]

JSON = "application/json"
PROBLEM = "application/problem+json"
# The refusals that many operations have, by the names of these responses.
SHARED: dict[str, tuple[int, tuple[Code, ...]]] = {
    "BadRequest": (400, (Code.INVALID,)),
    "Unauthenticated": (401, (Code.TOKEN_EXPIRED, Code.UNAUTHENTICATED)),
    "Forbidden": (403, (Code.FORBIDDEN, Code.SECOND_FACTOR_SETUP_REQUIRED)),
    "SecondFactorSetupRequired": (403, (Code.SECOND_FACTOR_SETUP_REQUIRED,)),
    "Conflict": (409, (Code.CONFLICT, Code.REQUEST_ID_REUSED, Code.REQUEST_IN_PROGRESS)),
    "TooLarge": (413, (Code.TOO_LARGE,)),
    "UnsupportedType": (415, (Code.UNSUPPORTED_TYPE,)),
    "Invalid": (422, (Code.INVALID,)),
    "RateLimited": (429, (Code.RATE_LIMITED,)),
    "InternalError": (500, (Code.INTERNAL,)),
    "Unavailable": (503, (Code.UNAVAILABLE,)),
}

REQUEST_ID: Schema = {
    "type": "string",
    "description": "Chosen by the client, new for each request: 1 to 128 printable characters.",
    "pattern": r"^[\x20-\x7e]+$",
    "minLength": 1,
    "maxLength": 128,
}
IDEMPOTENCY_KEY: Part = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The request id. A repeated request with it is carried out once, and gets the "
    "first answer; one with other fields is `request_id_reused`.",
    "schema": REQUEST_ID,
}
IF_NONE_MATCH: Part = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an earlier answer: 304 if it would be the same.",
    "schema": {"type": "string"},
}
TAG = {"ETag": {"description": "Of this answer, strong.", "schema": {"type": "string"}}}
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "schema": {"type": "integer", "format": "int64", "minimum": 1},
    }
}
NOT_MODIFIED: Part = {"description": "The client has this answer already.", "headers": TAG}
BYTES: Part = {"schema": {"type": "string", "format": "binary"}}
FILE_HEADERS: Part = TAG | {
    "Content-Disposition": {
        "description": "`attachment` with the name of the file.",
        "schema": {"type": "string"},
    },
    "Accept-Ranges": {"description": "Always `bytes`.", "schema": {"type": "string"}},
}
RANGE_HEADER = {
    "Content-Range": {"description": "Which bytes these are.", "schema": {"type": "string"}}
}
FILE_TYPES: Part = {type: BYTES for type in sorted({*ENDINGS, "image/webp", "application/zip"})}
FILE: Part = {
    "200": {"description": "The file.", "headers": FILE_HEADERS, "content": FILE_TYPES},
    "206": {
        "description": "A part of the file.",
        "headers": FILE_HEADERS | RANGE_HEADER,
        "content": FILE_TYPES,
    },
    "304": NOT_MODIFIED,
    "416": {
        "description": "`invalid`: the file has no bytes in this range.",
        "headers": RANGE_HEADER,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "x-codes": [Code.INVALID],
    },
}
OF_DOWNLOADS: list[Part] = [
    {
        "name": "Range",
        "in": "header",
        "description": "One range of bytes, `bytes=0-1023`.",
        "schema": {"type": "string"},
    },
    {"$ref": "#/components/parameters/IfNoneMatch"},
]
CSV: Part = {
    "200": {
        "description": "A row for each line, the names of the columns first. When it fails on the "
        "way, the connection is cut.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
STRIPE_EVENT: Part = {
    "parameters": [
        {
            "name": "Stripe-Signature",
            "in": "header",
            "required": True,
            "description": "Signs the bytes of the body.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": {"type": "object"}, "example": {"id": "evt_1PQ2b3Kx"}}},
    },
}
UPLOADED_FILE: Part = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "One file, with its name, and nothing else.",
                    }
                },
                "required": ["file"],
            }
        }
    },
}


def path_parameters(op: Operation, placed: Collection[str]) -> list[Part]:
    properties = _properties(op)
    return [
        _parameter("path", name, properties[name])
        | {"required": True, "example": parameter_example(properties[name], name, op.name)}
        for name in sorted(placed)
    ]


def query_parameters(op: Operation, placed: Collection[str]) -> list[Part]:
    """A list repeats its key, and an object is JSON."""
    required = schemas().resolved(schemas().fields(op)).get("required", [])
    return [
        _parameter("query", name, schema) | ({"required": True} if name in required else {})
        for name, schema in _properties(op).items()
        if name not in placed
    ]


def body(schema: Schema, example: Any) -> Part:
    """None for an operation without fields."""
    fields = schemas().resolved(schema)
    if "properties" in fields and not fields["properties"]:
        return {}
    required = bool(fields.get("required"))
    content = {JSON: {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def json_answer(schema: Schema, example: Any, *, conditional: bool = False) -> Part:
    described = schemas().resolved(schema).get("description") or "The answer."
    content = {JSON: {"schema": schema, "example": example}}
    answer: Part = {"description": described, "content": content}
    if not conditional:
        return {"200": answer}
    return {"200": answer | {"headers": TAG}, "304": NOT_MODIFIED}


def refusals(codes: Collection[Code], placed: Collection[str] = ()) -> Part:
    """By status. A request that is no valid HTTP is refused before its path is known."""
    found = by_status(codes)
    found.setdefault(400, [Invalid.code])
    if placed:  # a value that contains a slash
        found[404] = sorted({*found.get(404, ()), UnknownCommand.code})
    names = {group: name for name, group in SHARED.items()}
    return {
        str(status): {"$ref": f"#/components/responses/{names[status, tuple(group)]}"}
        if (status, tuple(group)) in names
        else _refusal(status, group)
        for status, group in sorted(found.items())
    }


def shared_refusals() -> Part:
    """Those that many operations have."""
    return {name: _refusal(status, group) for name, (status, group) in SHARED.items()}


def _refusal(status: int, group: Sequence[Code]) -> Part:
    reasons = [f"- `{code}`: {error_classes()[code].message}" for code in group]
    examples = {code: {"value": problem_example(code) | {"status": status}} for code in group}
    return {
        "description": "\n".join(reasons),
        "content": {PROBLEM: {"schema": schemas().of(Problem), "examples": examples}},
        **({"headers": RETRY_AFTER} if status == 429 else {}),
        "x-codes": list(group),
    }


def _properties(op: Operation) -> dict[str, Schema]:
    found: dict[str, Schema] = schemas().resolved(schemas().fields(op)).get("properties", {})
    return found


def _parameter(place: str, name: str, schema: Schema) -> Part:
    """A query has no null: what may be null is left out."""
    schema = dict(schema)
    if "anyOf" in schema:
        kinds = [kind for kind in schema.pop("anyOf") if kind != NULL]
        schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if schema.get("default", "") is None:
            del schema["default"]
    description = schema.pop("description", None)
    parameter: Part = {"name": name, "in": place}
    if description:
        parameter["description"] = description
    if schemas().resolved(schema).get("type") == "object":
        return parameter | {"content": {JSON: {"schema": schema}}}
    return parameter | {"schema": schema}
