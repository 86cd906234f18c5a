"""Event destinations of the /v2 API, and thin events: they name an object and say nothing of it.

Source: Stripe, "Event destinations".
"""

from __future__ import annotations

from server.dev.stripe_sandbox import webhook_endpoints
from server.dev.stripe_sandbox.errors import Json, StripeError
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id
from server.dev.stripe_sandbox.v2_parameters import METADATA, Fields, malformed, moment

INCLUDES = ("webhook_endpoint.signing_secret", "webhook_endpoint.url")
CREATE: Fields = {
    "name*": str,
    "type*": ("webhook_endpoint",),
    "event_payload*": ("thin",),
    "enabled_events*": [str],
    "events_from": [("@self", "@accounts")],
    "description": str,
    "metadata": METADATA,
    "webhook_endpoint": {"url*": str},
    "include": [INCLUDES],
}
UPDATE: Fields = {
    "name": str,
    "description": str,
    "enabled_events": [str],
    "metadata": METADATA,
    "webhook_endpoint": {"url*": str},
    "include": [INCLUDES],
}
RETRIEVE: Fields = {"include": [INCLUDES]}
LIST: Fields = {"include": [INCLUDES], "limit": int, "page": str}


def create(context: RequestContext) -> Json:
    """Create a destination. Its signing secret is shown where it is included."""
    params = context.params
    if "webhook_endpoint" not in params:
        raise malformed("webhook_endpoint is required for this type.")
    _check_types(params["enabled_events"])
    webhook_endpoints.check_url(context, params["webhook_endpoint"]["url"])
    destination = {
        "id": new_id("ed_test_6"),
        "object": "v2.core.event_destination",
        "created": context.now,
        "description": params.get("description", ""),
        "enabled_events": params["enabled_events"],
        "metadata": params.get("metadata", {}),
        "name": params["name"],
        "status": "enabled",
        "_url": params["webhook_endpoint"]["url"],
        "_secret": new_id("whsec_", 32),
    }
    context.add(destination)
    return _view(destination, params.get("include", []))


def _check_types(names: list[str]) -> None:
    if not names or not all(name.startswith("v2.") for name in names):
        raise malformed("enabled_events lists types of /v2: thin payloads have no others here.")


def _get(context: RequestContext, destination_id: str) -> Json:
    found = context.find(destination_id, context.tenant.account)
    if found is None or found["object"] != "v2.core.event_destination":
        message = f"There is no event destination {destination_id}."
        raise StripeError(404, "not_found", message, code="not_found", stored=False)
    return found


def retrieve(context: RequestContext, destination_id: str) -> Json:
    """One destination."""
    return _view(_get(context, destination_id), context.params.get("include", []))


def update(context: RequestContext, destination_id: str) -> Json:
    """Change a destination."""
    destination, params = _get(context, destination_id), context.params
    if "webhook_endpoint" in params:
        webhook_endpoints.check_url(context, params["webhook_endpoint"]["url"])
        destination["_url"] = params["webhook_endpoint"]["url"]
    if "enabled_events" in params:
        _check_types(params["enabled_events"])
    given = ("name", "description", "enabled_events", "metadata")
    destination.update({name: params[name] for name in given if name in params})
    return _view(context.save(destination), params.get("include", []))


def disable(context: RequestContext, destination_id: str) -> Json:
    """Send nothing to a destination any more."""
    destination = context.save(_get(context, destination_id))
    destination["status"] = "disabled"
    return _view(destination, [])


def list_destinations(context: RequestContext) -> Json:
    """The destinations, newest first."""
    include = context.params.get("include", [])
    context.params = {"limit": context.params.get("limit", 20)}
    page = context.page("v2.core.event_destination", "/v2/core/event_destinations")
    return {
        "data": [_view(each, include) for each in page["data"]],
        "next_page_url": None,
        "previous_page_url": None,
    }


def _view(destination: Json, include: list[str]) -> Json:
    shown = {name: value for name, value in destination.items() if name[0] != "_"}
    endpoint = {
        name: value
        for name, value in (
            ("url", destination["_url"]),
            ("signing_secret", destination["_secret"]),
        )
        if f"webhook_endpoint.{name}" in include
    }
    return {
        **shown,
        "created": moment(destination["created"]),
        "updated": moment(destination["created"]),
        "event_payload": "thin",
        "events_from": ["@self", "@accounts"],
        "livemode": False,
        "type": "webhook_endpoint",
        **({"webhook_endpoint": endpoint} if endpoint else {}),
    }


def retrieve_event(context: RequestContext, event_id: str) -> Json:
    """One thin event. Raises not_found."""
    event = context.find(event_id, context.tenant.account)
    if event is None or event["object"] != "v2.core.event":
        message = f"There is no event {event_id}."
        raise StripeError(404, "not_found", message, code="not_found", stored=False)
    return {**event, "created": moment(event["created"])}
