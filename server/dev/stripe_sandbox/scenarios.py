"""What people, banks and Stripe do by themselves, on order: `/_sandbox/<name>` of a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from server.dev.stripe_sandbox import (
    balances,
    connect,
    disputes,
    faults,
    payouts,
    refunds,
    webhooks,
)

from .call import Call
from .errors import Json, malformed
from .money import CURRENCIES

T = TypeVar("T")
Scene = Callable[[Call, Json], Json]


def play(call: Call, scene: Scene, body: Any) -> Json:
    """Let it happen, with its events. Raises malformed, and what the API itself would refuse."""
    if not isinstance(body, dict):
        raise malformed("The body is a JSON object.")
    answer = scene(call, body)
    call.flush()
    return call.shown(answer)


def open_dispute(call: Call, body: Json) -> Json:
    """`charge`; `amount`, `reason`, `inquiry`: a cardholder disputes a captured charge.
    Answers all disputes of the charge as `data`, the new one as `dispute`."""
    charge = _find(call, body, "charge")
    made = disputes.open_on(
        call,
        charge,
        amount=_given(body, "amount", int),
        inquiry=bool(body.get("inquiry")),
        reason=_given(body, "reason", str) or "fraudulent",
    )
    every = call.of("dispute", "charge", charge["id"])
    return {"data": [call.shown(dispute) for dispute in every], "dispute": call.shown(made)}


def move_dispute(call: Call, body: Json) -> Json:
    """`dispute`, `status`; `fee_back`: the bank's next word, in any order."""
    status = body.get("status")
    if status not in disputes.STATES:
        raise malformed(f"`status` is one of {', '.join(disputes.STATES)}", param="status")
    dispute = _find(call, body, "dispute")
    return disputes.move(call, dispute, status, fee_back=bool(body.get("fee_back")))


def move_refund(call: Call, body: Json) -> Json:
    """`refund`, `status` failed or succeeded; `reason`: what becomes of it at the bank."""
    refund, status = _find(call, body, "refund"), body.get("status")
    if status == "failed":
        return refunds.fail(call, refund, _given(body, "reason", str) or "lost_or_stolen_card")
    if status == "succeeded":
        return refunds.succeed(call, refund)
    raise malformed("`status` is failed or succeeded", param="status")


def kill_payout(call: Call, body: Json) -> Json:
    """`payout`; `failure_code`: the bank sends it back, even when it was paid."""
    code = _given(body, "failure_code", str) or "could_not_process"
    return payouts.die(call, _find(call, body, "payout"), code)


def change_account(call: Call, body: Json) -> Json:
    """`account`, `state` active, inactive or closed; `due`, `reason` for an inactive one."""
    account, state = _find(call, body, "account"), body.get("state")
    if state == "closed":
        return connect.close(call, account)
    if state == "active":
        return connect.activate(call, account)
    if state != "inactive":
        raise malformed("`state` is active, inactive or closed", param="state")
    due: list[str] = body.get("due") or ["individual.verification.document"]
    reason = _given(body, "reason", str) or "requirements.past_due"
    return connect.deactivate(call, account, due, reason)


def add_entry(call: Call, body: Json) -> Json:
    """`type`, `amount` (signed), `currency`; `description`: a line of Stripe's own in the books."""
    amount, money = _given(body, "amount", int), body.get("currency")
    if amount is None or money not in CURRENCIES or body.get("type") not in balances.ALONE:
        raise malformed(f"`type` is one of {', '.join(balances.ALONE)}, `amount` a number")
    note = _given(body, "description", str)
    return balances.book_alone(call, body["type"], money, amount, note)


def release_events(call: Call, body: Json) -> Json:
    """`type`, `order` oldest or newest, `gap` seconds: send what a fault with `hold` kept back, and
    keep no more back."""
    faults.end_holds(call.store, call.tenant.key)
    newest, gap = body.get("order") == "newest", float(body.get("gap", 0))
    count = webhooks.release(call, body.get("type", "*"), newest=newest, gap=gap)
    return {"released": count}


def replay_event(call: Call, body: Json) -> Json:
    """`event`; `times`, `age`: deliver it again, signed now or `age` seconds ago, once."""
    age, times = body.get("age"), _given(body, "times", int) or 1
    if not isinstance(age, int | float | None):
        raise malformed("`age` is a number of seconds", param="age")
    return {"queued": webhooks.replay(call, _find(call, body, "event"), times, age)}


def _find(call: Call, body: Json, kind: str) -> Json:
    found = call.find(body.get(kind))
    if found is None or found["object"] != kind or found.get("deleted"):
        raise malformed(f"`{kind}` names one that there is", param=kind)
    return found


def _given(body: Json, name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if not isinstance(value, kind | None):
        raise malformed(f"`{name}` is not of the type {kind.__name__}", param=name)
    return value


SCENES: dict[str, Scene] = {
    "accounts": change_account,
    "disputes": open_dispute,
    "entries": add_entry,
    "payouts": kill_payout,
    "refunds": move_refund,
    "releases": release_events,
    "replays": replay_event,
    "verdicts": move_dispute,
}
