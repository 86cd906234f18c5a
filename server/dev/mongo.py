"""Runs SecantusDB with patches of private parts that took more than half of its time.

Unpatched, each statement in a transaction searches all transactions of all sessions (and nothing
else ends an abandoned one, which locks its rows for ever), each command reads the profiling level,
the collection and its indexes about six times, storage keys are packed character by character, and
splits of large pages block all clients. The patched parts are private, so pyproject.toml pins the
version. The rest is SecantusDB's own `secantusd-py`.
"""

import contextlib
import functools
import gc
import logging
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import wiredtiger
from secantus import cli, commands, server
from secantus.connreg import ConnectionRegistry
from secantus.metrics import Metrics
from secantus.server import SecantusDBServer
from secantus.sessions import SessionRegistry
from secantus.storage import Storage, _is_wt_rollback
from secantus.transactions import TransactionRegistry, TxnState
from wiredtiger.intpacking import pack_int, unpack_int

LOOK_SECONDS = 1.0
IDLE_SECONDS = 20.0  # longer than `kernel.store` retries; mongod allows 60 s for a transaction
PAGE = "1MB"
PRUNE_SECONDS = 60.0
READ_BYTES = 1 << 16
VERSIONS = "table:jobsphere_versions"
# Commands whose answers need not name the replica set.
WITHOUT_TIME = frozenset(
    {
        "find",
        "getMore",
        "insert",
        "update",
        "delete",
        "aggregate",
        "commitTransaction",
        "abortTransaction",
    }
)
Places = Callable[..., list[tuple[str, str]]]
# After these methods a thread may see writes of other threads.
REFRESHING = (
    "release_thread_snapshot",
    "_refresh_read_snapshot",
    "_reset_thread_session",
    "_coll_lock",
    "_write_coll_options",
)


def main() -> None:
    # A full garbage collection blocks all clients for up to 0.2 s, and frees almost nothing.
    gc.set_threshold(10_000, 10, 100)
    abort_idle_transactions()
    cache_catalogue()
    pack_whole_keys()
    keep_pages_small()
    keep_no_oplog()
    release_after_expiry()
    stop_at_once()
    read_at_once()
    tell_no_time()
    count_nothing()
    sys.exit(cli.main())


def abort_idle_transactions() -> None:
    """Start a thread that aborts idle transactions, as mongod does. SecantusDB itself checks only
    at the next statement in a transaction; until then writers of the same rows wait."""
    prepare = TransactionRegistry.__init__

    def prepared(registry: Any, **given: Any) -> None:
        prepare(registry, **given)
        threading.Thread(target=watch, args=[registry], name="transactions", daemon=True).start()

    def watch(registry: Any) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            prune_transactions(registry)

    TransactionRegistry.__init__ = prepared
    TransactionRegistry._prune_locked = lambda _: 0


def prune_transactions(registry: Any) -> None:
    """Abort transactions without a statement for IDLE_SECONDS, and remove those that ended long
    ago; until then a client may repeat its commit."""
    with registry._lock:
        now = registry._time()
        for session, last in list(registry._txns.items()):
            idle = now - last.last_use
            if last.state is TxnState.IN_PROGRESS and idle > IDLE_SECONDS:
                if not last.mutex.acquire(blocking=False):
                    continue  # a statement is running
                try:
                    registry._abort_locked(last)
                finally:
                    last.mutex.release()
                logging.warning("A transaction was idle for %.0f s and is aborted.", idle)
            elif last.state is not TxnState.IN_PROGRESS and idle > registry._lifetime:
                del registry._txns[session]


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
    def __init__(self) -> None:
        self.collections: dict[tuple[str, ...], Collection] = {}


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


def cache_catalogue() -> None:
    """Cache the catalogue. Unpatched, each command reads and decodes it several times."""
    known = Catalogue()
    prepare, mark, ensure = (
        Storage.__init__,
        Storage._maybe_mark_multikey,
        Storage._ensure_collection,
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
        store._refresh_read_snapshot()
        return dict(known.get(store, db, coll).public)

    def options(store: Any, db: str, coll: str) -> dict[str, Any] | None:
        found = known.get(store, db, coll).options
        return dict(found) if found else known._read_options(store, db, coll)

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
    Storage._coll_options = options
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


def pack_whole_keys() -> None:
    """Pack keys and values of strings (S), numbers (q) and final bytes (u) in the format of
    WiredTiger's `packing`, which parses each format character by character at every call."""
    plain = {"q", "u", "S", "SS", "SSS", "SSq", "SSu", "SSSu"}
    packing = sys.modules[wiredtiger.Cursor.__module__]  # the package re-exports its names
    slow_pack, slow_unpack = packing.pack, packing.unpack

    def pack(fmt: str, *values: Any) -> Any:
        if fmt not in plain or len(values) != len(fmt):
            return slow_pack(fmt, *values)
        packed = b""
        for kind, value in zip(fmt, values, strict=True):
            if kind == "q":
                packed += pack_int(value)
                continue
            data = value if type(value) is bytes else value.encode()
            packed += data if kind == "u" else data.partition(b"\0")[0] + b"\0"
        return packed

    def unpack(fmt: str, packed: bytes | None) -> Any:
        if fmt not in plain or packed is None:
            return slow_unpack(fmt, packed)
        values: list[Any] = []
        for kind in fmt:
            if kind == "S":
                text, _, packed = packed.partition(b"\0")
                values.append(text.decode())
            elif kind == "q":
                number, packed = unpack_int(packed)
                values.append(number)
            else:
                values.append(packed)
        return values

    packing.pack, packing.unpack = pack, unpack  # type: ignore[attr-defined]


def keep_pages_small() -> None:
    """Limit pages in memory to PAGE. The split of a larger page blocks all clients: 40 ms at
    WiredTiger's default of 5 MB. A page that cannot be split yet, because of a reader of an older
    state, delays each access by 6 ms; at 256 KB this happened to many pages for minutes.

    Existing tables keep their limit.
    """
    create = wiredtiger.Session.create

    def small(session: Any, name: str, config: str = "") -> Any:
        if name.startswith("table:"):
            config = f"{config},memory_page_max={PAGE}".lstrip(",")
        return create(session, name, config)

    wiredtiger.Session.create = small


def keep_no_oplog() -> None:
    """Write no oplog: without replicas and change streams it only doubles each write."""
    prepare = Storage.__init__

    def prepared(store: Any, *given: Any, **options: Any) -> None:
        prepare(store, *given, **options | {"enable_oplog": False})

    Storage.__init__ = prepared


def release_after_expiry() -> None:
    """Release what the thread that deletes expired documents has read. Unpatched, it keeps its
    snapshot and the pages under its cursors until its next run, a minute later. A page that grows
    beyond PAGE in that time cannot be split, which delays each access to it by several ms."""
    expire = Storage.prune_ttl_all_collections

    def expired(store: Any, **given: Any) -> int:
        try:
            deleted: int = expire(store, **given)
        finally:
            store.release_thread_snapshot()
        return deleted

    Storage.prune_ttl_all_collections = expired


def stop_at_once() -> None:
    """Wake the thread that accepts connections before a stop waits for it. A closed socket does not
    wake it, so each stop takes two seconds."""
    stop = SecantusDBServer.stop

    def stopped(server: Any) -> None:
        server._stop_event.set()
        if server._socket is not None:
            with contextlib.suppress(OSError):
                server._socket.shutdown(socket.SHUT_RDWR)
        stop(server)

    SecantusDBServer.stop = stopped


class Buffered:
    """A socket that is read in as large pieces as there are."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def recv(self, size: int) -> bytes:
        if not self._rest:
            if size >= READ_BYTES:
                return self._connection.recv(size)
            self._rest = self._connection.recv(READ_BYTES)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def read_at_once() -> None:
    """Read a message with one call. Unpatched, its header and the rest take one each, and each
    lets another thread run."""
    read = server.read_message
    mine = threading.local()  # a thread serves one connection

    def read_buffered(connection: socket.socket) -> Any:
        if getattr(mine, "connection", None) is not connection:
            mine.connection, mine.buffered = connection, Buffered(connection)
        return read(mine.buffered)

    server.read_message = read_buffered


def tell_no_time() -> None:
    """Answer without the time of the cluster, which drivers would send back with each command: a
    server without replicas has no use for it."""
    dispatch = server.dispatch

    def timeless(command: dict[str, Any], context: Any) -> dict[str, Any]:
        if next(iter(command), None) in WITHOUT_TIME:
            context.replica_set_name = None
        answer: dict[str, Any] = dispatch(command, context)
        answer.pop("$clusterTime", None)
        answer.pop("operationTime", None)
        return answer

    server.dispatch = timeless


def count_nothing() -> None:
    """Keep no profile and no figures of commands, prune sessions once a minute instead of at each
    command, and ask the system for the server's own address only once."""
    commands._profile_eligible_command = lambda *_: False
    commands._failpoint_app_name = lambda *_: None  # no failpoint of ours is for one application
    for kind in (Metrics, ConnectionRegistry):
        kind.record_command = lambda *_: None
    Metrics.record_namespace_op = lambda *_: None
    prune = SessionRegistry._prune_locked

    def prune_rarely(registry: Any) -> int:
        now = registry._time()
        if now < getattr(registry, "pruned_at", 0.0) + PRUNE_SECONDS:
            return 0
        registry.pruned_at = now
        pruned: int = prune(registry)
        return pruned

    SessionRegistry._prune_locked = prune_rarely
    address = functools.cached_property(SecantusDBServer.address.fget)
    address.__set_name__(SecantusDBServer, "address")
    SecantusDBServer.address = address


if __name__ == "__main__":
    main()
