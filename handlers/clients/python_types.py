"""The Python client's part of the contract: its records, and a class for each namespace."""

import keyword
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from handlers.clients.contract import (
    NOTICE,
    Command,
    Contract,
    Json,
    Namespace,
    reference,
)

PATH = "python/jobsphere/contract.py"
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
BUILTINS = {*TYPES.values(), "list", "dict"}
WIDTH = 100
# What any command may answer; the README tells it once.
EVERYWHERE = {
    "conflict",
    "forbidden",
    "internal",
    "invalid",
    "rate_limited",
    "request_id_reused",
    "request_in_progress",
    "second_factor_setup_required",
    "token_expired",
    "too_large",
    "unauthenticated",
    "unavailable",
    "unsupported_type",
}
HEADER = f'''\
"""{NOTICE}"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, Unpack, overload

from jobsphere.namespace import Caller, Namespace
from jobsphere.pushes import QUEUE, Subscription
'''


def files(contract: Contract) -> dict[str, str]:
    """The paths below `static/client/` and their contents."""
    parts = [
        f'VERSION = "{contract.version}"\n' + _names(contract),
        *(
            declaration(*each)
            for each in sorted(contract.schemas.items())
            if not _is_empty(each[1])
        ),
        *(part for space in contract.namespaces for each in _typed(space) for part in _own(each)),
        *(part for space in contract.namespaces for part in _namespace(space, contract)),
        _all(contract),
    ]
    return {PATH: HEADER + "\n" + "\n\n\n".join(parts) + "\n"}


def _names(contract: Contract) -> str:
    """The Socket.IO namespaces."""
    names = (f'    "{space.path}",' for space in contract.namespaces if _has_socket(space))
    return "\n".join(["NAMES = (", *names, ")"])


def _has_socket(namespace: Namespace) -> bool:
    return any(command.event for command in namespace.commands)


def _typed(namespace: Namespace) -> Iterator[Command]:
    """The commands that are methods; the client has its own for files."""
    return (each for each in namespace.commands if each.data is not None and not each.upload)


# -- records -----------------------------------------------------------------------------------


def _is_empty(schema: Json) -> bool:
    """Of a command without fields."""
    return schema.get("additionalProperties") is False and not schema.get("properties")


def declaration(name: str, schema: Json) -> str:
    """A type under its name: a TypedDict if it is an object with known fields."""
    about = schema.get("description", "")
    if "properties" not in schema:
        comment = "".join(f"# {line}\n" for line in _wrapped(about, WIDTH - 2))
        return comment + _alias(name, schema)
    fields, required = schema["properties"], schema.get("required", ())
    if not all(map(_is_attribute, fields)):
        kinds = {field: f'"{type_of(each)}"' for field, each in fields.items()}
        pairs = (f'        "{each}": {_needed(each in required, kinds[each])},' for each in kinds)
        lines = [f"{name} = TypedDict(", f'    "{name}",', "    {", *pairs, "    },", ")"]
        return "\n".join(lines)
    lines = [*_docstring(about, "    "), ""] if about else []
    for field, each in fields.items():
        lines += [f"    # {line}" for line in _wrapped(each.get("description", ""), WIDTH - 6)]
        lines.append(f"    {field}: {_needed(field in required, type_of(each))}")
    return "\n".join([f"class {name}(TypedDict):", *lines]).rstrip()


def _needed(required: bool, kind: str) -> str:
    return kind if required else f"NotRequired[{kind}]"


def _is_attribute(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and name not in BUILTINS


def _alias(name: str, schema: Json) -> str:
    """Of a choice, or quoted, because it may name types that follow."""
    if "enum" in schema:
        choices = (f"    {_literal(value)}," for value in schema["enum"])
        return "\n".join([f"{name}: TypeAlias = Literal[", *choices, "]"])
    kind = type_of(schema)
    mark = "'" if '"' in kind else '"'
    return f"{name}: TypeAlias = {mark}{kind}{mark}"


def type_of(schema: Json) -> str:
    """The Python type of a JSON schema."""
    if name := reference(schema):
        return name
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(map(_literal, values))}]"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _union(type_of(each) for each in schema[union])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union(type_of({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"list[{type_of(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {type_of(values) if isinstance(values, dict) else 'Any'}]"
    return TYPES.get(str(kind), "Any")


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _union(kinds: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(kinds))


# -- namespaces --------------------------------------------------------------------------------


def _own(command: Command) -> Iterator[str]:
    """Types that are a command's own. Its answer has a name, too: in a class with the command
    `list`, that word is no type."""
    assert command.data is not None
    if not reference(command.fields) and command.fields.get("properties"):
        yield declaration(_fields_of(command), command.fields)
    if not reference(command.data):
        yield declaration(_answer(command), command.data)


def _fields_of(command: Command) -> str:
    return reference(command.fields) or f"{_camel(command)}Fields"


def _answer(command: Command) -> str:
    assert command.data is not None
    return reference(command.data) or f"{_camel(command)}Answer"


def _camel(command: Command) -> str:
    return "".join(map(_capital, re.split(r"[^A-Za-z0-9]+", command.name)))


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _class(namespace: Namespace) -> str:
    return "".join(map(_capital, namespace.words)) + "Commands"


def _namespace(namespace: Namespace, contract: Contract) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for push in namespace.pushes:
        groups.setdefault(type_of(push.data), []).append(push.name)
    for kind, names in groups.items():
        if len(names) > 1:
            yield _alias(_group(namespace, kind), {"enum": names})
    methods = [list(_method(each, contract)) for each in _typed(namespace)]
    if methods or groups:
        methods += _subscriptions(namespace, groups) if groups else []
        head = f'class {_class(namespace)}(Namespace):\n    NAME = "{namespace.path}"'
        yield "\n\n".join([head, *map("\n".join, methods)])


def _group(namespace: Namespace, kind: str) -> str:
    return "".join(map(_capital, namespace.words)) + f"{kind}Push"


def _method(command: Command, contract: Contract) -> Iterator[str]:
    fields = contract.resolve(command.fields).get("properties", {})
    assert "request_id" not in fields and "self" not in fields, command.name
    answer = _answer(command)
    identified = command.repeat == "request_id"
    arguments = ["self"]
    arguments += ["*, request_id: str | None = None"] if identified else []
    arguments += [f"**fields: Unpack[{_fields_of(command)}]"] if fields else []
    line = f"    async def {command.method}({', '.join(arguments)}) -> {answer}:"
    if len(line) > WIDTH:
        line = (
            f"    async def {command.method}(\n        {', '.join(arguments)}\n    ) -> {answer}:"
        )
    yield line
    facts = [f"For {', '.join(command.roles)}." if command.roles else "For anyone."]
    codes = [code for code in command.codes if code not in EVERYWHERE]
    facts += [f"Refusals: {', '.join(codes)}."] if codes else []
    yield from _docstring("\n\n".join(filter(None, [command.about, " ".join(facts)])), "        ")
    yield from _call(command, "fields" if fields else "{}", identified, answer)


def _call(command: Command, fields: str, identified: bool, answer: str) -> Iterator[str]:
    keeps = "request_id=request_id" if identified else ""
    if command.event and command.joins:
        arguments = [f'"{command.event}"', fields]
        name = "_join"
    elif command.event and (command.roles or not command.http):  # others need no connection
        route = f'"{command.http}"' if command.http else "None"
        arguments = [f'"{command.event}"', route, fields, f'"{command.repeat}"']
        name = "_command"
    else:
        arguments = [f'"{command.http}"', fields, f'"{command.repeat}"']
        arguments += [] if command.roles else ["signed_in=False"]
        name = "_request"
    listed = ", ".join([*arguments, *filter(None, [keeps])])
    line = f"        answer: {answer} = await self.{name}({listed})"
    if len(line) > WIDTH:
        line = f"        answer: {answer} = await self.{name}(\n            {listed}\n        )"
    yield line
    yield "        return answer"


def _subscriptions(
    namespace: Namespace, groups: Mapping[str, Sequence[str]]
) -> Iterator[list[str]]:
    """`pushes`, with an overload for each type of data."""
    overloaded = len(groups) > 1
    body = [
        '        """Subscribe to pushes of one type, from now on."""',
        "        return self._pushes((name, *more), size)",
    ]
    for kind, names in groups.items():
        one = f'name: Literal["{names[0]}"], *'
        if len(names) > 1 or not overloaded:
            group = _group(namespace, kind)
            one = f"name: {group}, *more: {group}"
        result = f"-> Subscription[{kind}]:"
        line = f"    def pushes(self, {one}, size: int = QUEUE) {result}"
        if len(line) > WIDTH - 4:
            line = f"    def pushes(\n        self, {one}, size: int = QUEUE\n    ) {result}"
        yield ["    @overload", f"{line} ..."] if overloaded else [line, *body]
    if overloaded:
        line = (
            "    def pushes(self, name: str, *more: str, size: int = QUEUE) -> Subscription[Any]:"
        )
        yield [line, *body]


def _all(contract: Contract) -> str:
    spaces = [space for space in contract.namespaces if any(_typed(space))]
    made = (f"        self.{'_'.join(each.words)} = {_class(each)}(caller)" for each in spaces)
    return "\n".join(
        ["class Namespaces:", "    def __init__(self, caller: Caller) -> None:", *made]
    )


# -- text --------------------------------------------------------------------------------------


def _wrapped(text: str, width: int) -> list[str]:
    return [
        line
        for paragraph in text.strip().splitlines()
        for line in textwrap.wrap(paragraph, width) or [""]
    ]


def _docstring(text: str, indent: str) -> list[str]:
    """Text as a docstring, in lines of at most WIDTH characters."""
    text = text.replace("\\", "\\\\").replace('"""', "'''").strip()
    if not text:
        return []
    lines = _wrapped(f'"""{text}"""', WIDTH - len(indent))
    if len(lines) == 1:
        return [indent + lines[0]]
    first, *rest = _wrapped(f'"""{text}', WIDTH - len(indent))
    return [f"{indent}{line}".rstrip() for line in (first, *rest, '"""')]
