"""Timers on a tenant's clock: expiring holds, payouts, refunds, disputes."""

from __future__ import annotations

import time
from collections.abc import Callable

from server.dev.stripe_sandbox import (
    charges,
    delayed_payments,
    disputes,
    payout_schedules,
    payouts,
    refunds,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import Store, Tenant

HANDLERS: dict[str, Callable[[RequestContext, str], None]] = {
    "balance": charges.book_captured,
    "delayed": delayed_payments.finish,
    "dispute": disputes.open_for_test_card,
    "funds": refunds.retry_waiting,
    "hold": charges.expire_hold,
    "holding": payout_schedules.end_holding,
    "overdue": disputes.close_overdue,
    "payout": payouts.advance,
    "refund": refunds.carry_out_plan,
    "schedule": payout_schedules.run,
    "verdict": disputes.decide,
}
TAKE_NEXT_DUE = (
    "DELETE FROM timers WHERE (tenant, due, what, id) IN (SELECT tenant, due, what, id FROM timers"
    " WHERE tenant = ? AND due <= ? ORDER BY due LIMIT 1) RETURNING what, id"
)
TENANTS_WITH_DUE = (
    "SELECT key FROM tenants WHERE EXISTS"
    " (SELECT 1 FROM timers WHERE tenant = key AND due <= ? + shift)"
)
NEXT_DUE = "SELECT min(due - shift) FROM timers JOIN tenants ON key = tenant"


def next_due(store: Store) -> float | None:
    """When the next timer of any tenant is due, in seconds since the epoch; None without any."""
    due: float | None = store.db.execute(NEXT_DUE).fetchone()[0]
    return due


def run_due(store: Store, tenant: Tenant) -> int:
    """Run a tenant's due timers in order of time, inside a transaction. Returns their number."""
    done = 0
    while row := store.db.execute(TAKE_NEXT_DUE, (tenant.key, tenant.now())).fetchone():
        context = RequestContext(store, tenant, tenant.account)
        HANDLERS[row[0]](context, row[1])
        context.flush()
        done += 1
    return done


def run_due_of_all_tenants(store: Store) -> int:
    """Run the due timers of every tenant. Returns their number."""
    done = 0
    for (key,) in store.db.execute(TENANTS_WITH_DUE, (time.time(),)).fetchall():
        if tenant := store.tenant(key):
            with store.transaction():
                done += run_due(store, tenant)
    return done
