"""`/api/asyncapi.json`: every command and push of the sockets, in AsyncAPI 3.0.

It describes the server: it receives commands and replies to them, and sends pushes.
"""

from typing import Any
from urllib.parse import urlsplit

from domain.kernel.errors import Code, TooLarge, Unauthenticated
from domain.kernel.outbox import Event
from domain.operations.operation import Operation
from handlers import CONTRACT_VERSION, NAMESPACES
from handlers.documents.examples import (
    answer_example,
    command_example,
    error_example,
    push_example,
)
from handlers.documents.facts import (
    Rates,
    described,
    facts_of,
    first_sentence,
    summary_of,
    words,
    writes,
)
from handlers.documents.http_parts import REQUEST_ID
from handlers.documents.introductions import SECTIONS
from handlers.documents.openapi import LICENSE, TITLE
from handlers.documents.problems import Error
from handlers.documents.schemas import REFERENCE, all_exposed, schema_name, schemas
from handlers.expose import Exposed, Namespace

Part = dict[str, Any]

JSON = "application/json"
ABOUT = """\
The sockets speak Socket.IO v4. Connect each namespace (a channel here) with `auth: {token}`, the
`access_token` of a sign-in; a refused one gets `connect_error` with an `Error` as its `data`. All
namespaces share one connection.

A command is `emit(event, fields, {request_id}?, ack)`: the `name` of the message is the event,
its payload the fields, and its headers the second argument, which may be left out. Its reply is
the acknowledgement. Commands of one connection run in the order in which they were sent.

Every push is one object `{seq, at, data}`. `x-numbering` says what `seq` is. `feed` is the number
in the feed of its user, without gaps; `account.sync` reads what was missed. `conversation` is the
number of the message in its conversation; `chat.sync` reads what was missed. `parties` get the
number in their feeds, and others null. `never`: it is null, and the push may be missed. A push
that is delivered again has the same `seq`.

Amounts are integers in minor units of the `currency` beside them. Times are in UTC, as
`date-time`. Text has no null characters (U+0000). Answers and pushes may get further fields:
ignore those that you do not know. Commands refuse fields that they do not have. `x-roles`,
`x-codes`, `x-rate-limits` and `x-repeat` (with `request_id` in place of `Idempotency-Key`) mean
the same as in `/api/openapi.json`.
"""
AT: Part = {"type": "string", "format": "date-time", "description": "When it happened, in UTC."}
OPTIONS: Part = {
    "type": "object",
    "properties": {"request_id": REQUEST_ID},
    "additionalProperties": False,
    "description": "The second argument of the command, which may be left out.",
}
REFUSED = "CommandRefused"
# Any command may be too large, or come at the end of its session.
OF_SOCKETS = {TooLarge.code, Unauthenticated.code}
ENVELOPE: dict[str, Part] = {
    "feed": {
        "type": "integer",
        "format": "int64",
        "description": "Its number in the feed of the user, from 1.",
    },
    "conversation": {
        "type": "integer",
        "format": "int64",
        "description": "Its number in the conversation, from 1.",
    },
    "parties": {
        "type": ["integer", "null"],
        "format": "int64",
        "description": "Its number in the feed of the user; null for those who are no party.",
    },
    "never": {"type": "null", "description": "It is not numbered, and may be missed."},
}


INVALID = error_example(Code.INVALID)


def asyncapi(rates: Rates, url: str) -> dict[str, Any]:
    """The document of the server at `url`, with the rate limits in force there."""
    address = urlsplit(url)
    messages, operations = _messages(), _operations(rates)
    envelopes = _envelopes()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": TITLE,
            "version": CONTRACT_VERSION,
            "description": f"{ABOUT}\n{SECTIONS}",
            "license": {"name": LICENSE["name"]},
        },
        "defaultContentType": JSON,
        "servers": {
            "jobsphere": {
                "host": address.netloc,
                "protocol": "wss" if address.scheme == "https" else "ws",
                "pathname": "/socket.io/",
                "description": "Socket.IO v4 (Engine.IO 4) over WebSocket or HTTP long-polling.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            _key(namespace): _channel(namespace) for namespace in NAMESPACES if _names(namespace)
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas().used_by(messages, envelopes),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token`, as `auth: {token}` of each namespace.",
                }
            },
        },
    }


def push_name(event: Event) -> str:
    """The name of a push in the document. Pushes and commands may be called the same."""
    return f"push.{event.name}"


def _key(namespace: Namespace) -> str:
    return namespace.name.removeprefix("/")


def _names(namespace: Namespace) -> list[str]:
    """The names of its messages."""
    commands = [each.operation.name for each in namespace.exposed if each.event]
    names = [name for command in commands for name in (command, f"{command}.ack")]
    return names + [push_name(event) for event in namespace.pushes]


def _channel(namespace: Namespace) -> Part:
    return {
        "address": namespace.name,
        "title": namespace.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(namespace)},
        "servers": [{"$ref": "#/servers/jobsphere"}],
    }


def _in_channel(channel: str, name: str) -> Part:
    # A name has no characters that a JSON pointer escapes.
    return {"$ref": f"#/channels/{channel}/messages/{name}"}


def _operations(rates: Rates) -> Part:
    found: Part = {}
    for namespace, exposed in all_exposed():
        if exposed.event:
            channel = namespace.removeprefix("/")
            found[exposed.operation.name] = _command(channel, exposed, rates)
    for each in NAMESPACES:
        for event in each.pushes:
            channel = _key(each)
            found[push_name(event)] = {
                "action": "send",
                "channel": {"$ref": f"#/channels/{channel}"},
                **words(first_sentence(event.about), event.about),
                "messages": [_in_channel(channel, push_name(event))],
                "x-numbering": event.numbering,
            }
    return found


def _command(channel: str, exposed: Exposed, rates: Rates) -> Part:
    op = exposed.operation
    place = {"$ref": f"#/channels/{channel}"}
    command: Part = {
        "action": "receive",
        "channel": place,
        **words(summary_of(op), described(op)),
        "messages": [_in_channel(channel, op.name)],
        "reply": {"channel": place, "messages": [_in_channel(channel, f"{op.name}.ack")]},
        **facts_of(exposed, op.codes | OF_SOCKETS, rates),
    }
    if exposed.route:
        command["x-http"] = f"{exposed.route.method} {exposed.route.path}"
    if op.joins:
        command["x-joins"] = True
    return command


def _messages() -> Part:
    found: Part = {}
    for _, exposed in all_exposed():
        op = exposed.operation
        if exposed.event:
            found[op.name] = {
                "name": exposed.event,
                "title": op.name,
                "summary": summary_of(op),
                "payload": schemas().fields(op),
                "examples": [{"payload": command_example(op)}],
                **({"headers": OPTIONS} if writes(op) else {}),
            }
            found[f"{op.name}.ack"] = {
                "name": "ack",
                "title": f"{op.name}.ack",
                "summary": f"The acknowledgement of `{op.name}`",
                "payload": _ack(op),
                "examples": [
                    {"name": "ok", "payload": {"ok": True, "data": answer_example(op)}},
                    {"name": "invalid", "payload": {"ok": False, "error": INVALID}},
                ],
            }
    for namespace in NAMESPACES:
        for event in namespace.pushes:
            found[push_name(event)] = {
                "name": event.name,
                "title": push_name(event),
                "summary": first_sentence(event.about),
                "payload": {"$ref": REFERENCE + _envelope_name(event)},
                "examples": [{"payload": push_example(event)}],
            }
    return found


def _ack(op: Operation) -> Part:
    name = schema_name(op.name)
    return {
        "title": f"{name}Ack",
        "oneOf": [
            _object(
                f"{name}Done",
                f"The command `{op.name}` was carried out.",
                ok={"type": "boolean", "const": True, "description": "Always true."},
                data=schemas().answer(op),
            ),
            {"$ref": REFERENCE + REFUSED},
        ],
    }


def _envelopes() -> dict[str, Part]:
    """The schemas that only this document has: of refusals, and of each push."""
    refused = _object(
        REFUSED,
        "The command was not carried out.",
        ok={"type": "boolean", "const": False, "description": "Always false."},
        error={**schemas().of(Error), "description": "Why."},
    )
    pushes = {
        _envelope_name(event): _object(
            _envelope_name(event),
            f"The push `{event.name}` as it is sent.",
            seq=ENVELOPE[event.numbering],
            at=AT,
            data={**schemas().push(event), "description": "What happened."},
        )
        for namespace in NAMESPACES
        for event in namespace.pushes
    }
    return {REFUSED: refused, **pushes}


def _envelope_name(event: Event) -> str:
    """`job.updated` becomes PushJobUpdated."""
    return f"Push{schema_name(event.name)}"


def _object(title: str, description: str, **fields: Part) -> Part:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": True,
    }
