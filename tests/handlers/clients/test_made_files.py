"""What is made of the documents for the clients is up to date, and has every operation and push."""

import re
from pathlib import Path

from domain.operations.operation import Operation
from handlers import NAMESPACES
from handlers.clients.typescript import type_of
from server.app import client_files
from server.cli.clients import CLIENTS, write
from tests.support.wire_contract import PUSHES

ENTRY = re.compile(r"^      (\w+): \{ (?:event: \"(\w+)\")?", re.MULTILINE)


def test_the_files_are_up_to_date() -> None:
    """Fails when the documents have changed: run `python -m server clients`."""
    stale = [path for path, text in client_files().items() if (CLIENTS / path).read_text() != text]
    assert stale == []


def test_the_command_writes_them(tmp_path: Path) -> None:
    """Guard: `clients.write`."""
    written = {path: path.read_text() for path in write(tmp_path)}
    assert written == {tmp_path / path: text for path, text in client_files().items()}


def test_every_operation_is_a_command_of_the_client() -> None:
    """Guard: `contract_of`: operations of both transports, each once."""
    exposed = [each for namespace in NAMESPACES for each in namespace.exposed]
    table = client_files()["contract.js"]
    found = sorted((name, event) for name, event in ENTRY.findall(table))
    csv = [("commissions_csv", ""), ("statement_csv", "")]
    assert found == sorted([*((_method(e.operation), e.event or "") for e in exposed), *csv])


def _method(operation: Operation) -> str:
    return operation.name.partition(".")[2]


def test_every_push_has_a_type() -> None:
    """Guard: `contract.Push`."""
    types = client_files()["contract.d.ts"]
    interfaces = dict(re.findall(r"interface (\w+)Pushes \{(.*?)\n\}", types, re.DOTALL))
    for namespace, names in PUSHES.items():
        words = namespace.strip("/").split("-")
        typed = re.findall(
            r'^  "?([\w.]+)"?: \w', interfaces["".join(map(str.capitalize, words))], re.M
        )
        assert sorted(typed) == sorted(names.split()), namespace


def test_types_of_schemas() -> None:
    """Guard: `type_of`."""
    text = {"type": "string"}
    assert (
        type_of({"anyOf": [{"$ref": "#/components/schemas/Job"}, {"type": "null"}]}) == "Job | null"
    )
    assert type_of({"type": "array", "items": {"enum": ["a", 1]}}) == '("a" | 1)[]'
    assert type_of({"type": ["integer", "null"]}) == "number | null"
    assert type_of({"type": "object", "additionalProperties": text}) == "Record<string, string>"
    assert type_of({"type": "object", "additionalProperties": False}) == "Record<string, never>"
    assert type_of({"type": "array", "prefixItems": [text, {"const": True}]}) == "[string, true]"
    given = {"type": "object", "properties": {"a-b": text, "c": text}, "required": ["c"]}
    assert type_of(given) == '{\n  "a-b"?: string;\n  c: string;\n}'
    assert type_of({}) == "unknown"
