"""Conversion between records and MongoDB documents; filters and cursors. Uses no driver."""

import base64
import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from domain.kernel.bounds import check_bounds
from domain.kernel.errors import Invalid, Rule
from domain.kernel.moments import in_utc
from domain.kernel.record import Record

R = TypeVar("R", bound=Record)
Where = Mapping[str, Any]
Sort = tuple[tuple[str, int], ...]

ID_MARGIN_SECONDS = 60  # an id may be this much older than its record


def plain(value: Any) -> Any:
    """Convert a value into the types that the database stores."""
    return msgspec.to_builtins(value, builtin_types=(datetime, bytes))


def document(record: Record) -> dict[str, Any]:
    """The stored form of a record. Raises TooMany."""
    document: dict[str, Any] = plain(record)
    check_bounds(type(record), document)
    document["_id"] = document.pop("id")
    return document


def plain_fields(kind: type[Record], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The stored form of fields to be set. Raises TooMany."""
    check_bounds(kind, fields)
    return {name: plain(value) for name, value in fields.items()}


def record(kind: type[R], document: dict[str, Any]) -> R:
    """The record of a stored document. Changes `document`."""
    document["id"] = document.pop("_id")
    return msgspec.convert(document, kind)


def filtered(where: Where) -> dict[str, Any]:
    """Turn a filter into a MongoDB query. A tuple means "one of"; the rest is MongoDB's syntax."""
    return {
        field: {"$in": [plain(item) for item in value]} if isinstance(value, tuple) else value
        for field, value in where.items()
    }


def cursor(record: Record, sort: Sort) -> str:
    """The position of a record in a list with this order, as an opaque string."""
    values = [getattr(record, "id" if field == "_id" else field) for field, _ in sort]
    return pack_cursor(values)


def pack_cursor(values: Sequence[Any]) -> str:
    """A position in a list, as an opaque string."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def unpack_cursor(cursor: str, shape: Any) -> Any:
    """The values of a position, of these types. Raises Invalid."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(packed, type=shape)
    except (ValueError, TypeError, msgspec.DecodeError) as broken:
        raise _not_a_cursor() from broken


def _not_a_cursor() -> Invalid:
    return Invalid("take this from `next_cursor`, unchanged.", field="cursor", rule=Rule.FORMAT)


def after_cursor(cursor: str, sort: Sort, kind: type[Record]) -> dict[str, Any]:
    """The filter for what follows `cursor` in the order `sort`. Raises Invalid."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    shape: Any = tuple[tuple(types["id" if field == "_id" else field] for field, _ in sort)]  # type: ignore[misc]
    try:
        values = [_stored(value) for value in unpack_cursor(cursor, shape)]
    except (ValueError, TypeError, msgspec.DecodeError) as broken:
        raise _not_a_cursor() from broken
    branches = []
    for place, (field, direction) in enumerate(sort):
        branch = {earlier: values[i] for i, (earlier, _) in enumerate(sort[:place])}
        branches.append({**branch, field: {"$gt" if direction > 0 else "$lt": values[place]}})
    return any_of(branches)


def _stored(value: Any) -> Any:
    """A value of a cursor as it is stored. Raises ValueError if the database cannot store it."""
    if isinstance(value, datetime):
        return in_utc(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("the database stores 64-bit integers")
    return plain(value)


def any_of(branches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The filter for documents that match one of the branches.

    A single branch is returned without `$or`, for which some servers find no index.
    """
    return branches[0] if len(branches) == 1 else {"$or": list(branches)}


def apply_update(
    document: Mapping[str, Any], update: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Apply `$set`, `$inc` and `$push`, with dotted paths, to a copy of `document`.

    Within a transaction the result is exact, as a concurrent change aborts the transaction. It
    saves a second read.
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
    """The container of the value at `path`, and its key or index there."""
    *way, last = path.split(".")
    place: Any = document
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    return place, int(last) if isinstance(place, list) else last


def lowest_id(prefix: str, since: datetime) -> str:
    """A lower bound for the ids of records created since `since`.

    Ids begin with the second of their creation, so a list sorted by id can stop at this bound.
    """
    return f"{prefix}_{max(0, int(since.timestamp()) - ID_MARGIN_SECONDS):08x}"


def highest_id(prefix: str, until: datetime) -> str:
    """An upper bound for the ids of records created before `until`, itself above all of them."""
    return f"{prefix}_{max(0, int(until.timestamp()) + ID_MARGIN_SECONDS + 1):08x}"


def given(**filters: Any) -> dict[str, Any]:
    """The filters of a list that the client has given: those that are not None."""
    return {name: value for name, value in filters.items() if value is not None}


def created_between(
    prefix: str, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Any]:
    """A filter for records that were created from `since` on and before `until`.

    The bounds of the ids let a list, which is in the order of ids, begin and end there.
    """
    created: dict[str, datetime] = {}
    ids: dict[str, str] = {}
    if since:
        created["$gte"], ids["$gte"] = since, lowest_id(prefix, since)
    if until:
        created["$lt"], ids["$lt"] = until, highest_id(prefix, until)
    return {"created_at": created, "_id": ids} if created else {}
