"""The context of one request: reads, writes, lists, renders and emits a tenant's objects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from server.dev.stripe_sandbox import webhook_deliveries
from server.dev.stripe_sandbox.errors import Json, malformed, no_such, refused
from server.dev.stripe_sandbox.store import Store, Tenant, new_id
from server.dev.stripe_sandbox.v2_parameters import moment

VERSION = "2026-05-27.dahlia"
EXPANDABLE = {
    "account",
    "balance_transaction",
    "charge",
    "customer",
    "destination",
    "destination_payment",
    "failure_balance_transaction",
    "latest_charge",
    "payment_intent",
    "payment_method",
    "source",
    "source_refund",
    "source_transaction",
    "source_transfer",
    "transfer",
    "transfer_reversal",
    "default_payment_method",
    "invoice_settings",
    "destination_payment_refund",
    "refunds",
    "last_payment_error",
    "original_payout",
    "reversed_by",
    "setup_intent",
    "latest_attempt",
    "reversals",
    "balance_transactions",
}


@dataclass
class RequestContext:
    """The first argument of every handler. Changed objects are written by `flush`."""

    store: Store
    tenant: Tenant
    account: str
    params: Json = field(default_factory=dict)
    base_url: str = ""
    request_id: str | None = None
    idempotency_key: str | None = None
    _loaded: dict[str, tuple[str, Json]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)

    @property
    def now(self) -> int:
        """The tenant's time in whole seconds."""
        return int(self.tenant.now())

    def add(self, obj: Json, account: str | None = None) -> Json:
        """Insert an object, owned by `account` or by the account of the request."""
        owner = account or self.account
        self.store.insert(self.tenant.key, owner, obj)
        self._loaded[obj["id"]] = (owner, obj)
        return obj

    def save(self, obj: Json) -> Json:
        """Mark an object as changed. `flush` writes it."""
        self._changed.add(obj["id"])
        return obj

    def flush(self) -> None:
        """Write all changed objects."""
        for name in self._changed:
            self.store.update(self.tenant.key, self._loaded[name][1])
        self._changed.clear()

    def find(self, object_id: Any, account: str | None = None) -> Json | None:
        """An object of this tenant, or None; with `account` only if that account owns it."""
        if not isinstance(object_id, str):
            return None
        if object_id not in self._loaded:
            row = self.store.get(object_id)
            if row is None or row[0] != self.tenant.key:
                return None
            self._loaded[object_id] = (row[1], row[2])
        owner, obj = self._loaded[object_id]
        return obj if account in (None, owner) else None

    def owner(self, obj: Json) -> str:
        """The account that an object belongs to."""
        return self._loaded[obj["id"]][0]

    def get(self, kind: str, object_id: str, param: str = "id", *, in_path: bool = True) -> Json:
        """An object of the request's account. Raises resource_missing."""
        obj = self.find(object_id, self.account)
        if obj is None or obj["object"] != kind:
            raise no_such(kind, object_id, param, in_path=in_path)
        return obj

    def find_all(self, kind: str, field_name: str, value: str) -> list[Json]:
        """All objects whose indexed field has a value, oldest first, across accounts."""
        self.flush()
        rows = self.store.select(
            ["seq IN (SELECT seq FROM links WHERE tenant=? AND kind=? AND field=? AND value=?)"],
            [self.tenant.key, kind, field_name, value],
            "ORDER BY seq",
        )
        return [self.find(row["id"]) or row for row in rows]

    def page(self, kind: str, url: str, **filters: Any) -> Json:
        """One page of a list, newest first, by the request's page parameters."""
        self.flush()
        where = ["tenant = ?", "account = ?", "kind = ?", "deleted = 0", "id != ?"]
        values: list[Any] = [self.tenant.key, self.account, kind, self.tenant.account]
        for name, value in filters.items():
            if value is not None:
                test = "GLOB" if "*" in value else "="
                where.append(
                    "seq IN (SELECT seq FROM links WHERE tenant = ? AND kind = ?"
                    f" AND field = ? AND value {test} ?)"
                )
                values += [self.tenant.key, kind, name, value]
        for bound, seconds in (self.params.get("created") or {}).items():
            sign = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[bound]
            where.append(f"created {sign} ?")
            values.append(seconds)
        return self._window(where, values, url)

    def _window(self, where: list[str], values: list[Any], url: str) -> Json:
        limit = min(max(self.params.get("limit", 10), 1), 100)
        after, before = self.params.get("starting_after"), self.params.get("ending_before")
        if after and before:
            raise malformed(
                "You may only specify one of these parameters: starting_after, ending_before.",
                None,
                "starting_after",
            )
        for cursor, sign, param in (
            (after, "<", "starting_after"),
            (before, ">", "ending_before"),
        ):
            if cursor:
                seq = self.store.sequence_of(self.tenant.key, cursor)
                if seq is None:
                    raise no_such("object", cursor, param, in_path=False)
                where.append(f"seq {sign} ?")
                values.append(seq)
        order = "ASC" if before else "DESC"
        rows = self.store.select(where, values, f"ORDER BY seq {order} LIMIT {limit + 1}")
        data = rows[:limit]
        if before:
            data.reverse()
        return {"object": "list", "data": data, "has_more": len(rows) > limit, "url": url}

    def emit(self, kind: str, obj: Json, before: Json | None = None) -> None:
        """Store an event and enqueue its webhook deliveries in the same transaction."""
        owner = self.owner(obj) if obj["id"] in self._loaded else self.account
        connected = obj["id"] if kind == "account.updated" else owner
        data: Json = {"object": self.public_view(obj)}
        if before is not None:
            data["previous_attributes"] = before
        event: Json = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": VERSION,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": kind,
        }
        if connected != self.tenant.account:
            event["account"] = connected
        webhook_deliveries.enqueue(self.store, self.tenant, event)
        self.add(event, connected)

    def emit_thin(self, kind: str, account_id: str) -> None:
        """Store an event of the /v2 API about an account, and enqueue its deliveries."""
        event: Json = {
            "id": new_id("evt_test_6"),
            "object": "v2.core.event",
            "created": self.now,
            "livemode": False,
            "related_object": {
                "id": account_id,
                "type": "v2.core.account",
                "url": f"/v2/core/accounts/{account_id}",
            },
            "type": kind,
        }
        self.add(event, self.tenant.account)
        sent = {**event, "created": moment(self.now)}
        webhook_deliveries.enqueue_thin(self.store, self.tenant, sent)

    def set_timer(self, due: float, what: str, object_id: str) -> None:
        """Set a timer on the tenant's clock."""
        self.store.db.execute(
            "INSERT OR IGNORE INTO timers VALUES (?, ?, ?, ?)",
            (self.tenant.key, due, what, object_id),
        )

    def public_view(self, obj: Json) -> Json:
        """The public fields of an object; time-dependent states are computed."""
        shown = {name: value for name, value in obj.items() if name[0] != "_"}
        if shown.get("object") == "balance_transaction":
            shown["status"] = "available" if obj["available_on"] <= self.now else "pending"
        elif shown.get("object") == "event":
            shown["pending_webhooks"] = webhook_deliveries.count_pending(self.store, obj["id"])
        return shown

    def render(self, result: Json, paths: list[str]) -> str:
        """The answer as JSON text, with the requested fields expanded."""
        self.flush()
        shown: Json = self.public_view(result)
        if result.get("object") == "list":
            shown["data"] = [self.public_view(entry) for entry in result["data"]]
        for path in paths:
            self._expand(shown, path.split("."), path)
        return json.dumps(shown, separators=(",", ":"))

    def _expand(self, node: Any, steps: list[str], path: str) -> None:
        if isinstance(node, list):
            for entry in node:
                self._expand(entry, steps, path)
            return
        if not isinstance(node, dict) or node.get("deleted"):
            return
        head, rest = steps[0], steps[1:]
        if head == "refunds" and node["object"] == "charge":
            node["refunds"] = node.get("refunds") or self._refunds(node)
        elif head not in EXPANDABLE | {"data"} or (head not in node and "object" in node):
            raise refused(f"This property cannot be expanded ({path}).", None, "expand[0]")
        child = self.find(node.get(head))
        if child is not None:
            node[head] = self.public_view(child)
        if rest:
            self._expand(node.get(head), rest, path)

    def _refunds(self, charge: Json) -> Json:
        data = [
            self.public_view(refund)
            for refund in reversed(self.find_all("refund", "charge", charge["id"]))
        ]
        url = f"/v1/charges/{charge['id']}/refunds"
        return {"object": "list", "data": data[:10], "has_more": len(data) > 10, "url": url}
