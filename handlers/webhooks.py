"""Stripe's webhook endpoint: verify the raw bytes, store the event, answer; process it later."""

from aiohttp import web

from domain.kernel.errors import TooLarge
from domain.ports.ports import Ports
from domain.stripe_events.inbox import receive_event

MAX_EVENT = 256 * 1024  # bytes; Stripe's events have a few KiB
PORTS = web.AppKey("ports", Ports)


async def stripe(request: web.Request) -> web.Response:
    """Answer 200 when the event is stored, now or by an earlier delivery. Raises DomainError."""
    ports = request.app[PORTS]
    payload = await _payload(request)
    event = ports.webhooks.verify(payload, request.headers.get("Stripe-Signature", ""))
    fresh = await receive_event(ports, event)
    return web.json_response({"received": True, "fresh": fresh})


async def _payload(request: web.Request) -> bytes:
    """Read the raw bytes, which the signature covers. Raises TooLarge."""
    if (request.content_length or 0) > MAX_EVENT:
        raise TooLarge(limit_bytes=MAX_EVENT)
    payload = bytearray()
    # `request.read()` would apply the limit for commands, which is smaller.
    async for chunk in request.content.iter_any():
        payload += chunk
        if len(payload) > MAX_EVENT:
            raise TooLarge(limit_bytes=MAX_EVENT)
    return bytes(payload)


routes = [web.post("/webhooks/stripe", stripe)]
