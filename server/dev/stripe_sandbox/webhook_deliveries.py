"""The stored queue of webhook deliveries: which endpoint gets which event, and when."""

from __future__ import annotations

import json
import time

from server.dev.stripe_sandbox import fault_injection
from server.dev.stripe_sandbox.errors import Json
from server.dev.stripe_sandbox.store import Store, Tenant


def enqueue(store: Store, tenant: Tenant, event: Json) -> None:
    """Insert a delivery for each subscribed endpoint, changed by the tenant's webhook faults."""
    endpoints = _subscribed_endpoints(store, tenant, event)
    if not endpoints:
        return
    fault = fault_injection.take_for_event(store, tenant.key, event["type"]) or {}
    event["pending_webhooks"] = len(endpoints)
    status = "dropped" if fault.get("drop") else "held" if fault.get("hold") else "pending"
    times, at = 1 + fault.get("duplicate", 0), time.time() + fault.get("delay", 0)
    _insert(store, tenant, event, endpoints * times, status=status, at=at)


def enqueue_thin(store: Store, tenant: Tenant, event: Json) -> None:
    """Insert a delivery for each subscribed event destination; `event` is as it is sent."""
    destinations = [
        each
        for each in store.select(
            ["tenant = ?", "account = ?", "kind = 'v2.core.event_destination'"],
            [tenant.key, tenant.account],
            "ORDER BY seq",
        )
        if each["status"] == "enabled" and event["type"] in each["enabled_events"]
    ]
    if destinations:
        fault = fault_injection.take_for_event(store, tenant.key, event["type"]) or {}
        status = "dropped" if fault.get("drop") else "held" if fault.get("hold") else "pending"
        times, at = 1 + fault.get("duplicate", 0), time.time() + fault.get("delay", 0)
        _insert(store, tenant, event, destinations * times, status=status, at=at)


def _subscribed_endpoints(store: Store, tenant: Tenant, event: Json) -> list[Json]:
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
        and is_subscribed(endpoint, event["type"])
    ]


def _insert(
    store: Store,
    tenant: Tenant,
    event: Json,
    endpoints: list[Json],
    *,
    status: str = "pending",
    at: float = 0,
    signed_at: int | None = None,
) -> None:
    body = json.dumps(event, indent=2)
    store.db.executemany(
        "INSERT INTO deliveries (tenant, event, endpoint, type, body, status, attempts, next_at,"
        " signed_at) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        [
            (tenant.key, event["id"], endpoint["id"], event["type"], body, status, at, signed_at)
            for endpoint in endpoints
        ],
    )


def is_subscribed(endpoint: Json, kind: str) -> bool:
    """Whether an endpoint is subscribed to a type of event."""
    return "*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"]


def count_pending(store: Store, event: str) -> int:
    """The number of an event's deliveries that have not succeeded yet."""
    query = "SELECT count(*) FROM deliveries WHERE event = ? AND status = 'pending'"
    return int(store.db.execute(query, (event,)).fetchone()[0])


def count_undelivered(store: Store, tenant: Tenant, *statuses: str) -> int:
    """The number of a tenant's deliveries in these statuses, by default those under way."""
    given = statuses or ("pending",)
    places = ", ".join("?" * len(given))
    query = f"SELECT count(*) FROM deliveries WHERE tenant = ? AND status IN ({places})"
    return int(store.db.execute(query, (tenant.key, *given)).fetchone()[0])


def list_deliveries(
    store: Store, tenant: Tenant, after: int, limit: int, status: str = ""
) -> list[Json]:
    """Delivery rows after an id, oldest first; `status` filters."""
    columns = ("id", "event", "endpoint", "type", "status", "attempts", "code", "body")
    rows = store.db.execute(
        f"SELECT {', '.join(columns)} FROM deliveries WHERE tenant = ? AND id > ?"
        " AND ? IN ('', status) ORDER BY id LIMIT ?",
        (tenant.key, after, status, limit),
    )
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in found:
        row["body"] = json.loads(row["body"])
    return found


def release(
    store: Store, tenant: Tenant, kind: str, *, newest_first: bool, gap_seconds: float
) -> int:
    """Send the held deliveries of a type, `gap_seconds` apart. Returns their number."""
    db, now = store.db, time.time()
    rows = db.execute(
        "SELECT id FROM deliveries WHERE tenant = ? AND status = 'held' AND type GLOB ?"
        f" ORDER BY id {'DESC' if newest_first else 'ASC'}",
        (tenant.key, kind),
    ).fetchall()
    # Rows with the same due time are sent by id, so newest-first needs distinct due times.
    db.executemany(
        "UPDATE deliveries SET status = 'pending', next_at = ? WHERE id = ?",
        [(now + place * (gap_seconds or 0.000_1), number) for place, (number,) in enumerate(rows)],
    )
    return len(rows)


def replay(store: Store, tenant: Tenant, event: Json, times: int, age_seconds: float | None) -> int:
    """Deliver an event again. With `age_seconds` its signature is that old and it is tried once."""
    endpoints = _subscribed_endpoints(store, tenant, event) * times
    signed_at = None if age_seconds is None else int(time.time() - age_seconds)
    _insert(store, tenant, event, endpoints, signed_at=signed_at)
    return len(endpoints)
