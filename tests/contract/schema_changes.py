"""What a change of a JSON schema means for clients that were written before it.

For input the server must still accept all that it accepted. In an answer it must still send what
clients read, and nothing of another type.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

Json = dict[str, Any]

ANY = "anything"
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class Direction(StrEnum):
    INPUT = "input"
    ANSWER = "answer"


class Change(NamedTuple):
    where: str
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Schemas:
    """Compares schemas of an old and a new document; each named one once in each direction."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new
        self.changes: list[Change] = []
        self._compared: set[tuple[str, str, Direction]] = set()

    def note(self, where: str, what: str, *, breaks: bool) -> None:
        self.changes.append(Change(where, what, breaks))

    def compare(self, old: Any, new: Any, where: str, direction: Direction) -> None:
        names = name_of(old), name_of(new)
        if all(names):
            if (*names, direction) in self._compared:
                return
            self._compared.add((*names, direction))
            where = f"{names[0]} ({direction})"
        before, after = alternatives(old, self.old), alternatives(new, self.new)
        left_out, now = (
            resolve(old, self.old).get("default"),
            resolve(new, self.new).get("default"),
        )
        if direction is Direction.INPUT and left_out != now:
            self.note(where, f"is {now}, not {left_out}, if it is left out", breaks=True)
        is_input = direction is Direction.INPUT
        for kind in before.keys() - after.keys():
            if not covered(kind, after):
                self.note(where, f"is never {kind} any more", breaks=is_input)
        for kind in after.keys() - before.keys():
            if not covered(kind, before):
                self.note(where, f"may be {kind}", breaks=not is_input)
            elif ANY in before:
                self.note(where, f"is {kind}", breaks=is_input)
        for kind in before.keys() & after.keys():
            one, other = before[kind], after[kind]
            if name_of(one) and name_of(other) and one is not old:
                self.compare(one, other, where, direction)
            else:
                shapes = resolve(one, self.old), resolve(other, self.new)
                Comparison(self, where, direction).compare(*shapes)


def name_of(schema: Any) -> str:
    """The name of the component that a schema refers to."""
    return str(schema.get("$ref", "")).rpartition("/")[2] if isinstance(schema, dict) else ""


def resolve(schema: Any, named: Json) -> Json:
    """The schema without a reference; `true` is the schema of anything."""
    if not isinstance(schema, dict):
        return {} if schema is not False else {"enum": []}
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**resolve(named[name_of(schema)], named), **beside}


def alternatives(schema: Any, named: Json) -> dict[str, Json]:
    """The forms that a value may have, by the kind of each."""
    found: dict[str, Json] = {}
    for each in forms(schema, named):
        kind = kind_of(resolve(each, named))
        found[kind if kind not in found else f"{kind} {len(found)}"] = each
    return found


def forms(schema: Any, named: Json) -> Iterator[Json]:
    plain = resolve(schema, named)
    choices = plain.get("anyOf") or plain.get("oneOf")
    types = plain.get("type")
    if choices:
        for each in choices:
            yield from forms(each, named)
    elif isinstance(types, list):
        yield from ({**plain, "type": each} for each in types)
    else:
        yield schema if isinstance(schema, dict) else plain


def kind_of(schema: Json) -> str:
    """The type, with the constant field that tells objects apart."""
    kind = str(schema.get("type") or _type_of_values(schema) or ANY)
    constants = [
        f"{name}={value['const']}"
        for name, value in schema.get("properties", {}).items()
        if isinstance(value, dict) and "const" in value
    ]
    return " ".join([kind, *constants])


def _type_of_values(schema: Json) -> str | None:
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return "string" if values and all(isinstance(value, str) for value in values) else None


def covered(kind: str, others: dict[str, Json]) -> bool:
    return ANY in others or (kind == "integer" and "number" in others)


class Comparison:
    """Compares two schemas of the same kind."""

    def __init__(self, schemas: Schemas, where: str, direction: Direction) -> None:
        self.schemas = schemas
        self.where = where
        self.direction = direction
        self.is_input = direction is Direction.INPUT

    def note(self, what: str, *, breaks: bool) -> None:
        self.schemas.note(self.where, what, breaks=breaks)

    def compare(self, old: Json, new: Json) -> None:
        self.values(old, new)
        self.limits(old, new)
        for word in ("format", "pattern", "multipleOf"):
            was, now = (limit_by(word, each) for each in (old, new))
            if was != now:
                wider = now is None
                breaks = not wider if self.is_input else word == "format"
                self.note(f"{word} is {now}, not {was}", breaks=breaks)
        self.fields(old, new)
        for word in ("items", "additionalProperties", "propertyNames"):
            if isinstance(old.get(word), dict) and isinstance(new.get(word), dict):
                self.schemas.compare(old[word], new[word], f"{self.where}[]", self.direction)

    def values(self, old: Json, new: Json) -> None:
        before, after = choices(old), choices(new)
        if before is None and after is None:
            return
        if after is None or before is None:
            narrower = before is None
            self.note("is one of a list" if narrower else "may be any", breaks=narrower)
            return
        for value in sorted(before - after):
            self.note(f"{value} is no choice any more", breaks=self.is_input)
        for value in sorted(after - before):
            # Clients treat a value that they do not know as another one.
            self.note(f"{value} is a new choice", breaks=False)

    def limits(self, old: Json, new: Json) -> None:
        """Limits of answers are for people: clients need not check what they get."""
        for word in (*LOWER, *UPPER):
            before, after = old.get(word), new.get(word)
            if before != after:
                sign = 1 if word in LOWER else -1
                narrower = after is not None and (before is None or sign * after > sign * before)
                self.note(f"{word} is {after}, not {before}", breaks=narrower and self.is_input)

    def fields(self, old: Json, new: Json) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in before.keys() - after.keys():
            unknown = new.get("additionalProperties") is False
            self.note(f"{name} is gone", breaks=unknown or not self.is_input)
        for name in after.keys() - before.keys():
            self.note(f"{name} is new", breaks=self.is_input and name in needs)
        for name in before.keys() & after.keys():
            if name in needs - needed:
                self.note(f"{name} is required", breaks=self.is_input)
            if name in needed - needs:
                self.note(f"{name} may be missing", breaks=not self.is_input)
            where = f"{self.where}.{name}"
            self.schemas.compare(before[name], after[name], where, self.direction)
        closed = old.get("additionalProperties") is not False
        if self.is_input and closed and new.get("additionalProperties") is False:
            self.note("takes no other fields any more", breaks=True)


def limit_by(word: str, schema: Json) -> Any:
    """What a keyword demands. An integer of 64 bits is any: the numbers of JSON have no size."""
    value = schema.get(word)
    return None if value == "int64" else value


def choices(schema: Json) -> set[str] | None:
    """The values that a schema lists, as text."""
    if "const" in schema:
        return {str(schema["const"])}
    return set(map(str, schema["enum"])) if "enum" in schema else None
