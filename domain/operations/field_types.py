"""The types of a command's fields, and the limits that they set.

Refusals, documents and `GET /api/meta` read them here, so they agree with what is enforced.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from domain.kernel.errors import Rule
from domain.kernel.fields import EXPECTED

# The attributes of an inspected type that hold the limits of these rules.
LIMITS = {
    Rule.MIN: "ge",
    Rule.ABOVE: "gt",
    Rule.MAX: "le",
    Rule.MIN_LENGTH: "min_length",
    Rule.MAX_LENGTH: "max_length",
}
ANY = inspect.AnyType()
STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class FieldType:
    """A type without null. `limits` are by the rule that demands them, `expected` says what a
    refused value should have been, for people, and `extra` has the other marks of the type."""

    def __init__(self, kind: inspect.Type) -> None:
        schema: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        while isinstance(kind, inspect.Metadata | inspect.UnionType):
            if isinstance(kind, inspect.Metadata):
                schema |= kind.extra_json_schema or {}
                extra |= kind.extra or {}
                kind = kind.type
            else:
                kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
        self.type, self.extra = kind, extra
        self.expected: str | None = extra.get(EXPECTED)
        self.limits = {
            rule: limit
            for rule, name in LIMITS.items()
            if (limit := getattr(kind, name, None)) is not None
        }
        # Of texts that people write, and of passwords: checks of their own count more than these.
        for rule, word in ((Rule.MIN_LENGTH, "minLength"), (Rule.MAX_LENGTH, "maxLength")):
            if word in schema:
                self.limits[rule] = schema[word]
        if isinstance(kind, inspect.EnumType):
            self.limits[Rule.CHOICE] = [each.value for each in kind.cls]
        elif isinstance(kind, inspect.LiteralType):
            self.limits[Rule.CHOICE] = list(kind.values)

    @property
    def fields(self) -> Mapping[str, inspect.Type]:
        """The fields of a struct."""
        if not isinstance(self.type, inspect.StructType):
            return {}
        return {field.encode_name: field.type for field in self.type.fields}

    @property
    def item(self) -> inspect.Type | None:
        """The type of a list's items, or of a mapping's values."""
        if isinstance(self.type, inspect.DictType):
            return self.type.value_type
        listed = isinstance(self.type, inspect.ListType | inspect.VarTupleType)
        return self.type.item_type if listed else None  # type: ignore[attr-defined]

    @property
    def key(self) -> "FieldType":
        return FieldType(self.type.key_type) if isinstance(self.type, inspect.DictType) else self


@cache
def field_types(command: type[msgspec.Struct]) -> FieldType:
    return FieldType(inspect.type_info(command))


def type_at(command: type[msgspec.Struct], path: str) -> FieldType:
    """The type at a path such as `milestones[1].amount`, which may name an unknown field."""
    kind = field_types(command)
    for name, _ in STEP.findall(path):
        below = kind.fields.get(name) if name else kind.item
        kind = FieldType(below or ANY)
    return kind


def fields_of(command: type[msgspec.Struct]) -> Iterator[tuple[str, FieldType]]:
    """All fields by their path, with `[]` for the items of a list: `milestones[].amount`."""
    return _below("", field_types(command))


def _below(path: str, kind: FieldType) -> Iterator[tuple[str, FieldType]]:
    for name, type in kind.fields.items():
        field = FieldType(type)
        at = f"{path}.{name}" if path else name
        yield at, field
        yield from _below(at, field)
        if field.item and not isinstance(field.type, inspect.DictType):
            item = FieldType(field.item)
            yield f"{at}[]", item
            yield from _below(f"{at}[]", item)
