"""The sandbox's SQLite database: tenants, objects, indexes. It survives a SIGKILL."""

from __future__ import annotations

import json
import random
import sqlite3
import string
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.dev.stripe_sandbox.errors import Json

SCHEMA = """
CREATE TABLE IF NOT EXISTS tenants (key TEXT PRIMARY KEY, account TEXT NOT NULL,
  shift REAL NOT NULL, settings TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (seq INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL,
  tenant TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, created INTEGER NOT NULL,
  body TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (tenant, account, kind, seq);
CREATE TABLE IF NOT EXISTS links (tenant TEXT, kind TEXT, field TEXT, value TEXT, seq INTEGER,
  PRIMARY KEY (tenant, kind, field, value, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_seq ON links (seq);
CREATE TABLE IF NOT EXISTS balances (account TEXT, currency TEXT, net INTEGER NOT NULL,
  PRIMARY KEY (account, currency)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_amounts (id INTEGER PRIMARY KEY, account TEXT, currency TEXT,
  net INTEGER NOT NULL, available_on INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS pending_by_account ON pending_amounts (account, currency, available_on);
CREATE TABLE IF NOT EXISTS waiting_refunds (seq INTEGER PRIMARY KEY, account TEXT NOT NULL,
  id TEXT UNIQUE NOT NULL);
CREATE INDEX IF NOT EXISTS waiting_by_account ON waiting_refunds (account, seq);
CREATE TABLE IF NOT EXISTS timers (tenant TEXT, due REAL, what TEXT, id TEXT,
  PRIMARY KEY (tenant, due, what, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency_keys (tenant TEXT, account TEXT, key TEXT,
  fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (tenant, account, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL,
  entry TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS requests_by_tenant ON requests (tenant, id);
CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL,
  event TEXT NOT NULL, endpoint TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL,
  status TEXT NOT NULL, attempts INTEGER NOT NULL, code INTEGER, next_at REAL NOT NULL,
  signed_at INTEGER);
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (endpoint, next_at)
  WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE INDEX IF NOT EXISTS deliveries_by_tenant ON deliveries (tenant, id);
CREATE TABLE IF NOT EXISTS grants (kind TEXT, value TEXT, tenant TEXT NOT NULL,
  PRIMARY KEY (kind, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL,
  rule TEXT NOT NULL);
"""
INDEXED_FIELDS = {
    "payment_intent": ("customer",),
    "charge": ("customer", "payment_intent", "transfer_group"),
    "refund": ("charge", "payment_intent"),
    "payment_method": ("customer", "type"),
    "transfer": ("destination", "transfer_group", "source_transaction"),
    "transfer_reversal": ("transfer",),
    "payout": ("status", "destination"),
    "balance_transaction": ("type", "source", "currency"),
    "customer": ("email",),
    "event": ("type",),
    "setup_intent": ("customer", "payment_method"),
    "dispute": ("charge", "payment_intent"),
    "file": ("purpose",),
    "radar.early_fraud_warning": ("charge", "payment_intent"),
    "review": ("open",),
    "capability": ("account",),
}
REINDEXED_KINDS = {"payment_intent", "payment_method", "payout", "customer", "review"}
DEFAULT_SETTINGS: dict[str, float] = {
    "fee_bps": 0,
    "fee_fixed": 0,
    "available_delay_seconds": 0,
    "payout_delay_seconds": 1,
    "processing_seconds": 4 * 86_400,
    "async_seconds": 0,  # until a payment that is captured asynchronously is in the balance
    "converts": 0,  # 1: the platform settles its default currency only
    "refunds_wait": 1,  # 0: refunds also draw on money that is not available
    "hold_seconds": 7 * 86_400,
    "dispute_fee": 1_500,
    "accounts_v1": 0,
}
ALPHABET = string.ascii_letters + string.digits
# Not the generator of the process: what seeds that one would repeat the ids.
RANDOM = random.SystemRandom()


def new_id(prefix: str, length: int = 24) -> str:
    """A random id in Stripe's format."""
    return prefix + "".join(RANDOM.choices(ALPHABET, k=length))


def new_digits(length: int) -> str:
    """A random string of digits, such as a bank's reference."""
    return "".join(RANDOM.choices(string.digits, k=length))


@dataclass
class Tenant:
    """One platform account with its own clock and settings. `shift` moves the clock, in seconds."""

    key: str
    account: str
    shift: float = 0.0
    settings: dict[str, float] = field(default_factory=dict)

    def now(self) -> float:
        """The tenant's time in seconds since the epoch."""
        return time.time() + self.shift

    def setting(self, name: str) -> float:
        """A setting, or its default."""
        return self.settings.get(name, DEFAULT_SETTINGS[name])


class Store:
    """One database connection for the event loop's thread. Writes need `transaction()`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder / "sandbox.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        # Written data survives the death of the process, not of the machine: enough here, and fast.
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or roll back on any exception."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def tenant(self, key: str) -> Tenant | None:
        """The tenant of a secret key, or None."""
        row = self.db.execute(
            "SELECT account, shift, settings FROM tenants WHERE key = ?", (key,)
        ).fetchone()
        return Tenant(key, row[0], row[1], json.loads(row[2])) if row else None

    def save_tenant(self, tenant: Tenant) -> None:
        """Insert or update a tenant."""
        self.db.execute(
            "INSERT OR REPLACE INTO tenants VALUES (?, ?, ?, ?)",
            (tenant.key, tenant.account, tenant.shift, json.dumps(tenant.settings)),
        )

    def insert(self, tenant: str, account: str, obj: Json) -> None:
        """Insert an object and index it."""
        kind = obj["object"]
        cursor = self.db.execute(
            "INSERT INTO objects (id, tenant, account, kind, created, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (obj["id"], tenant, account, kind, obj.get("created", 0), json.dumps(obj)),
        )
        self._link(tenant, kind, int(cursor.lastrowid or 0), obj)

    def update(self, tenant: str, obj: Json) -> None:
        """Update an object and its index."""
        kind = obj["object"]
        row = self.db.execute(
            "UPDATE objects SET body = ?, deleted = ? WHERE id = ? RETURNING seq",
            (json.dumps(obj), "deleted" in obj, obj["id"]),
        ).fetchone()
        if kind in REINDEXED_KINDS:
            self.db.execute("DELETE FROM links WHERE seq = ?", (row[0],))
            self._link(tenant, kind, row[0], obj)

    def _link(self, tenant: str, kind: str, seq: int, obj: Json) -> None:
        for name in INDEXED_FIELDS.get(kind, ()):
            value = obj.get(name)
            if isinstance(value, str | bool):
                self.db.execute(
                    "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?, ?)",
                    (tenant, kind, name, str(value), seq),
                )

    def get(self, object_id: str) -> tuple[str, str, Json] | None:
        """(tenant, account, object) of an id."""
        row = self.db.execute(
            "SELECT tenant, account, body FROM objects WHERE id = ?", (object_id,)
        ).fetchone()
        return (row[0], row[1], json.loads(row[2])) if row else None

    def sequence_of(self, tenant: str, object_id: str) -> int | None:
        """An object's sequence number, the cursor of lists."""
        row = self.db.execute(
            "SELECT seq FROM objects WHERE id = ? AND tenant = ?", (object_id, tenant)
        ).fetchone()
        return int(row[0]) if row else None

    def select(self, where: Sequence[str], values: Sequence[Any], tail: str) -> list[Json]:
        """The objects that match every condition."""
        query = f"SELECT body FROM objects WHERE {' AND '.join(where)} {tail}"
        return [json.loads(row[0]) for row in self.db.execute(query, values)]
