"""Records as MongoDB's documents and back, filters, cursors: no driver here."""

import base64
import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from domain.kernel.errors import Invalid
from domain.kernel.record import Record

R = TypeVar("R", bound=Record)
Where = Mapping[str, Any]
Sort = tuple[tuple[str, int], ...]

ID_MARGIN_SECONDS = 60  # seconds by which an id may have been made before its record


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value, builtin_types=(datetime, bytes))


def document(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = plain(record)
    document["_id"] = document.pop("id")
    return document


def record(kind: type[R], document: dict[str, Any]) -> R:
    document["id"] = document.pop("_id")
    return msgspec.convert(document, kind)


def filtered(where: Where) -> dict[str, Any]:
    """A tuple means "one of"; everything else is MongoDB's own query language."""
    return {
        field: {"$in": [plain(item) for item in value]} if isinstance(value, tuple) else value
        for field, value in where.items()
    }


def cursor(document: Mapping[str, Any], sort: Sort) -> str:
    values = [document.get("id" if field == "_id" else field) for field, _ in sort]
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def after_cursor(cursor: str, sort: Sort, kind: type[Record]) -> dict[str, Any]:
    """The filter for everything behind `cursor` in the order of `sort`, typed as its fields are."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    shape: Any = tuple[tuple(types["id" if field == "_id" else field] for field, _ in sort)]  # type: ignore[misc]
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = plain(msgspec.json.decode(packed, type=shape))
        if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
            raise ValueError("no number of this database")
    except (ValueError, TypeError, msgspec.DecodeError) as broken:
        raise Invalid("cursor: take it from `next_cursor`, unchanged.", field="cursor") from broken
    branches = []
    for place, (field, direction) in enumerate(sort):
        branch = {earlier: values[i] for i, (earlier, _) in enumerate(sort[:place])}
        branches.append({**branch, field: {"$gt" if direction > 0 else "$lt": values[place]}})
    return any_of(branches)


def any_of(branches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The filter for what fits one of them. One alone stands for itself: not every server finds the
    index of an `$or`."""
    return branches[0] if len(branches) == 1 else {"$or": list(branches)}


def apply_update(
    document: Mapping[str, Any], update: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What `document` is after `$set`, `$inc` and `$push`, paths with dots included.

    Exact within a transaction, where nobody else can have changed it unseen: so the new state
    need not be read again.
    """
    result = copy.deepcopy(dict(document))
    for path, value in update.get("$set", {}).items():
        place, key = _place(result, path)
        place[key] = copy.deepcopy(value)
    for path, number in update.get("$inc", {}).items():
        place, key = _place(result, path)
        place[key] = (place.get(key, 0) if isinstance(place, dict) else place[key]) + number
    for path, value in update.get("$push", {}).items():
        place, key = _place(result, path)
        place[key] = [*((place.get(key) or []) if isinstance(place, dict) else place[key]), value]
    return result


def _place(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Where the value of a path is kept: its container, and the key or number in it."""
    *way, last = path.split(".")
    place: Any = document
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    return place, int(last) if isinstance(place, list) else last


def lowest_id(prefix: str, since: datetime) -> str:
    """Ids begin with the second in which they were made, so that a list by id can end there."""
    return f"{prefix}_{max(0, int(since.timestamp()) - ID_MARGIN_SECONDS):08x}"
