"""The generated part of the Python client has every operation and push, with its types."""

import inspect
from typing import Any, cast

import pytest
from jobsphere import contract

from handlers import CONTRACT_VERSION, NAMESPACES
from handlers.clients.python_types import declaration, type_of
from handlers.expose import Namespace
from tests.support.wire_contract import PUSHES

SPACES = vars(contract.Namespaces(cast(Any, None)))


def commands_of(namespace: Namespace) -> Any:
    return SPACES[namespace.name.strip("/").replace("-", "_")]


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda namespace: namespace.name)
def test_every_command_is_a_method(namespace: Namespace) -> None:
    """Guard: `python_types._method`; files are sent and read by the client itself."""
    own = {name for name, each in vars(type(commands_of(namespace))).items() if callable(each)}
    exposed = {
        each.operation.name.partition(".")[2] for each in namespace.exposed if not each.streamed
    }
    assert own - {"pushes"} == exposed
    assert contract.VERSION == CONTRACT_VERSION


@pytest.mark.parametrize("namespace", PUSHES)
def test_every_push_can_be_subscribed(namespace: str) -> None:
    """Guard: `python_types._subscriptions`: no name is left out."""
    assert namespace in contract.NAMES
    source = inspect.getsource(contract)
    assert [name for name in PUSHES[namespace].split() if f'"{name}"' not in source] == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"$ref": "#/components/schemas/Job"}, {"type": "null"}]}, "Job | None"),
        ({"type": "array", "items": {"enum": ["a", 1]}}, 'list[Literal["a", 1]]'),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "dict[str, str]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"const": True}, "Literal[True]"),
        ({}, "Any"),
    ],
)
def test_types_of_schemas(schema: Any, expected: str) -> None:
    """Guard: `python_types.type_of`."""
    assert type_of(schema) == expected


def test_fields_that_are_no_names() -> None:
    """Guard: `_is_attribute`: a keyword, and a name that hides a type in its class."""
    properties = {"from": {"type": "string"}, "list": {"type": "integer"}}
    made = declaration("Query", {"properties": properties, "required": ["from"]})
    types: dict[str, Any] = {}
    exec(f"from typing import NotRequired, TypedDict\n{made}", types)
    assert types["Query"].__required_keys__ == {"from"}
    assert types["Query"].__optional_keys__ == {"list"}
