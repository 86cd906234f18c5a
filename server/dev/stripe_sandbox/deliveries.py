"""The queue of webhook deliveries: which endpoint gets which event."""

from __future__ import annotations

import json
import time

from server.dev.stripe_sandbox import faults

from .errors import Json
from .state import Store, Tenant


def queue(store: Store, tenant: Tenant, event: Json) -> None:
    """Write one delivery row per interested endpoint, as the tenant's faults have it."""
    endpoints = _interested(store, tenant, event)
    if not endpoints:
        return
    fault = faults.take_for_event(store, tenant.key, event["type"]) or {}
    event["pending_webhooks"] = len(endpoints)
    status = "dropped" if fault.get("drop") else "held" if fault.get("hold") else "pending"
    times, at = 1 + fault.get("duplicate", 0), time.time() + fault.get("delay", 0)
    _write(store, tenant, event, endpoints * times, status=status, at=at)


def _interested(store: Store, tenant: Tenant, event: Json) -> list[Json]:
    endpoints = store.select(
        ["tenant = ?", "account = ?", "kind = 'webhook_endpoint'"],
        [tenant.key, tenant.account],
        "ORDER BY seq",
    )
    return [
        endpoint
        for endpoint in endpoints
        if endpoint["status"] == "enabled"
        and endpoint["_connect"] == ("account" in event)
        and wants(endpoint, event["type"])
    ]


def _write(
    store: Store,
    tenant: Tenant,
    event: Json,
    endpoints: list[Json],
    *,
    status: str = "pending",
    at: float = 0,
    stamp: int | None = None,
) -> None:
    body = json.dumps(event, indent=2)
    store.db.executemany(
        "INSERT INTO deliveries (tenant, event, endpoint, type, body, status, attempts, next_at,"
        " stamp) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        [
            (tenant.key, event["id"], endpoint["id"], event["type"], body, status, at, stamp)
            for endpoint in endpoints
        ],
    )


def wants(endpoint: Json, kind: str) -> bool:
    """Whether an endpoint asked for this type of event."""
    return "*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"]


def pending(store: Store, event: str) -> int:
    """How many deliveries of an event are still to succeed."""
    query = "SELECT count(*) FROM deliveries WHERE event = ? AND status = 'pending'"
    return int(store.db.execute(query, (event,)).fetchone()[0])
