"""SecantusDB as a program that spends its time on what it is asked.

It looks through all transactions that any session has ever had at each statement of another, asks
its store after each command whether that is to be profiled, and reads the list of a collection's
indexes half a dozen times for each command: together about half of its time. The rest is its own
`secantusd-py`. None of these parts is public; pyproject.toml names the one version that has them.
"""

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

from secantus import cli, commands
from secantus.storage import Storage
from secantus.transactions import TransactionRegistry, TxnState

LOOK_SECONDS = 1.0
# After these a thread sees what others have written, or may come to see it.
NEWS = (
    "release_thread_snapshot", "_refresh_read_snapshot", "_reset_thread_session", "_coll_lock",
)  # fmt: skip


def main() -> None:
    # A full garbage collection stops its every client for up to 0.2 s, and finds next to nothing.
    gc.set_threshold(10_000, 10, 100)
    forget_ended_transactions()
    read_indexes_once()
    commands._maybe_record_profile = lambda *_: None
    sys.exit(cli.main())


def forget_ended_transactions() -> None:
    """Look for those that are too old once a second, and then forget the ended ones as well."""
    look = TransactionRegistry._prune_locked

    def seldom(registry: Any) -> int:
        now = registry._time()
        if now < getattr(registry, "_look_at", 0.0):
            return 0
        registry._look_at = now + LOOK_SECONDS
        given_up: int = look(registry)
        for session, last in list(registry._txns.items()):
            ended = last.state is not TxnState.IN_PROGRESS
            if ended and last.last_use < now - registry._lifetime:
                del registry._txns[session]
        return given_up

    TransactionRegistry._prune_locked = seldom


class Lists(threading.local):
    """What the thread has read of the indexes: (name, keys, options) by database and collection."""

    def __init__(self) -> None:
        self.read: dict[tuple[str, str], list[tuple[str, Any, Any]]] = {}


def read_indexes_once() -> None:
    """A list is good for one request, and no longer than the snapshot or the lock under which it
    was read; who finds the first array in an index changes it."""
    lists = Lists()
    read, mark = Storage._iter_indexes, Storage._maybe_mark_multikey

    def indexes(store: Any, db: str, coll: str) -> list[tuple[str, Any, Any]]:
        known = lists.read.get((db, coll))
        if known is None:
            known = lists.read[db, coll] = list(read(store, db, coll))
        return known

    def mark_multikey(
        store: Any, db: str, coll: str, doc: Any, all: Any, marked: set[str]
    ) -> set[str]:
        before = len(marked)
        now: set[str] = mark(store, db, coll, doc, all, marked)
        if len(now) > before:
            lists.read.clear()
        return now

    def forgetting(method: Callable[..., Any]) -> Callable[..., Any]:
        def forgetful(*given: Any) -> Any:
            lists.read.clear()
            return method(*given)

        return forgetful

    Storage._iter_indexes, Storage._maybe_mark_multikey = indexes, mark_multikey
    for name in NEWS:
        setattr(Storage, name, forgetting(getattr(Storage, name)))


if __name__ == "__main__":
    main()
