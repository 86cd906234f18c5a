"""Makes SecantusDB's use of its indexes cheaper: look-ups by id, and updates."""

import datetime
import threading
from collections.abc import Callable
from itertools import chain
from typing import Any

from secantus import storage
from secantus.storage import Storage

UPDATING = ("_update_matching_single_txn", "_update_chunk")
BOUNDS = (str, int, bool, datetime.datetime)
RANGE = {"$gt", "$gte", "$lt", "$lte"}
COMPARED = (str, int, bool, datetime.datetime, type(None))  # equal values are stored equally


def look_up_ids_first() -> None:
    """Find documents by `_id` if the filter names ids and more, else by its bounds, else by the
    branches of an `$or`. Unpatched, `_id` is only the last resort behind all other indexes, and not
    used at all beside an operator; a condition such as `$ne` leaves one field of a compound index;
    and `$or` reads the whole collection. The caller checks the whole filter on what is found."""
    find = Storage._try_index_id_keys

    def found_by(
        store: Any, db: str, coll: str, filter: dict[str, Any], *, collation: Any = None
    ) -> Any:
        if collation is not None:
            return find(store, db, coll, filter, collation=collation)
        if len(filter) > 1 and "_id" in filter:
            found = find(store, db, coll, {"_id": filter["_id"]})
            if found is not None:
                return found
        bounds = bounds_of(filter)
        if 1 < len(bounds) < len(filter):
            found = find(store, db, coll, bounds)
            if found is not None:
                return found
        if "$or" in filter:
            parts = [found_by(store, db, coll, branch) for branch in filter["$or"]]
            if all(part is not None for part in parts):
                return list(dict.fromkeys(chain.from_iterable(parts)))
        return find(store, db, coll, filter)

    Storage._try_index_id_keys = found_by


def bounds_of(filter: dict[str, Any]) -> dict[str, Any]:
    """The fields that equal a value or are in a range, which an index may find together."""
    return {
        field: value
        for field, value in filter.items()
        if field[:1] != "$"
        and (value.keys() <= RANGE if isinstance(value, dict) else isinstance(value, BOUNDS))
    }


class Update(threading.local):
    """A document that an update of this thread is about to replace: its record, what it will be,
    and the indexes whose entries differ."""

    record: int | None = None
    new: Any = None
    indexes: list[Any] | None = None

    def clear(self) -> None:
        self.record = self.new = self.indexes = None


def keep_equal_entries() -> None:
    """Replace only those index entries that an update changes. Unpatched, it deletes and writes all
    entries of the document."""
    update = Update()
    check, delete, write = (
        Storage._unique_conflict,
        Storage._delete_index_entries,
        Storage._write_index_entries,
    )

    def check_unique(
        store: Any,
        db: str,
        coll: str,
        new: Any,
        indexes: Any,
        *,
        exclude_recordid: Any,
        **more: Any,
    ) -> Any:
        """Comes before each other step of an update or insert."""
        update.record, update.new, update.indexes = exclude_recordid, new, None
        return check(store, db, coll, new, indexes, exclude_recordid=exclude_recordid, **more)

    def delete_entries(
        store: Any,
        db: str,
        coll: str,
        old: Any,
        indexes: Any,
        partial: Any = None,
        *,
        recordid: int,
    ) -> None:
        if update.record == recordid:
            partial = store._partial_filters(db, coll) if partial is None else partial
            indexes = update.indexes = changed_indexes(old, update.new, indexes, partial)
        delete(store, db, coll, old, indexes, partial, recordid=recordid)

    def write_entries(
        store: Any,
        db: str,
        coll: str,
        new: Any,
        indexes: Any,
        partial: Any = None,
        *,
        recordid: int,
    ) -> None:
        if update.record == recordid and update.new is new and update.indexes is not None:
            indexes = update.indexes
        update.clear()
        write(store, db, coll, new, indexes, partial, recordid=recordid)

    def clearing(method: Callable[..., Any]) -> Callable[..., Any]:
        def cleared(*given: Any, **options: Any) -> Any:
            try:
                return method(*given, **options)
            finally:
                update.clear()  # a refused update leaves nothing for a later delete

        return cleared

    for name in UPDATING:
        setattr(Storage, name, clearing(getattr(Storage, name)))
    Storage._unique_conflict = check_unique
    Storage._delete_index_entries, Storage._write_index_entries = delete_entries, write_entries


def changed_indexes(
    old: dict[str, Any], new: dict[str, Any], indexes: list[Any], partial: dict[str, Any]
) -> list[Any]:
    """The indexes that read a field of which the old and the new document differ. An operator in a
    partial filter, such as `$and`, may read any field."""
    fields = {field for field in old.keys() | new.keys() if is_field_changed(old, new, field)}

    def is_changed(path: str) -> bool:
        return path.startswith("$") or path.partition(".")[0] in fields

    return [
        index for index in indexes if any(map(is_changed, (*index[1], *partial.get(index[0], ()))))
    ]


def is_field_changed(old: dict[str, Any], new: dict[str, Any], field: str) -> bool:
    if field not in old or field not in new:
        return True
    before, after = old[field], new[field]
    if type(before) is type(after) and type(before) in COMPARED:
        return bool(before != after)
    return bool(storage._doc_changed({field: after}, {field: before}))
