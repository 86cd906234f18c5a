"""Request parameters: Stripe's form encoding (`a[b][0]=c`) and typed parsing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from server.dev.stripe_sandbox.currencies import CURRENCIES
from server.dev.stripe_sandbox.errors import Json, malformed, missing, unknown

Parser = Callable[[Any, str], Any]
SEGMENT = re.compile(r"\[([^\]]*)\]")


def decode_form(raw: str) -> Json:
    """Decode a form into nested dicts of strings. Arrays are dicts by position until parsed."""
    root: Json = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        head, _, _ = name.partition("[")
        node, path = root, [head, *SEGMENT.findall(name)]
        for step in path[:-1]:
            child = node.setdefault(step or str(len(node)), {})
            if not isinstance(child, dict):
                raise malformed(f"Invalid parameter: {name}", param=name)
            node = child
        node[path[-1] or str(len(node))] = value
    return root


def text(value: Any, at: str) -> str | None:
    """A string; the empty string means None."""
    if not isinstance(value, str):
        raise malformed(f"Invalid string: {at}", param=at)
    if len(value) > 5000:
        raise malformed(f"Invalid string: {at} is too long", "parameter_invalid_string", at)
    return value or None


def integer(value: Any, at: str) -> int:
    """A whole number."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,18}", value):
        raise malformed(f"Invalid integer: {value}", "parameter_invalid_integer", at)
    return int(value)


def boolean(value: Any, at: str) -> bool:
    """`true` or `false`."""
    if value not in ("true", "false"):
        raise malformed(f"Invalid boolean: {value}", param=at)
    return bool(value == "true")


def off_session(value: Any, at: str) -> bool:
    """A boolean, or the kind of off-session payment."""
    return True if value in ("one_off", "recurring") else boolean(value, at)


def currency(value: Any, at: str) -> str:
    """A three-letter code that is supported, in lower case."""
    code = str(value).lower()
    if code not in CURRENCIES:
        raise malformed(f"Invalid currency: {value}.", param=at)
    return code


def metadata(value: Any, at: str) -> Json:
    """Metadata: at most 50 keys. An empty value deletes its key, an empty string all keys."""
    if value == "":
        return {"": ""}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise malformed(f"Invalid hash: {at}", param=at)
    if len(value) > 50 or any(len(k) > 40 or len(v) > 500 for k, v in value.items()):
        raise malformed(f"{at} is limited to 50 keys of 40 and values of 500 characters", param=at)
    return value


def one_of(*choices: str) -> Parser:
    """A parser for one of the given strings."""

    def parse_value(value: Any, at: str) -> str:
        if value not in choices:
            options = ", ".join(choices)
            raise malformed(f"Invalid {at}: must be one of {options}", param=at)
        return str(value)

    return parse_value


def array(item: Parser = text) -> Parser:
    """A parser for an array."""

    def parse_value(value: Any, at: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, dict):
            raise malformed(f"Invalid array: {at}", param=at)
        return [item(entry, f"{at}[{index}]") for index, entry in enumerate(value.values())]

    return parse_value


@dataclass(frozen=True)
class Required:
    """Marks a required parameter."""

    parse: Parser


Spec = Mapping[str, Parser | Required]


def parse(spec: Spec, raw: Json, prefix: str = "") -> Json:
    """The typed parameters. Raises parameter_missing, parameter_unknown, and parsers' errors."""

    def named(name: str) -> str:
        return f"{prefix}[{name}]" if prefix else name

    for name in raw:
        if name not in spec:
            raise unknown(named(name))
    for name, entry in spec.items():
        if isinstance(entry, Required) and raw.get(name, "") == "":
            raise missing(named(name))
    return {name: _parser(spec[name])(value, named(name)) for name, value in raw.items()}


def _parser(entry: Parser | Required) -> Parser:
    return entry.parse if isinstance(entry, Required) else entry


def nested(**spec: Parser | Required) -> Parser:
    """A parser for a nested object with known keys."""

    def parse_value(value: Any, at: str) -> Json:
        if value == "":
            return {}
        if not isinstance(value, dict):
            raise malformed(f"Invalid object: {at}", param=at)
        return parse(spec, value, at)

    return parse_value


def time_range(value: Any, at: str) -> Json:
    """A time, or a range of times with gt, gte, lt, lte."""
    if isinstance(value, str):
        return {"gte": integer(value, at), "lte": integer(value, at)}
    bounds: Json = nested(gt=integer, gte=integer, lt=integer, lte=integer)(value, at)
    return bounds


ADDRESS = nested(city=text, country=text, line1=text, line2=text, postal_code=text, state=text)
EXPAND: Spec = {"expand": array()}
PAGE: Spec = {
    "limit": integer,
    "starting_after": text,
    "ending_before": text,
    "created": time_range,
    **EXPAND,
}


def merge_metadata(metadata: Json | None, change: Json) -> Json:
    """Metadata after a change."""
    if "" in change:
        return {}
    return {key: value for key, value in {**(metadata or {}), **change}.items() if value != ""}
