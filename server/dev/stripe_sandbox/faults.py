"""Faults on order: broken answers, lost connections, unreliable webhooks, failing payouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from .errors import Json, StripeError, malformed
from .state import Store

SHAPES: dict[str, tuple[type, ...]] = {
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
}
TARGETS = ("path", "webhook", "payout", "refund")


def add(store: Store, tenant: str, rule: Any) -> Json:
    """Order a fault; it is used up after `times` hits. Raises malformed."""
    if not isinstance(rule, dict) or sum(target in rule for target in TARGETS) != 1:
        raise malformed(f"A fault names exactly one of {', '.join(TARGETS)}")
    for name, value in rule.items():
        if not isinstance(value, SHAPES.get(name, ())):
            raise malformed(f"Invalid fault field: {name}", param=name)
    if rule.get("when", "before") not in ("before", "after") or rule.get("times", 1) < 1:
        raise malformed("`when` is before or after, `times` at least 1")
    rule = {"when": "before", "times": 1, **rule}
    cursor = store.db.execute(
        "INSERT INTO faults (tenant, rule) VALUES (?, ?)", (tenant, json.dumps(rule))
    )
    return {"id": cursor.lastrowid, **rule}


def ordered(store: Store, tenant: str) -> list[Json]:
    """The faults still to come."""
    rows = store.db.execute("SELECT id, rule FROM faults WHERE tenant = ? ORDER BY id", (tenant,))
    return [{"id": row[0], **json.loads(row[1])} for row in rows.fetchall()]


def clear(store: Store, tenant: str) -> None:
    """Cancel every fault."""
    store.db.execute("DELETE FROM faults WHERE tenant = ?", (tenant,))


def end_holds(store: Store, tenant: str) -> None:
    """Keep no more events back."""
    for rule in ordered(store, tenant):
        if rule.get("hold"):
            store.db.execute("DELETE FROM faults WHERE id = ?", (rule["id"],))


def take_for_request(
    store: Store, tenant: str, method: str, path: str, *, replay: bool
) -> Json | None:
    """The fault for this request. A replayed answer can be delayed or lost, not changed."""

    def hits(rule: Json) -> bool:
        if "path" not in rule or not fnmatchcase(path, rule["path"]):
            return False
        if replay and _changes_answer(rule):
            return False
        return fnmatchcase(method, rule.get("method", "*").upper())

    return _take(store, tenant, hits)


def take_for_event(store: Store, tenant: str, kind: str) -> Json | None:
    """The fault for an event's deliveries."""
    return _take(store, tenant, lambda rule: fnmatchcase(kind, rule.get("webhook", "")))


def take_for_object(store: Store, tenant: str, target: str, names: tuple[str, ...]) -> Json | None:
    """The fault for a payout or refund whose id, account or currency the pattern names."""
    return _take(
        store,
        tenant,
        lambda rule: any(fnmatchcase(name, rule.get(target, "")) for name in names),
    )


def _take(store: Store, tenant: str, hits: Callable[[Json], bool]) -> Json | None:
    for fault in ordered(store, tenant):
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


def as_error(fault: Json | None) -> StripeError | None:
    """The error answer that a fault asks for."""
    if fault is None or not _changes_answer(fault):
        return None
    given = dict(fault.get("error", {}))
    status = fault.get("status", 402 if given.get("type") == "card_error" else 500)
    kind = given.pop("type", _kind(status))
    message = given.pop("message", _message(kind))
    if kind == "card_error":
        given.setdefault("code", "card_declined")
        if given["code"] == "card_declined":
            given.setdefault("decline_code", "generic_decline")
    # Stripe turns these away before execution begins, so their keys stay free.
    return StripeError(status, kind, message, stored=status not in (401, 409, 429), **given)


def _kind(status: int) -> str:
    if status == 402:
        return "card_error"
    if status == 409:
        return "idempotency_error"
    return "api_error" if status >= 500 else "invalid_request_error"


def _message(kind: str) -> str:
    if kind == "card_error":
        return "Your card was declined."
    return "An unexpected error occurred."
