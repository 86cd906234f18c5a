"""Checks what test clients receive against the documents of the API.

Every ack, push and response is converted to the types that the documents are made of, with no field
less and no field more. A difference is printed with MARK, and then conftest fails the test.
"""

import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from domain.kernel.errors import Code
from domain.kernel.outbox import Numbering
from handlers import NAMESPACES
from handlers.documents.asyncapi import OF_SOCKETS
from handlers.documents.openapi import openapi
from handlers.documents.problems import ErrorDetails
from handlers.documents.schemas import all_exposed
from handlers.documents.server_paths import SERVER_PATHS
from handlers.documents.wire_types import WireTypes

MARK = "differs from the documents"

TYPES = WireTypes(closed=True)
DETAILS = TYPES.fields("ErrorDetails", ErrorDetails)
ANSWERS = {
    exposed.operation.name: TYPES.answers(exposed.operation.answer) for _, exposed in all_exposed()
} | {path.name: TYPES.answers(path.answer) for path in SERVER_PATHS}
COMMANDS = {(name, each.event): each.operation for name, each in all_exposed() if each.event}
PUSHES = {
    (event.namespace, event.name): (TYPES.answers(event.data), event.numbering)
    for namespace in NAMESPACES
    for event in namespace.pushes
}
NUMBERS = {
    Numbering.FEED: (int,),
    Numbering.CONVERSATION: (int,),
    Numbering.PARTIES: (int, type(None)),
    Numbering.NEVER: (type(None),),
}


def check_ack(namespace: str, event: str, ack: Any) -> None:
    op = COMMANDS.get((namespace, event))
    if op is None or not isinstance(ack, dict):
        return
    if ack["ok"]:
        _report(f"{op.name} answer", misfit(ack["data"], ANSWERS[op.name]))
        if op.name == "account.sync":
            for item in ack["data"]["items"]:
                check_push(item["namespace"], item["name"], item["seq"], item["data"])
    else:
        _check_error(op.name, ack["error"], op.codes | OF_SOCKETS)


def check_push(namespace: str, name: str, seq: int | None, data: Any) -> None:
    kinds, numbering = PUSHES.get((namespace, name), ((), Numbering.NEVER))
    _report(f"push {name}", misfit(data, kinds))
    if type(seq) not in NUMBERS[numbering]:
        _report(f"push {name}", f"its seq is {seq}")


def check_response(method: str, path: str, status: int, body: Any) -> None:
    """A response to a request whose path and method are in the document."""
    operation = _operation(method, path.partition("?")[0])
    if operation is None:
        return
    name, response = operation["operationId"], operation["responses"].get(str(status))
    if response is None:
        _report(name, f"HTTP status {status}: {body}")
    elif status >= 400 and name != "readyz":
        _check_error(name, body, response["x-codes"])
    elif name in ANSWERS and "application/json" in response.get("content", {}):
        _report(f"{name} answer", misfit(body, ANSWERS[name]))


def _check_error(name: str, error: Any, codes: Iterable[str]) -> None:
    if error["code"] not in codes and error["code"] != Code.UNKNOWN_COMMAND:
        _report(name, f"code {error['code']}")
    _report(f"{name} {error['code']}", misfit(error["details"], [DETAILS]))


def misfit(data: Any, kinds: Iterable[Any]) -> str | None:
    """What is wrong with data that is of none of these types."""
    problem = "nothing is documented"
    for kind in kinds:
        try:
            msgspec.convert(data, kind)
        except msgspec.ValidationError as wrong:
            problem = str(wrong)
        else:
            return None
    return f"{problem}: {str(data)[:300]}"


def _report(what: str, problem: str | None) -> None:
    if problem:
        print(f"{MARK}: {what}: {problem}", file=sys.stderr)


@cache
def _routes() -> list[tuple[str, re.Pattern[str], Any]]:
    """Fixed paths come first, as on the server."""
    document = openapi({}, "http://localhost")
    paths, shared = document["paths"], document["components"]["responses"]
    for methods in paths.values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                name = response.get("$ref", "").rpartition("/")[2]
                operation["responses"][status] = shared[name] if name else response
    return [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation)
        for path in sorted(paths, key=lambda path: path.count("{"))
        for method, operation in paths[path].items()
    ]


def _operation(method: str, path: str) -> Any:
    return next(
        (found for known, shape, found in _routes() if known == method and shape.fullmatch(path)),
        None,
    )
