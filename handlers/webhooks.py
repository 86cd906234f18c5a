"""Stripe's webhook endpoint: verify the raw bytes, store the event, answer; process it later."""

from aiohttp import web

from domain.operations.input_size import read_bounded
from domain.ports.ports import Ports
from domain.stripe_events.inbox import receive_event

MAX_EVENT = 256 * 1024  # bytes; Stripe's events have a few KiB
PORTS = web.AppKey("ports", Ports)


async def stripe(request: web.Request) -> web.Response:
    """Answer 200 when the event is stored, now or by an earlier delivery. Raises DomainError."""
    ports = request.app[PORTS]
    payload = await read_bounded(request.content.iter_any(), request.content_length, MAX_EVENT)
    event = ports.webhooks.verify(payload, request.headers.get("Stripe-Signature", ""))
    fresh = await receive_event(ports, event)
    return web.json_response({"received": True, "fresh": fresh})


routes = [web.post("/webhooks/stripe", stripe)]
