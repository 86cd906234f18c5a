"""The log of API requests and their answers, which tests read through the control API."""

from __future__ import annotations

import json

from server.dev.stripe_sandbox.errors import Json
from server.dev.stripe_sandbox.store import Store, Tenant


def append(store: Store, tenant: Tenant, entry: Json, limit: int) -> None:
    """Append a request, and keep the newest `limit` entries of the log and of deliveries."""
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


def list_after(store: Store, tenant: Tenant, after: int, limit: int) -> list[Json]:
    """The log entries after an id, oldest first."""
    rows = store.db.execute(
        "SELECT id, entry FROM requests WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?",
        (tenant.key, after, limit),
    )
    return [{"id": row[0], **json.loads(row[1])} for row in rows.fetchall()]
