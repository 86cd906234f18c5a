"""The commands and pushes of the AsyncAPI document, with random fields and with checks of answers.

Only the document is used, so what it says wrongly is found.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.contract.model import follow

Json = dict[str, Any]


class Sent(NamedTuple):
    """What is sent to a command: its arguments before the acknowledgement."""

    arguments: tuple[Any, ...]
    valid: bool


class Message:
    """A message whose payload has a schema."""

    def __init__(self, document: Json, operation: Json) -> None:
        message = follow(document, operation["messages"][0])
        self.namespace: str = follow(document, operation["channel"])["address"]
        self.event: str = message["name"]
        self.payload: Json = message["payload"]
        self._schemas = document["components"]["schemas"]

    def validator(self, schema: Json) -> Draft202012Validator:
        whole = {**schema, "components": {"schemas": self._schemas}}
        return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def errors(self, payload: Any) -> list[str]:
        """How a payload differs from the document."""
        return messages(self._checks, payload)

    @cached_property
    def _checks(self) -> Draft202012Validator:
        return self.validator(self.payload)


class Command(Message):
    """What clients send, with its acknowledgement."""

    def __init__(self, document: Json, name: str, operation: Json) -> None:
        super().__init__(document, operation)
        self.name = name
        self.roles: list[str] = operation["x-roles"]
        self.codes: list[str] = operation["x-codes"]
        answer = follow(document, operation["reply"]["messages"][0])
        self._answers = self.validator(answer["payload"])

    def wrong(self, ack: Any) -> list[str]:
        """How an acknowledgement differs from the document."""
        found = messages(self._answers, ack)
        if not found and not ack["ok"] and ack["error"]["code"] not in self.codes:
            found.append(f"{ack['error']['code']} is not declared")
        return found


def messages(checks: Draft202012Validator, value: Any) -> list[str]:
    found = list(checks.iter_errors(value))
    return [f"{error.json_path}: {error.message[:300]}" for each in found for error in leaves(each)]


def leaves(error: Any) -> Iterator[Any]:
    """The errors of the alternative that fits best."""
    if not error.context:
        yield error
        return
    by_choice: dict[Any, list[Any]] = {}
    for each in error.context:
        by_choice.setdefault(each.schema_path[0], []).append(each)
    for each in min(by_choice.values(), key=lambda group: sum(1 for e in group for _ in leaves(e))):
        yield from leaves(each)


def commands(document: Json) -> list[Command]:
    return [
        Command(document, name, operation)
        for name, operation in document["operations"].items()
        if operation["action"] == "receive"
    ]


def pushes(document: Json) -> dict[tuple[str, str], Message]:
    """The pushes, by namespace and name."""
    found = [
        Message(document, operation)
        for operation in document["operations"].values()
        if operation["action"] == "send"
    ]
    return {(message.namespace, message.event): message for message in found}


def strategies(
    document: Json, chosen: list[Command], ids: Json
) -> dict[str, st.SearchStrategy[Sent]]:
    """What to send to each chosen command: fields that fit the document, half of these with real
    ids, and fields that do not fit."""
    import schemathesis  # takes long, and every worker collects this module

    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    schema = schemathesis.openapi.from_dict(_as_http(document, chosen))
    found = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        fitting, unfitting = (operation.as_strategy(generation_mode=mode) for mode in modes)
        known = st.builds(_with_ids, fitting, st.just(ids), st.integers(0, 2**10 - 1))
        found[operation.definition.raw["operationId"]] = st.one_of(
            known.map(lambda body: Sent((body,), valid=True)),
            fitting.map(lambda case: Sent(_arguments(case), valid=True)),
            unfitting.map(lambda case: Sent(_arguments(case), valid=False)),
        )
    return found


def _as_http(document: Json, chosen: list[Command]) -> Json:
    """The commands as routes, because schemathesis reads OpenAPI."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "commands", "version": "1"},
        "paths": {
            f"/{command.name}": {
                "post": {
                    "operationId": command.name,
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": command.payload}},
                    },
                    "responses": {"200": {"description": "The acknowledgement."}},
                }
            }
            for command in chosen
        },
        "components": {"schemas": document["components"]["schemas"]},
    }


def _arguments(case: Any) -> tuple[Any, ...]:
    import schemathesis

    return () if isinstance(case.body, schemathesis.core.NotSet) else (case.body,)


def _with_ids(case: Any, ids: Json, which: int) -> Any:
    """The fields with real ids in place of random ones, where `which` has a bit that is not set."""
    if not isinstance(case.body, dict):
        return case.body
    return {
        name: value if name not in ids or which >> number & 1 else ids[name]
        for number, (name, value) in enumerate(case.body.items())
    }
