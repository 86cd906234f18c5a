"""Snapshots: the state of a tenant, which other tenants take over later.

A tenant that takes a snapshot over keeps its own webhook endpoints and event destinations, with
their URLs and secrets. Ids are unique in the whole sandbox, so the tenant that had the objects
before is deleted. Snapshots are in memory and end with the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.dev.stripe_sandbox.errors import Json, malformed
from server.dev.stripe_sandbox.store import Store, Tenant, new_id

MAX_SNAPSHOTS = 100
ENDPOINTS = "kind IN ('webhook_endpoint', 'v2.core.event_destination')"
OWNED = "tenant = ?"
OF_OWNED = "account IN (SELECT account FROM objects WHERE tenant = ?)"
# Each table with the condition of its rows and the copied columns. `pending_amounts` and
# `waiting_refunds` get new numbers: theirs may be in use. Objects come last, as
# others are found by their accounts.
TABLES = {
    "balances": (OF_OWNED, "account, currency, net"),
    "pending_amounts": (OF_OWNED, "account, currency, net, available_on"),
    "waiting_refunds": (OF_OWNED, "account, id"),
    "links": (OWNED, "kind, field, value, seq"),
    "timers": (OWNED, "due, what, id"),
    "idempotency_keys": (OWNED, "account, key, fingerprint, status, body, at"),
    "requests": (OWNED, "id, entry"),
    "deliveries": (
        OWNED,
        "id, event, endpoint, type, body, status, attempts, code, next_at, signed_at",
    ),
    "faults": (OWNED, "id, rule"),
    "objects": (
        f"{OWNED} AND NOT {ENDPOINTS}",
        "seq, id, account, kind, created, body, deleted",
    ),
}
ORDERS = {"waiting_refunds": " ORDER BY seq"}


@dataclass
class Snapshot:
    """The tenant at that time, its rows by table, and the key of the tenant that has them now."""

    tenant: Tenant
    rows: dict[str, list[tuple[Any, ...]]]
    owner: str


class Snapshots:
    """The snapshots of all tenants, and the control actions on them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: dict[str, Snapshot] = {}

    def save(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Keep the state of the tenant. Raises the 400 of too many snapshots."""
        if len(self._kept) == MAX_SNAPSHOTS:
            raise malformed(f"The sandbox keeps {MAX_SNAPSHOTS} snapshots.")
        rows = {
            table: self.store.db.execute(
                f"SELECT {columns} FROM {table} WHERE {where}{ORDERS.get(table, '')}", (tenant.key,)
            ).fetchall()
            for table, (where, columns) in TABLES.items()
        }
        name = new_id("snapshot_")
        self._kept[name] = Snapshot(tenant, rows, tenant.key)
        return {"snapshot": name}

    def restore(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Give the tenant the state of a `snapshot`. Raises the 400 of an unknown one."""
        snapshot = self._kept.get(str((body or {}).get("snapshot")))
        if snapshot is None:
            raise malformed("No such snapshot.", param="snapshot")
        db, then = self.store.db, snapshot.tenant
        for key in dict.fromkeys((snapshot.owner, tenant.key)):
            for table, (where, _) in TABLES.items():
                db.execute(f"DELETE FROM {table} WHERE {where}", (key,))
        if snapshot.owner != tenant.key:
            for table, name in (("objects", "tenant"), ("grants", "tenant"), ("tenants", "key")):
                db.execute(f"DELETE FROM {table} WHERE {name} = ?", (snapshot.owner,))
        snapshot.owner = tenant.key
        # What is left are the endpoints.
        db.execute("UPDATE objects SET account = ? WHERE tenant = ?", (then.account, tenant.key))
        for table, (where, columns) in TABLES.items():
            names, places = columns, ", ".join("?" * len(columns.split(",")))
            rows = snapshot.rows[table]
            if where != OF_OWNED:
                names, places = f"tenant, {columns}", f"?, {places}"
                rows = [(tenant.key, *row) for row in rows]
            db.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
        self.store.save_tenant(Tenant(tenant.key, then.account, then.shift, then.settings))
        return {"account": then.account}
