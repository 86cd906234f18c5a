"""SecantusDB as a program that spends its time on what it is asked.

It looks through all transactions that any session has ever had at each statement of another (and
at no other time: one that was left open locks its rows for ever), asks its store after each command
whether that is to be profiled, reads what a collection is and its indexes half a dozen times for
each command, and spells the keys of its store letter by letter: together more than half of its
time. Now and then it keeps everybody waiting while it splits a large page. The rest is its own
`secantusd-py`. None of these parts is public; pyproject.toml names the one version that has them.
"""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import wiredtiger
from secantus import cli, commands
from secantus.storage import Storage
from secantus.transactions import TransactionRegistry, TxnState
from wiredtiger.intpacking import pack_int, unpack_int

LOOK_SECONDS = 1.0
IDLE_SECONDS = 20.0  # longer than `domain.store` tries; mongod gives a transaction 60 in all
PAGE = "1MB"
# After these a thread sees what others have written, or may come to see it.
NEWS = (
    "release_thread_snapshot",
    "_refresh_read_snapshot",
    "_reset_thread_session",
    "_coll_lock",
    "_write_coll_options",
)


def main() -> None:
    # A full garbage collection stops its every client for up to 0.2 s, and finds next to nothing.
    gc.set_threshold(10_000, 10, 100)
    look_after_transactions()
    read_catalogue_once()
    pack_at_once()
    keep_pages_small()
    keep_no_oplog()
    commands._maybe_record_profile = lambda *_: None
    sys.exit(cli.main())


def look_after_transactions() -> None:
    """A thread of its own gives up what was left open, as mongod's does. SecantusDB looks only when
    another statement of a transaction comes: until then whoever wants the same row waits."""
    prepare = TransactionRegistry.__init__

    def prepared(registry: Any, **given: Any) -> None:
        prepare(registry, **given)
        threading.Thread(target=watch, args=[registry], name="transactions", daemon=True).start()

    def watch(registry: Any) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            give_up_transactions(registry)

    TransactionRegistry.__init__ = prepared
    TransactionRegistry._prune_locked = lambda _: 0


def give_up_transactions(registry: Any) -> None:
    """End what has been open without a statement for IDLE_SECONDS, and forget what has long ended:
    the client may still ask again whether its commit was done."""
    with registry._lock:
        now = registry._time()
        for session, last in list(registry._txns.items()):
            idle = now - last.last_use
            if last.state is TxnState.IN_PROGRESS and idle > IDLE_SECONDS:
                if not last.mutex.acquire(blocking=False):
                    continue  # a statement is just running
                try:
                    registry._abort_locked(last)
                finally:
                    last.mutex.release()
                logging.warning("A transaction was idle for %.0f s and is given up.", idle)
            elif last.state is not TxnState.IN_PROGRESS and idle > registry._lifetime:
                del registry._txns[session]


class Catalogue(threading.local):
    """What the thread has read, by database and collection: (name, keys, options) of its indexes,
    and its own options."""

    def __init__(self) -> None:
        self.indexes: dict[tuple[str, str], list[tuple[str, Any, Any]]] = {}
        self.options: dict[tuple[str, str], dict[str, Any]] = {}

    def forget(self) -> None:
        self.indexes.clear()
        self.options.clear()


def read_catalogue_once() -> None:
    """What was read is good for one request, and no longer than the snapshot or the lock under
    which it was; who finds the first array in an index, or writes options, changes it."""
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
            if not found or "uuid" not in found:  # it does not exist, or is just being created
                return found
            known.options[db, coll] = found
        return dict(found)

    def mark_multikey(
        store: Any, db: str, coll: str, doc: Any, all: Any, marked: set[str]
    ) -> set[str]:
        before = len(marked)
        now: set[str] = mark(store, db, coll, doc, all, marked)
        if len(now) > before:
            known.forget()
        return now

    def forgetting(method: Callable[..., Any]) -> Callable[..., Any]:
        def forgetful(*given: Any) -> Any:
            known.forget()
            return method(*given)

        return forgetful

    Storage._iter_indexes, Storage._maybe_mark_multikey = indexes, mark_multikey
    Storage._coll_options = options
    for name in NEWS:
        setattr(Storage, name, forgetting(getattr(Storage, name)))


def pack_at_once() -> None:
    """Keys and values of strings (S), numbers (q) and, at the end, bytes (u), as WiredTiger's own
    `packing` has them, which looks at each letter of a format anew."""
    plain = {"q", "u", "S", "SS", "SSS", "SSq", "SSu", "SSSu"}
    packing = sys.modules[wiredtiger.Cursor.__module__]  # the package only repeats its names
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
    """A page grows to PAGE in memory, then it is split, while everybody waits: 40 ms for the 5 MB
    of WiredTiger's default. One that cannot be split yet, because somebody reads an older state,
    delays each who touches it by 6 ms until it can: of 256 KB there were many, for minutes.

    Tables that are there already stay as they are.
    """
    create = wiredtiger.Session.create

    def small(session: Any, name: str, config: str = "") -> Any:
        if name.startswith("table:"):
            config = f"{config},memory_page_max={PAGE}".lstrip(",")
        return create(session, name, config)

    wiredtiger.Session.create = small


def keep_no_oplog() -> None:
    """A single server has nobody to copy from it, and nobody watches changes here: each write
    would be written twice."""
    prepare = Storage.__init__

    def prepared(store: Any, *given: Any, **options: Any) -> None:
        prepare(store, *given, **options | {"enable_oplog": False})

    Storage.__init__ = prepared


if __name__ == "__main__":
    main()
