"""The events API: past events, for clients that missed their webhooks."""

from __future__ import annotations

from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import PAGE, Spec, array, boolean, text
from server.dev.stripe_sandbox.request_context import RequestContext

LIST: Spec = {**PAGE, "type": text, "types": array(), "delivery_success": boolean}


def retrieve_event(context: RequestContext, event_id: str) -> Json:
    """One event."""
    return context.get("event", event_id, "event")


def list_events(context: RequestContext) -> Json:
    """Events, newest first; `type` may contain `*` wildcards."""
    types = context.params.get("types") or []
    if len(types) > 1:
        raise refused("The sandbox filters by one type or one pattern.", None, "types")
    return context.page(
        "event", "/v1/events", type=context.params.get("type") or "".join(types) or None
    )
