"""The control API under /_sandbox: grants, faults, clock, settings, snapshots, external actions,
logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from server.dev.stripe_sandbox import (
    access,
    external_actions,
    fault_injection,
    idempotency_keys,
    request_log,
    snapshots,
    timers,
    webhook_deliveries,
)
from server.dev.stripe_sandbox.api_server import find_or_create_tenant, read_api_key, read_query
from server.dev.stripe_sandbox.errors import Json, StripeError, malformed
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import DEFAULT_SETTINGS, Store, Tenant
from server.dev.stripe_sandbox.wake import Wake

NO_LIMIT = -1  # of SQLite
Action = Callable[[Tenant, Any, dict[str, str]], Json]


class ControlApi:
    """Requests with which tests and tools control their own tenant."""

    def __init__(
        self, store: Store, log_limit: int, wake: Wake, delays: fault_injection.Delays
    ) -> None:
        self.store = store
        self.delays = delays
        self.log_limit = log_limit
        self.wake = wake
        kept = snapshots.Snapshots(store)
        self.actions: dict[tuple[str, str], Action] = {
            ("POST", "faults"): self.add_fault,
            ("GET", "faults"): self.list_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "grants"): self.grant,
            ("POST", "clock"): self.advance_clock,
            ("GET", "clock"): self.read_clock,
            ("GET", "rest"): self.read_rest,
            ("POST", "snapshots"): kept.save,
            ("POST", "restores"): kept.restore,
            ("POST", "settings"): self.change_settings,
            ("GET", "settings"): self.read_settings,
            ("GET", "requests"): self.requests,
            ("GET", "deliveries"): self.deliveries,
            ("DELETE", "deployments"): self.end_deployment,
            **{
                ("POST", name): self.run_external(action)
                for name, action in external_actions.ACTIONS.items()
            },
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one control request."""
        name = request.match_info["name"]
        if name == "health":
            return web.json_response({"status": "ok"})
        action = self.actions.get((request.method, name))
        if action is None:
            return web.json_response({"error": {"message": "No such control."}}, status=404)
        raw = await request.text()
        try:
            key, public = read_api_key(self.store, request.headers.get("Authorization", ""))
            if public:
                raise malformed("The control API takes the secret key.")
            tenant = find_or_create_tenant(self.store, key)
            with self.store.transaction():
                answer = action(tenant, _parse_json(raw), read_query(request))
        except StripeError as error:
            return web.json_response(error.body, status=error.status)
        self.wake.set()
        return web.json_response(answer)

    def add_fault(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Add a fault."""
        return fault_injection.add(self.store, tenant.key, body)

    def list_faults(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The faults that are not used up yet."""
        return {"data": fault_injection.list_pending(self.store, tenant.key)}

    def clear_faults(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Delete all faults. Delayed requests go on."""
        fault_injection.delete_all(self.store, tenant.key)
        self.delays.release(tenant.key)
        return {"data": []}

    def grant(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Register publishable keys, origins of pages and hosts of webhooks."""
        return access.grant(self.store, tenant, body)

    def advance_clock(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Move this tenant's clock by `advance` seconds, or let it be `ahead` of the real time by
        so many, which may be less than 0. Runs the timers that are due."""
        given = body if isinstance(body, dict) else {}
        name = "ahead" if "ahead" in given else "advance"
        seconds = given.get(name)
        if not isinstance(seconds, int | float) or (name == "advance" and seconds < 0):
            raise malformed(f"`{name}` is a number of seconds, `advance` at least 0", param=name)
        tenant.shift = seconds if name == "ahead" else tenant.shift + seconds
        self.store.save_tenant(tenant)
        timers.run_due(self.store, tenant)
        idempotency_keys.delete_expired(self.store, tenant)
        return self.read_clock(tenant, body, query)

    def read_clock(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """This tenant's time: `now` in seconds since the epoch, `shift` ahead of real time. And the
        number of webhooks that are not delivered yet."""
        undelivered = webhook_deliveries.count_undelivered(self.store, tenant)
        return {"now": tenant.now(), "shift": tenant.shift, "undelivered": undelivered}

    def read_rest(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """How many faults are in force, how many webhooks are under way (`undelivered`), and how
        many a fault has dropped or holds back (`untold`)."""
        return {
            "faults": len(fault_injection.list_pending(self.store, tenant.key)),
            "undelivered": webhook_deliveries.count_undelivered(self.store, tenant),
            "untold": webhook_deliveries.count_undelivered(self.store, tenant, "dropped", "held"),
        }

    def run_external(self, external: external_actions.ExternalAction) -> Action:
        """A control action that performs an external action."""

        def action(tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
            timers.run_due(self.store, tenant)
            return external_actions.perform(
                RequestContext(self.store, tenant, tenant.account), external, body
            )

        return action

    def change_settings(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Change settings of this tenant."""
        for name, value in (body or {}).items():
            if name not in DEFAULT_SETTINGS or not isinstance(value, int | float) or value < 0:
                raise malformed(f"Invalid setting: {name}", param=name)
            tenant.settings[name] = value
        self.store.save_tenant(tenant)
        return self.read_settings(tenant, body, query)

    def read_settings(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The tenant's settings, and the platform's account id."""
        return {**DEFAULT_SETTINGS, **tenant.settings, "account": tenant.account}

    def requests(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The request log after an entry id, oldest first."""
        return self._page(self._requests(tenant, int(query.get("after", 0)), self.log_limit))

    def _requests(self, tenant: Tenant, after: int, limit: int) -> list[Json]:
        rows = request_log.list_after(self.store, tenant, after, limit)
        for row in rows:
            row["response"] = json.loads(row["response"])
        return rows

    def deliveries(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """Webhook deliveries after an id, oldest first; `status` filters."""
        after, status = int(query.get("after", 0)), query.get("status", "")
        return self._page(
            webhook_deliveries.list_deliveries(self.store, tenant, after, self.log_limit, status)
        )

    def end_deployment(self, tenant: Tenant, body: Any, query: dict[str, str]) -> Json:
        """The whole log of a tenant, `requests` and `deliveries`. The tenant ends: its timers and
        what was not delivered are deleted."""
        log = {
            "requests": self._requests(tenant, 0, NO_LIMIT),
            "deliveries": webhook_deliveries.list_deliveries(self.store, tenant, 0, NO_LIMIT),
        }
        for rows in (
            "deliveries WHERE tenant = ? AND status = 'pending'",
            "timers WHERE tenant = ?",
            "tenants WHERE key = ?",
        ):
            self.store.db.execute(f"DELETE FROM {rows}", (tenant.key,))
        return log

    def _page(self, rows: list[Json]) -> Json:
        return {"data": rows, "has_more": len(rows) == self.log_limit}


def _parse_json(raw: str) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise malformed("The body is not JSON.") from None
