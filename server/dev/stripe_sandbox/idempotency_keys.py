"""Idempotency keys: stored answers that a repeated request gets again for 24 hours."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

from server.dev.stripe_sandbox.errors import StripeError
from server.dev.stripe_sandbox.store import Store, Tenant

RETENTION_SECONDS = 24 * 3600


def fingerprint(method: str, path: str, raw: str) -> str:
    """A hash that is equal for equal requests, independent of the order of their parameters."""
    parts = [method, path, *sorted(f"{k}={v}" for k, v in parse_qsl(raw, True))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find_response(
    store: Store, tenant: Tenant, account: str, key: str, fingerprint: str
) -> tuple[int, str] | None:
    """The stored (status, body) of a key, or None.

    Raises idempotency_error for other parameters.
    """
    oldest = tenant.now() - RETENTION_SECONDS
    row = store.db.execute(
        "SELECT fingerprint, status, body FROM idempotency_keys"
        " WHERE tenant = ? AND account = ? AND key = ? AND at > ?",
        (tenant.key, account, key, oldest),
    ).fetchone()
    if row is None:
        return None
    if row[0] != fingerprint:
        raise StripeError(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. Try using a key other than '{key}' if you meant to execute a"
            " different request.",
            stored=False,
        )
    return row[1], row[2]


def store_response(
    store: Store, tenant: Tenant, account: str, key: str, fingerprint: str, status: int, body: str
) -> None:
    """Store an answer for 24 hours on the tenant's clock."""
    store.db.execute(
        "INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?)",
        (tenant.key, account, key, fingerprint, status, body, tenant.now()),
    )


def delete_expired(store: Store, tenant: Tenant) -> None:
    """Delete the keys older than 24 hours."""
    store.db.execute(
        "DELETE FROM idempotency_keys WHERE tenant = ? AND at <= ?",
        (tenant.key, tenant.now() - RETENTION_SECONDS),
    )
