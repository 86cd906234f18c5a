"""The control API under /_sandbox: faults, clock, settings, scenes, request log, deliveries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from server.dev.stripe_sandbox import courier, faults, memory, scenarios, timers

from .app import query_of, secret_of, tenant_of
from .call import Call
from .errors import Json, StripeError, malformed
from .state import SETTINGS, Store, Tenant

Action = Callable[[Tenant, Any, dict[str, str]], Json]


class Control:
    """What tests and tools do to their own tenant."""

    def __init__(self, store: Store, log_limit: int, wake: asyncio.Event) -> None:
        self.store = store
        self.log_limit = log_limit
        self.wake = wake
        self.actions: dict[tuple[str, str], Action] = {
            ("POST", "faults"): self.add_fault,
            ("GET", "faults"): self.list_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "clock"): self.advance_clock,
            ("GET", "clock"): self.read_clock,
            ("POST", "settings"): self.change_settings,
            ("GET", "settings"): self.read_settings,
            ("GET", "requests"): self.requests,
            ("GET", "deliveries"): self.deliveries,
            **{("POST", name): self.scene(scene) for name, scene in scenarios.SCENES.items()},
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One control request."""
        name = request.match_info["name"]
        if name == "health":
            return web.json_response({"status": "ok"})
        action = self.actions.get((request.method, name))
        if action is None:
            return web.json_response({"error": {"message": "No such control."}}, status=404)
        raw = await request.text()
        try:
            key, public = secret_of(request.headers.get("Authorization", ""))
            if public:
                raise malformed("The control API takes the secret key.")
            tenant = tenant_of(self.store, key)
            with self.store.transaction():
                answer = action(tenant, _json(raw), query_of(request))
        except StripeError as error:
            return web.json_response(error.body, status=error.status)
        self.wake.set()
        return web.json_response(answer)

    def add_fault(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Order a fault."""
        return faults.add(self.store, tenant.key, body)

    def list_faults(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The faults that have not happened yet."""
        return {"data": faults.ordered(self.store, tenant.key)}

    def clear_faults(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """No more faults."""
        faults.clear(self.store, tenant.key)
        return {"data": []}

    def advance_clock(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Move this tenant's time forward and let happen what falls due."""
        seconds = body.get("advance") if isinstance(body, dict) else None
        if not isinstance(seconds, int | float) or seconds < 0:
            raise malformed("`advance` is a number of seconds, at least 0", param="advance")
        tenant.shift += seconds
        self.store.save_tenant(tenant)
        timers.run(self.store, tenant)
        memory.prune(self.store, tenant)
        return self.read_clock(tenant, body, query)

    def read_clock(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """This tenant's time."""
        return {"now": tenant.now(), "shift": tenant.shift}

    def scene(self, scene: scenarios.Scene) -> Action:
        """Something that happens in the world outside."""

        def action(tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
            timers.run(self.store, tenant)
            return scenarios.play(Call(self.store, tenant, tenant.account), scene, body)

        return action

    def change_settings(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Change some settings."""
        for name, value in (body or {}).items():
            if name not in SETTINGS or not isinstance(value, int | float) or value < 0:
                raise malformed(f"Invalid setting: {name}", param=name)
            tenant.settings[name] = value
        self.store.save_tenant(tenant)
        return self.read_settings(tenant, body, query)

    def read_settings(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The settings in force, and the platform's account id."""
        return {**SETTINGS, **tenant.settings, "account": tenant.account}

    def requests(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The request log after an id, oldest first."""
        rows = memory.logged(self.store, tenant, int(query.get("after", 0)), self.log_limit)
        for row in rows:
            row["response"] = json.loads(row["response"])
        return {"data": rows}

    def deliveries(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Webhook deliveries after an id, oldest first, of one status if given."""
        after, status = int(query.get("after", 0)), query.get("status", "")
        return {"data": courier.listed(self.store, tenant, after, self.log_limit, status)}


def _json(raw: str) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise malformed("The body is not JSON.") from None
