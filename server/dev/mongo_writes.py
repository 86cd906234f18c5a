"""Makes SecantusDB's writes cheaper: its transactions, and replaced and deleted documents."""

import contextlib
import types
from collections.abc import Iterator
from typing import Any

from secantus import storage, update
from secantus.storage import Storage

MOST_SESSIONS = 64  # in reserve


def reset_cursors_at_once() -> None:
    """Reset a session's cursors with one call before a write. Unpatched, each takes its own."""

    @contextlib.contextmanager
    def transaction(store: Any, *, sync: bool = False) -> Iterator[Any]:
        session = store._session()
        if getattr(store._tls, "user_txn", None) is not None:
            yield session
            return
        session.reset()
        session.begin_transaction()
        try:
            yield session
        except Exception:
            with contextlib.suppress(Exception):
                session.rollback_transaction()
            raise
        storage._commit_batch_transaction(session, sync)

    Storage._batch_transaction = transaction


def keep_sessions_of_transactions() -> None:
    """Use the session of an ended transaction, with its open cursors, for a later one."""
    begin, close = Storage.begin_user_transaction, Storage._close_user_txn_session
    free: list[Any] = []  # transactions; its methods are atomic

    def begun(store: Any) -> Any:
        try:
            ended = free.pop()
        except IndexError:
            return begin(store)
        handle = storage.UserTransactionHandle(ended.session)
        handle.cursors = ended.cursors
        return handle

    def closed(store: Any, handle: Any) -> None:
        if not handle.closed and len(free) < MOST_SESSIONS and not store._closed:
            with contextlib.suppress(Exception):
                handle.session.reset()  # refused in a transaction
                handle.closed = True
                free.append(handle)
                return
        close(store, handle)

    Storage.begin_user_transaction, Storage._close_user_txn_session = begun, closed


def copy_plainly() -> None:
    """Copy only what an update may change: documents and arrays. Unpatched, all of their values are
    copied too."""

    def copied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: copied(each) for name, each in value.items()}
        return [copied(each) for each in value] if isinstance(value, list) else value

    update.copy = types.SimpleNamespace(deepcopy=copied)


def truncate_emptied() -> None:
    """Delete all documents of a collection as a range of keys. Unpatched, each document is read,
    and the keys of its index entries are made and deleted."""
    delete = Storage._delete_matching_chunked

    def delete_matching(
        store: Any, db: str, coll: str, filter: dict[str, Any], *, journal: bool, **more: Any
    ) -> Any:
        if filter:
            return delete(store, db, coll, filter, journal=journal, **more)
        store._refresh_read_snapshot()
        is_empty = next(iter(store._scan_docs(db, coll)), None) is None
        return 0 if is_empty else truncate(store, db, coll, journal)

    @storage._retry_write_conflicts  # type: ignore[untyped-decorator]
    def truncate(store: Any, db: str, coll: str, journal: bool) -> int:
        documents = storage._doc_table_for(db, coll)
        tables = (storage._NAT_SEQ_TABLE, storage._IDX_ENTRIES_TABLE, storage._UNIQ_TABLE)
        with store._coll_lock(db, coll), store._batch_transaction(sync=journal) as session:
            count = sum(1 for _ in store._scan_docs(db, coll))
            for table in (documents, *tables):
                first, last = store._cursor(table), store._cursor(table, overwrite=False)
                rest = store._smallest_for_kf(store._table_kf(table))[2:]
                first.set_key(db, coll, *rest)
                last.set_key(db, f"{coll}\1", *rest)
                session.truncate(None, first, last)
        return count

    Storage._delete_matching_chunked = delete_matching
