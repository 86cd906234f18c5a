"""Stripe's webhook endpoint: verified on the raw bytes, stored, answered; worked on later."""

from aiohttp import web

from domain.kernel.errors import DomainError, TooLarge
from domain.ports.ports import Ports
from domain.stripe_events.inbox import receive

MAX_EVENT = 256 * 1024  # Stripe's own are a few KiB
PORTS = web.AppKey("ports", Ports)


async def stripe(request: web.Request) -> web.Response:
    """200 once the event is stored, also for one that was stored before."""
    ports = request.app[PORTS]
    try:
        payload = await _payload(request)
        event = ports.webhooks.verify(payload, request.headers.get("Stripe-Signature", ""))
        fresh = await receive(ports, event)
    except DomainError as refused:
        problem = {"code": refused.code, "message": str(refused)}
        return web.json_response(problem, status=refused.status)
    return web.json_response({"received": True, "fresh": fresh})


async def _payload(request: web.Request) -> bytes:
    """The raw bytes, which the signature is over. Raises TooLarge."""
    if (request.content_length or 0) > MAX_EVENT:
        raise TooLarge(limit_bytes=MAX_EVENT)
    payload = bytearray()
    # Not `request.read()`, which has the smaller limit of commands.
    async for chunk in request.content.iter_any():
        payload += chunk
        if len(payload) > MAX_EVENT:
            raise TooLarge(limit_bytes=MAX_EVENT)
    return bytes(payload)


routes = [web.post("/webhooks/stripe", stripe)]
