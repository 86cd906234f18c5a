"""Payouts that Stripe makes by itself: by an account's schedule, or after the limit for holding
funds. Each takes all that is available, in every currency with a bank account."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, payouts
from server.dev.stripe_sandbox.errors import Json
from server.dev.stripe_sandbox.request_context import RequestContext

DAY = 86_400
SECONDS = {"daily": DAY, "weekly": 7 * DAY, "monthly": 30 * DAY}


def set_interval(context: RequestContext, account: Json, interval: str) -> None:
    """Change an account's schedule. The first payout is one interval from now."""
    account["settings"]["payouts"]["schedule"]["interval"] = interval
    context.save(account)
    plan_next(context, account)


def plan_next(context: RequestContext, account: Json) -> None:
    """Set the timer of the next payout, unless the schedule is manual."""
    if wait := SECONDS.get(_interval(account)):
        context.set_timer(context.tenant.now() + wait, "schedule", account["id"])


def _interval(account: Json) -> str:
    interval: str = account["settings"]["payouts"]["schedule"]["interval"]
    return interval


def run(context: RequestContext, account_id: str) -> None:
    """Timer: pay out by the schedule, and plan the next payout. A manual one does nothing."""
    account = context.find(account_id)
    if account is None or account.get("deleted") or _interval(account) not in SECONDS:
        return
    sweep(context, account)
    plan_next(context, account)


def end_holding(context: RequestContext, account_id: str) -> None:
    """Timer: pay out what an account has held for as long as Stripe allows."""
    account = context.find(account_id)
    if account is not None and not account.get("deleted"):
        sweep(context, account)


def sweep(context: RequestContext, account: Json) -> list[Json]:
    """Pay out everything that is available. Returns the payouts."""
    owner = RequestContext(context.store, context.tenant, account["id"], _loaded=context._loaded)
    made = []
    if account["payouts_enabled"]:
        for currency_code, (available, _) in sorted(
            balances.available_and_pending(owner, account["id"]).items()
        ):
            if available > 0 and payouts.has_bank(owner, account, currency_code):
                params = {"amount": available, "currency": currency_code}
                owner.params = params
                made.append(payouts.create(owner, automatic=True))
    owner.flush()
    return made
