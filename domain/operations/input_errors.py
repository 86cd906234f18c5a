"""The answer to refused input: one sentence, the field, and the rule.

The check of a command reports a kind of error and a path. The numbers, the choices and what a
field expects come from its type, which the documents are made from as well. A type says in the
`description` of its limits what a pattern stands for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from domain.kernel.errors import Invalid, Rule
from domain.kernel.moments import DATE_AND_TIME
from domain.operations.field_types import FieldType, type_at

MAX_NAME = 80  # characters of an unknown field's name that are repeated
MAX_CHOICES = 12  # in a sentence; `details.limit` has all

# The messages of msgspec that say more than that a value has the wrong type or form.
KINDS = (
    (Rule.REQUIRED, re.compile(r"Object missing required field `(?P<name>.*)`")),
    (Rule.UNKNOWN, re.compile(r"Object contains unknown field `(?P<name>.*?)`?$", re.DOTALL)),
    (Rule.MIN_LENGTH, re.compile(r"Expected `\w+` of length >= ")),
    (Rule.MAX_LENGTH, re.compile(r"Expected `\w+` of length <= ")),
    (Rule.MIN, re.compile(r"Expected `\w+` >= ")),
    (Rule.ABOVE, re.compile(r"Expected `\w+` > ")),
    (Rule.MAX, re.compile(r"Expected `\w+` <= ")),
    (Rule.PATTERN, re.compile(r"Expected `str` matching regex ")),
    (Rule.CHOICE, re.compile(r"Invalid enum value ", re.DOTALL)),
    (Rule.TYPE, re.compile(r"Expected `[\w |]+`, got `")),
)
EXPECTED = {
    inspect.StrType: "text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.DateTimeType: DATE_AND_TIME,
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.VarTupleType: "a list",
    inspect.ListType: "a list",
}


def refused_input(refused: msgspec.ValidationError, command: type[msgspec.Struct]) -> Invalid:
    """The error for input that does not convert to `command`."""
    reason, _, at = str(refused).rpartition(" - at `")
    reason, at = (reason, at.rstrip("`")) if reason else (at, "$")
    is_key = at.startswith("key` in `")
    path = at.removeprefix("key` in `").removeprefix("$").lstrip(".")
    rule, found = next(
        ((rule, found) for rule, kind in KINDS if (found := kind.match(reason))),
        (Rule.FORMAT, None),
    )
    if found and rule in (Rule.REQUIRED, Rule.UNKNOWN):
        name = found["name"][:MAX_NAME]
        path = f"{path}.{name}" if path else name
    kind = type_at(command, path)
    if is_key:
        kind = kind.key
    if rule is Rule.TYPE and Rule.CHOICE in kind.limits:
        rule = Rule.CHOICE
    limit = kind.limits.get(rule)
    sentence = _sentence(rule, limit, kind)
    if is_key:
        sentence = f"one of its keys is wrong: {sentence}"
    elif path.endswith("[...]"):
        sentence = f"one of its values is wrong: {sentence}"
    field = path.removesuffix("[...]") or None
    return Invalid(sentence, field=field, rule=rule, limit=limit)


def broken_limit(rule: Rule, field: str, command: type[msgspec.Struct]) -> Invalid:
    """The error for a text that is shorter or longer than its field permits."""
    kind = type_at(command, field)
    limit = kind.limits.get(rule)
    return Invalid(_sentence(rule, limit, kind), field=field, rule=rule, limit=limit)


def missing_value(name: str, command: type[msgspec.Struct]) -> Invalid:
    """The error for the text `null` in a query, which has no null: a field is left out."""
    kind = type_at(command, name)
    rule = Rule.CHOICE if Rule.CHOICE in kind.limits else Rule.TYPE
    limit = kind.limits.get(rule)
    return Invalid(_sentence(rule, limit, kind), field=name, rule=rule, limit=limit)


def null_character(name: str, value: Any) -> Invalid:
    """The error for text in the field `name` that contains a null character."""
    path = next(_null_paths(name, value), name)
    return Invalid("null characters are not allowed.", field=path, rule=Rule.FORMAT)


def _null_paths(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (path,) if "\0" in name else _null_paths(f"{path}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _null_paths(f"{path}[{index}]", item)


def choose(choices: Iterable[Any]) -> str:
    """The sentence that lists what may be chosen."""
    *others, last = map(str, choices)
    return f"choose {', '.join(others)} or {last}." if others else f"choose {last}."


def _sentence(rule: Rule, limit: Any, kind: FieldType) -> str:
    items = "characters" if isinstance(kind.type, inspect.StrType) else "items"
    if rule is Rule.CHOICE and limit and len(limit) <= MAX_CHOICES:
        return choose(limit)
    if rule is Rule.MIN_LENGTH and limit == 1:
        return "this must not be empty."
    sentences = {
        Rule.REQUIRED: "this is required.",
        Rule.UNKNOWN: "there is no such field.",
        Rule.MIN: f"this must be at least {limit}.",
        Rule.ABOVE: f"this must be more than {limit}.",
        Rule.MAX: f"this must be at most {limit}.",
        Rule.MIN_LENGTH: f"use at least {limit} {items}.",
        Rule.MAX_LENGTH: f"use at most {limit} {items}.",
    }
    return sentences.get(rule) or f"give {_expected(kind)}."


def _expected(kind: FieldType) -> str:
    if kind.expected:
        return kind.expected[0].lower() + kind.expected[1:].removesuffix(".")
    return EXPECTED.get(type(kind.type), "another value")
