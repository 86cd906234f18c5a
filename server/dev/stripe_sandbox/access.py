"""Who may reach what. A tenant's publishable key, the pages that may call the API from a browser
and the hosts of webhooks are registered with the control key; nothing follows from another key.

Everything else is refused: pages of other origins, control by browsers, requests by other names of
this machine (DNS rebinding), and webhooks to other machines.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import abc, web
from aiohttp.resolver import ThreadedResolver

from server.dev.stripe_sandbox.errors import Json, malformed
from server.dev.stripe_sandbox.store import Store, Tenant

CONTROL_HEADER = "Sandbox-Control-Key"
KINDS = {"publishable_keys": "key", "origins": "origin", "webhook_hosts": "host"}
CORS_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, stripe-version, idempotency-key",
    "Access-Control-Expose-Headers": "Request-Id, Idempotent-Replayed",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def grant(store: Store, tenant: Tenant, body: Any) -> Json:
    """Register `publishable_keys`, `origins` and `webhook_hosts` for a tenant."""
    for name, values in (body or {}).items():
        if name not in KINDS or not isinstance(values, list):
            raise malformed(f"Invalid grant: {name}", param=name)
        store.db.executemany(
            "INSERT OR REPLACE INTO grants VALUES (?, ?, ?)",
            [(KINDS[name], str(value), tenant.key) for value in values],
        )
    return {"granted": sorted(body or {})}


def secret_key_of(store: Store, publishable_key: str) -> str | None:
    """The secret key of the tenant that a publishable key belongs to."""
    row = store.db.execute(
        "SELECT tenant FROM grants WHERE kind = 'key' AND value = ?", (publishable_key,)
    ).fetchone()
    return str(row[0]) if row else None


def is_granted(store: Store, kind: str, value: str) -> bool:
    found = store.db.execute("SELECT 1 FROM grants WHERE kind = ? AND value = ?", (kind, value))
    return found.fetchone() is not None


def cors_headers(store: Store, request: web.Request) -> dict[str, str]:
    """Let a registered page read the answer; others get none of these headers."""
    origin = request.headers.get("Origin", "")
    if not origin or not is_granted(store, "origin", origin):
        return {}
    return {**CORS_HEADERS, "Access-Control-Allow-Origin": origin, "Vary": "Origin"}


# -- requests --------------------------------------------------------------------------------


def guard(control_key: str) -> Any:
    """A middleware that refuses other names of this machine, and control without its key."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            return _refused(403, "The sandbox is reached by a loopback address only.")
        if request.path.startswith("/_sandbox/") and request.path != "/_sandbox/health":
            if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
                return _refused(403, "The control API is not for browsers.")
            given = request.headers.get(CONTROL_HEADER, "")
            if not hmac.compare_digest(given.encode(), control_key.encode()):
                return _refused(401, f"The control API needs its own key, in {CONTROL_HEADER}.")
        return await handler(request)

    return guarded


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


# -- webhooks --------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, or the name of one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may_send_to(store: Store, url: str) -> bool:
    """Whether webhooks may go to a URL. A name is resolved, and checked, when they are sent."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return is_loopback(host) or is_granted(store, "host", host)


class LoopbackResolver(ThreadedResolver):
    """Resolves names to loopback addresses only, but for registered hosts. The connection is made
    to the address that was checked."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        """Raises OSError."""
        found = await super().resolve(host, port, family)
        if not is_granted(self._store, "host", host):
            found = [address for address in found if is_loopback(address["host"])]
        if not found:
            raise OSError(f"{host} is not on this machine")
        return found
