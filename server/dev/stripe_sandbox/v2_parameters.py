"""Parameters of the /v2 API: JSON bodies, checked against nested shapes, and repeated queries.

A shape is a type, a tuple of choices, a list with the shape of its items, or a dict of the fields
of an object. A field whose name ends with `*` is required.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from server.dev.stripe_sandbox.errors import Json, StripeError

Shape = Any
Fields = Mapping[str, Shape]
METADATA: Shape = "metadata"


def moment(seconds: int) -> str:
    """A time as /v2 writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def malformed(message: str, code: str = "invalid_fields") -> StripeError:
    return StripeError(400, "invalid_request_error", message, code=code, stored=False)


def parse_body(fields: Fields, raw: str) -> Json:
    """The parameters of a POST. Raises invalid_fields."""
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        raise malformed("The body is not JSON.") from None
    _check(fields, body, "")
    return dict(body)


def parse_query(fields: Fields, query: str) -> Json:
    """The parameters of a GET: `include[0]=requirements`, or `include=requirements` repeatedly."""
    found: Json = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        head = name.partition("[")[0]
        if head not in fields:
            raise malformed(f"Unknown parameter: {name}")
        shape = fields[head]
        if isinstance(shape, list):
            found.setdefault(head, []).append(value)
        elif shape is int:
            found[head] = int(value) if value.isdigit() else value
        else:
            found[head] = value == "true" if shape is bool else value
    _check(fields, found, "")
    return found


def _check(shape: Shape, value: Any, at: str) -> None:
    if isinstance(shape, Mapping):
        _check_object(shape, value, at)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise malformed(f"Expected an array: {at}")
        for index, item in enumerate(value):
            _check(shape[0], item, f"{at}[{index}]")
    elif isinstance(shape, tuple):
        if value not in shape:
            raise malformed(f"{at} must be one of {', '.join(shape)}")
    elif shape is METADATA:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise malformed(f"Expected strings: {at}")
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise malformed(f"Expected {shape.__name__}: {at}")


def _check_object(shape: Fields, value: Any, at: str) -> None:
    if not isinstance(value, dict):
        raise malformed(f"Expected an object: {at or 'the body'}")
    known = {name.rstrip("*"): field for name, field in shape.items()}
    for name, given in value.items():
        if name not in known:
            raise malformed(f"Unknown field: {at}.{name}".replace(": .", ": "))
        _check(known[name], given, f"{at}.{name}".lstrip("."))
    for name in shape:
        if name.endswith("*") and name[:-1] not in value:
            raise malformed(f"Missing field: {at}.{name[:-1]}".replace(": .", ": "))
