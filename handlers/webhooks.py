"""Stripe's webhook endpoint: verified on the raw bytes, stored, answered; worked on later."""

from aiohttp import web

from domain.errors import DomainError
from domain.ports import Ports
from domain.webhooks import receive

PORTS = web.AppKey("ports", Ports)


async def stripe(request: web.Request) -> web.Response:
    """200 once the event is stored, also for one that was stored before."""
    ports = request.app[PORTS]
    payload = await request.read()
    try:
        event = ports.webhooks.verify(payload, request.headers.get("Stripe-Signature", ""))
        fresh = await receive(ports, event)
    except DomainError as refused:
        problem = {"code": refused.code, "message": str(refused)}
        return web.json_response(problem, status=refused.status)
    return web.json_response({"received": True, "fresh": fresh})


routes = [web.post("/webhooks/stripe", stripe)]
