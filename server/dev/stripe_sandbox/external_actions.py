"""Actions of cardholders, banks and Stripe staff that tests trigger: POST /_sandbox/<name>."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from server.dev.stripe_sandbox import (
    access,
    balances,
    connect,
    disputes,
    event_destinations,
    fault_injection,
    fraud,
    payout_schedules,
    payouts,
    refunds,
    webhook_deliveries,
    webhook_endpoints,
)
from server.dev.stripe_sandbox.currencies import CURRENCIES
from server.dev.stripe_sandbox.errors import Json, malformed
from server.dev.stripe_sandbox.request_context import RequestContext

T = TypeVar("T")
ExternalAction = Callable[[RequestContext, Json], Json]


def perform(context: RequestContext, action: ExternalAction, body: Any) -> Json:
    """Perform an action and emit its events. Raises malformed and the API's own errors."""
    if not isinstance(body, dict):
        raise malformed("The body is a JSON object.")
    answer = action(context, body)
    context.flush()
    return context.public_view(answer)


def open_dispute(context: RequestContext, body: Json) -> Json:
    """A cardholder disputes a captured charge: `charge`; optional `amount`, `reason`, `inquiry`.

    The answer has all disputes of the charge as `data` and the new one as `dispute`.
    """
    charge = _named_object(context, body, "charge")
    made = disputes.open_dispute(
        context,
        charge,
        amount=_optional(body, "amount", int),
        inquiry=bool(body.get("inquiry")),
        reason=_optional(body, "reason", str) or "fraudulent",
    )
    every = context.find_all("dispute", "charge", charge["id"])
    return {
        "data": [context.public_view(dispute) for dispute in every],
        "dispute": context.public_view(made),
    }


def change_dispute_status(context: RequestContext, body: Json) -> Json:
    """The bank sets any status, in any order: `dispute`, `status`; optional `fee_back`."""
    status = body.get("status")
    if status not in disputes.STATUSES:
        raise malformed(f"`status` is one of {', '.join(disputes.STATUSES)}", param="status")
    dispute = _named_object(context, body, "dispute")
    return disputes.change_status(context, dispute, status, fee_back=bool(body.get("fee_back")))


def warn_of_fraud(context: RequestContext, body: Json) -> Json:
    """A card network warns of fraud: `charge`; optional `fraud_type`."""
    kind = _optional(body, "fraud_type", str) or "made_with_stolen_card"
    if kind not in fraud.FRAUD_TYPES:
        raise malformed(f"`fraud_type` is one of {', '.join(fraud.FRAUD_TYPES)}")
    return fraud.warn(context, _named_object(context, body, "charge"), kind)


def review_payment(context: RequestContext, body: Json) -> Json:
    """A rule puts a payment under review: `charge`. Or it ends: `review`, `reason`."""
    if "review" not in body:
        return fraud.open_review(context, _named_object(context, body, "charge"))
    if body.get("reason") not in fraud.CLOSED_REASONS:
        raise malformed(f"`reason` is one of {', '.join(fraud.CLOSED_REASONS)}", param="reason")
    return fraud.close_review(context, _named_object(context, body, "review"), body["reason"])


def add_dispute_line(context: RequestContext, body: Json) -> Json:
    """The bank moves more money for a dispute: `dispute`, signed `amount` (it takes below zero)."""
    amount = _optional(body, "amount", int)
    if not amount:
        raise malformed("`amount` is a number other than zero", param="amount")
    return disputes.add_line(context, _named_object(context, body, "dispute"), amount)


def change_refund_status(context: RequestContext, body: Json) -> Json:
    """The bank settles a refund: `refund`, `status` failed or succeeded; optional `reason`."""
    refund, status = _named_object(context, body, "refund"), body.get("status")
    if status == "failed":
        return refunds.fail(
            context, refund, _optional(body, "reason", str) or "lost_or_stolen_card"
        )
    if status == "succeeded":
        return refunds.succeed(context, refund)
    raise malformed("`status` is failed or succeeded", param="status")


def return_payout(context: RequestContext, body: Json) -> Json:
    """The bank returns a payout, even a paid one: `payout`; optional `failure_code`."""
    code = _optional(body, "failure_code", str) or "could_not_process"
    return payouts.return_by_bank(context, _named_object(context, body, "payout"), code)


def change_payout_schedule(context: RequestContext, body: Json) -> Json:
    """The owner of an account changes its payout schedule in the dashboard: `interval`; optional
    `account`, by default the platform's."""
    interval = body.get("interval")
    if interval not in ("manual", *payout_schedules.SECONDS):
        raise malformed("`interval` is manual, daily, weekly or monthly", param="interval")
    account = _account_or_platform(context, body)
    payout_schedules.set_interval(context, account, interval)
    context.emit("account.updated", account)
    return account


def pay_out_everything(context: RequestContext, body: Json) -> Json:
    """Stripe pays out all that is available, because it held the funds for too long; optional
    `account`, by default the platform's."""
    account = _account_or_platform(context, body)
    return {
        "data": [context.public_view(each) for each in payout_schedules.sweep(context, account)]
    }


def change_account_state(context: RequestContext, body: Json) -> Json:
    """Stripe changes an account: `account`, `state` active, inactive, wanted or closed.

    For inactive, optional `due` (requirements) and `reason`; for wanted, `due` and `in_days`.
    """
    account, state = _named_object(context, body, "account"), body.get("state")
    if state == "closed":
        return connect.close(context, account)
    if state == "active":
        return connect.activate(context, account)
    if state == "wanted":
        return connect.want(context, account, body.get("due") or [], body.get("in_days") or 14)
    if state != "inactive":
        raise malformed("`state` is active, inactive, wanted or closed", param="state")
    due: list[str] = body.get("due") or ["individual.verification.document"]
    reason = _optional(body, "reason", str) or "requirements.past_due"
    return connect.deactivate(context, account, due, reason)


def change_banks(context: RequestContext, body: Json) -> Json:
    """The owner of an account gives other bank accounts: `account`, `currencies`."""
    return connect.change_banks(
        context, _named_object(context, body, "account"), body["currencies"]
    )


def change_capability(context: RequestContext, body: Json) -> Json:
    """Stripe, or the dashboard, changes a capability of the platform: `capability`, `status`."""
    account = context.get("account", context.tenant.account)
    account["capabilities"][str(body.get("capability"))] = str(body.get("status"))
    return context.save(account)


def add_onboarded_account(context: RequestContext, body: Json) -> Json:
    """An account that is onboarded and emits no event: `params` as of POST /v1/accounts, decoded;
    `person` (`name`, `bank_account`), `currencies`."""
    context.params = body.get("params") or {}
    return connect.create_onboarded(context, body["currencies"], body["person"])


def add_deployment(context: RequestContext, body: Json) -> Json:
    """What a deployment has at Stripe before it starts: `publishable_keys`, `endpoints` as of
    POST /v1/webhook_endpoints and `destinations` as of POST /v2/core/event_destinations, decoded.
    The answer has the secrets of both in `secrets`."""
    access.grant(context.store, context.tenant, {"publishable_keys": body["publishable_keys"]})
    secrets = []
    for context.params in body["endpoints"]:
        secrets.append(webhook_endpoints.create(context)["secret"])
    for context.params in body["destinations"]:
        made = event_destinations.create(context)
        secrets.append(made["webhook_endpoint"]["signing_secret"])
    return {"secrets": secrets}


def add_balance_entry(context: RequestContext, body: Json) -> Json:
    """Stripe books an entry without an object: any `type`, also one that it has only since today,
    signed `amount`, `currency`; optional `description`."""
    amount, currency_code = _optional(body, "amount", int), body.get("currency")
    if (
        amount is None
        or currency_code not in CURRENCIES
        or not re.fullmatch("[a-z_]+", str(body.get("type")))
    ):
        raise malformed("`type` is in lower case, `amount` a number", param="type")
    note = _optional(body, "description", str)
    return balances.book_standalone(context, body["type"], currency_code, amount, note)


def read_balance(context: RequestContext, body: Json) -> Json:
    """All money of an account by currency, available or not; optional `account`, by default the
    platform's. A closed account, which the API tells nothing about, is read too."""
    account = _optional(body, "account", str) or context.tenant.account
    held = balances.available_and_pending(context, account)
    return {"data": {currency_code.upper(): sum(pair) for currency_code, pair in held.items()}}


def release_events(context: RequestContext, body: Json) -> Json:
    """Send the events that a `hold` fault keeps back, and end the hold: `type`, `order` oldest or
    newest, `gap` in seconds."""
    fault_injection.delete_holds(context.store, context.tenant.key)
    newest, gap = body.get("order") == "newest", float(body.get("gap", 0))
    count = webhook_deliveries.release(
        context.store, context.tenant, body.get("type", "*"), newest_first=newest, gap_seconds=gap
    )
    return {"released": count}


def replay_event(context: RequestContext, body: Json) -> Json:
    """Deliver an event again: `event`; optional `times`, and `age` of the signature in seconds."""
    age, times = body.get("age"), _optional(body, "times", int) or 1
    if not isinstance(age, int | float | None):
        raise malformed("`age` is a number of seconds", param="age")
    event = context.public_view(_named_object(context, body, "event"))
    return {"queued": webhook_deliveries.replay(context.store, context.tenant, event, times, age)}


def _named_object(context: RequestContext, body: Json, kind: str) -> Json:
    found = context.find(body.get(kind))
    if found is None or found["object"] != kind or found.get("deleted"):
        raise malformed(f"`{kind}` does not name an existing {kind}", param=kind)
    return found


def _account_or_platform(context: RequestContext, body: Json) -> Json:
    return _named_object(context, {"account": context.tenant.account, **body}, "account")


def _optional(body: Json, name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if not isinstance(value, kind | None):
        raise malformed(f"`{name}` is not of the type {kind.__name__}", param=name)
    return value


ACTIONS: dict[str, ExternalAction] = {
    "accounts": change_account_state,
    "balances": read_balance,
    "banks": change_banks,
    "capabilities": change_capability,
    "deployments": add_deployment,
    "disputes": open_dispute,
    "dispute_lines": add_dispute_line,
    "entries": add_balance_entry,
    "onboardings": add_onboarded_account,
    "payouts": return_payout,
    "refunds": change_refund_status,
    "releases": release_events,
    "replays": replay_event,
    "schedules": change_payout_schedule,
    "sweeps": pay_out_everything,
    "reviews": review_payment,
    "verdicts": change_dispute_status,
    "warnings": warn_of_fraud,
}
