"""Idempotency keys and the request log: what was asked before and what was answered."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qsl

from .errors import Json, StripeError
from .state import Store, Tenant

KEPT_SECONDS = 24 * 3600


def fingerprint(method: str, path: str, raw: str) -> str:
    """Equal for equal requests, whatever the order of their parameters."""
    parts = [method, path, *sorted(f"{k}={v}" for k, v in parse_qsl(raw, True))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def recall(
    store: Store, tenant: Tenant, account: str, key: str, print_: str
) -> tuple[int, str] | None:
    """The stored (status, body) of a key. Raises idempotency_error for other parameters."""
    oldest = tenant.now() - KEPT_SECONDS
    row = store.db.execute(
        "SELECT print, status, body FROM keys WHERE tenant=? AND account=? AND key=? AND at>?",
        (tenant.key, account, key, oldest),
    ).fetchone()
    if row is None:
        return None
    if row[0] != print_:
        raise StripeError(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. Try using a key other than '{key}' if you meant to execute a"
            " different request.",
            stored=False,
        )
    return row[1], row[2]


def remember(
    store: Store, tenant: Tenant, account: str, key: str, print_: str, status: int, body: str
) -> None:
    """Keep an answer for 24 hours of the tenant's time."""
    store.db.execute(
        "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)",
        (tenant.key, account, key, print_, status, body, tenant.now()),
    )


def prune(store: Store, tenant: Tenant) -> None:
    """Forget the keys that are older than a day."""
    store.db.execute(
        "DELETE FROM keys WHERE tenant = ? AND at <= ?", (tenant.key, tenant.now() - KEPT_SECONDS)
    )


def log(store: Store, tenant: Tenant, entry: Json, limit: int) -> None:
    """Add a request to the log and keep its newest `limit` entries."""
    cursor = store.db.execute(
        "INSERT INTO requests (tenant, entry) VALUES (?, ?)", (tenant.key, json.dumps(entry))
    )
    newest = int(cursor.lastrowid or 0)
    if newest % 50 == 0:
        for table, spare in (
            ("requests", ""),
            ("deliveries", " AND status NOT IN ('pending', 'held')"),
        ):
            store.db.execute(
                f"DELETE FROM {table} WHERE tenant = ?{spare} AND id <= (SELECT id FROM {table}"
                " WHERE tenant = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (tenant.key, tenant.key, limit),
            )


def logged(store: Store, tenant: Tenant, after: int, limit: int) -> list[Json]:
    """The log after an id, oldest first."""
    rows = store.db.execute(
        "SELECT id, entry FROM requests WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?",
        (tenant.key, after, limit),
    )
    return [{"id": row[0], **json.loads(row[1])} for row in rows.fetchall()]
