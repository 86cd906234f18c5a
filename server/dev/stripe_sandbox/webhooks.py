"""Webhook endpoints, the events API, and the rows of what is to be delivered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from server.dev.stripe_sandbox.deliveries import _interested, _write

from .errors import Json, refused
from .forms import EXPAND, PAGE, Need, Spec, boolean, listing, mapping, merged, text
from .state import new_id

if TYPE_CHECKING:
    from .call import Call


CREATE: Spec = {
    "url": Need(text),
    "enabled_events": Need(listing()),
    "connect": boolean,
    "api_version": text,
    "description": text,
    "metadata": mapping,
    **EXPAND,
}
UPDATE: Spec = {
    "url": text,
    "enabled_events": listing(),
    "disabled": boolean,
    "description": text,
    "metadata": mapping,
    **EXPAND,
}
EVENTS: Spec = {**PAGE, "type": text, "types": listing(), "delivery_success": boolean}


def create(call: Call) -> Json:
    """Add an endpoint; its secret is told here and never again."""
    params = call.params
    if call.account != call.tenant.account:
        raise refused("The platform's endpoints with `connect` hear of connected accounts.")
    _check_url(params["url"])
    _check_events(params["enabled_events"])
    endpoint: Json = {
        "id": new_id("we_1"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": call.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merged(None, params.get("metadata", {})),
        "status": "enabled",
        "url": params["url"],
        "_secret": new_id("whsec_", 32),
        "_connect": params.get("connect", False),
    }
    call.add(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


def retrieve(call: Call, name: str) -> Json:
    """An endpoint, without its secret."""
    return call.get("webhook_endpoint", name, "webhook_endpoint")


def update(call: Call, name: str) -> Json:
    """Change an endpoint."""
    endpoint, params = retrieve(call, name), call.params
    if "url" in params:
        _check_url(params["url"])
    _check_events(params.get("enabled_events", []))
    if "metadata" in params:
        params["metadata"] = merged(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params.pop("disabled") else "enabled"
    endpoint.update({key: value for key, value in params.items() if key != "expand"})
    return call.save(endpoint)


def delete(call: Call, name: str) -> Json:
    """Remove an endpoint and what still waits for it."""
    endpoint = retrieve(call, name)
    call.store.db.execute("DELETE FROM objects WHERE id = ?", (endpoint["id"],))
    call.store.db.execute(
        "DELETE FROM deliveries WHERE endpoint = ? AND status = 'pending'", (endpoint["id"],)
    )
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_endpoints(call: Call) -> Json:
    """The endpoints, newest first."""
    return call.page("webhook_endpoint", "/v1/webhook_endpoints")


def retrieve_event(call: Call, name: str) -> Json:
    """One event."""
    return call.get("event", name, "event")


def list_events(call: Call) -> Json:
    """Events, newest first; `type` may hold a `*`."""
    types = call.params.get("types") or []
    if len(types) > 1:
        raise refused("The sandbox filters by one type or one pattern.", None, "types")
    return call.page("event", "/v1/events", type=call.params.get("type") or "".join(types) or None)


def _check_url(url: str | None) -> None:
    if not url or not url.startswith(("http://", "https://")):
        raise refused(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            "url_invalid",
            "url",
        )


def _check_events(names: list[str]) -> None:
    """Stripe knows no patterns here but `*` alone."""
    for index, name in enumerate(names):
        if "*" in name and name != "*":
            raise refused(
                f"Invalid enabled_events[{index}]: {name} is not an event type",
                None,
                f"enabled_events[{index}]",
            )


def release(call: Call, kind: str, *, newest: bool, gap: float) -> int:
    """Send what was held back, in this order, one each `gap` seconds. Returns how many."""
    db, now = call.store.db, time.time()
    rows = db.execute(
        "SELECT id FROM deliveries WHERE tenant = ? AND status = 'held' AND type GLOB ?"
        f" ORDER BY id {'DESC' if newest else 'ASC'}",
        (call.tenant.key, kind),
    ).fetchall()
    # Rows of the same moment go out by their number, so that newest first needs moments of its own.
    db.executemany(
        "UPDATE deliveries SET status = 'pending', next_at = ? WHERE id = ?",
        [(now + place * (gap or 0.000_1), number) for place, (number,) in enumerate(rows)],
    )
    return len(rows)


def replay(call: Call, event: Json, times: int, age: float | None) -> int:
    """Deliver an event again, signed now or some time ago; such a one is tried once only."""
    endpoints = _interested(call.store, call.tenant, event) * times
    stamp = None if age is None else int(time.time() - age)
    _write(call.store, call.tenant, call.shown(event), endpoints, stamp=stamp)
    return len(endpoints)
