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
INT32 = 2**31 - 1
PYTHON_END = r"(?!\n)$"  # in ECMA 262, the language of published patterns, `$` alone means the same


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
        name = _name(schema)
        return self.components[name] if name else schema

    def used_by(self, document: Any, own: Mapping[str, Schema] = {}) -> dict[str, Schema]:
        """The components that a document refers to, directly or through others. `own` are those
        that this document has alone."""
        known, used = {**self.components, **own}, dict[str, Schema]()
        waiting = list(_references(document))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = known[name]
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
    _name_choices(components, found)
    _complete([components, found])
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


def _name_choices(components: dict[str, Schema], found: dict[Any, list[Schema]]) -> None:
    """An answer of one type or another is a component of its own."""
    for key, group in found.items():
        if key[-1] == "answer" and len(group) > 1:
            name = f"{schema_name(key[0])}Answer"
            assert name not in components, "two types of one name"
            needs = {_name(each): components[_name(each)]["required"] for each in group}
            ordered = sorted(group, key=lambda each: -len(needs[_name(each)]))
            *marked, rest = map(_name, ordered)
            others = {each: [f for n in needs if n != each for f in needs[n]] for each in needs}
            marks = [
                (each, next(f for f in needs[each] if f not in others[each])) for each in marked
            ]
            told = [f"`{each}` if it has `{mark}`" for each, mark in marks]
            components[name] = {
                "title": name,
                "description": f"{', '.join(told)}, else `{rest}`.",
                "anyOf": ordered,
            }
            found[key] = [{"$ref": REFERENCE + name}]


def _complete(part: Any) -> None:
    """Says what generators of typed clients would guess wrongly: whether an integer may need 64
    bits, of which type the values of a choice are, and that an answer may get further fields. Not
    all of them know what Python's patterns may have."""
    if isinstance(part, dict):
        if part.get("type") == "integer" and not _is_small(part):
            part["format"] = "int64"
        if isinstance(pattern := part.get("pattern"), str):
            part["pattern"] = pattern.replace(PYTHON_END, "$")
        values = part.get("enum")
        if isinstance(values, list) and all(isinstance(each, str) for each in values):
            part["type"] = "string"
        elif isinstance(values, list) and all(isinstance(each, bool) for each in values):
            del part["enum"]
            part["type"] = "boolean"
        if part.get("type") == "object" and "properties" in part:
            part.setdefault("additionalProperties", True)
    for each in part.values() if isinstance(part, dict) else part:
        if isinstance(each, dict | list):
            _complete(each)


def _is_small(schema: Schema) -> bool:
    limits = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
    return bool(limits) and min(limits) <= INT32


def _name(schema: Schema) -> str:
    """The name of the component that a schema refers to."""
    return str(schema.get("$ref", "")).removeprefix(REFERENCE)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(name := part.get("$ref"), str) and name.startswith(REFERENCE):
            yield name.removeprefix(REFERENCE)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _references(value)
