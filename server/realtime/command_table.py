"""The closed table of commands, by namespace and name, and the parsing of a command."""

from typing import Any

from domain.kernel.errors import Invalid, Rule, UnknownCommand
from domain.operations.operation import Operation
from server.operation_calls import checked_request_id

Commands = dict[tuple[str, str], Operation]


def parse_command(
    commands: Commands, namespace: str, data: Any
) -> tuple[Operation, Any, str | None]:
    """The operation, its fields and the request id. Raises UnknownCommand or Invalid."""
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise Invalid(
            "A command is a JSON list, its name first, without attachments.", rule=Rule.FORMAT
        )
    op = commands.get((namespace, data[0]))
    if op is None:
        raise UnknownCommand(command=data[0][:80])
    if len(data) == 1:
        return op, {}, None
    fields = data[1]
    if not isinstance(fields, dict):
        raise Invalid("The fields of a command are one object.", rule=Rule.TYPE)
    if len(data) == 2:
        return op, fields, None
    options = data[2]
    if len(data) > 3 or not isinstance(options, dict) or options.keys() - {"request_id"}:
        raise Invalid("After the fields there may be one object: {request_id}.", rule=Rule.FORMAT)
    return op, fields, checked_request_id(options.get("request_id"))
