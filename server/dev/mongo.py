"""Runs SecantusDB with patches of private parts that took more than half of its time.

Unpatched, each statement in a transaction searches all transactions of all sessions (and nothing
else ends an abandoned one, which locks its rows for ever), each command reads the profiling level,
the collection and its indexes about six times, storage keys are packed character by character, and
splits of large pages block all clients. The patched parts are private, so pyproject.toml pins the
version. The rest is SecantusDB's own `secantusd-py`.
"""

import contextlib
import gc
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import wiredtiger
from secantus import cli, commands
from secantus.server import SecantusDBServer
from secantus.storage import Storage
from secantus.transactions import TransactionRegistry, TxnState
from wiredtiger.intpacking import pack_int, unpack_int

LOOK_SECONDS = 1.0
IDLE_SECONDS = 20.0  # longer than `kernel.store` retries; mongod allows 60 s for a transaction
PAGE = "1MB"
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
    commands._maybe_record_profile = lambda *_: None
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


class Catalogue(threading.local):
    """A thread's cache by database and collection: (name, keys, options) of the indexes, and the
    options of the collection."""

    def __init__(self) -> None:
        self.indexes: dict[tuple[str, str], list[tuple[str, Any, Any]]] = {}
        self.options: dict[tuple[str, str], dict[str, Any]] = {}

    def clear(self) -> None:
        self.indexes.clear()
        self.options.clear()


def cache_catalogue() -> None:
    """Cache the catalogue within a request, at most for the life of its snapshot or lock. Marking
    an index as multikey, or writing options, clears the cache."""
    known = Catalogue()
    read, mark = Storage._iter_indexes, Storage._maybe_mark_multikey
    read_options = Storage._coll_options

    def indexes(store: Any, db: str, coll: str) -> list[tuple[str, Any, Any]]:
        found = known.indexes.get((db, coll))
        if found is None:
            found = known.indexes[db, coll] = list(read(store, db, coll))
        return found

    def options(store: Any, db: str, coll: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = known.options.get((db, coll))
        if found is None:
            found = read_options(store, db, coll)
            if not found or "uuid" not in found:  # it does not exist, or is being created
                return found
            known.options[db, coll] = found
        return dict(found)

    def mark_multikey(
        store: Any, db: str, coll: str, doc: Any, all: Any, marked: set[str]
    ) -> set[str]:
        before = len(marked)
        now: set[str] = mark(store, db, coll, doc, all, marked)
        if len(now) > before:
            known.clear()
        return now

    def clearing(method: Callable[..., Any]) -> Callable[..., Any]:
        def cleared(*given: Any) -> Any:
            known.clear()
            return method(*given)

        return cleared

    Storage._iter_indexes, Storage._maybe_mark_multikey = indexes, mark_multikey
    Storage._coll_options = options
    for name in REFRESHING:
        setattr(Storage, name, clearing(getattr(Storage, name)))


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


if __name__ == "__main__":
    main()
