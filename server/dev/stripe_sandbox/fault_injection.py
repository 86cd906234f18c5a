"""Injected faults: error answers, lost connections, unreliable webhooks, failing payouts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

from server.dev.stripe_sandbox.errors import Json, StripeError, malformed
from server.dev.stripe_sandbox.store import Store

FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "path": (str,),
    "when": (str,),
    "status": (int,),
    "error": (dict,),
    "delay": (int, float),
    "drop": (bool,),
    "times": (int,),
    "webhook": (str,),
    "duplicate": (int,),
    "payout": (str,),
    "refund": (str,),
    "failure_code": (str,),
    "after_paid": (bool,),
    "hold": (bool,),
    "pending_reason": (str,),
    "requires_action": (bool,),
}
TARGETS = ("path", "webhook", "payout", "refund")


class Delays:
    """Delayed requests. They go on after their time, or when the tenant's faults are deleted."""

    def __init__(self) -> None:
        self._released: dict[str, asyncio.Event] = {}

    async def wait(self, tenant: str, seconds: float) -> None:
        released = self._released.setdefault(tenant, asyncio.Event())
        with suppress(TimeoutError):
            await asyncio.wait_for(released.wait(), seconds)

    def release(self, tenant: str) -> None:
        if released := self._released.pop(tenant, None):
            released.set()


def add(store: Store, tenant: str, rule: Any) -> Json:
    """Add a fault that applies `times` times. Raises malformed."""
    if not isinstance(rule, dict) or sum(target in rule for target in TARGETS) != 1:
        raise malformed(f"A fault names exactly one of {', '.join(TARGETS)}")
    for name, value in rule.items():
        if not isinstance(value, FIELD_TYPES.get(name, ())):
            raise malformed(f"Invalid fault field: {name}", param=name)
    if rule.get("when", "before") not in ("before", "after") or rule.get("times", 1) < 1:
        raise malformed("`when` is before or after, `times` at least 1")
    rule = {"when": "before", "times": 1, **rule}
    cursor = store.db.execute(
        "INSERT INTO faults (tenant, rule) VALUES (?, ?)", (tenant, json.dumps(rule))
    )
    return {"id": cursor.lastrowid, **rule}


def list_pending(store: Store, tenant: str) -> list[Json]:
    """The faults that are not used up yet, oldest first."""
    rows = store.db.execute("SELECT id, rule FROM faults WHERE tenant = ? ORDER BY id", (tenant,))
    return [{"id": row[0], **json.loads(row[1])} for row in rows.fetchall()]


def delete_all(store: Store, tenant: str) -> None:
    """Delete every fault of a tenant."""
    store.db.execute("DELETE FROM faults WHERE tenant = ?", (tenant,))


def delete_holds(store: Store, tenant: str) -> None:
    """Delete the faults that hold events back."""
    for rule in list_pending(store, tenant):
        if rule.get("hold"):
            store.db.execute("DELETE FROM faults WHERE id = ?", (rule["id"],))


def take_for_request(
    store: Store, tenant: str, method: str, path: str, *, replay: bool
) -> Json | None:
    """Use up the fault for a request. A replayed answer is delayed or lost, never changed."""

    def hits(rule: Json) -> bool:
        if "path" not in rule or not fnmatchcase(path, rule["path"]):
            return False
        if replay and _changes_answer(rule):
            return False
        return fnmatchcase(method, rule.get("method", "*").upper())

    return _take(store, tenant, hits)


def take_for_event(store: Store, tenant: str, kind: str) -> Json | None:
    """Use up the fault for an event's deliveries."""
    return _take(store, tenant, lambda rule: fnmatchcase(kind, rule.get("webhook", "")))


def take_for_object(store: Store, tenant: str, target: str, names: tuple[str, ...]) -> Json | None:
    """Use up the fault for a payout or refund whose id, account or currency matches."""
    return _take(
        store,
        tenant,
        lambda rule: any(fnmatchcase(name, rule.get(target, "")) for name in names),
    )


def _take(store: Store, tenant: str, hits: Callable[[Json], bool]) -> Json | None:
    for fault in list_pending(store, tenant):
        number = fault.pop("id")
        if hits(fault):
            fault["times"] -= 1
            if fault["times"]:
                rule = json.dumps(fault)
                store.db.execute("UPDATE faults SET rule = ? WHERE id = ?", (rule, number))
            else:
                store.db.execute("DELETE FROM faults WHERE id = ?", (number,))
            return fault
    return None


def _changes_answer(fault: Json) -> bool:
    return "status" in fault or "error" in fault


def error_response(fault: Json | None) -> StripeError | None:
    """The error answer of a fault, or None."""
    if fault is None or not _changes_answer(fault):
        return None
    given = dict(fault.get("error", {}))
    status = fault.get("status", 402 if given.get("type") == "card_error" else 500)
    kind = given.pop("type", _error_type(status))
    message = given.pop("message", _error_message(kind))
    if kind == "card_error":
        given.setdefault("code", "card_declined")
        if given["code"] == "card_declined":
            given.setdefault("decline_code", "generic_decline")
    # Stripe refuses these before it executes anything, so their idempotency keys stay unused.
    return StripeError(status, kind, message, stored=status not in (401, 403, 409, 429), **given)


def _error_type(status: int) -> str:
    if status == 402:
        return "card_error"
    if status == 409:
        return "idempotency_error"
    return "api_error" if status >= 500 else "invalid_request_error"


def _error_message(kind: str) -> str:
    if kind == "card_error":
        return "Your card was declined."
    return "An unexpected error occurred."
