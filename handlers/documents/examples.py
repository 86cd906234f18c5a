"""An example of every command, answer, push and refusal, made from its schema.

VALUES has a value for the names of fields, OF_SCHEMA another one where a name means something else.
All tell of one job. Everything else is made: null where that is allowed, zero, an empty
text. The tests check every example against its type.
"""

from typing import Any

from domain.kernel.errors import Code, Rule
from domain.kernel.outbox import Event, Numbering
from domain.operations.operation import Operation
from handlers.documents.example_values import ENUMERATIONS, OF_SCHEMA, OPTIONAL, TIME, VALUES
from handlers.documents.problems import error_classes
from handlers.documents.schemas import NULL, Schema, schema_name, schemas

DETAILS: dict[Code, dict[str, Any]] = {
    Code.INVALID: {"field": "title", "rule": Rule.REQUIRED},
    Code.RATE_LIMITED: {"retry_after": 1.5},
    Code.TOO_LARGE: {"limit_bytes": 65_536},
    Code.TOO_MANY: {"limit": 20},
    Code.STEP_UP_REQUIRED: {"methods": ["password"]},
    Code.SECOND_FACTOR_REQUIRED: {
        "challenge": VALUES["challenge"],
        "expires_at": TIME,
        "methods": ["totp", "recovery_code"],
    },
    Code.APPROVAL_REQUIRED: {
        "approval_id": VALUES["approval_id"],
        "amount": 100_000,
        "currency": "USD",
        "expires_at": TIME,
    },
    Code.FORBIDDEN: {"allowed": ["customer"]},
    Code.TOO_OLD: {"head": 1200, "first": 900},
    Code.MONEY_OUTSTANDING: {"outstanding": ["jobs"]},
    Code.UNSUPPORTED_TYPE: {"found": "text/html", "allowed": ["application/pdf", "image/png"]},
}


def command_example(op: Operation) -> Any:
    """The required fields of a command, and some optional ones."""
    return fields_example(schemas().fields(op), op.name)


def fields_example(schema: Schema, operation: str) -> Any:
    """The same for a part of its fields, such as a body."""
    wanted = OPTIONAL.get(operation, "").split()
    component = schemas().resolved(schema)
    return {
        name: _example(field, name, f"{schema_name(operation)}Fields")
        for name, field in component.get("properties", {}).items()
        if name in component["required"] or name in wanted
    }


def answer_example(op: Operation) -> Any:
    return _example(schemas().answer(op), "", schema_name(op.name))


def parameter_example(schema: Schema, name: str, operation: str) -> Any:
    return _example(schema, name, f"{schema_name(operation)}Fields")


def push_example(event: Event) -> Any:
    numbered = event.numbering is not Numbering.NEVER
    return {"seq": VALUES["seq"] if numbered else None, "at": TIME, "data": data_example(event)}


def data_example(event: Event) -> Any:
    return _example(schemas().push(event), "", "")


def schema_example(schema: Schema) -> Any:
    return _example(schema, "", "")


def problem_example(code: Code) -> dict[str, Any]:
    """A refusal over HTTP."""
    error = error_classes()[code]
    return {
        "type": "about:blank",
        "title": _message(code),
        "status": error.status,
        "code": code,
        "details": DETAILS.get(code, {}),
    }


def error_example(code: Code) -> dict[str, Any]:
    """A refusal on a socket."""
    return {"code": code, "message": _message(code), "details": DETAILS.get(code, {})}


def _message(code: Code) -> str:
    return "title: this is required." if code is Code.INVALID else error_classes()[code].message


def _example(schema: Schema, name: str, place: str) -> Any:
    """Of a field called `name` in the schema `place`."""
    if name in OF_SCHEMA.get(place, {}):
        return OF_SCHEMA[place][name]
    if "anyOf" in schema:
        if NULL in schema["anyOf"] and not place.endswith("Fields"):
            return None
        return _example(schema["anyOf"][0], name, place)
    if "$ref" in schema:
        return _component_example(schema)
    if name in VALUES:
        return VALUES[name]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "date-time":
        return TIME
    match schema.get("type"):
        case "array":
            return [_example(schema["items"], name, place)]
        case "integer":
            return schema.get("minimum", 0)
        case "number":
            return 0.0
        case "boolean":
            return False
        case "string":
            return ""
        case "null":
            return None
    return {}


def _component_example(schema: Schema) -> Any:
    """Of a struct, all fields that an answer has; of an enumeration, its first value."""
    component, place = schemas().resolved(schema), schema["$ref"].rpartition("/")[2]
    if "anyOf" in component:
        return _example(component["anyOf"][0], "", place)
    if "enum" in component:
        return ENUMERATIONS.get(place, component["enum"][0])
    return {
        name: _example(field, name, place)
        for name, field in component["properties"].items()
        if name in component["required"]
    }
