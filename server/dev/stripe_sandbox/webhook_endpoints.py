"""Webhook endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.dev.stripe_sandbox import access
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    Required,
    Spec,
    array,
    boolean,
    merge_metadata,
    metadata,
    text,
)
from server.dev.stripe_sandbox.store import new_id

if TYPE_CHECKING:
    from server.dev.stripe_sandbox.request_context import RequestContext


CREATE: Spec = {
    "url": Required(text),
    "enabled_events": Required(array()),
    "connect": boolean,
    "api_version": text,
    "description": text,
    "metadata": metadata,
    **EXPAND,
}
UPDATE: Spec = {
    "url": text,
    "enabled_events": array(),
    "disabled": boolean,
    "description": text,
    "metadata": metadata,
    **EXPAND,
}


def create(context: RequestContext) -> Json:
    """Create an endpoint. Only this answer contains its secret."""
    params = context.params
    if context.account != context.tenant.account:
        raise refused(
            "Endpoints belong to the platform; those with `connect` get events of accounts."
        )
    check_url(context, params["url"])
    _check_event_types(params["enabled_events"])
    endpoint: Json = {
        "id": new_id("we_1"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": context.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata(None, params.get("metadata", {})),
        "status": "enabled",
        "url": params["url"],
        "_secret": new_id("whsec_", 32),
        "_connect": params.get("connect", False),
    }
    context.add(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


def retrieve(context: RequestContext, endpoint_id: str) -> Json:
    """An endpoint, without its secret."""
    return context.get("webhook_endpoint", endpoint_id, "webhook_endpoint")


def update(context: RequestContext, endpoint_id: str) -> Json:
    """Change an endpoint."""
    endpoint, params = retrieve(context, endpoint_id), context.params
    if "url" in params:
        check_url(context, params["url"])
    _check_event_types(params.get("enabled_events", []))
    if "metadata" in params:
        params["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params.pop("disabled") else "enabled"
    endpoint.update({key: value for key, value in params.items() if key != "expand"})
    return context.save(endpoint)


def delete(context: RequestContext, endpoint_id: str) -> Json:
    """Delete an endpoint and its pending deliveries."""
    endpoint = retrieve(context, endpoint_id)
    context.store.db.execute("DELETE FROM objects WHERE id = ?", (endpoint["id"],))
    context.store.db.execute(
        "DELETE FROM deliveries WHERE endpoint = ? AND status = 'pending'", (endpoint["id"],)
    )
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_endpoints(context: RequestContext) -> Json:
    """The endpoints, newest first."""
    return context.page("webhook_endpoint", "/v1/webhook_endpoints")


def check_url(context: RequestContext, url: str | None) -> None:
    """Raises for an address that the sandbox does not send to."""
    if url and not access.may_send_to(context.store, url):
        raise refused("Invalid URL: the sandbox sends to this machine only.", "url_invalid", "url")
    if not url or not url.startswith(("http://", "https://")):
        raise refused(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            "url_invalid",
            "url",
        )


def _check_event_types(names: list[str]) -> None:
    """Accept event types and `*` alone: Stripe takes no patterns here."""
    for index, name in enumerate(names):
        if "*" in name and name != "*":
            raise refused(
                f"Invalid enabled_events[{index}]: {name} is not an event type",
                None,
                f"enabled_events[{index}]",
            )
