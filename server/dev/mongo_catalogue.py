"""Shares what SecantusDB reads of its catalogue between requests and threads.

Unpatched, each command reads and decodes the options and the indexes of its collection several
times.
"""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import wiredtiger
from secantus.storage import Storage, _is_wt_rollback

VERSIONS = "table:jobsphere_versions"
Places = Callable[..., list[tuple[str, str]]]
# After these methods a thread may see writes of other threads.
REFRESHING = (
    "release_thread_snapshot",
    "_reset_thread_session",
    "_coll_lock",
    "_write_coll_options",
)


class Collection(NamedTuple):
    """What the catalogue has of one collection, and what SecantusDB derives from it."""

    indexes: list[tuple[str, Any, Any]]  # name, keys, options
    options: dict[str, Any]  # without a "uuid" while the collection does not exist as such
    described: list[tuple[str, Any, bool, bool]]
    partial: dict[str, dict[str, Any]]
    multikey: frozenset[str]
    by_name: dict[str, dict[str, Any]]
    public: dict[str, Any]  # the options, with a UUID

    @classmethod
    def of(cls, indexes: list[tuple[str, Any, Any]], options: dict[str, Any]) -> "Collection":
        partial = {name: each.get("partialFilterExpression") for name, _, each in indexes}
        uuid = options.get("uuid")
        return cls(
            indexes,
            options,
            [
                (name, keys, bool(o.get("sparse")), bool(o.get("unique")))
                for name, keys, o in indexes
            ],
            {name: filter for name, filter in partial.items() if filter},
            frozenset(name for name, _, each in indexes if each.get("multikey")),
            {name: each for name, _, each in indexes},
            options | {"uuid": UUID(bytes=bytes(uuid))} if uuid else options,
        )


class Known(threading.local):
    """`is_fresh` while the thread has a snapshot that its command has taken for the options of a
    collection, and has read nothing else."""

    def __init__(self) -> None:
        self.collections: dict[tuple[str, ...], Collection] = {}
        self.is_fresh = False


class Catalogue:
    """Collections by database and name. A thread keeps them for the life of its snapshot.

    All threads share those whose version, a row of the table VERSIONS, is the one that they were
    read at. Who changes the catalogue empties the row first, and no one sets it before that change
    has ended. So each snapshot of WiredTiger that has a version has the catalogue of this version.
    """

    def __init__(self) -> None:
        self._thread = Known()
        self._shared: dict[tuple[str, str], tuple[bytes, Collection]] = {}
        self._changing: Counter[tuple[str, str]] = Counter()
        self._read_indexes = Storage._iter_indexes
        self._read_options = Storage._coll_options

    def clear(self) -> None:
        self._thread.collections.clear()
        self._thread.is_fresh = False

    def get_fresh(self, store: Any, *place: str) -> Collection:
        """Take a snapshot, which the next part of the command need not take again."""
        if not self._thread.is_fresh:
            store._refresh_read_snapshot()
        found = self.get(store, *place)
        self._thread.is_fresh = True
        return found

    def use_fresh(self) -> bool:
        was, self._thread.is_fresh = self._thread.is_fresh, False
        return was

    def get(self, store: Any, *place: str) -> Collection:
        known = self._thread.collections
        found = known.get(place)
        if found is None:
            found = self._get_shared(store, *place)
            if "uuid" in found.options:
                known[place] = found
        return found

    def _get_shared(self, store: Any, db: str, name: str) -> Collection:
        version = b""
        if hasattr(store, "versions"):
            rows = store._cursor(VERSIONS)
            rows.set_key(db, name)
            version = bytes(rows.get_value()) if rows.search() == 0 else b""
        shared = self._shared.get((db, name))
        if version and shared and shared[0] == version:
            return shared[1]
        options = self._read_options(store, db, name) or {}
        found = Collection.of(list(self._read_indexes(store, db, name)), options)
        if "uuid" in options:
            if version:
                self._shared[db, name] = version, found
            elif getattr(store._tls, "user_txn", None) is None:
                self._set_version(store, (db, name))
        return found

    def _set_version(self, store: Any, place: tuple[str, str]) -> None:
        with store._lock:
            if hasattr(store, "versions") and not self._changing[place] and not store._closed:
                store.versions.write(place, os.urandom(8))

    @contextlib.contextmanager
    def changing(self, store: Any, places: list[tuple[str, str]]) -> Iterator[None]:
        """Empty the versions of collections, until the end of the block."""
        with store._lock:
            self._changing.update(places)
        try:
            for place in places:
                self._shared.pop(place, None)
                self._empty_version(store, place)
            yield
        finally:
            with store._lock:
                self._changing -= Counter(places)

    def _empty_version(self, store: Any, place: tuple[str, str]) -> None:
        while True:
            with store._lock:
                if store.versions.write(place, b""):
                    return
            time.sleep(0.005)  # until the transaction that writes it ends


class Versions:
    """Writes rows of VERSIONS. Guarded by the lock of the store."""

    def __init__(self, store: Any) -> None:
        self._session = store._conn.open_session()
        # Versions of before a crash would do no harm, and need no log.
        self._session.create(VERSIONS, "key_format=SS,value_format=u,log=(enabled=false)")
        self._rows = self._session.open_cursor(VERSIONS)

    def write(self, place: tuple[str, str], version: bytes) -> bool:
        """False when a transaction has written this row and has not ended. Without one of its own,
        WiredTiger would wait for that."""
        self._session.begin_transaction()
        try:
            self._rows[place] = version
        except wiredtiger.WiredTigerError as failed:
            self._session.rollback_transaction()
            if _is_wt_rollback(failed):
                return False
            raise
        self._session.commit_transaction()
        return True


def share() -> None:
    """Read the catalogue through a `Catalogue`."""
    known = Catalogue()
    prepare, mark, ensure, take_snapshot = (
        Storage.__init__,
        Storage._maybe_mark_multikey,
        Storage._ensure_collection,
        Storage._refresh_read_snapshot,
    )

    def prepared(store: Any, *given: Any, **options: Any) -> None:
        prepare(store, *given, **options)
        with store._lock:
            store.versions = Versions(store)

    def mark_multikey(
        store: Any, db: str, coll: str, doc: Any, all: Any, marked: set[str]
    ) -> set[str]:
        before = len(marked)
        now: set[str] = mark(store, db, coll, doc, all, marked)
        if len(now) > before:
            known.clear()
            store._cursor(VERSIONS)[db, coll] = b""
        return now

    def ensure_collection(store: Any, db: str, coll: str) -> None:
        if "uuid" not in known.get(store, db, coll).options:
            ensure(store, db, coll)

    def public_options(store: Any, db: str, coll: str) -> dict[str, Any]:
        return dict(known.get_fresh(store, db, coll).public)

    def options(store: Any, db: str, coll: str) -> dict[str, Any] | None:
        found = known.get(store, db, coll).options
        return dict(found) if found else known._read_options(store, db, coll)

    def refresh(store: Any) -> None:
        if not known.use_fresh():
            known.clear()
            take_snapshot(store)

    def clearing(method: Callable[..., Any]) -> Callable[..., Any]:
        def cleared(*given: Any) -> Any:
            known.clear()
            return method(*given)

        return cleared

    def changing(method: Callable[..., Any], places: Places) -> Callable[..., Any]:
        def changed(store: Any, *given: Any, **options: Any) -> Any:
            with known.changing(store, places(store, *given)):
                return method(store, *given, **options)

        return changed

    Storage.__init__, Storage._maybe_mark_multikey = prepared, mark_multikey
    Storage._ensure_collection, Storage.get_collection_options = ensure_collection, public_options
    Storage._coll_options, Storage._refresh_read_snapshot = options, refresh
    Storage._iter_indexes = lambda *place: known.get(*place).indexes
    Storage._all_indexes = lambda *place: known.get(*place).described
    Storage._partial_filters = lambda *place: known.get(*place).partial
    Storage._multikey_index_names = lambda *place: set(known.get(*place).multikey)
    Storage._index_options_map = lambda *place: known.get(*place).by_name
    for name in REFRESHING:
        setattr(Storage, name, clearing(getattr(Storage, name)))
    for name, places in CHANGING.items():
        setattr(Storage, name, changing(getattr(Storage, name), places))


def created_collection(store: Any, db: str, name: str, *_: Any) -> list[tuple[str, str]]:
    return [] if store.collection_exists(db, name) else [(db, name)]


def created_index(store: Any, db: str, name: str, index: str, *_: Any) -> list[tuple[str, str]]:
    exists = any(known == index for known, *_ in store._iter_indexes(db, name))
    return [] if exists else [(db, name)]


def one_collection(store: Any, db: str, name: str, *_: Any) -> list[tuple[str, str]]:
    return [(db, name)]


def both_collections(store: Any, *names: str) -> list[tuple[str, str]]:
    return [names[:2], names[2:]]  # type: ignore[list-item]  # two databases and two names


def whole_database(store: Any, db: str) -> list[tuple[str, str]]:
    return [(db, name) for name in store.list_collections(db)]


# Which collections a method changes.
CHANGING: dict[str, Places] = {
    "create_collection": created_collection,
    "create_index": created_index,
    "drop_index": one_collection,
    "drop_all_indexes": one_collection,
    "drop_collection": one_collection,
    "drop_database": whole_database,
    "rename_collection": both_collections,
    "set_collection_options": one_collection,
    "set_index_expiry": one_collection,
    "set_index_options": one_collection,
}
