"""The stored contract, and the rules for changing it.

`snapshot.json` is made with `python -m tests.contract`, which refuses a change that breaks clients
until the major version of `handlers.CONTRACT_VERSION` is raised.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from server import app
from server.rate_limits import RateTable
from tests.architecture.source_tree import ROOT
from tests.contract.compatibility import compare
from tests.contract.model import contract
from tests.contract.schema_changes import Json

SNAPSHOT = Path(__file__).parent / "snapshot.json"
CHANGELOG = ROOT / "README.md"
RENEW = "renew the snapshot with `python -m tests.contract`"
WIDTH = 140


def documents() -> dict[str, Json]:
    """Both documents, as an unchanged configuration serves them."""
    made = app.documents(RateTable(), "http://localhost:8080")
    return {name: json.loads(msgspec.json.encode(make())) for name, make in made.items()}


def current() -> Json:
    return contract(**documents())


def stored() -> Json:
    found: Json = json.loads(SNAPSHOT.read_text())
    return found


def complaints(old: Json, new: Json, changelog: str) -> list[str]:
    """What forbids that `new` follows `old`."""
    changes = compare(old, new)
    breaks = [f"breaks clients: {change}" for change in changes if change.breaks]
    found = []
    if breaks and major(new["version"]) <= major(old["version"]):
        found = [*breaks, f"keep the old form, or raise the major version {new['version']}"]
    if old != new and not re.search(rf"\bcontract {re.escape(new['version'])}\b", changelog, re.I):
        found.append(f"the changelog in README.md has no line about contract {new['version']}")
    return found


def major(version: str) -> int:
    return int(version.partition(".")[0])


def text_of(node: Any, indent: int = 0) -> str:
    """JSON with one line for each thing that fits in a line, so that changes can be reviewed."""
    flat = json.dumps(node, ensure_ascii=False)
    short = len(flat) + indent <= WIDTH
    if short or not isinstance(node, dict | list) or is_flat(node):
        return flat
    inner = " " * (indent + 1)
    if isinstance(node, list):
        parts = [inner + text_of(each, indent + 1) for each in node]
        return "[\n" + ",\n".join(parts) + "\n" + " " * indent + "]"
    parts = [f"{inner}{json.dumps(key)}: {text_of(node[key], indent + 1)}" for key in node]
    return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"


def is_flat(node: Any) -> bool:
    return isinstance(node, list) and not any(isinstance(each, dict | list) for each in node)
