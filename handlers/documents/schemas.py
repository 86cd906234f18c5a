"""The schemas of all commands, answers and pushes, by the names that both documents use."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from domain.kernel.outbox import Event
from domain.operations.operation import Operation
from handlers import NAMESPACES
from handlers.documents.problems import Error, Problem
from handlers.documents.server_paths import SERVER_PATHS
from handlers.documents.wire_types import WireTypes, paragraphs
from handlers.expose import Exposed, Route

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/"
NULL: Schema = {"type": "null"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Schemas:
    """All schemas. `components` are those that others refer to."""

    def __init__(self, components: dict[str, Schema], found: Mapping[Any, list[Schema]]) -> None:
        self.components = components
        self._found = found

    def fields(self, op: Operation) -> Schema:
        """The fields of a command."""
        return self._one(op.name, "fields")

    def body(self, op: Operation) -> Schema:
        """The fields that are not in the path of its route."""
        return self._one(op.name, "body")

    def answer(self, op: Operation) -> Schema:
        return self._one(op.name, "answer")

    def push(self, event: Event) -> Schema:
        return self._one(event.namespace, event.name)

    def of(self, kind: Any) -> Schema:
        """Of a struct of the documents themselves, or of the server's own answers."""
        return self._one(kind)

    def resolved(self, schema: Schema) -> Schema:
        """The component that a schema refers to, or itself."""
        name = schema.get("$ref", "").removeprefix(REFERENCE)
        return self.components[name] if name else schema

    def used_by(self, document: Any) -> dict[str, Schema]:
        """The components that a document refers to, directly or through others."""
        used: dict[str, Schema] = {}
        waiting = list(_references(document))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = self.components[name]
                waiting += _references(used[name])
        return dict(sorted(used.items()))

    def _one(self, *key: Any) -> Schema:
        found = self._found[key]
        return dict(found[0]) if len(found) == 1 else {"anyOf": found}


@cache
def schemas() -> Schemas:
    """Made once for each process."""
    types = WireTypes()
    kinds: dict[Any, list[Any]] = {(kind,): [kind] for kind in (Problem, Error)}
    for path in SERVER_PATHS:
        kinds[path.answer,] = types.answers(path.answer)
    for namespace in NAMESPACES:
        for exposed in namespace.exposed:
            op, name = exposed.operation, schema_name(exposed.operation.name)
            kinds[op.name, "fields"] = [types.fields(f"{name}Fields", op.command)]
            if placed := placeholders(exposed.route):
                kinds[op.name, "body"] = [types.fields(f"{name}Body", op.command, placed)]
            else:
                kinds[op.name, "body"] = kinds[op.name, "fields"]
            kinds[op.name, "answer"] = types.answers(op.answer)
        for event in namespace.pushes:
            kinds[event.namespace, event.name] = types.answers(event.data)
    listed = [kind for group in kinds.values() for kind in group]
    made, components = msgspec.json.schema_components(listed, ref_template=REFERENCE + "{name}")
    assert not [name for name in components if not name.isalnum()], "two types of one name"
    for component in components.values():
        if "description" in component:
            component["description"] = paragraphs(component["description"])
        for described in component.get("properties", {}).values():
            _describe_option(described)
    rest = iter(made)
    found = {key: [next(rest) for _ in group] for key, group in kinds.items()}
    return Schemas(components, found)


def schema_name(operation: str) -> str:
    """`job-request.apply` becomes JobRequestApply."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", operation))


def placeholders(route: Route | None) -> frozenset[str]:
    """The fields in the path of a route."""
    return frozenset(PLACEHOLDER.findall(route.path)) if route else frozenset()


def all_exposed() -> Iterator[tuple[str, Exposed]]:
    """Every exposed operation, with the name of its namespace."""
    for namespace in NAMESPACES:
        for exposed in namespace.exposed:
            yield namespace.name, exposed


def _describe_option(schema: Schema) -> None:
    """A value that may be null has the description of its type, unless it has one of its own."""
    found = (kind["description"] for kind in schema.get("anyOf", ()) if "description" in kind)
    if "description" not in schema and (description := next(found, None)):
        schema["description"] = description


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(name := part.get("$ref"), str) and name.startswith(REFERENCE):
            yield name.removeprefix(REFERENCE)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _references(value)
