"""The closed table of commands, by namespace and name, and the parsing of a command."""

from typing import Any

from domain.kernel.errors import Invalid, Rule, UnknownCommand
from domain.operations.input_size import LEAST, max_input
from domain.operations.operation import Operation
from server.operation_calls import checked_request_id
from server.realtime.packets import EVENT_NAME, HEADER

Commands = dict[tuple[str, str], Operation]

MAX_COMMAND = LEAST  # characters of a command with its header, unless its texts may be longer


def max_characters(commands: Commands, text: str, start: int) -> int:
    """The most characters of the command that the packet at `start` names."""
    header = HEADER.match(text, start)
    name = EVENT_NAME.match(text, header.end()) if header else None
    op = commands.get((header[2], name[1])) if header and name else None
    return max_input(op.command) if op else MAX_COMMAND


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
