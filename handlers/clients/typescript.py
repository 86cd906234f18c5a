"""The JavaScript client's part of the contract: its table of commands, and its types."""

import json
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator

from handlers.clients.contract import (
    NOTICE,
    Command,
    Contract,
    Json,
    Namespace,
    Push,
    reference,
)

NAMES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
WIDTH = 100
OPTIONS = "options?: CallOptions"
HEADER = f"""\
// {NOTICE}

import type {{ CallOptions, Download }} from "./jobsphere.js";
"""


def files(contract: Contract) -> dict[str, str]:
    """The paths below `static/client/` and their contents."""
    return {"contract.js": table(contract), "contract.d.ts": types(contract)}


# -- the table of commands ---------------------------------------------------------------------


def table(contract: Contract) -> str:
    lines = [f"// {NOTICE}", "", f'export const VERSION = "{contract.version}";', ""]
    lines.append("export const NAMESPACES = {")
    for namespace in contract.namespaces:
        lines += [f"  {camel(namespace.words)}: {{", f'    path: "{namespace.path}",']
        lines.append("    commands: {")
        lines += [f"      {each.method}: {_entry(each, contract)}," for each in namespace.commands]
        lines += ["    },", "  },"]
    lines.append("};")
    return "\n".join(lines) + "\n"


def _entry(command: Command, contract: Contract) -> str:
    fields = contract.resolve(command.fields)
    given = {
        "event": command.event,
        "http": command.http,
        "repeat": command.repeat,
        "signedIn": bool(command.roles),
        "clientId": "client_id" in fields.get("properties", {}),
        "upload": command.upload,
        "download": command.data is None,
    }
    parts = (f"{name}: {json.dumps(value)}" for name, value in given.items() if value)
    return f"{{ {', '.join(parts)} }}"


# -- the types ---------------------------------------------------------------------------------


def types(contract: Contract) -> str:
    declared = (declaration(name, schema) for name, schema in contract.schemas.items())
    parts = [
        HEADER,
        f'export declare const VERSION: "{contract.version}";\n',
        *declared,
        *(part for each in contract.namespaces for part in _namespace(each, contract)),
    ]
    return "\n".join(parts)


def declaration(name: str, schema: Json) -> str:
    """A type under its name: an interface if it is an object with known fields."""
    about = "\n".join(_comment(schema.get("description", ""), ""))
    about += "\n" if about else ""
    if schema.get("type") == "object" and schema.get("properties"):
        return f"{about}export interface {name} {_object(schema, '')}\n"
    return f"{about}export type {name} = {type_of(schema)};\n"


def type_of(schema: Json, indent: str = "") -> str:
    """The TypeScript type of a JSON schema."""
    if name := reference(schema):
        return name
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _union(type_of(each, indent) for each in schema[union])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union(type_of({**schema, "type": each}, indent) for each in kind)
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(type_of(each, indent) for each in schema['prefixItems'])}]"
        inner = type_of(schema.get("items", {}), indent)
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        return _object(schema, indent)
    return NAMES.get(str(kind), "null" if kind == "null" else "unknown")


def _union(kinds: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(kinds))


def _object(schema: Json, indent: str) -> str:
    properties = schema.get("properties", {})
    if not properties:
        values = schema.get("additionalProperties", True)
        if values is False:
            return "Record<string, never>"
        inner = type_of(values, indent) if isinstance(values, dict) else "unknown"
        return f"Record<string, {inner}>"
    deeper = indent + "  "
    lines = []
    for name, each in properties.items():
        lines += _comment(each.get("description", ""), deeper)
        mark = "" if name in schema.get("required", ()) else "?"
        lines.append(f"{deeper}{_key(name)}{mark}: {type_of(each, deeper)};")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _key(name: str) -> str:
    return name if IDENTIFIER.fullmatch(name) else json.dumps(name)


def _comment(text: str, indent: str) -> list[str]:
    """Text as a JSDoc comment, in lines of at most WIDTH characters."""
    text = text.replace("*/", "* /").strip()
    if not text:
        return []
    if "\n" not in text and len(indent) + len(text) + 7 <= WIDTH:
        return [f"{indent}/** {text} */"]
    wrapped = [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, WIDTH - len(indent) - 3) or [""]
    ]
    lines = (f"{indent} * {line}".rstrip() for line in wrapped)
    return [f"{indent}/**", *lines, f"{indent} */"]


def usual_codes(contract: Contract) -> frozenset[str]:
    """The codes that commands of signed-in users have in common, and those that write."""
    commands = [each for namespace in contract.namespaces for each in namespace.commands]
    signed_in = [set(each.codes) for each in commands if each.roles]
    writing = [set(each.codes) for each in commands if each.repeat == "request_id"]
    return frozenset(set.intersection(*signed_in) | set.intersection(*writing))


# -- commands and pushes -----------------------------------------------------------------------


def _namespace(namespace: Namespace, contract: Contract) -> Iterator[str]:
    name = camel(namespace.words, upper=True)
    usual = usual_codes(contract)
    commands = [line for each in namespace.commands for line in _method(each, contract, usual)]
    yield "\n".join([f"export interface {name}Commands {{", *commands, "}", ""])
    pushes = [line for each in namespace.pushes for line in _push(each)]
    yield "\n".join([f"export interface {name}Pushes {{", *pushes, "}", ""])


def _method(command: Command, contract: Contract, usual: Collection[str]) -> Iterator[str]:
    fields = contract.resolve(command.fields)
    optional = "" if fields.get("required") else "?"
    given = f"fields{optional}: {type_of(command.fields, '  ')}"
    answer = "Download" if command.data is None else type_of(command.data, "  ")
    if command.upload:
        given = "fields: { file: Blob; name?: string }"
    facts = [f"For {', '.join(command.roles)}." if command.roles else "For anyone."]
    if own := [code for code in command.codes if code not in usual]:
        facts.append(f"Refusals of its own: {', '.join(own)}.")
    yield from _comment("\n\n".join(filter(None, [command.about, " ".join(facts)])), "  ")
    yield f"  {command.method}({given}, {OPTIONS}): Promise<{answer}>;"


NUMBERED = {
    "feed": "Numbered: never missed.",
    "conversation": "Has its conversation's number: never missed.",
    "parties": "Numbered for the parties; others may miss it.",
    "never": "May be missed.",
}


def _push(push: Push) -> Iterator[str]:
    about = " ".join(filter(None, [push.about, NUMBERED.get(push.numbering, "")]))
    yield from _comment(about, "  ")
    yield f"  {_key(push.name)}: {type_of(push.data, '  ')};"


def camel(words: tuple[str, ...], *, upper: bool = False) -> str:
    """Words as one name, which begins with a small letter unless `upper`."""
    start = words[0].capitalize() if upper else words[0]
    return start + "".join(word.capitalize() for word in words[1:])
