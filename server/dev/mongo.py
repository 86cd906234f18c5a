"""Runs SecantusDB with patches of private parts that took more than half of its time.

Unpatched, each statement in a transaction searches all transactions of all sessions (and nothing
else ends an abandoned one, which locks its rows for ever), each command reads the profiling level,
the collection and its indexes about six times, storage keys are packed character by character, and
splits of large pages block all clients. The patches of the catalogue, indexes, keys and writes are
in modules of their own. The patched parts are private, so pyproject.toml pins the version. The rest
is SecantusDB's own `secantusd-py`.
"""

import contextlib
import functools
import gc
import logging
import socket
import sys
import threading
import time
from typing import Any

import wiredtiger
from secantus import cli, commands
from secantus import server as network
from secantus.connreg import ConnectionRegistry
from secantus.metrics import Metrics
from secantus.server import SecantusDBServer
from secantus.storage import Storage
from secantus.transactions import TransactionRegistry, TxnState

from server.dev import mongo_catalogue, mongo_indexes, mongo_keys, mongo_writes

LOOK_SECONDS = 1.0
IDLE_SECONDS = 20.0  # longer than `kernel.store` retries; mongod allows 60 s for a transaction
PAGE = "1MB"
READ_BYTES = 1 << 16
# Commands whose answers need not name the replica set.
WITHOUT_TIME = frozenset(
    {
        "find",
        "getMore",
        "insert",
        "update",
        "delete",
        "findAndModify",
        "aggregate",
        "commitTransaction",
        "abortTransaction",
    }
)


def main() -> None:
    # A full garbage collection blocks all clients for up to 0.2 s, and frees almost nothing.
    gc.set_threshold(10_000, 10, 100)
    abort_idle_transactions()
    mongo_catalogue.share()
    mongo_indexes.look_up_ids_first()
    mongo_indexes.keep_equal_entries()
    mongo_keys.pack_whole_keys()
    mongo_keys.encode_fast()
    mongo_keys.make_plain_keys()
    mongo_writes.reset_cursors_at_once()
    mongo_writes.keep_sessions_of_transactions()
    mongo_writes.copy_plainly()
    mongo_writes.truncate_emptied()
    keep_pages_small()
    keep_no_oplog()
    release_after_expiry()
    stop_at_once()
    read_at_once()
    tell_no_time()
    count_nothing()
    keep_no_sessions()
    remember_address()
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
    read = network.read_message
    mine = threading.local()  # a thread serves one connection

    def read_buffered(connection: socket.socket) -> Any:
        if getattr(mine, "connection", None) is not connection:
            mine.connection, mine.buffered = connection, Buffered(connection)
        return read(mine.buffered)

    network.read_message = read_buffered


def tell_no_time() -> None:
    """Answer without the time of the cluster, which drivers would send back with each command: a
    server without replicas has no use for it."""
    dispatch = network.dispatch

    def timeless(command: dict[str, Any], context: Any) -> dict[str, Any]:
        if next(iter(command), None) in WITHOUT_TIME:
            context.replica_set_name = None
        answer: dict[str, Any] = dispatch(command, context)
        answer.pop("$clusterTime", None)
        answer.pop("operationTime", None)
        return answer

    network.dispatch = timeless


def count_nothing() -> None:
    """Keep no profile and no figures of commands, and look for no application's failpoints."""
    commands._profile_eligible_command = lambda *_: False
    commands._failpoint_app_name = lambda *_: None
    for kind in (Metrics, ConnectionRegistry):
        kind.record_command = lambda *_: None
    Metrics.record_namespace_op = lambda *_: None


def keep_no_sessions() -> None:
    """Keep no times of sessions, which each command writes and no answer needs, and let calls of
    sockets wait without a time limit, which takes another call of the system each time."""
    prepare = SecantusDBServer.__init__

    def prepared(server: Any, *given: Any, **options: Any) -> None:
        prepare(server, *given, **options)
        server.sessions = server.client_idle_timeout_s = None

    SecantusDBServer.__init__ = prepared


def remember_address() -> None:
    """Ask the system for the server's own address only once."""
    address = functools.cached_property(SecantusDBServer.address.fget)
    address.__set_name__(SecantusDBServer, "address")
    SecantusDBServer.address = address


if __name__ == "__main__":
    main()
